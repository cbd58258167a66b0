//! The calls of verbs that change a key.

use jetcache_core::Token;
use jetcache_core::machine::tier::wire::PLACEHOLDER;
use jetcache_core::ports::bus::Kind;
use jetcache_core::ports::remote::{Condition, Herald, Put, Stored, Wire};

use crate::redis::lease_key::{lease_key, mark_key};
use crate::redis::script::Script;
use crate::redis::script::calls::Calls;
use crate::redis::script::span::{aged, px};
use crate::redis::script::store::Rest;
use crate::redis::{Redis, event};

/// Whose value it is, and what others are told of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// A load's, told as this. Not stored, the lease is given back if it is the token's.
    Fill(Kind),
    /// A write-through's. Not stored, value and lease are removed, whoever holds that.
    Settle,
}

impl Redis {
    pub(super) fn store(
        &self,
        calls: &mut Calls,
        key: &str,
        token: Token,
        value: &Stored<'_>,
        told: Told,
        wire: Wire,
    ) {
        let event = |kind| match &self.herald {
            Some(herald) => encode(herald, key, kind),
            None => Vec::new(),
        };
        let (stored, removed) = match told {
            Told::Fill(kind) => (event(kind), Vec::new()),
            Told::Settle => (event(Kind::Set), event(Kind::Delete)),
        };
        let rest = Rest {
            value,
            wire,
            removes: told == Told::Settle,
            channel: match &self.herald {
                Some(herald) => &herald.channel,
                None => "",
            },
            stored: &stored,
            removed: &removed,
        };
        match wire {
            Wire::JetcacheGo => calls
                .joining(Script::Store, 3)
                .word(key)
                .shown(lease_key(key))
                .shown(mark_key(key)),
            _ => calls
                .joining(Script::Store, 2)
                .word(key)
                .shown(lease_key(key)),
        }
        .shown(token)
        .word(value.bytes)
        .written(|packed| rest.write(packed));
    }

    pub(super) fn place(&self, calls: &mut Calls, put: &Put<'_>, wire: Wire) {
        let Put { key, value, .. } = put;
        match wire {
            Wire::JetcacheGo => calls
                .script(Script::Put, 3)
                .word(key)
                .shown(lease_key(key))
                .shown(mark_key(key)),
            _ => calls.script(Script::Put, 2).word(key).shown(lease_key(key)),
        }
        .shown(put.token)
        .word(value.bytes)
        .shown(px(value.life))
        .shown(px(value.stale))
        .shown(px(value.lease))
        .shown(aged(value.age))
        .word(condition(put.condition))
        .word(placeholder(wire));
        match put.spared {
            Some(stamp) => calls.shown(format_args!("{:016x}", stamp.digest())),
            None => calls.word(""),
        }
        .word(dead(put.dead));
        self.tell(calls, key, &[Kind::Set, Kind::Delete]);
    }

    pub(super) fn delete(&self, calls: &mut Calls, key: &str) {
        calls
            .joining(Script::Remove, 2)
            .word(key)
            .shown(lease_key(key));
        // Calls of handles that tell go together with those of others.
        match &self.herald {
            Some(herald) => calls
                .word(&*herald.channel)
                .word(encode(herald, key, Kind::Delete)),
            None => calls.word("").word(""),
        };
    }

    /// Adds a script's last arguments: the channel, and the events that it may publish there.
    /// Without a herald there are none, and the script publishes nothing.
    pub(super) fn tell(&self, calls: &mut Calls, key: &str, kinds: &[Kind]) {
        let Some(herald) = &self.herald else {
            return;
        };
        calls.word(&*herald.channel);
        for &kind in kinds {
            calls.word(encode(herald, key, kind));
        }
    }
}

pub(super) fn condition(condition: Option<Condition>) -> &'static str {
    match condition {
        None => "any",
        Some(Condition::Absent) => "absent",
        Some(Condition::Present) => "present",
    }
}

/// The sum as it stands in an entry, or nothing.
pub(super) fn dead(sum: Option<u32>) -> Vec<u8> {
    sum.map_or_else(Vec::new, |sum| sum.to_be_bytes().to_vec())
}

pub(super) fn placeholder(wire: Wire) -> &'static [u8] {
    match wire {
        Wire::JetcacheGo => PLACEHOLDER,
        _ => b"",
    }
}

fn encode(herald: &Herald, key: &str, kind: Kind) -> Vec<u8> {
    let fenced = kind == Kind::Delete;
    event::encode(&herald.cache, &herald.source, kind, &[key], fenced).into()
}
