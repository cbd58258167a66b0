//! What a server's bytes go through, for the fuzz targets of this repository: it is compiled with
//! `--cfg fuzzing` alone.

use std::collections::VecDeque;

use jetcache_core::Token;
use jetcache_core::ports::bus::News;
use jetcache_core::ports::remote::Wire;
use redis::{PushInfo, Value};

use crate::redis::answer::{claimed, extended, filled, granted, is_one, placed};
use crate::redis::look::found;
use crate::redis::look::inspection::inspected;
use crate::redis::verbs::log::{ensured, page, raised};
use crate::redis::{event, tracking};

/// An event of a channel.
#[must_use]
pub fn event(bytes: &[u8]) -> News {
    event::decode(bytes)
}

/// A push of a server that is watched.
#[must_use]
pub fn push(push: PushInfo) -> Option<News> {
    tracking::meaning(push)
}

/// Answers, as each command takes them.
pub fn answers(values: &[Value]) {
    for wire in [Wire::Native, Wire::JetcacheGo] {
        for keys in 1..4 {
            let outcomes = found(values.to_vec(), keys, wire);
            assert!(outcomes.is_err() || outcomes.is_ok_and(|outcomes| outcomes.len() == keys));
        }
        let mut look: VecDeque<Value> = values.iter().cloned().collect();
        let beside = look.drain(..look.len().min(3)).map(Ok).collect();
        let _ = inspected(beside, look.into(), wire);
    }
    for value in values {
        let _ = granted(value.clone(), Token::from_bits(7));
        let _ = is_one(value.clone());
        let _ = claimed(value.clone());
        let _ = filled(value.clone());
        let _ = extended(value.clone());
        let _ = placed(value.clone());
        let _ = page(value.clone());
        let _ = raised(value.clone());
        let _ = ensured(value.clone());
    }
}
