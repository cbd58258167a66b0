//! Counters that many threads can raise at once.

use core::fmt;
use portable_atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::machine::event::Event;
use crate::machine::stats::{Counter, Stats};
use crate::ports::observer::Observer;

/// An observer that counts: [`Cache::stats`](crate::Cache::stats) reads the one that every cache
/// has, and one of your own can be handed to several caches to count their sum.
///
/// Each thread has a stripe of its own, as far as there are enough, so that a hit touches no cache
/// line that another core writes.
pub struct Counters {
    stripes: Box<[Stripe]>,
}

/// Padded to two cache lines, which is what processors fetch at once.
#[repr(align(128))]
struct Stripe([AtomicU64; Counter::COUNT]);

impl Stripe {
    fn new() -> Self {
        Self([const { AtomicU64::new(0) }; Counter::COUNT])
    }
}

impl Counters {
    /// All zero.
    #[must_use]
    pub fn new() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let stripes = (threads * 2).next_power_of_two().min(MOST_STRIPES);
        Self {
            stripes: (0..stripes).map(|_| Stripe::new()).collect(),
        }
    }

    /// The sums.
    #[must_use]
    pub fn read(&self) -> Stats {
        let mut sums = [0_u64; Counter::COUNT];
        for stripe in &self.stripes {
            for (sum, count) in sums.iter_mut().zip(&stripe.0) {
                *sum = sum.wrapping_add(count.load(Ordering::Relaxed));
            }
        }
        Stats::from_counters(&sums)
    }

    #[inline]
    pub(super) fn raise(&self, counter: Counter) {
        // The number of stripes is a power of two, so the mask is a valid index.
        let stripe = &self.stripes[THREAD.with(|thread| *thread) & (self.stripes.len() - 1)];
        // Relaxed: each count stands alone, and nothing else is published by it.
        stripe.0[counter as usize].fetch_add(1, Ordering::Relaxed);
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer for Counters {
    fn on(&self, _cache: &str, event: &Event) {
        self.raise(Counter::of(event));
    }
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read().fmt(f)
    }
}

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static THREAD: usize = THREADS.fetch_add(1, Ordering::Relaxed);
}

const MOST_STRIPES: usize = 64;
