//! What the node knows of raises, behind its lock, and the count of its news, which every hit of a
//! value with tags looks at.

use std::sync::PoisonError;

use crossbeam_utils::sync::{ShardedLock, ShardedLockReadGuard};
use portable_atomic::{AtomicUsize, Ordering};

use crate::machine::generations::Generations;
use crate::machine::generations::heard::Heard;
use crate::machine::generations::tags::Tags;
use crate::machine::tier::entry::Entry;

/// Looked at by every question to the machine, and by every answer of L2, while news are rare: to look writes
/// no line that another thread writes.
#[derive(Debug, Default)]
pub(crate) struct Generated {
    state: ShardedLock<Generations>,
    heard: AtomicUsize,
}

impl Generated {
    /// To look at.
    pub(crate) fn look(&self) -> ShardedLockReadGuard<'_, Generations> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the machine under its lock. No user code runs there.
    pub(crate) fn ask<R>(&self, question: impl FnOnce(&mut Generations) -> R) -> R {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let answer = question(&mut state);
        // Under the lock: whoever sees the count finds the news.
        self.heard.store(state.heard().count(), Ordering::Release);
        answer
    }

    /// Whether none of the tags of what L1 has was raised.
    pub(crate) fn is_alive<V>(&self, entry: &Entry<V>) -> bool {
        let heard = Heard::new(self.heard.load(Ordering::Acquire));
        entry.is_alive(heard, |stamp, tags| self.had_news(stamp, tags))
    }

    #[cold]
    fn had_news(&self, stamp: Heard, tags: &Tags) -> bool {
        self.look().had_news(stamp, tags)
    }
}
