//! What is to be told to the other nodes and was not told yet, within bounds.

use core::mem::take;

use crate::ports::bus::{Kind, Message};

/// Messages on their way to the bus. What does not fit becomes one "anything may have changed".
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    messages: Vec<Message>,
    keys: usize,
    /// Whether "anything may have changed" is told in place of the messages.
    everything: bool,
    /// What was taken out and is not told yet.
    on_its_way: usize,
}

impl Outbox {
    /// One more key.
    pub(crate) fn add(&mut self, cache: &str, source: &str, kind: Kind, key: &str) {
        if self.everything {
            return;
        }
        if self.keys == MOST_KEYS {
            self.add_everything();
            return;
        }
        self.keys += 1;
        let alike = self.messages.last_mut().filter(|last| {
            last.kind == kind && last.cache == cache && last.keys.len() < MOST_TOGETHER
        });
        match alike {
            Some(last) => last.keys.push(key.to_owned()),
            None => self.messages.push(Message {
                cache: cache.to_owned(),
                source: source.to_owned(),
                kind,
                keys: vec![key.to_owned()],
                fenced: kind == Kind::Delete,
            }),
        }
    }

    /// A raise, which is a message of its own.
    pub(crate) fn add_raise(&mut self, cache: &str, source: &str, texts: Vec<String>) {
        if self.everything {
            return;
        }
        if self.keys + texts.len() > MOST_KEYS {
            self.add_everything();
            return;
        }
        self.keys += texts.len();
        self.messages.push(Message {
            cache: cache.to_owned(),
            source: source.to_owned(),
            kind: Kind::Raise,
            keys: texts,
            fenced: false,
        });
    }

    /// Replaces all messages by one "anything may have changed".
    pub(crate) fn add_everything(&mut self) {
        self.messages.clear();
        (self.keys, self.everything) = (0, true);
    }

    /// Takes out what is to be told now.
    pub(crate) fn take(&mut self, source: &str) -> Vec<Message> {
        self.on_its_way = self.len();
        self.keys = 0;
        if take(&mut self.everything) {
            return vec![Message {
                cache: String::new(),
                source: source.to_owned(),
                kind: Kind::Everything,
                keys: Vec::new(),
                fenced: false,
            }];
        }
        take(&mut self.messages)
    }

    /// What was taken out last is told.
    pub(crate) fn said(&mut self) {
        self.on_its_way = 0;
    }

    /// How many changes wait, or are on their way.
    pub(crate) fn len(&self) -> usize {
        self.keys + usize::from(self.everything) + self.on_its_way
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty() && !self.everything
    }
}

/// How many keys may wait to be told.
const MOST_KEYS: usize = 4096;
/// How many of them go in one message.
const MOST_TOGETHER: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_overflows_becomes_everything() {
        let mut outbox = Outbox::default();
        for key in 0..MOST_KEYS {
            outbox.add("users", "me", Kind::Delete, &key.to_string());
        }
        assert!(!outbox.everything);
        outbox.add("users", "me", Kind::Set, "last");
        outbox.add("users", "me", Kind::Set, "after that");
        let told = outbox.take("me");
        assert_eq!((told.len(), told[0].kind), (1, Kind::Everything));
        assert!(outbox.is_empty() && outbox.len() == 1);
        outbox.said();
        assert_eq!(outbox.len(), 0);
    }

    #[test]
    fn alike_words_go_together_in_their_order() {
        let mut outbox = Outbox::default();
        outbox.add("users", "me", Kind::Set, "a");
        outbox.add("users", "me", Kind::Set, "b");
        outbox.add("users", "me", Kind::Delete, "a");
        outbox.add("orders", "me", Kind::Delete, "a");
        let keys: Vec<usize> = outbox.take("me").iter().map(|m| m.keys.len()).collect();
        assert_eq!(keys, [2, 1, 1]);
        assert!(outbox.take("me").is_empty());
    }
}
