//! Calls of the scripts: one each, and those of one script for many keys as one.

use std::mem;

use jetcache_core::Fault;
use redis::{Arg, Cmd, Value};

use crate::redis::answer::{outcome, unexpected};
use crate::redis::script::Script;

/// A command, most often a call of a script, that answers one outcome.
#[derive(Clone, Debug)]
pub(in crate::redis) struct Call {
    command: Cmd,
    /// The script and how many keys one of its calls has, if it takes many calls as one.
    joins: Option<(Script, usize)>,
}

/// Some calls as one command.
pub(super) struct Part {
    pub(super) command: Cmd,
    /// Which calls they are.
    pub(super) calls: Vec<usize>,
    /// Whether it answers an array.
    is_joint: bool,
}

impl Part {
    /// Gives each of its calls its outcome.
    pub(super) fn spread(
        self,
        answer: Result<Value, Fault>,
        outcomes: &mut [Result<Value, Fault>],
    ) {
        let answers: Vec<Result<Value, Fault>> = match answer.and_then(outcome) {
            Ok(Value::Array(answers)) if self.is_joint && answers.len() == self.calls.len() => {
                answers.into_iter().map(outcome).collect()
            }
            Ok(other) if self.is_joint => vec![Err(unexpected(&other)); self.calls.len()],
            answer => vec![answer; self.calls.len()],
        };
        for (at, answer) in self.calls.into_iter().zip(answers) {
            outcomes[at] = answer;
        }
    }
}

impl From<Cmd> for Call {
    fn from(command: Cmd) -> Self {
        Self {
            command,
            joins: None,
        }
    }
}

impl Call {
    /// A call of a script that takes any number of keys, each with as many names and arguments.
    pub(in crate::redis) fn joining(script: Script, keys: &[&str], arguments: &[&[u8]]) -> Self {
        let mut command = script.call(keys);
        command.arg(arguments);
        Self {
            command,
            joins: Some((script, keys.len())),
        }
    }

    /// The names and the arguments.
    fn words(&self) -> impl Iterator<Item = &[u8]> {
        let words = self.command.args_iter().skip(BEFORE_KEYS);
        words.filter_map(|word| match word {
            Arg::Simple(word) => Some(word),
            _ => None,
        })
    }

    /// It as a command of its own; it is the one at `at`.
    pub(super) fn alone(&self, at: usize) -> Part {
        Part {
            command: self.command.clone(),
            calls: vec![at],
            is_joint: self.joins.is_some(),
        }
    }

    /// How many bytes its names and arguments have.
    pub(super) fn size(&self) -> usize {
        self.words().map(<[u8]>::len).sum()
    }
}

/// The commands that these calls are: what joins, if it may, goes in parts of a bounded size, since the server does
/// nothing else while it runs a script.
pub(super) fn parts(calls: &[Call], joins: bool) -> Vec<Part> {
    let mut parts = Vec::with_capacity(calls.len());
    let mut joint: Vec<Joint<'_>> = Vec::new();
    for (at, call) in calls.iter().enumerate() {
        let Some(joins) = call.joins.filter(|_| joins) else {
            parts.push(call.alone(at));
            continue;
        };
        let known = joint.iter().position(|joint| joint.joins == joins);
        let place = known.unwrap_or_else(|| {
            joint.push(Joint::of(joins));
            joint.len() - 1
        });
        let size = call.size();
        let (open, fresh) = (&mut joint[place], Joint::of(joins));
        if open.calls.len() >= MOST_JOINED || open.size + size > MOST_BYTES {
            parts.extend(mem::replace(open, fresh).part());
        }
        open.size += size;
        open.calls.push((at, call));
    }
    parts.extend(joint.into_iter().filter_map(Joint::part));
    parts
}

/// Calls of one script.
struct Joint<'a> {
    joins: (Script, usize),
    calls: Vec<(usize, &'a Call)>,
    size: usize,
}

impl Joint<'_> {
    fn of(joins: (Script, usize)) -> Self {
        Self {
            joins,
            calls: Vec::new(),
            size: 0,
        }
    }

    fn part(self) -> Option<Part> {
        let (script, keys) = self.joins;
        let command = match &self.calls[..] {
            [] => return None,
            [(_, call)] => call.command.clone(),
            calls => {
                let mut command = script.call_of(keys * calls.len());
                for (_, call) in calls {
                    call.words().take(keys).for_each(|key| {
                        command.arg(key);
                    });
                }
                for (_, call) in calls {
                    call.words().skip(keys).for_each(|argument| {
                        command.arg(argument);
                    });
                }
                command
            }
        };
        Some(Part {
            command,
            calls: self.calls.into_iter().map(|(at, _)| at).collect(),
            is_joint: true,
        })
    }
}

/// The words of a call of a script before its keys: the command, the hash, how many keys there are.
const BEFORE_KEYS: usize = 3;
/// How many calls one script takes at most.
const MOST_JOINED: usize = 128;
/// How many bytes of keys and arguments, if it is more than one call.
const MOST_BYTES: usize = 64 * 1024;
