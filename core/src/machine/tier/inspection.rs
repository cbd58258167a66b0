//! What is known of one key: in L1, in L2, and under way on this node.

mod kind;
mod lease;
mod shown;
mod span;
mod stored;

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::machine::counted::Arc;
use crate::machine::error::Fault;
use crate::machine::tier::entry::Entry;
pub use crate::machine::tier::inspection::kind::{EntryKind, Freshness};
pub use crate::machine::tier::inspection::lease::{Holder, LeaseSeen};
pub use crate::machine::tier::inspection::stored::{EntryFormat, L2Entry};
use crate::machine::time::Timestamp;

/// What a cache knows of one key, level by level: the answer of `Cache::inspect`. Its `Display` is a
/// few lines for people.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Inspection {
    /// The cache's name.
    pub cache: Arc<str>,
    /// The key as it is in L2; `None` without an L2, or if L2 cannot hold it.
    pub key: Option<Arc<str>>,
    /// What L1 has.
    pub l1: InL1,
    /// What L2 has.
    pub l2: InL2,
    /// What is under way on this node.
    pub here: UnderWay,
}

impl Inspection {
    /// Of a key about which nothing is known yet.
    #[must_use]
    pub fn new(cache: Arc<str>, key: Option<Arc<str>>) -> Self {
        Self {
            cache,
            key,
            l1: InL1::Off,
            l2: InL2::Off,
            here: UnderWay::default(),
        }
    }
}

/// What L1 has of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum InL1 {
    /// The cache has no L1.
    Off,
    /// Nothing.
    Nothing,
    /// An entry.
    Entry(L1Entry),
}

/// What L2 has of a key.
#[derive(Clone, Debug)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum InL2 {
    /// The cache has no L2.
    Off,
    /// L2 cannot hold this key; the text says why.
    Unheld(Arc<str>),
    /// L2 did not answer, or was not asked since its breaker is open.
    Away(Fault),
    /// L2 answered.
    Answered {
        /// What stands under the key.
        entry: Option<L2Entry>,
        /// Who has the lease of the key.
        lease: LeaseSeen,
    },
}

/// What is under way on this node about a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct UnderWay {
    /// How many callers wait for the flight of the key; `None` if there is no flight.
    pub flight: Option<usize>,
    /// L2 has not confirmed the last change that this node made: until then it is not believed about
    /// the key.
    pub unconfirmed: bool,
    /// The key is kept fresh by refreshes.
    pub kept_fresh: bool,
}

/// An entry of L1.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct L1Entry {
    /// What it is.
    pub kind: EntryKind,
    /// Whether it is served.
    pub freshness: Freshness,
    /// How old the value is, if that is known: L1 knows it of values with a mark.
    #[cfg_attr(
        feature = "serde",
        serde(
            rename = "age_seconds",
            serialize_with = "crate::machine::time::maybe_seconds"
        )
    )]
    pub age: Option<Duration>,
    /// How long L1 still serves it without asking anybody.
    #[cfg_attr(
        feature = "serde",
        serde(
            rename = "left_seconds",
            serialize_with = "crate::machine::time::seconds"
        )
    )]
    pub left: Duration,
    /// How long after that it may be served stale.
    #[cfg_attr(
        feature = "serde",
        serde(
            rename = "stale_left_seconds",
            serialize_with = "crate::machine::time::seconds"
        )
    )]
    pub stale_left: Duration,
    /// The mark that its loader has kept with it.
    #[cfg_attr(feature = "serde", serde(serialize_with = "span::mark"))]
    pub mark: Option<Vec<u8>>,
    /// The buckets of its tags, by their names in the namespace's log.
    pub tags: Vec<String>,
}

impl L1Entry {
    /// How this entry is at `now`.
    #[must_use]
    pub fn of<V>(entry: &Entry<V>, now: Timestamp) -> Self {
        let freshness = match entry.is_fresh(now) {
            true if !entry.is_stale() => Freshness::Fresh,
            true => Freshness::Stale,
            false if now < entry.stale_end() => Freshness::Stale,
            false => Freshness::Over,
        };
        Self {
            kind: match entry.value() {
                Some(_) => EntryKind::Value,
                None => EntryKind::NotFound,
            },
            freshness,
            age: entry.age(now),
            left: entry.expires().since(now),
            stale_left: entry.stale_end().since(now.max(entry.expires())),
            mark: entry.mark().map(<[u8]>::to_vec),
            tags: span::names(entry.tags().scopes()),
        }
    }
}
