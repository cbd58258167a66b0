//! A batch's course from node to node: what is sent next and where to, and what was answered.
//!
//! It decides and does no I/O. Each command that stands alone follows its own redirections; those
//! that belong together are sent once all of the others have arrived.

mod said;
pub(super) mod stop;

use std::time::Duration;

use jetcache_core::Fault;
use redis::Value;

use crate::redis::connection::line::Batch;
use crate::redis_cluster::address::Address;
use crate::redis_cluster::course::said::Said;
use crate::redis_cluster::course::stop::{Hop, Stop};
use crate::redis_cluster::redirect::Redirect;

/// A batch on its way.
#[derive(Debug)]
pub(super) struct Course<'a> {
    batch: Batch<'a>,
    answers: Vec<Option<Result<Value, Fault>>>,
    /// The commands that stand alone and have no answer yet.
    open: Vec<(usize, Hop)>,
    /// Those that belong together, if they have none.
    together: Option<Hop>,
    /// How many stops there were.
    stops: usize,
    /// How often its master was found gone.
    detours: usize,
    /// The pauses that are left for a slot on the move.
    pauses: &'static [Duration],
    /// The pause before the next stop.
    pause: Option<Duration>,
}

impl<'a> Course<'a> {
    pub(super) fn new(batch: Batch<'a>) -> Self {
        let count = batch.commands.len();
        let behind = batch.behind();
        Self {
            batch,
            answers: vec![None; count],
            open: (batch.ahead..behind).map(|at| (at, Hop::Master)).collect(),
            together: (behind < count).then_some(Hop::Master),
            stops: 0,
            detours: 0,
            pauses: &PAUSES,
            pause: None,
        }
    }

    /// What to send next; nothing if every command has its answer.
    pub(super) fn next(&mut self) -> Option<Stop> {
        let first = self.open.first().map(|(_, hop)| hop);
        let to = first.or(self.together.as_ref())?.clone();
        self.stops += 1;
        let (now, later): (Vec<_>, Vec<_>) = self.open.drain(..).partition(|(_, hop)| *hop == to);
        self.open = later;
        Some(Stop {
            together: self.open.is_empty() && self.together.as_ref() == Some(&to),
            alone: now.into_iter().map(|(at, _)| at).collect(),
            pause: self.pause.take(),
            to,
        })
    }

    /// Takes in the answers of the node at `asked`. Returns the slot's new master, if it named one.
    pub(super) fn on_values(
        &mut self,
        stop: &Stop,
        values: Vec<Value>,
        asked: &Address,
    ) -> Option<Address> {
        let mut values = values.into_iter();
        let mut owner = None;
        for at in 0..self.batch.ahead {
            self.answers[at] = values.next().map(Ok);
        }
        for &at in &stop.alone {
            let said = Said::read(&mut values, 1, stop, asked);
            match self.on_redirect(said.redirect, &mut owner) {
                Some(hop) => self.open.push((at, hop)),
                None => self.answers[at] = said.values.into_iter().next().map(Ok),
            }
        }
        if stop.together {
            let behind = self.batch.behind();
            let said = Said::read(&mut values, self.answers.len() - behind, stop, asked);
            let hop = self.on_redirect(said.redirect, &mut owner);
            if !self.open.is_empty() {
                // A command before them is still on its way, so they were sent too early.
                self.together = Some(Hop::Master);
            } else {
                self.together = hop;
            }
            if self.together.is_none() {
                for (at, value) in (behind..).zip(said.values) {
                    self.answers[at] = Some(Ok(value));
                }
            }
        }
        owner
    }

    /// The stop's commands have no answer and will get none.
    pub(super) fn on_fault(&mut self, stop: &Stop, fault: &Fault) {
        for &at in &stop.alone {
            self.answers[at] = Some(Err(fault.clone()));
        }
        if stop.together {
            self.together = None;
            let behind = self.batch.behind();
            self.answers[behind..].fill(Some(Err(fault.clone())));
        }
    }

    /// The stop's commands were not sent, or may be sent twice, and the slot has another master
    /// now. Returns whether they go there: a batch makes a few detours only.
    pub(super) fn on_detour(&mut self, stop: &Stop) -> bool {
        self.detours += 1;
        if self.detours > DETOURS {
            return false;
        }
        let alone = stop.alone.iter();
        self.open.extend(alone.map(|&at| (at, Hop::Master)));
        if stop.together {
            self.together = Some(Hop::Master);
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

    /// Where a command goes that was not carried out. None if it was, or was tried often enough.
    fn on_redirect(&mut self, said: Option<Redirect>, owner: &mut Option<Address>) -> Option<Hop> {
        if self.stops >= STOPS {
            return None;
        }
        match said? {
            Redirect::Moved(node) => {
                *owner = Some(node);
                Some(Hop::Master)
            }
            Redirect::Ask(node) => Some(Hop::Ask(node)),
            Redirect::TryAgain => {
                // One pause does for all of a stop's commands.
                if self.pause.is_none() {
                    let (pause, rest) = self.pauses.split_first()?;
                    self.pause = Some(*pause);
                    self.pauses = rest;
                }
                Some(Hop::Master)
            }
        }
    }
}

/// How many stops a batch may make: two nodes may each take the other for the master.
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

#[cfg(test)]
mod tests {
    use redis::{Cmd, Pipeline, parse_redis_value};

    use super::*;
    use crate::redis::connection::line::Repeat;

    fn commands(names: &[&str]) -> Pipeline {
        let mut pipeline = Pipeline::new();
        for name in names {
            pipeline.cmd(name);
        }
        pipeline
    }

    fn batch(commands: &Pipeline, ahead: usize, alone: usize) -> Batch<'_> {
        Batch {
            commands,
            ahead,
            alone,
            repeat: Repeat::Never,
            connection: None,
        }
    }

    fn node(port: u16) -> Address {
        Address::parse(
            &format!("host:{port}"),
            &Address::parse("a:1", &nowhere()).unwrap(),
        )
        .unwrap()
    }

    fn nowhere() -> Address {
        Address {
            host: "".into(),
            port: 0,
        }
    }

    fn said(lines: &[&str]) -> Vec<Value> {
        let parse = |line: &&str| parse_redis_value(format!("{line}\r\n").as_bytes()).unwrap();
        lines.iter().map(parse).collect()
    }

    /// What is sent at a stop.
    fn sent(course: &Course<'_>, stop: &Stop) -> Vec<String> {
        let part = stop.part(&course.batch);
        let name = |command: &Cmd| {
            let packed = String::from_utf8(command.get_packed_command()).unwrap();
            packed.split("\r\n").nth(2).unwrap().to_owned()
        };
        part.as_ref()
            .unwrap_or(course.batch.commands)
            .cmd_iter()
            .map(name)
            .collect()
    }

    fn ok(course: Course<'_>) -> Vec<Value> {
        course
            .into_answers()
            .into_iter()
            .map(Result::unwrap)
            .collect()
    }

    #[test]
    fn a_batch_that_arrives_is_sent_once_and_as_it_is() {
        let commands = commands(&["LOAD", "A", "B", "LOOK", "TIME"]);
        let mut course = Course::new(batch(&commands, 1, 2));
        let stop = course.next().unwrap();
        assert_eq!(stop.to, Hop::Master);
        assert!(stop.part(&course.batch).is_none());
        let values = said(&[":0", ":1", ":2", ":3", ":4"]);
        assert_eq!(course.on_values(&stop, values.clone(), &node(1)), None);
        assert!(course.next().is_none());
        assert_eq!(ok(course), values);
    }

    #[test]
    fn each_command_follows_its_own_redirection() {
        let commands = commands(&["LOAD", "A", "B", "C", "D", "E"]);
        let mut course = Course::new(batch(&commands, 1, 5));
        let stop = course.next().unwrap();
        let values = said(&[
            ":0",
            ":1",
            "-ASK 7 host:2",
            "-MOVED 7 :3",
            "-ERR no",
            "-ASK 7 host:2",
        ]);
        let owner = course.on_values(&stop, values, &node(9));
        assert_eq!(owner, Address::parse("host:3", &nowhere()));
        let stop = course.next().unwrap();
        assert_eq!(stop.to, Hop::Ask(node(2)));
        assert_eq!(sent(&course, &stop), ["LOAD", "ASKING", "B", "ASKING", "E"]);
        course.on_values(&stop, said(&[":0", "+OK", ":2", "+OK", ":5"]), &node(2));
        let stop = course.next().unwrap();
        assert_eq!(stop.to, Hop::Master);
        assert_eq!(sent(&course, &stop), ["LOAD", "C"]);
        course.on_values(&stop, said(&[":0", ":3"]), &node(3));
        assert!(course.next().is_none());
        let answers = ok(course);
        assert_eq!(answers[1], Value::Int(1));
        assert_eq!(answers[2], Value::Int(2));
        assert_eq!(answers[3], Value::Int(3));
        assert!(matches!(answers[4], Value::ServerError(_)));
        assert_eq!(answers[5], Value::Int(5));
    }

    #[test]
    fn the_look_is_taken_again_after_a_lease_that_had_to_be_sent_on() {
        let commands = commands(&["A", "B", "LOOK", "TIME"]);
        let mut course = Course::new(batch(&commands, 0, 2));
        let stop = course.next().unwrap();
        // It found something, and the lease was not taken yet.
        let values = said(&[":1", "-ASK 7 host:2", ":30", ":40"]);
        course.on_values(&stop, values, &node(1));
        let stop = course.next().unwrap();
        assert_eq!(sent(&course, &stop), ["ASKING", "B"]);
        course.on_values(&stop, said(&["+OK", ":2"]), &node(2));
        let stop = course.next().unwrap();
        assert_eq!(stop.to, Hop::Master);
        assert_eq!(sent(&course, &stop), ["LOOK", "TIME"]);
        course.on_values(&stop, said(&["-ASK 7 host:2", ":41"]), &node(1));
        let stop = course.next().unwrap();
        assert_eq!(sent(&course, &stop), ["ASKING", "LOOK", "TIME"]);
        course.on_values(&stop, said(&["+OK", ":31", ":42"]), &node(2));
        assert!(course.next().is_none());
        assert_eq!(ok(course), said(&[":1", ":2", ":31", ":42"]));
    }

    #[test]
    fn a_transaction_is_sent_on_as_one() {
        let commands = commands(&["MULTI", "PTTL", "MGET", "EXEC"]);
        let mut course = Course::new(batch(&commands, 0, 0));
        let stop = course.next().unwrap();
        let values = said(&["+OK", "-ASK 7 host:2", "-TRYAGAIN x", "-EXECABORT x"]);
        course.on_values(&stop, values, &node(1));
        let stop = course.next().unwrap();
        assert_eq!(
            sent(&course, &stop),
            ["ASKING", "MULTI", "PTTL", "MGET", "EXEC"]
        );
        let values = said(&["+OK", "+OK", "+QUEUED", "+QUEUED", "*0"]);
        course.on_values(&stop, values.clone(), &node(2));
        assert_eq!(ok(course), values[1..]);
    }

    #[test]
    fn a_slot_on_the_move_is_tried_again_with_growing_pauses_and_not_for_ever() {
        let commands = commands(&["A", "B"]);
        let mut course = Course::new(batch(&commands, 0, 2));
        let mut pauses = Vec::new();
        while let Some(stop) = course.next() {
            pauses.push(stop.pause);
            let count = sent(&course, &stop).len();
            let values = said(&vec!["-TRYAGAIN x"; count]);
            course.on_values(&stop, values, &node(1));
        }
        assert_eq!(pauses[0], None);
        assert_eq!(pauses[1..], PAUSES.map(Some));
        assert!(matches!(
            ok(course)[..],
            [Value::ServerError(_), Value::ServerError(_)]
        ));
    }

    #[test]
    fn redirections_in_a_circle_come_to_an_end() {
        let commands = commands(&["A", "LOOK"]);
        let mut course = Course::new(batch(&commands, 0, 1));
        let mut stops = 0;
        while let Some(stop) = course.next() {
            stops += 1;
            let count = sent(&course, &stop).len();
            let values = said(&vec!["-MOVED 7 host:2"; count]);
            course.on_values(&stop, values, &node(1));
        }
        assert_eq!(stops, STOPS);
        assert!(
            ok(course)
                .iter()
                .all(|value| matches!(value, Value::ServerError(_)))
        );
    }

    #[test]
    fn a_fault_takes_only_what_was_under_way() {
        let commands = commands(&["A", "B", "LOOK"]);
        let mut course = Course::new(batch(&commands, 0, 2));
        let stop = course.next().unwrap();
        course.on_values(&stop, said(&[":1", "-ASK 7 host:2", ":3"]), &node(1));
        let stop = course.next().unwrap();
        course.on_fault(&stop, &Fault::Timeout);
        let stop = course.next().unwrap();
        course.on_values(&stop, said(&[":3"]), &node(1));
        let answers = course.into_answers();
        assert!(answers[0].is_ok() && answers[2].is_ok());
        assert!(matches!(answers[1], Err(Fault::Timeout)));
    }

    #[test]
    fn a_master_that_goes_away_is_followed_twice() {
        let commands = commands(&["A", "LOOK"]);
        let mut course = Course::new(batch(&commands, 0, 1));
        for _ in 0..DETOURS {
            let stop = course.next().unwrap();
            assert!(stop.part(&course.batch).is_none());
            assert!(course.on_detour(&stop));
        }
        let stop = course.next().unwrap();
        assert!(!course.on_detour(&stop));
    }

    #[test]
    fn whoever_may_not_ask_is_told_so() {
        let commands = commands(&["A"]);
        let mut course = Course::new(batch(&commands, 0, 1));
        let stop = course.next().unwrap();
        course.on_values(&stop, said(&["-ASK 7 host:2"]), &node(1));
        let stop = course.next().unwrap();
        course.on_values(
            &stop,
            said(&["-NOPERM asking", "-MOVED 7 host:1"]),
            &node(2),
        );
        assert!(course.next().is_none());
        assert_eq!(ok(course), said(&["-NOPERM asking"]));
    }
}
