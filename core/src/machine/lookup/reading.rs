//! How a lookup looks into L2, and takes what is fresh there (PROTOCOL.md, R1 and R7).

use crate::machine::error::Fault;
use crate::machine::event::Event;
use crate::machine::lookup::lease::Lease;
use crate::machine::lookup::step::{Answer, Need, Seen, Step};
use crate::machine::lookup::{Lookup, Move, Out, State, View};
use crate::machine::policy::pace::RefreshOutcome;
use crate::machine::tier::entry::Entry;
use crate::machine::time::Timestamp;

impl<V: Clone> Lookup<V> {
    /// Looks into L2, or does without it: reads, or asks for the lease at once where a read is hardly ever
    /// answered (PROTOCOL.md, R7).
    pub(super) fn look_remote(&mut self, view: &View<'_>, out: &mut Out<'_, V>) -> Move<V> {
        if !self.asks_l2(view) {
            return self.do_without(view, out);
        }
        if self.may_lease_first() && out.luck.is_out(view.policy, view.now) {
            return self.ask_lease_first(view);
        }
        self.read(view, out)
    }

    /// Who stores nothing takes no lease, and a refresh that comes here copies and does not load. A flight
    /// that has asked before, under another leader, may be granted that lease late as long as it reads.
    fn may_lease_first(&self) -> bool {
        !self.call.no_store && self.call.aim.is_none() && matches!(self.lease, Lease::None)
    }

    pub(super) fn read(&mut self, view: &View<'_>, out: &mut Out<'_, V>) -> Move<V> {
        out.luck.note_read(view.now);
        self.state = State::Remote { sent: view.now };
        Move::Do(Step::Ask(Need::Read))
    }

    /// What the first look of a load has shown, however it was taken: an answer, or what is none.
    pub(super) fn note_luck(&self, answered: bool, out: &mut Out<'_, V>) {
        if self.call.aim.is_none() {
            out.luck.note(answered);
        }
    }

    pub(super) fn on_remote(
        &mut self,
        view: &View<'_>,
        sent: Timestamp,
        read: Result<Option<Seen<V>>, Fault>,
        out: &mut Out<'_, V>,
    ) -> Move<V> {
        let took = view.now.since(sent);
        match read {
            Ok(Some(seen)) if seen.is_fresh(sent, view.now) => {
                self.note_luck(true, out);
                self.take_seen(view, sent, seen, out)
            }
            Ok(ended) => {
                self.note_luck(false, out);
                self.learn(view, sent, ended, out);
                if self.call.aim.is_some() {
                    return self.give_up(RefreshOutcome::Copied(None));
                }
                out.events.push(Event::RemoteMiss { took });
                if !self.call.no_store {
                    return self.ask_lease(view, out);
                }
                self.load(view, out)
            }
            Err(fault) => {
                self.on_fault(fault, out);
                self.do_without(view, out)
            }
        }
    }

    /// A fresh entry of L2: it goes to L1 for what is left of its life, counted from the moment the
    /// read was sent.
    pub(super) fn take_seen(
        &mut self,
        view: &View<'_>,
        sent: Timestamp,
        mut seen: Seen<V>,
        out: &mut Out<'_, V>,
    ) -> Move<V> {
        self.outcome = RefreshOutcome::Copied(seen.age);
        out.events.push(match self.call.aim {
            Some(_) => Event::Copied,
            None => Event::RemoteHit {
                took: view.now.since(sent),
            },
        });
        let end = view
            .policy
            .local_end(&self.call, sent, seen.left, view.roll.bits());
        // It was judged just now.
        self.stamp = view.generations.heard();
        let answer = Answer::found(seen.value.clone(), sent + seen.left);
        let answer = answer.tagged(&seen.tags, self.stamp);
        if self.call.no_store {
            return self.finish(answer);
        }
        let stale_end = seen.copy_end(end, sent, view.policy);
        let life = seen.left.saturating_add(seen.age.unwrap_or_default());
        let note = seen.note(sent);
        let entry = Entry::new(seen.value, end)
            .stale_until(stale_end)
            .noted(note)
            .tagged(&seen.tags, self.stamp);
        let entry = (view.policy).led(entry, seen.cost, life, view.roll);
        self.keep(view, entry, answer)
    }
}
