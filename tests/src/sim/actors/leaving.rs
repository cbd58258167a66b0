//! How a caller leaves its flight: answered, or dropped in the middle.

use crate::sim::actors::actor::Actor;
use crate::sim::actors::caller::{Caller, State};
use crate::sim::fate::judge::ActorId;
use crate::sim::fate::promise::Promise;
use crate::sim::world::time::World;

impl World {
    pub(crate) fn leave(&mut self, caller: &mut Caller) {
        let Some((ticket, flight)) = caller.seat.take() else {
            return;
        };
        let lease = self.machine(caller.node, |shard, context, effects| {
            shard.leave(ticket, context, effects)
        });
        if let Some(lease) = lease {
            self.note(|| format!("    flight {flight} gives {lease:?} back"));
            self.release(caller.node, caller.key, lease, usize::MAX);
        }
    }

    /// It leaves of its own accord. If it led and has no answer, it was a refresh that gave up.
    pub(crate) fn step_down(&mut self, id: ActorId, mut caller: Caller) {
        let led = caller.seat.as_ref().map(|(_, flight)| *flight);
        let led =
            led.filter(|&flight| caller.gave_up && self.judge.flights[flight].leader == Some(id));
        if let Some(flight) = led {
            self.judge.flights[flight].leader = None;
        }
        self.leave(&mut caller);
        if let Some(flight) = led {
            self.judge_handed_over(flight);
        }
    }

    /// Its future is dropped, or user code in it panicked.
    pub(crate) fn caller_dropped(&mut self, id: ActorId, mut caller: Caller) {
        self.judge.load_ends(id);
        let led = caller.seat.as_ref().map(|(_, flight)| *flight);
        let led = led.filter(|&flight| {
            let done = matches!(caller.state, State::Leave) && !caller.gave_up;
            self.judge.flights[flight].leader == Some(id) && !done
        });
        if let Some(flight) = led {
            self.judge.flights[flight].leader = None;
        }
        match core::mem::replace(&mut caller.state, State::Moving) {
            State::Write(_, entry) if self.plan.chance.percent(50) => {
                self.write_led(id, &caller, entry);
            }
            State::Command(asked) => {
                // The seat may be dropped before the command or after it.
                if self.plan.chance.percent(50) {
                    self.leave(&mut caller);
                }
                self.unasked(id, asked);
            }
            State::Loading(loading) => {
                if let Some(command) = loading.renewal {
                    self.forsaken(command);
                }
            }
            _ => {}
        }
        self.leave(&mut caller);
        if let Some(flight) = led {
            self.judge_handed_over(flight);
        }
    }

    /// The leader is gone: at least one of those who wait must have been woken.
    fn judge_handed_over(&mut self, flight: usize) {
        let asks = |caller: &Caller| !caller.waits() || caller.will_ask();
        let knows = self.followers(flight).next().is_none() || self.followers(flight).any(asks);
        self.judge.rule(knows, Promise::P4, || {
            "a leader vanished, and no one was woken of those who wait".to_owned()
        });
    }

    /// The flight has its answer: all who wait must have been woken.
    pub(crate) fn judge_finished(&mut self, flight: usize) {
        let knows = |caller: &Caller| !caller.waits() || caller.will_ask();
        let knows = self.followers(flight).all(knows);
        self.judge.rule(knows, Promise::P4, || {
            "a flight has its answer, and somebody who waits was not woken".to_owned()
        });
    }

    /// The callers that wait for a flight, or are about to.
    fn followers(&self, flight: usize) -> impl Iterator<Item = &Caller> {
        let callers = self
            .actors
            .iter()
            .flatten()
            .filter_map(|actor| match actor {
                Actor::Caller(caller) => Some(caller),
                _ => None,
            });
        callers.filter(move |caller| caller.follows(flight))
    }
}
