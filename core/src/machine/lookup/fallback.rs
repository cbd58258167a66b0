//! What a lookup answers when nothing fresh can be had: a value whose life is over (PROTOCOL.md, S1
//! to S4).

use core::time::Duration;

use crate::machine::error::Error;
use crate::machine::event::Event;
use crate::machine::lookup::step::{Answer, Seen};
use crate::machine::lookup::{Lookup, Move, Out, State, View};
use crate::machine::policy::Policy;
use crate::machine::policy::call::Call;
use crate::machine::policy::pace::RefreshOutcome;
use crate::machine::tier::entry::Entry;
use crate::machine::time::Timestamp;

/// A value whose life is over. What did not exist is none: it may exist by now.
#[derive(Clone, Debug)]
pub(super) struct Fallback<V> {
    value: V,
    /// A point in time, and for how long its life was over then.
    known: (Timestamp, Duration),
    /// Until when it may be served.
    until: Timestamp,
}

impl<V> Fallback<V> {
    /// What L1 holds: none while something is removed from it, which may be this.
    pub(super) fn of_l1(entry: Entry<V>, sweeping: bool, out: &mut Out<'_, V>) -> Option<Self> {
        let known = (entry.expires(), entry.over());
        let until = if sweeping {
            Timestamp::default()
        } else {
            entry.stale_end()
        };
        Self::new(entry.into_value(), known, until, out)
    }

    fn new(
        value: Option<V>,
        known: (Timestamp, Duration),
        until: Timestamp,
        out: &mut Out<'_, V>,
    ) -> Option<Self> {
        let value = value?;
        if until <= known.0 {
            out.spent.push(value);
            return None;
        }
        Some(Self {
            value,
            known,
            until,
        })
    }

    /// It is not answered any more. It is dropped later, outside the lock.
    pub(super) fn bury(&mut self) {
        self.until = Timestamp::default();
    }

    /// Until when this call may be answered with it.
    fn until(&self, call: &Call) -> Timestamp {
        let (at, over) = self.known;
        match call.stale_for {
            Some(window) => self.until.min((at + window).before(over)),
            None => self.until,
        }
    }
}

impl<V: Clone> Lookup<V> {
    /// A tier has shown what there is, or nothing. Of two values the one that may be served for longer
    /// is taken for the newer one.
    pub(super) fn fall_back_on(&mut self, found: Option<Fallback<V>>, out: &mut Out<'_, V>) {
        let Some(found) = found else {
            return;
        };
        let other = match self.fallback.take() {
            Some(known) if known.until > found.until => {
                self.fallback = Some(known);
                Some(found)
            }
            known => {
                self.fallback = Some(found);
                known
            }
        };
        out.spent.extend(other.map(|other| other.value));
        out.found_stale = true;
    }

    /// L2 has shown something that is not fresh, or nothing. What is not there has been removed: by a
    /// change, of which this node hears only with a bus. Then what L1 had is dead, too.
    pub(super) fn learn(
        &mut self,
        view: &View<'_>,
        sent: Timestamp,
        seen: Option<Seen<V>>,
        out: &mut Out<'_, V>,
    ) {
        let found = seen.and_then(|seen| {
            let until = seen.stale_end(sent, view.policy);
            Fallback::new(seen.value, (sent + seen.left, seen.over), until, out)
        });
        if found.is_none() && !view.policy.hears {
            let dead = self.fallback.take();
            out.spent.extend(dead.map(|dead| dead.value));
        }
        self.fall_back_on(found, out);
    }

    /// Whether a stale value is on its way into L1.
    pub(in crate::machine) fn is_keeping_stale(&self) -> bool {
        matches!(self.state, State::KeepingStale { .. })
    }

    /// A read without a loader puts a fresh value into L1.
    pub(in crate::machine) fn on_fed(&mut self) {
        self.fed = true;
    }

    /// The stale value as an answer to this call, now: not past its window, and not once a change has
    /// ended.
    pub(in crate::machine) fn stale(
        &self,
        call: &Call,
        superseded: bool,
        now: Timestamp,
    ) -> Option<Answer<V>> {
        let found = self.fallback.as_ref()?;
        let until = found.until(call);
        if superseded || now >= until {
            return None;
        }
        let (value, known) = (found.value.clone(), found.known);
        Some(if now + known.1 < known.0 {
            // Fresh, though too old for a refresh to copy.
            Answer::found(Some(value), known.0)
        } else {
            Answer::stale(value, until, known)
        })
    }

    pub(super) fn stale_answer(&self, view: &View<'_>, out: &mut Out<'_, V>) -> Option<Answer<V>> {
        let answer = self.stale(&self.call, view.superseded, view.now)?;
        out.events.extend(answer.over.map(|_| Event::Stale));
        Some(answer)
    }

    /// How long the leader still waits, if it has a stale value to answer.
    pub(super) fn soft_left(&self, view: &View<'_>) -> Option<Duration> {
        let due = view.came + view.policy.soft_timeout(&self.call)?;
        let stale = self.stale(&self.call, view.superseded, view.now);
        stale.map(|_| due.since(view.now))
    }

    /// The load has failed. The stale value answers, and stays in L1 for `stale_retry`; for as long
    /// the lease stands, as a mark for the other nodes.
    pub(super) fn fail_over(
        &mut self,
        view: &View<'_>,
        error: &Error,
        out: &mut Out<'_, V>,
    ) -> Option<Move<V>> {
        if core::mem::take(&mut self.fed) && self.fallback.is_some() {
            // What L1 has now is newer. Should that be over by now, it is the fallback.
            return Some(self.look());
        }
        let answer = self.stale_answer(view, out)?;
        if self.call.aim.is_some() {
            // A refresh comes again by itself, and leaves the tiers as they are.
            return Some(self.finish(answer));
        }
        let retry = view.policy.stale_retry;
        self.failing = Some(retry);
        Some(self.keep_stale(view, answer, retry, Some(error.clone())))
    }

    /// Another node's load has failed lately. Whoever can do without does not load.
    pub(super) fn while_failing(&mut self, view: &View<'_>, out: &mut Out<'_, V>) -> Move<V> {
        if self.call.aim.is_some() {
            return self.give_up(RefreshOutcome::Passed);
        }
        match self.stale_answer(view, out) {
            // Nobody knows how long the mark stands yet, and to ask costs no load.
            Some(answer) => self.keep_stale(view, answer, view.policy.stale_retry / 4, None),
            None => self.load(view, out),
        }
    }

    /// Puts the stale value into L1, unless something newer stands there.
    fn keep_stale(
        &mut self,
        view: &View<'_>,
        answer: Answer<V>,
        span: Duration,
        why: Option<Error>,
    ) -> Move<V> {
        let wanted = !self.call.no_store && !self.fed && !view.writing;
        let Some(found) = self.fallback.as_ref().filter(|_| wanted) else {
            return self.finish(answer);
        };
        // Without a bus nobody tells that it was changed elsewhere.
        let span = if view.policy.hears || !view.policy.kind.has_remote() {
            span
        } else {
            span.min(view.policy.local_ttl)
        };
        let end = (view.now + span).min(found.until);
        let over = end.since(found.known.0).saturating_add(found.known.1);
        let entry = Entry::new(Some(found.value.clone()), end);
        let entry = entry.stale_until(found.until).overdue(over);
        if !self.is_kept(view, &entry) {
            return self.finish(answer);
        }
        self.state = State::KeepingStale { answer, why };
        Move::Keep(entry)
    }

    /// A change may have ended during the write: then the value is not to be answered any more.
    pub(super) fn on_kept_stale(
        &mut self,
        view: &View<'_>,
        answer: Answer<V>,
        why: Option<Error>,
        out: &mut Out<'_, V>,
    ) -> Move<V> {
        match why {
            _ if !view.superseded => self.finish(answer),
            Some(error) => self.finish(Answer::endless(Err(error))),
            None => self.load(view, out),
        }
    }
}

impl Policy {
    /// How long a call waits if there is a stale value.
    pub(in crate::machine) fn soft_timeout(&self, call: &Call) -> Option<Duration> {
        call.soft_timeout.or(self.soft_timeout)
    }
}
