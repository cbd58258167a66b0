//! News of raises, and what it means for L1.

use alloc::collections::BTreeSet;

/// How much news of raises a node has had: by this count L1 and loads under way tell what came before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Heard(usize);

impl Heard {
    /// This much news.
    #[must_use]
    pub const fn new(count: usize) -> Self {
        Self(count)
    }

    /// How much.
    #[must_use]
    pub const fn count(self) -> usize {
        self.0
    }
}

/// What news means for L1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "L1 may hold what is dead"]
pub struct Aftermath {
    /// How many scopes had news.
    pub news: usize,
    /// The namespace was cleared.
    pub all: bool,
    /// The buckets of keys that had news.
    pub keys: BTreeSet<u16>,
}

impl Aftermath {
    /// And this news, which came with it.
    pub fn add(&mut self, other: Self) {
        self.news += other.news;
        self.all |= other.all;
        self.keys.extend(other.keys);
    }

    /// Whether what is under way [is superseded](crate::machine::shard::Shard::supersede_raised) and L1 is
    /// emptied: hits do not compare stamps for the namespace and for keys.
    #[must_use]
    pub fn clears(&self) -> bool {
        self.all || !self.keys.is_empty()
    }

    /// Whether it concerns the keys of this bucket.
    #[must_use]
    pub fn concerns(&self, key: u16) -> bool {
        self.all || self.keys.contains(&key)
    }
}
