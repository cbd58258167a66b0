//! How a lookup gets the key's lease, waits for it, and renews it (PROTOCOL.md, R1 and R7).

use crate::machine::error::Fault;
use crate::machine::event::Event;
use crate::machine::lookup::lease::Lease;
use crate::machine::lookup::step::{Need, Release, Renewal, Seen, Step};
use crate::machine::lookup::{Lookup, Move, Out, State, View};
use crate::machine::policy::Policy;
use crate::machine::policy::backoff::Backoff;
use crate::machine::policy::outage::Outage;
use crate::machine::policy::pace::RefreshOutcome;
use crate::machine::tier::verb::Granted;
use crate::machine::time::Timestamp;
use crate::machine::token::Token;

impl<V: Clone> Lookup<V> {
    pub(super) fn ask_lease(&mut self, view: &View<'_>, out: &mut Out<'_, V>) -> Move<V> {
        if !self.asks_l2(view) {
            return self.do_without(view, out);
        }
        // A lease that is held, and has not ended, need not be asked for again.
        if let Some((_, since)) = self.lease.standing()
            && view.now.since(since) < view.policy.lease
        {
            return self.load(view, out);
        }
        self.ask_new_lease(view, false)
    }

    /// Without a read before: the lease's own look is the first one.
    pub(super) fn ask_lease_first(&mut self, view: &View<'_>) -> Move<V> {
        self.ask_new_lease(view, true)
    }

    fn ask_new_lease(&mut self, view: &View<'_>, first: bool) -> Move<V> {
        // A token is asked for once. Asked twice it could be granted once more after a change had
        // taken it away, and a value that is older than the change would pass for a newer one.
        let token = Token::from_bits(view.roll.bits());
        self.lease = Lease::Asked(token);
        let sent = view.now;
        self.state = State::Leasing { sent, first };
        let life = view.policy.lease;
        Move::Do(Step::Ask(Need::Lease { token, life }))
    }

    /// Whether the look that is under way is its first one at L2, beside a lease.
    pub(in crate::machine) fn looks_beside_a_lease(&self) -> bool {
        matches!(self.state, State::Leasing { first: true, .. })
    }

    pub(super) fn on_leased(
        &mut self,
        view: &View<'_>,
        (sent, first): (Timestamp, bool),
        leased: Result<(Granted, Option<Seen<V>>), Fault>,
        out: &mut Out<'_, V>,
    ) -> Move<V> {
        let (granted, found) = match leased {
            Ok(answer) => answer,
            Err(fault) => {
                self.lease.on_fault(&fault, view.now);
                self.note_wait(view, out);
                let is_silent = Outage::is_silence(&fault);
                self.on_fault(fault, out);
                if first {
                    out.luck.forget();
                    // An L2 that is full or read-only may have what it was not asked for yet.
                    if !is_silent {
                        return self.read(view, out);
                    }
                }
                if let Some(entry) = self.due.take() {
                    return self.keep_due(view, entry);
                }
                return self.do_without(view, out);
            }
        };
        self.lease.on_reply(granted == Granted::Yes, view.now);
        match found {
            Some(seen) if seen.is_fresh(sent, view.now) && !self.is_old(&seen) => {
                self.note_wait(view, out);
                if first {
                    self.note_luck(true, out);
                }
                return self.take_seen(view, sent, seen, out);
            }
            other => self.learn(view, sent, other, out),
        }
        if first {
            self.note_luck(false, out);
            let took = view.now.since(sent);
            out.events.push(Event::RemoteMiss { took });
        }
        if self.call.aim.is_some() && view.superseded {
            return self.give_up(RefreshOutcome::Passed);
        }
        match granted {
            Granted::Yes => {
                self.note_wait(view, out);
                self.load(view, out)
            }
            // Another node does it, or has tried.
            Granted::No | Granted::Failing if self.due.is_some() => match self.due.take() {
                Some(entry) => self.keep_due(view, entry),
                None => self.give_up(RefreshOutcome::Passed),
            },
            Granted::No => self.wait_for_lease(view, out),
            Granted::Failing => {
                self.note_wait(view, out);
                self.while_failing(view, out)
            }
        }
    }

    /// Another node loads: ask again after a pause, for `lease_wait` at most.
    fn wait_for_lease(&mut self, view: &View<'_>, out: &mut Out<'_, V>) -> Move<V> {
        let since = *self.waits_since.get_or_insert(view.now);
        let left = view.policy.lease_wait.saturating_sub(view.now.since(since));
        if left.is_zero() && self.call.aim.is_some() {
            return self.give_up(RefreshOutcome::Passed);
        }
        let soft = self.soft_left(view);
        if (left.is_zero() || soft.is_some_and(|soft| soft.is_zero()))
            && let Some(answer) = self.stale_answer(view)
        {
            self.note_wait(view, out);
            return self.finish(answer);
        }
        if left.is_zero() {
            self.note_wait(view, out);
            return self.load(view, out);
        }
        let pause = Backoff::LEASE.pause(self.refusals).min(left);
        self.refusals += 1;
        self.state = State::Pausing;
        let pause = soft.map_or(pause, |soft| pause.min(soft));
        Move::Do(Step::Ask(Need::Pause(pause)))
    }

    /// It waits for another node no longer, if it did.
    fn note_wait(&mut self, view: &View<'_>, out: &mut Out<'_, V>) {
        if let Some(since) = self.waits_since.take() {
            let took = view.now.since(since);
            out.events.push(Event::Waited { took });
        }
    }

    /// The lease was granted after its asker had left. The flight takes it if it may still ask for
    /// one; a flight that began to load without it must not fill with it. Returns whether it has it
    /// now.
    pub(in crate::machine) fn on_late_lease(&mut self, token: Token, now: Timestamp) -> bool {
        let may_ask = matches!(
            self.state,
            State::Fresh | State::Local { .. } | State::Remote { .. }
        );
        may_ask && !self.faulted && self.lease.on_late_reply(token, now)
    }

    /// Its key was raised: if it loads, what that brings is dead, and nobody need wait for its lease.
    pub(in crate::machine) fn loads_in_vain(&mut self) -> Option<Release> {
        let loads = matches!(self.state, State::Loading { .. });
        let token = loads.then(|| self.lease.give_back()).flatten()?;
        Some(Release::of(token))
    }

    /// The lease that is to be renewed while the loader runs.
    pub(in crate::machine) fn renewal(&self, policy: &Policy) -> Option<Renewal> {
        let loads = matches!(self.state, State::Loading { .. }) && !self.faulted;
        let (token, since) = self.lease.standing().filter(|_| loads)?;
        Some(Renewal {
            token,
            at: since + policy.renew_after(),
            life: policy.lease,
        })
    }

    /// That renewal is sent.
    pub(in crate::machine) fn renew(&mut self, token: Token) {
        self.lease.renew(token);
    }

    /// Whether it was renewed. Returns the fault that keeps the flight from L2 from now on.
    pub(in crate::machine) fn on_renewed(
        &mut self,
        token: Token,
        renewed: Result<bool, Fault>,
        now: Timestamp,
    ) -> Option<Fault> {
        match renewed {
            Ok(stands) => {
                self.lease.on_renewed(token, stands, now);
                None
            }
            Err(fault) => {
                self.faulted = true;
                Some(fault)
            }
        }
    }
}
