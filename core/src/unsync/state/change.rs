//! The steps of a change.

use core::hash::Hash;

use crate::machine::change::{
    ChangeOutcome, ChangeReply, ChangeStep, ChangeTicket, Plan, Reach, Wish,
};
use crate::machine::error::{Error, Fault};
use crate::machine::generations::tags::Tags;
use crate::machine::policy::call::Call;
use crate::machine::shard::Sweep;
use crate::machine::tier::load::Load;
use crate::machine::tier::verb::{Claimed, Filled, Placed};
use crate::unsync::clock::{Clock, Moment};
use crate::unsync::level2::Level2;
use crate::unsync::state::lookup::unencoded;
use crate::unsync::state::{Rest, State};

/// Writes the row of a write-through; `None` if it failed.
type Writer<'a, V> = &'a mut dyn FnMut() -> Option<Load<V>>;

impl<K: Hash + Eq + Clone, V: Clone, L: Level2<K, V>> State<K, V, L> {
    /// Puts a value in the place of whatever the tiers hold. One that L2 cannot hold changes nothing.
    pub(in crate::unsync) fn insert(
        &mut self,
        key: &K,
        value: V,
        call: &Call,
        clock: &mut dyn Clock,
        rest: &mut Rest<K, V>,
    ) -> Result<Reach, Error> {
        call.check_insert(false)?;
        check_tags(&call.tags, self.policy.has_tags())?;
        if !call.skip_remote {
            self.level2.encode(Some(&value), None)?;
        }
        let plan = Plan::Insert {
            value,
            call: call.clone(),
            condition: None,
        };
        Ok(self.change(key, plan, clock, rest, &mut || None))
    }

    /// Has the row written, and keeps what the writer answers.
    pub(in crate::unsync) fn write_through(
        &mut self,
        key: &K,
        clock: &mut dyn Clock,
        rest: &mut Rest<K, V>,
        writer: &mut dyn FnMut() -> Result<Load<V>, Error>,
    ) -> Result<Option<V>, Error> {
        let plan = Plan::WriteThrough { call: Call::new() };
        let (has_tags, mut outcome) = (self.policy.has_tags(), Err(Error::Closed));
        self.change(key, plan, clock, rest, &mut || {
            let written = writer().and_then(Load::checked).and_then(|load| {
                check_tags(&load.tags, has_tags)?;
                Ok(load)
            });
            outcome = (written.as_ref().map(|load| load.value.clone())).map_err(Error::clone);
            written.ok()
        });
        outcome
    }

    /// Removes the key from both tiers.
    pub(in crate::unsync) fn invalidate(
        &mut self,
        key: &K,
        clock: &mut dyn Clock,
        rest: &mut Rest<K, V>,
    ) -> Reach {
        self.change(key, Plan::Invalidate, clock, rest, &mut || None)
    }

    /// Carries out a change. The value of an insert is encoded already.
    fn change(
        &mut self,
        key: &K,
        plan: Plan<V>,
        clock: &mut dyn Clock,
        rest: &mut Rest<K, V>,
        writer: Writer<'_, V>,
    ) -> Reach {
        let moment = clock.moment();
        let bucket = self.level2.bucket(key);
        let ticket = self.ask(moment, rest, |table, context, effects| {
            table.open(key.clone(), bucket, plan, context, effects)
        });
        let mut change = Change {
            state: self,
            rest,
            key,
            ticket: Some(ticket),
            moment,
        };
        let mut reply = ChangeReply::Begin;
        loop {
            reply = match change.advance(reply, clock.moment()) {
                ChangeStep::Ask(Wish::Write) => ChangeReply::Written(writer()),
                ChangeStep::Ask(wish) => change.meet(wish),
                // On one thread no write is ever under way.
                ChangeStep::Wait(_) => ChangeReply::Waited,
                ChangeStep::ReadLocal => ChangeReply::Local(change.is_present()),
                ChangeStep::Apply { entry, .. } => {
                    match entry {
                        Some(entry) => change.state.keep(key, entry, change.rest),
                        None => change.state.forget(key, change.rest),
                    }
                    ChangeReply::Applied
                }
                ChangeStep::Finish(outcome) => {
                    change.close();
                    return match outcome {
                        ChangeOutcome::Made(reach) => reach,
                        ChangeOutcome::Applied(_) | ChangeOutcome::Undecided => Reach::Pending,
                    };
                }
            };
        }
    }
}

/// A change under way. Dropped before its end, since user code panicked, it is abandoned.
struct Change<'a, K: Hash + Eq + Clone, V: Clone, L: Level2<K, V>> {
    state: &'a mut State<K, V, L>,
    rest: &'a mut Rest<K, V>,
    key: &'a K,
    /// There until it is closed.
    ticket: Option<ChangeTicket>,
    moment: Moment,
}

impl<K: Hash + Eq + Clone, V: Clone, L: Level2<K, V>> Change<'_, K, V, L> {
    fn advance(&mut self, reply: ChangeReply<V>, moment: Moment) -> ChangeStep<V> {
        self.moment = moment;
        let Some(ticket) = &self.ticket else {
            return ChangeStep::Finish(ChangeOutcome::Undecided);
        };
        (self.state).ask(moment, self.rest, |table, context, effects| {
            table.advance(ticket, context, reply, effects)
        })
    }

    fn meet(&mut self, wish: Wish<V>) -> ChangeReply<V> {
        let (state, key) = (&mut *self.state, self.key);
        match wish {
            Wish::Remove(_) => ChangeReply::Removed(self.remove()),
            // An insert's claim leaves what stands there.
            Wish::Claim {
                token,
                life,
                spares,
                ..
            } => {
                state.leases.claim(key, token, self.moment.now + life);
                let claimed = if spares {
                    Ok(())
                } else {
                    state.level2.remove(key)
                };
                ChangeReply::Claimed(claimed.map(|()| Claimed::Granted(None, None)))
            }
            Wish::Put {
                token, times, born, ..
            } => ChangeReply::Put(match state.leases.spend(key, token) {
                true => (state.level2.write(key, times, born)).map(|()| Placed::Stored),
                false => Ok(Placed::Overtaken),
            }),
            Wish::Settle {
                token,
                value,
                mark,
                born,
                times,
                ..
            } => {
                if !state.leases.spend(key, token) {
                    return ChangeReply::Settled(self.remove().map(|()| Filled::Refused));
                }
                let encoded = state.level2.encode(value.as_ref(), mark.as_ref());
                ChangeReply::Settled(match encoded {
                    Ok(()) => (state.level2.write(key, times, born)).map(|()| Filled::Stored),
                    Err(error) => Err(unencoded(error)),
                })
            }
            Wish::Release { token } => {
                state.leases.spend(key, token);
                ChangeReply::Released
            }
            // The caller does it.
            Wish::Write => ChangeReply::Written(None),
        }
    }

    fn remove(&mut self) -> Result<(), Fault> {
        self.state.leases.revoke(self.key);
        self.state.level2.remove(self.key)
    }

    /// Whether L1 has a fresh value.
    fn is_present(&mut self) -> bool {
        let now = self.moment.now;
        let found = self.state.local(self.key, now, self.rest);
        found.is_some_and(|entry| {
            entry.is_fresh(now) && !entry.is_stale() && entry.value().is_some()
        })
    }

    fn close(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.state.table.close(ticket, &mut self.rest.effects);
        }
    }

    fn swept(&mut self, sweep: Sweep) {
        self.state.forget(self.key, self.rest);
        self.state.table.swept(self.key, sweep);
    }
}

impl<K: Hash + Eq + Clone, V: Clone, L: Level2<K, V>> Drop for Change<'_, K, V, L> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let sweep = (self.state).ask(self.moment, self.rest, |table, context, effects| {
                table.abandon(ticket, context, effects)
            });
            self.state.leases.revoke(self.key);
            self.swept(sweep);
        }
    }
}

/// Nobody could raise them in L2.
///
/// # Errors
/// [`Error::Config`].
fn check_tags(tags: &Tags, has_tags: bool) -> Result<(), Error> {
    if tags.is_empty() || has_tags {
        return Ok(());
    }
    Err(Error::config(
        "tags in a cache of one thread that has an L2: nothing raises them there, leave them out",
    ))
}
