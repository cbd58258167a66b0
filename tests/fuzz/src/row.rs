//! A value with something of everything.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use jetcache_adapters::msgpack_time;
use serde::{Deserialize, Serialize};

/// A value with something of everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub id: u64,
    pub delta: i32,
    pub price: f64,
    pub name: String,
    pub note: Option<Arc<str>>,
    pub kind: Kind,
    pub tags: Vec<String>,
    pub stock: BTreeMap<String, u16>,
    pub inner: Vec<Row>,
}

/// A choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    Plain,
    Sized(u8),
    Named { first: char, last: bool },
}

/// What MessagePack alone has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dated {
    #[serde(with = "msgpack_time")]
    pub at: SystemTime,
    #[serde(with = "msgpack_time::option", default)]
    pub end: Option<SystemTime>,
}

impl Row {
    /// An example.
    #[must_use]
    pub fn example() -> Self {
        let leaf = Self {
            id: 1 << 40,
            delta: -7,
            price: 0.1,
            name: "ключ \"\u{2028}".into(),
            note: None,
            kind: Kind::Sized(200),
            tags: vec!["a".into(), String::new()],
            stock: BTreeMap::from([("x".into(), 1), ("y".into(), 65_535)]),
            inner: Vec::new(),
        };
        Self {
            note: Some("note".into()),
            kind: Kind::Named {
                first: 'é',
                last: true,
            },
            inner: vec![leaf.clone()],
            ..leaf
        }
    }
}
