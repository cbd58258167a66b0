//! What the connections of one handle have in common to count.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How the connections of a [`Redis`](crate::Redis) or
/// `RedisCluster` are doing; its clones count together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Connectivity {
    /// What was sent, given up by its caller, and may still be unanswered, now: single commands and
    /// pipelines. The client keeps some 250 bytes for each, and there are at most 8192 a
    /// connection.
    pub unanswered: usize,
    /// How many connections were buried because they answered nothing, since it was opened. See
    /// [`answer_timeout`](crate::redis::RedisBuilder::answer_timeout).
    pub buried: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Tally {
    unanswered: AtomicUsize,
    buried: AtomicU64,
}

impl Tally {
    /// One more was given up.
    pub(super) fn owe(&self) {
        self.unanswered.fetch_add(1, Ordering::Relaxed);
    }

    /// So many are answered, or gone with their connection.
    pub(super) fn settle(&self, count: usize) {
        self.unanswered.fetch_sub(count, Ordering::Relaxed);
    }

    pub(super) fn buried(&self) {
        self.buried.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Connectivity {
        Connectivity {
            unanswered: self.unanswered.load(Ordering::Relaxed),
            buried: self.buried.load(Ordering::Relaxed),
        }
    }
}
