//! Counters that many threads can raise at once.

use core::fmt;
use portable_atomic::{AtomicU32, AtomicU64, Ordering};

use crate::driver::world::dice::roll;
use crate::driver::world::lane::{Lane, stripes};
use crate::machine::event::Event;
use crate::machine::stats::{Counter, Stats};
use crate::ports::observer::Observer;

/// An observer that counts: [`Cache::stats`](crate::Cache::stats) reads the one that every cache
/// has, and one of your own can be handed to several caches to count their sum.
///
/// Each thread has a stripe of its own, as far as there are enough, so that a hit touches no cache
/// line that another core writes, and adds without locking the bus. Threads beyond these share some.
pub struct Counters {
    /// Each is written by one thread at a time.
    own: Box<[Stripe]>,
    shared: Box<[Stripe]>,
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
        let new = |count| (0..count).map(|_| Stripe::new()).collect();
        Self {
            own: new(stripes()),
            shared: new(stripes() / 2),
        }
    }

    /// The sums.
    #[must_use]
    pub fn read(&self) -> Stats {
        let mut sums = [0_u64; Counter::COUNT];
        for stripe in self.own.iter().chain(&self.shared) {
            for (sum, count) in sums.iter_mut().zip(&stripe.0) {
                *sum = sum.wrapping_add(count.load(Ordering::Relaxed));
            }
        }
        Stats::from_counters(&sums)
    }

    #[inline]
    pub(super) fn raise(&self, counter: Counter) {
        let lane = Lane::of_thread();
        if let Some(stripe) = self.own.get(lane.index()) {
            let count = &stripe.0[counter as usize];
            // Nobody else writes it, so nothing is lost between the two. Relaxed: each count stands
            // alone, and nothing else is published by it.
            count.store(
                count.load(Ordering::Relaxed).wrapping_add(1),
                Ordering::Relaxed,
            );
        } else {
            self.raise_shared(lane, counter);
        }
    }

    /// For a thread that has no stripe of its own.
    #[cold]
    fn raise_shared(&self, lane: Lane, counter: Counter) {
        // The number of stripes is a power of two, so the mask is a valid index.
        let stripe = &self.shared[lane.index() & (self.shared.len() - 1)];
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

/// Draws one in so many, without a line that all cores write.
pub(crate) struct Sampler {
    one_in: u32,
    stripes: Box<[Beat]>,
}

#[repr(align(128))]
struct Beat(AtomicU32);

impl Sampler {
    pub(crate) fn new(one_in: u32) -> Self {
        let mut sampler = Self {
            one_in: one_in.max(1),
            stripes: Box::default(),
        };
        let beat = |_| Beat(AtomicU32::new(sampler.gap()));
        sampler.stripes = (0..stripes()).map(beat).collect();
        sampler
    }

    /// Whether this one is drawn.
    #[inline]
    pub(crate) fn draws(&self) -> bool {
        // The number of stripes is a power of two, so the mask is a valid index.
        let Beat(left) = &self.stripes[Lane::of_thread().index() & (self.stripes.len() - 1)];
        // Threads that share a stripe may lose a beat: it is a sample.
        match left.load(Ordering::Relaxed) {
            0 => {
                left.store(self.gap(), Ordering::Relaxed);
                true
            }
            more => {
                left.store(more - 1, Ordering::Relaxed);
                false
            }
        }
    }

    /// How many are let pass until the next is drawn, `one_in - 1` on average. By chance: with a
    /// constant gap, who reads the same keys in the same order would have the same ones drawn for ever.
    #[cold]
    fn gap(&self) -> u32 {
        let most = u64::from(self.one_in - 1) * 2 + 1;
        // The remainder of 64 random bits by 33 is as good as even.
        u32::try_from(roll() as u64 % most).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread::scope;

    use super::*;

    #[test]
    fn no_count_is_lost_however_many_threads_there_are_and_whenever_they_end() {
        const EACH: u64 = 20_000;
        let counters = Counters::new();
        let threads = 3 * counters.own.len();
        let together = Barrier::new(threads);
        let raise = || {
            for _ in 0..EACH {
                counters.raise(Counter::LocalHit);
            }
        };
        for _ in 0..2 {
            scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| {
                        // All live at once, more than there are stripes, and go on when others end.
                        together.wait();
                        raise();
                        scope_within(&raise);
                    });
                }
            });
        }
        assert_eq!(counters.read().local_hits, 4 * EACH * threads as u64);
    }

    /// On a thread that takes the place of another that has ended.
    fn scope_within(work: &(dyn Fn() + Sync)) {
        scope(|scope| scope.spawn(work).join()).unwrap();
    }

    #[test]
    fn one_in_so_many_is_drawn_and_not_always_at_the_same_place() {
        let sampler = Sampler::new(10);
        let mut drawn = [0_u32; 10];
        for at in 0..100_000 {
            if sampler.draws() {
                drawn[at % 10] += 1;
            }
        }
        let all: u32 = drawn.iter().sum();
        assert!((9_000..11_000).contains(&all), "{all}");
        assert!(drawn.iter().all(|place| *place > 500), "{drawn:?}");
        let all = Sampler::new(1);
        assert!((0..100).all(|_| all.draws()));
    }
}
