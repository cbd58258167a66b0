//! Calls of the scripts as commands: one each, or one for many.

use std::mem;

use jetcache_core::Fault;
use redis::{Cmd, Value};

use crate::redis::answer::{outcome, unexpected};
use crate::redis::script::calls::{Calls, Head};

/// Which calls a command is.
pub(super) struct Part {
    head: Head,
    pub(super) calls: Vec<usize>,
    /// How many bytes of keys and arguments they have.
    size: usize,
}

impl Part {
    fn of(head: Head) -> Self {
        Self {
            head,
            calls: Vec::new(),
            size: 0,
        }
    }

    pub(super) fn command(&self, calls: &Calls) -> Cmd {
        calls.command_of(self.head, &self.calls)
    }

    /// The same calls, each by itself.
    pub(super) fn alone(self) -> impl Iterator<Item = Self> {
        let (head, size) = (self.head, self.size);
        let alone = move |at| Self {
            head,
            calls: vec![at],
            size,
        };
        self.calls.into_iter().map(alone)
    }

    /// Gives each of its calls its outcome.
    pub(super) fn spread(
        self,
        answer: Result<Value, Fault>,
        outcomes: &mut [Result<Value, Fault>],
    ) {
        // One of those that may be joined answers an array even if it is alone.
        let is_joint = matches!(self.head, Head::Joining(..));
        let answer = match answer.and_then(outcome) {
            Ok(Value::Array(answers)) if is_joint && answers.len() == self.calls.len() => {
                for (at, answer) in self.calls.into_iter().zip(answers) {
                    outcomes[at] = outcome(answer);
                }
                return;
            }
            Ok(other) if is_joint => Err(unexpected(&other)),
            answer => answer,
        };
        for at in self.calls {
            outcomes[at] = answer.clone();
        }
    }
}

/// The commands that these calls are: what joins, if it may, goes in parts of a bounded size, since the
/// server does nothing else while it runs a script.
pub(super) fn parts(calls: &Calls, joins: bool) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut open: Vec<Part> = Vec::new();
    for (at, head) in calls.heads().enumerate() {
        let size = calls.size(at);
        let joint = match head {
            Head::Joining(..) if joins => {
                let known = open.iter().position(|part| part.head == head);
                let place = known.unwrap_or_else(|| {
                    open.push(Part::of(head));
                    open.len() - 1
                });
                let part = &mut open[place];
                if part.calls.len() >= MOST_JOINED || part.size + size > MOST_BYTES {
                    parts.push(mem::replace(part, Part::of(head)));
                }
                part
            }
            Head::Joining(..) | Head::Script(..) | Head::Command(_) => {
                parts.push(Part::of(head));
                let last = parts.len() - 1;
                &mut parts[last]
            }
        };
        joint.size += size;
        joint.calls.push(at);
    }
    parts.extend(open);
    // A big call leaves none behind that it could join.
    parts.retain(|part| !part.calls.is_empty());
    parts
}

/// How many calls one script takes at most.
pub(super) const MOST_JOINED: usize = 128;
/// How many bytes of keys and arguments, if it is more than one call.
pub(super) const MOST_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::script::Script;

    fn calls(sizes: &[usize]) -> Calls {
        let mut calls = Calls::default();
        for &size in sizes {
            calls.joining(Script::Store, 1).word(vec![b'v'; size]);
        }
        calls
    }

    fn indices(calls: &Calls, joins: bool) -> Vec<Vec<usize>> {
        let parts = parts(calls, joins).into_iter();
        parts.map(|part| part.calls).collect()
    }

    #[test]
    fn what_joins_goes_in_parts_of_a_bounded_size() {
        let big = MOST_BYTES + 1;
        assert_eq!(indices(&calls(&[1, 1]), true), [[0, 1]]);
        assert_eq!(indices(&calls(&[1, 1]), false), [[0], [1]]);
        assert_eq!(
            indices(&calls(&[big, 1, 1, big]), true),
            [vec![0], vec![1, 2], vec![3]]
        );
        let many = indices(&calls(&[1; MOST_JOINED + 1]), true);
        assert_eq!(
            many.iter().map(Vec::len).collect::<Vec<_>>(),
            [MOST_JOINED, 1]
        );
        assert!(indices(&Calls::default(), true).is_empty());
    }

    #[test]
    fn what_does_not_join_keeps_its_place_before_what_does() {
        let mut calls = calls(&[1]);
        calls.script(Script::Claim, 0).script(Script::Claim, 0);
        calls.joining(Script::Store, 1).word("v");
        assert_eq!(indices(&calls, true), [vec![1], vec![2], vec![0, 3]]);
    }
}
