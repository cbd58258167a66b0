//! Which L1 hits are checked, and those that are.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portable_atomic::{AtomicUsize, Ordering};

use crate::driver::counters::Sampler;
use crate::driver::task::chore::Chore;
use crate::driver::world::bounds::CacheKey;
use crate::machine::policy::check::Check;
use crate::machine::time::Timestamp;

pub(crate) struct Checks<K> {
    sampler: Sampler,
    /// Those that wait to be looked at.
    waiting: Mutex<Vec<Checked<K>>>,
    /// How many they are.
    count: AtomicUsize,
    /// The task that looks.
    pub(crate) chore: Chore,
}

/// A hit that is checked.
pub(crate) struct Checked<K> {
    pub(crate) key: Arc<K>,
    pub(crate) text: Arc<str>,
    pub(crate) check: Check,
}

impl<K: CacheKey> Checks<K> {
    /// One hit in so many, with a task that works for `busy` at most before it says that it goes on.
    pub(crate) fn new(one_in: u32, chore: Chore) -> Self {
        Self {
            sampler: Sampler::new(one_in),
            waiting: Mutex::default(),
            count: AtomicUsize::new(0),
            chore,
        }
    }

    /// Whether this hit is to be checked.
    #[inline]
    pub(crate) fn draws(&self) -> bool {
        self.sampler.draws() && self.count.load(Ordering::Relaxed) < MOST
    }

    /// One more is to be looked at, unless its key is, or too many are.
    pub(crate) fn add(&self, checked: Checked<K>) {
        let mut waiting = self.waiting();
        let known = waiting.iter().any(|other| other.text == checked.text);
        if !known && waiting.len() < MOST {
            waiting.push(checked);
        }
        self.count.store(waiting.len(), Ordering::Relaxed);
    }

    /// One is to be looked at again. It goes before a later hit of its key.
    pub(crate) fn put_back(&self, checked: Checked<K>) {
        let mut waiting = self.waiting();
        let later = waiting.iter().position(|other| other.text == checked.text);
        let later = later.map(|at| waiting.swap_remove(at));
        waiting.push(checked);
        self.count.store(waiting.len(), Ordering::Relaxed);
        drop(waiting);
        // A user's key is not dropped under the lock.
        drop(later);
    }

    /// When the next is to be looked at.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        let waiting = self.waiting();
        waiting.iter().map(|checked| checked.check.due()).min()
    }

    /// Takes those that are to be looked at by now, as many as that at most.
    pub(crate) fn take(&self, now: Timestamp, most: usize) -> Vec<Checked<K>> {
        let mut waiting = self.waiting();
        let mut taken = Vec::new();
        let due = |checked: &mut Checked<K>| checked.check.due() <= now;
        taken.extend(waiting.extract_if(.., due).take(most));
        self.count.store(waiting.len(), Ordering::Relaxed);
        taken
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Checked<K>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many are checked at once. Further hits that are drawn meanwhile are not.
const MOST: usize = 64;
