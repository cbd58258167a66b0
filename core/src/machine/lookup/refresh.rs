//! What a refresh does otherwise than a lookup that a caller waits for.

use crate::machine::lookup::fallback::Fallback;
use crate::machine::lookup::step::{Answer, Seen};
use crate::machine::lookup::{Lookup, Move, Out, View};
use crate::machine::policy::pace::{Aim, RefreshOutcome};
use crate::machine::tier::entry::Entry;

impl<V: Clone> Lookup<V> {
    /// A refresh asks for the lease at once, without a look at L1 or L2; one that only copies reads
    /// L2. Without an L2 it loads, whatever L1 has: there is nobody to share the work with.
    pub(super) fn begin_refresh(
        &mut self,
        view: &View<'_>,
        aim: Aim,
        out: &mut Out<'_, V>,
    ) -> Move<V> {
        let kind = view.policy.kind;
        if aim == Aim::Eager {
            return self.look();
        }
        if !kind.has_remote() || self.call.skip_remote {
            // In L1 there may be what its loader knows to be unchanged.
            return if kind.has_local() && !self.call.skip_local {
                self.look()
            } else {
                self.load(view, out)
            };
        }
        match aim {
            Aim::Younger(_) | Aim::Load => self.ask_lease(view, out),
            Aim::Copy if kind.has_local() && !self.call.skip_local => self.look_remote(view, out),
            Aim::Copy | Aim::Eager => self.give_up(RefreshOutcome::Copied(None)),
        }
    }

    /// What L1 has is what a loader is shown.
    pub(super) fn on_standing(
        &mut self,
        view: &View<'_>,
        found: Option<Entry<V>>,
        out: &mut Out<'_, V>,
    ) -> Move<V> {
        let found = found.map_or(Err(None), |entry| {
            Fallback::of_l1(entry, view.sweeping, view.generations.heard(), view.now)
        });
        self.fall_back_on(found, out);
        self.load(view, out)
    }

    /// What L1 has is to be loaded anew, unless that was done meanwhile.
    pub(super) fn on_due(
        &mut self,
        view: &View<'_>,
        found: Option<Entry<V>>,
        out: &mut Out<'_, V>,
    ) -> Move<V> {
        match found {
            // Not while something is removed from L1: that may be this.
            Some(entry) if !view.sweeping && entry.is_fresh(view.now) && entry.is_due(view.now) => {
                let entry = entry.without_lead();
                let alone = !view.policy.kind.has_remote() || self.call.skip_remote;
                if !alone && !self.asks_l2(view) {
                    // Without the lease every node of the fleet might load.
                    return self.keep_due(view, entry);
                }
                self.due = Some(entry);
                if alone {
                    return self.load(view, out);
                }
                self.ask_lease(view, out)
            }
            other => {
                out.spent.extend(other.and_then(Entry::into_value));
                self.give_up(RefreshOutcome::Passed)
            }
        }
    }

    /// It was not loaded anew: it stays, and is not tried again before its end.
    pub(super) fn keep_due(&mut self, view: &View<'_>, entry: Entry<V>) -> Move<V> {
        let stamp = entry.stamp().unwrap_or(view.generations.heard());
        let answer = Answer::found(entry.value().cloned(), entry.expires());
        let answer = answer.tagged(entry.tags(), stamp);
        if self.fed || view.writing {
            return self.finish(answer);
        }
        self.keep(view, entry, answer)
    }

    /// Whether this value is too old for a refresh to copy.
    pub(super) fn is_old(&self, seen: &Seen<V>) -> bool {
        self.call
            .aim
            .is_some_and(|aim| !aim.copies(seen.age, seen.left))
    }
}
