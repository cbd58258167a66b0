//! How a caller leaves its flight: answered, dropped, or in a panic.

use super::caller::{Caller, State};
use super::judge::{ActorId, Promise};
use super::world::{Actor, World};

impl World {
    pub(super) fn leave(&mut self, caller: &mut Caller) {
        let Some((ticket, flight)) = caller.seat.take() else {
            return;
        };
        let token = self.machine(caller.node, |shard, context, effects| {
            shard.leave(ticket, context, effects)
        });
        if let Some(token) = token {
            self.note(|| format!("    flight {flight} gives {token} back"));
            self.release(caller.node, caller.key, token, usize::MAX);
        }
    }

    /// It leaves. If it led and has no answer, it was a refresh that gave up.
    pub(super) fn step_down(&mut self, id: ActorId, mut caller: Caller) {
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

    /// Its future is dropped, or what L1 called back panicked.
    pub(super) fn caller_dropped(&mut self, id: ActorId, mut caller: Caller) {
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
            State::Command(command) => {
                // A guard's `Drop` may run before the command's or after it.
                if self.plan.chance.percent(50) {
                    self.leave(&mut caller);
                }
                self.forsaken(command);
            }
            _ => {}
        }
        self.leave(&mut caller);
        if let Some(flight) = led {
            self.judge_handed_over(flight);
        }
    }

    /// Somebody who waits for a flight without a leader knows of it.
    fn judge_handed_over(&mut self, flight: usize) {
        let asks = |caller: &Caller| !caller.waits() || caller.will_ask();
        let told = self.aboard(flight).next().is_none() || self.aboard(flight).any(asks);
        self.judge.rule(told, Promise::P4, || {
            "a leader vanished, and no one was woken of those who wait".to_owned()
        });
    }

    /// Everyone who waits for a flight that has its answer knows of it.
    pub(super) fn judge_finished(&mut self, flight: usize) {
        let told = |caller: &Caller| !caller.waits() || caller.will_ask();
        let told = self.aboard(flight).all(told);
        self.judge.rule(told, Promise::P4, || {
            "a flight has its answer, and somebody who waits was not woken".to_owned()
        });
    }

    /// Those who wait for a flight, or are about to.
    fn aboard(&self, flight: usize) -> impl Iterator<Item = &Caller> {
        let callers = self
            .actors
            .iter()
            .flatten()
            .filter_map(|actor| match actor {
                Actor::Caller(caller) => Some(caller),
                Actor::Guest(_) | Actor::Change(_) | Actor::Sweep(_) => None,
            });
        callers.filter(move |caller| caller.follows(flight))
    }
}
