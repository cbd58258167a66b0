//! Numbers for threads, so that each can have a place of its own in a table.

use core::cell::Cell;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The lane of a thread: a small number that no other living thread has, unless it is
/// [`MOST_LANES`] or more.
#[derive(Clone, Copy)]
pub(crate) struct Lane(usize);

impl Lane {
    /// That of the thread which asks. What the thread before wrote there is seen by it.
    #[inline]
    pub(crate) fn of_thread() -> Self {
        match LANE.get() {
            NONE => Self::take(),
            lane => Self(lane),
        }
    }

    #[inline]
    pub(crate) const fn index(self) -> usize {
        self.0
    }

    #[cold]
    #[inline(never)]
    fn take() -> Self {
        // A thread whose guard is gone is about to end: it does without.
        let lane = GUARD.try_with(|_| {}).map_or(MOST_LANES, |()| {
            let mut lanes = lanes();
            let free = lanes.free.pop_first();
            free.unwrap_or_else(|| {
                lanes.given += 1;
                lanes.given - 1
            })
        });
        LANE.set(lane);
        Self(lane)
    }
}

/// How many stripes a table has in which each thread is to have one of its own: as many as there are
/// threads to expect, twice; a power of two.
pub(crate) fn stripes() -> usize {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    (threads * 2).next_power_of_two().min(MOST_LANES)
}

/// Gives the lane back when its thread ends.
struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        // What runs on this thread after this shares.
        let lane = LANE.replace(MOST_LANES);
        if lane != NONE {
            lanes().free.insert(lane);
        }
    }
}

struct Lanes {
    given: usize,
    free: BTreeSet<usize>,
}

/// Its lock orders what a thread wrote in its lane before what the next one does.
fn lanes() -> MutexGuard<'static, Lanes> {
    LANES.lock().unwrap_or_else(PoisonError::into_inner)
}

static LANES: Mutex<Lanes> = Mutex::new(Lanes {
    given: 0,
    free: BTreeSet::new(),
});

thread_local! {
    static LANE: Cell<usize> = const { Cell::new(NONE) };
    static GUARD: Guard = const { Guard };
}

const NONE: usize = usize::MAX;

/// How many threads can have a place of their own.
pub(crate) const MOST_LANES: usize = 64;
