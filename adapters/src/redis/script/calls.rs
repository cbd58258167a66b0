//! Calls of the scripts, of one caller or of several that go out together.

use std::fmt::{self, Display};

use redis::Cmd;

use crate::redis::script::Script;

/// Some calls, one behind the other in one buffer: what many ask for costs no allocation each.
#[derive(Debug, Default)]
pub(in crate::redis) struct Calls {
    /// The words of all of them, each behind its length.
    text: Vec<u8>,
    calls: Vec<Call>,
}

/// A command that answers one outcome.
#[derive(Clone, Copy, Debug)]
struct Call {
    head: Head,
    /// How many words it has.
    words: usize,
    /// Where its words end.
    end: usize,
}

/// What stands before a call's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// A script. The first of the words are its keys, so many.
    Script(Script, usize),
    /// The same, of one that takes any number of calls as one, each with as many keys and arguments.
    Joining(Script, usize),
    /// Another command.
    Command(&'static str),
}

impl Calls {
    /// None yet, with room for so many and for so many bytes.
    pub(in crate::redis) fn with_capacity(calls: usize, bytes: usize) -> Self {
        Self {
            text: Vec::with_capacity(bytes),
            calls: Vec::with_capacity(calls),
        }
    }

    /// Begins a call of a script; the next words are its keys, so many, and then its arguments.
    pub(in crate::redis) fn script(&mut self, script: Script, keys: usize) -> &mut Self {
        self.begin(Head::Script(script, keys))
    }

    /// The same of a script that takes any number of calls as one.
    pub(in crate::redis) fn joining(&mut self, script: Script, keys: usize) -> &mut Self {
        self.begin(Head::Joining(script, keys))
    }

    /// Begins another command.
    pub(in crate::redis) fn command(&mut self, name: &'static str) -> &mut Self {
        self.begin(Head::Command(name))
    }

    fn begin(&mut self, head: Head) -> &mut Self {
        let end = self.text.len();
        let words = 0;
        self.calls.push(Call { head, words, end });
        self
    }

    /// The next word of the call that was begun last.
    pub(in crate::redis) fn word(&mut self, word: impl AsRef<[u8]>) -> &mut Self {
        self.written(|text| text.extend_from_slice(word.as_ref()))
    }

    /// The same, as it is shown.
    pub(in crate::redis) fn shown(&mut self, word: impl Display) -> &mut Self {
        self.written(|text| show(text, word))
    }

    /// The same, as it is written.
    pub(in crate::redis) fn written(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        let start = self.text.len() + LENGTH;
        self.text.extend_from_slice(&[0; LENGTH]);
        write(&mut self.text);
        let end = self.text.len();
        if let Some(place) = self.text.get_mut(start - LENGTH..start) {
            place.copy_from_slice(&(end - start).to_ne_bytes());
        }
        if let Some(call) = self.calls.last_mut() {
            call.words += 1;
            call.end = end;
        }
        self
    }

    /// Adds all of these.
    pub(super) fn append(&mut self, calls: &Self) {
        let before = self.text.len();
        self.text.extend_from_slice(&calls.text);
        self.calls.extend(calls.calls.iter().map(|call| Call {
            end: before + call.end,
            ..*call
        }));
    }

    /// How many bytes all of them have.
    pub(super) fn bytes(&self) -> usize {
        self.text.len()
    }

    pub(in crate::redis) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(in crate::redis) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    pub(super) fn heads(&self) -> impl Iterator<Item = Head> {
        self.calls.iter().map(|call| call.head)
    }

    /// How many bytes the names and arguments of this one have.
    pub(super) fn size(&self, at: usize) -> usize {
        self.words(at).map(<[u8]>::len).sum()
    }

    /// The names and arguments of this one.
    fn words(&self, at: usize) -> impl Iterator<Item = &[u8]> {
        let start = match at.checked_sub(1) {
            Some(before) => self.calls.get(before).map_or(0, |call| call.end),
            None => 0,
        };
        let end = self.calls.get(at).map_or(start, |call| call.end);
        let mut rest = self.text.get(start..end).unwrap_or_default();
        std::iter::from_fn(move || {
            let (length, behind) = rest.split_first_chunk()?;
            let (word, next) = behind.split_at_checked(usize::from_ne_bytes(*length))?;
            rest = next;
            Some(word)
        })
    }

    /// These calls, all with this head, as one command: first the keys of all, then the arguments of all.
    pub(super) fn command_of(&self, head: Head, calls: &[usize]) -> Cmd {
        let words = calls.iter().filter_map(|&at| self.calls.get(at));
        let words = words.map(|call| call.words).sum::<usize>();
        let bytes = calls.iter().map(|&at| self.size(at)).sum::<usize>();
        let mut command = Cmd::with_capacity(words + BEFORE_KEYS, bytes + HEAD_BYTES);
        let keys = match head {
            Head::Script(script, keys) | Head::Joining(script, keys) => {
                command.arg("EVALSHA").arg(script.hash());
                command.arg(keys * calls.len());
                keys
            }
            Head::Command(name) => {
                command.arg(name);
                0
            }
        };
        for &at in calls {
            self.words(at).take(keys).for_each(|key| {
                command.arg(key);
            });
        }
        for &at in calls {
            self.words(at).skip(keys).for_each(|argument| {
                command.arg(argument);
            });
        }
        command
    }
}

/// Writes this as it is shown.
fn show(text: &mut Vec<u8>, word: impl Display) {
    struct Text<'a>(&'a mut Vec<u8>);
    impl fmt::Write for Text<'_> {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            self.0.extend_from_slice(part.as_bytes());
            Ok(())
        }
    }
    // The buffer takes whatever comes, and what is shown here does not fail.
    let _ = fmt::Write::write_fmt(&mut Text(text), format_args!("{word}"));
}

/// How many bytes a word's length takes.
const LENGTH: usize = size_of::<usize>();
/// The words of a call of a script before its keys: the command, the hash, how many keys there are.
const BEFORE_KEYS: usize = 3;
/// How many bytes those are, about.
const HEAD_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use redis::Arg;

    use super::*;

    fn stored(key: &str) -> Calls {
        let mut calls = Calls::default();
        calls
            .joining(Script::Store, 1)
            .word(key)
            .shown(7)
            .written(|text| text.extend_from_slice(key.as_bytes()));
        calls
    }

    fn words(command: &Cmd) -> Vec<String> {
        let text = |word| match word {
            Arg::Simple(word) => String::from_utf8_lossy(word).into_owned(),
            _ => String::new(),
        };
        command.args_iter().map(text).collect()
    }

    #[test]
    fn calls_that_go_as_one_have_the_keys_of_all_before_the_arguments_of_all() {
        let mut all = Calls::default();
        all.append(&stored("a"));
        let mut lock = Calls::default();
        lock.command("SET").word("l").word("");
        all.append(&lock);
        all.append(&stored("bc"));
        assert_eq!((all.len(), all.size(0), all.size(2)), (3, 3, 5));
        let hash = Script::Store.hash();
        assert_eq!(
            words(&all.command_of(Head::Joining(Script::Store, 1), &[0, 2])),
            ["EVALSHA", hash, "2", "a", "bc", "7", "a", "7", "bc"]
        );
        assert_eq!(
            words(&all.command_of(Head::Command("SET"), &[1])),
            ["SET", "l", ""]
        );
    }
}
