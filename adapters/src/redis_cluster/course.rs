//! A batch's course from node to node: what is to be sent next and where to, and what is known.
//!
//! It decides and does no I/O. Each command that stands alone follows its own redirections; those
//! that belong together are sent once all of the others have arrived.

use std::time::Duration;

use redis::{Cmd, Pipeline, Value};

use jetcache_core::Fault;

use super::map::Address;
use super::redirect::Redirect;
use crate::redis::line::Batch;

/// A batch on its way.
#[derive(Debug)]
pub(super) struct Course<'a> {
    batch: Batch<'a>,
    answers: Vec<Option<Result<Value, Fault>>>,
    /// The commands that stand alone and have no answer, each with the node that was named for it.
    open: Vec<(usize, Option<Address>)>,
    /// Whether those that belong together have no answer, and the node that was named for them.
    together: Option<Option<Address>>,
    stops: usize,
    detours: usize,
    pauses: &'static [Duration],
    pause: Option<Duration>,
}

/// What is sent next.
#[derive(Debug)]
pub(super) struct Stop {
    /// A node to be asked for once; otherwise the slot's master.
    pub(super) ask: Option<Address>,
    /// How long to wait before.
    pub(super) pause: Option<Duration>,
    alone: Vec<usize>,
    together: bool,
}

impl<'a> Course<'a> {
    pub(super) fn new(batch: Batch<'a>) -> Self {
        let count = batch.commands.len();
        let behind = batch.ahead + batch.alone;
        Self {
            batch,
            answers: vec![None; count],
            open: (batch.ahead..behind).map(|at| (at, None)).collect(),
            together: (behind < count).then_some(None),
            stops: 0,
            detours: 0,
            pauses: &PAUSES,
            pause: None,
        }
    }

    /// What to send next; nothing if every command has its answer.
    pub(super) fn next(&mut self) -> Option<Stop> {
        let ask = match (self.open.first(), &self.together) {
            (Some((_, ask)), _) | (None, Some(ask)) => ask.clone(),
            (None, None) => return None,
        };
        self.stops += 1;
        let (now, later): (Vec<_>, Vec<_>) = self.open.drain(..).partition(|(_, to)| *to == ask);
        self.open = later;
        Some(Stop {
            together: self.open.is_empty() && self.together.as_ref() == Some(&ask),
            alone: now.into_iter().map(|(at, _)| at).collect(),
            pause: self.pause.take(),
            ask,
        })
    }

    /// All of the batch's commands.
    pub(super) fn whole(&self) -> &'a Pipeline {
        self.batch.commands
    }

    /// The commands of a stop; none if they are the whole batch.
    pub(super) fn part(&self, stop: &Stop) -> Option<Pipeline> {
        if stop.ask.is_none() && self.count(stop) == self.batch.commands.len() {
            return None;
        }
        let mut part = Pipeline::with_capacity(2 * self.count(stop));
        let commands: Vec<&Cmd> = self.batch.commands.cmd_iter().collect();
        let asking = |part: &mut Pipeline| {
            if stop.ask.is_some() {
                part.cmd("ASKING");
            }
        };
        for &command in &commands[..self.batch.ahead] {
            part.add_command(command.clone());
        }
        for &at in &stop.alone {
            asking(&mut part);
            part.add_command(commands[at].clone());
        }
        if stop.together {
            // It holds for one command: the only one with keys, or the `MULTI` of a transaction,
            // which takes it to its end.
            asking(&mut part);
            for &command in &commands[self.behind()..] {
                part.add_command(command.clone());
            }
        }
        Some(part)
    }

    /// The node at `asked` answered. Says whom it named for the slot's new master.
    pub(super) fn on_values(
        &mut self,
        stop: &Stop,
        values: Vec<Value>,
        asked: &Address,
    ) -> Option<Address> {
        let mut values = values.into_iter();
        let mut owner = None;
        let mut again = false;
        for at in 0..self.batch.ahead {
            self.answers[at] = values.next().map(Ok);
        }
        for &at in &stop.alone {
            let said = Said::read(&mut values, 1, stop.ask.is_some(), asked);
            match said.redirect {
                Some(redirect) if self.stops < STOPS => {
                    let named = self.redirected(redirect, &mut owner);
                    match named {
                        Some(to) => {
                            self.open.push((at, to));
                            again = true;
                        }
                        None => self.answers[at] = said.values.into_iter().next().map(Ok),
                    }
                }
                _ => self.answers[at] = said.values.into_iter().next().map(Ok),
            }
        }
        if stop.together {
            let behind = self.behind();
            let count = self.batch.commands.len() - behind;
            let said = Said::read(&mut values, count, stop.ask.is_some(), asked);
            let to = match said.redirect {
                Some(redirect) if self.stops < STOPS => self.redirected(redirect, &mut owner),
                _ => None,
            };
            if again {
                // They were too early.
                self.together = Some(None);
            } else if let Some(to) = to {
                self.together = Some(to);
            } else {
                self.together = None;
                for (at, value) in (behind..).zip(said.values) {
                    self.answers[at] = Some(Ok(value));
                }
            }
        }
        owner
    }

    /// There is no answer for these, and there will be none.
    pub(super) fn on_fault(&mut self, stop: &Stop, fault: &Fault) {
        for &at in &stop.alone {
            self.answers[at] = Some(Err(fault.clone()));
        }
        if stop.together {
            self.together = None;
            for at in self.behind()..self.answers.len() {
                self.answers[at] = Some(Err(fault.clone()));
            }
        }
    }

    /// These were not sent, or that does not matter, and the slot has another master now. Whether
    /// they go there.
    pub(super) fn on_detour(&mut self, stop: &Stop) -> bool {
        self.detours += 1;
        if self.detours > DETOURS {
            return false;
        }
        self.open.extend(stop.alone.iter().map(|&at| (at, None)));
        if stop.together {
            self.together = Some(None);
        }
        true
    }

    pub(super) fn into_answers(self) -> Vec<Result<Value, Fault>> {
        let missing = || Err(Fault::Refused("a node left a command out".into()));
        self.answers
            .into_iter()
            .map(|answer| answer.unwrap_or_else(missing))
            .collect()
    }

    /// Where a redirected command goes: a node to be asked, or the master. None if it has been
    /// tried often enough.
    fn redirected(
        &mut self,
        redirect: Redirect,
        owner: &mut Option<Address>,
    ) -> Option<Option<Address>> {
        match redirect {
            Redirect::Moved(node) => {
                *owner = Some(node);
                Some(None)
            }
            Redirect::Ask(node) => Some(Some(node)),
            Redirect::TryAgain => {
                if self.pause.is_none() {
                    let (pause, rest) = self.pauses.split_first()?;
                    self.pause = Some(*pause);
                    self.pauses = rest;
                }
                Some(None)
            }
        }
    }

    fn behind(&self) -> usize {
        self.batch.ahead + self.batch.alone
    }

    fn count(&self, stop: &Stop) -> usize {
        let together = self.batch.commands.len() - self.behind();
        self.batch.ahead + stop.alone.len() + if stop.together { together } else { 0 }
    }
}

/// What a node answered to one or more commands that belong together.
struct Said {
    values: Vec<Value>,
    redirect: Option<Redirect>,
}

impl Said {
    fn read(
        values: &mut impl Iterator<Item = Value>,
        count: usize,
        asking: bool,
        asked: &Address,
    ) -> Self {
        let permit = if asking { values.next() } else { None };
        let mut own: Vec<Value> = values.take(count).collect();
        if let Some(refusal @ Value::ServerError(_)) = permit {
            // Without the right to ask, the redirection would come back in a circle.
            own.fill(refusal);
            return Self {
                values: own,
                redirect: None,
            };
        }
        Self {
            redirect: own.iter().find_map(|value| Redirect::of(value, asked)),
            values: own,
        }
    }
}

/// A batch is not sent on more often than this: two nodes may each take the other for the master.
const STOPS: usize = 16;

/// How often a batch may find its master gone.
const DETOURS: usize = 2;

/// Before each new attempt at a slot on the move.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(60),
];
