//! How a caller asks for the answer of its flight, and whether that answer may be given.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use jetcache_core::machine::error::Error;
use jetcache_core::machine::lookup::step::{Answer, Reply};
use jetcache_core::machine::shard::Turn;
use jetcache_core::machine::tier::entry::Cached;

use crate::sim::actors::caller::{Caller, State};
use crate::sim::fate::judge::{ActorId, Id};
use crate::sim::fate::promise::Promise;
use crate::sim::fate::script::Point;
use crate::sim::world::time::{World, whole_millis};

/// A flight's answer, and which value the judge knows it to be. Answers are told apart by their
/// address, so they are kept: a freed address might be used again.
pub(crate) struct Answered {
    answer: Arc<Answer<Id>>,
    id: Option<Id>,
}

impl World {
    /// Asks for the answer.
    pub(crate) fn poll(&mut self, id: ActorId, mut caller: Caller) -> Caller {
        caller.flag.0.store(false, Ordering::Relaxed);
        caller.woken = false;
        let waker = Waker::from(Arc::clone(&caller.flag));
        let (ticket, flight) = caller.seat();
        let turn = self.machine(caller.node, |shard, context, effects| {
            shard.poll(ticket, context, waker, effects)
        });
        self.note(|| format!("actor {id} polls: {turn:?}"));
        match turn {
            Turn::Answer(answer) => {
                let found = self.found(&caller, &answer);
                self.judge_answer(id, &caller, &answer, found);
                caller.state = State::Leave;
                self.turn_after(id, Point::Leave);
            }
            Turn::Ended => {
                // A refresh asks for its own answer here, and needs none.
                caller.state = match caller.aim {
                    Some(_) => State::Leave,
                    None => State::Rejoin,
                };
                self.turn_after(id, Point::Join);
            }
            Turn::Lead => {
                self.judge.leads(flight, id, self.now);
                caller.state = State::Step(Box::new(Reply::Begin));
                self.turn_after(id, Point::Step);
            }
            Turn::Wait(until) => {
                caller.state = State::Waiting;
                if let Some(until) = until {
                    let until = self.when(caller.node, until);
                    self.turn_at(id, until);
                }
            }
        }
        caller
    }

    /// Which value the answer is. The leader asks first, and knows.
    fn found(&mut self, caller: &Caller, answer: &Arc<Answer<Id>>) -> Option<Id> {
        let mut known = self.answers.iter();
        if let Some(known) = known.find(|known| Arc::ptr_eq(&known.answer, answer)) {
            return known.id;
        }
        // Who does not wait for the load is given what the leader has found so far.
        let soft = caller.wish.soft_timeout;
        let soft = soft.or(self.plan.policy.soft_timeout.map(whole_millis));
        let impatient = soft.is_some_and(|soft| self.now >= caller.came + soft);
        let id = match answer.outcome {
            Ok(Cached::Hit(value))
                if answer.loaded.is_none()
                    && (impatient
                        || caller.failed
                        || caller.last.is_none()
                        || caller.aim.is_some()) =>
            {
                Some(value)
            }
            _ => caller.last,
        };
        self.answers.push(Answered {
            answer: Arc::clone(answer),
            id,
        });
        id
    }

    pub(crate) fn judge_answer(
        &mut self,
        id: ActorId,
        caller: &Caller,
        answer: &Answer<Id>,
        found: Option<Id>,
    ) {
        let answer = &answer.outcome;
        self.note(|| format!("    actor {id} has its answer: {answer:?}, {found:?}"));
        let flight = self.judge.flights[caller.seat().1];
        let absent = found.map(|found| self.judge.at(found).absent);
        let honest = match answer {
            Ok(Cached::Hit(value)) => found == Some(*value) && absent == Some(false),
            Ok(Cached::Stale(value)) => self.may_be_stale(id, caller, *value),
            Ok(Cached::Absent) => absent == Some(true),
            Ok(Cached::Miss) | Err(Error::Closed) => false,
            Err(_) => flight.failed || caller.failed,
        };
        self.judge.rule(honest, Promise::P6, || {
            format!("actor {id} is answered {answer:?}, and {found:?} was found")
        });
        if let (Ok(Cached::Hit(_) | Cached::Absent), Some(found)) = (answer, found) {
            // What began to load after the caller came is the freshest that it could get.
            let (fact, now) = (*self.judge.at(found), self.now);
            let fresh = now < fact.ends || fact.loaded >= caller.came;
            self.judge.rule(fresh, Promise::P7, || {
                format!(
                    "actor {id} is answered {found:?} at {now} ms, its life ended at {}",
                    fact.ends
                )
            });
            self.judge
                .answered(caller.node, caller.key, caller.floor, found);
            if caller.last == Some(found) {
                self.judge_l2(caller.node, caller.raised, found);
            }
        }
        if let Ok(Cached::Stale(value)) = answer {
            self.judge_stale(id, caller, *value);
        }
    }

    /// Whether there is a reason to answer with a value whose life is over.
    fn may_be_stale(&mut self, id: ActorId, caller: &Caller, value: Id) -> bool {
        let number = caller.seat().1;
        let flight = self.judge.flights[number];
        let policy = &self.plan.policy;
        let soft = caller.wish.soft_timeout;
        let soft = soft.or(policy.soft_timeout.map(whole_millis));
        let waited = |since: u64| self.now - since >= whole_millis(policy.lease_wait);
        let soft = soft.is_some_and(|soft| self.now >= caller.came + soft);
        if soft && flight.leader == Some(id) && flight.refused_since.is_some() {
            // It does not wait for another node's load, and all others get its answer.
            self.judge.flights[number].found_stale = true;
        }
        let reason = flight.failed
            || caller.failed
            || flight.failing
            || flight.found_stale
            || flight.refused_since.is_some_and(waited)
            || soft;
        reason && !self.judge.at(value).absent
    }

    /// A stale value is within its window, and not handed out by a flight that a change has superseded.
    fn judge_stale(&mut self, id: ActorId, caller: &Caller, value: Id) {
        let (fact, now) = (*self.judge.at(value), self.now);
        let window = caller.wish.stale_for.unwrap_or(u64::MAX).min(fact.window);
        let until = fact.ends.saturating_add(window);
        self.judge.rule(now < until, Promise::P7, || {
            format!("actor {id} is answered {value:?}, stale, at {now} ms: {fact:?}")
        });
        (self.judge).is_alive(caller.node, caller.floor.raised, value, "a stale answer");
        if !self.judge.is_current(caller.seat().1) {
            // A raise of its tags is for those who come after it.
            let mut floor = self.judge.floor(caller.node, caller.key);
            floor.raised = caller.floor.raised;
            (self.judge).answered(caller.node, caller.key, floor, value);
        }
    }
}
