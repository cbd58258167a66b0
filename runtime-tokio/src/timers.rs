//! The timers of the tokio runtimes in which caches are used: whether there are any, and how they are kept
//! from waking the runtime at every call.
//!
//! Every call to L2 has a time limit, and so a timer, which hardly ever rings. But tokio wakes whoever waits
//! for events when a timer comes that is the first to ring (a system call, and a thread that looks and
//! sleeps again), and where one call follows another each one's timer is the first. So while calls come
//! fast, a task keeps a timer of its own before them.

use core::cell::{Cell, RefCell};
use core::hash::{BuildHasher, BuildHasherDefault};
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::collections::hash_map::DefaultHasher;
use std::panic::catch_unwind;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::runtime::{Handle, Id};
use tokio::time::{Instant, Sleep};

/// A runtime, as a thread that is in it knows it: nothing that other threads write is looked at.
#[derive(Debug)]
pub(crate) struct Here {
    id: Id,
    /// Tells it from others.
    pub(crate) mark: usize,
    timers: Arc<Timers>,
}

/// The timers of a runtime.
#[derive(Debug)]
struct Timers {
    /// Whether it has any.
    are_there: bool,
    /// Whether the task is at work.
    beats: AtomicBool,
    /// Whether it was needed since it last looked.
    needed: AtomicBool,
}

thread_local! {
    static HERE: RefCell<Option<Here>> = const { RefCell::new(None) };
    /// When this thread asked for a timer last.
    static ASKED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Those of all runtimes in which a cache was used, while a thread knows them.
static KNOWN: Mutex<Vec<(Id, Weak<Timers>)>> = Mutex::new(Vec::new());

impl Here {
    /// Looks at the runtime of this handle, in which this thread is.
    pub(crate) fn with<R>(handle: &Handle, look: impl FnOnce(&Self) -> R) -> R {
        let id = handle.id();
        let is_noted = |here: &Option<Self>| here.as_ref().is_some_and(|here| here.id == id);
        if !HERE.with_borrow(is_noted) {
            let here = Self::new(id);
            drop(HERE.replace(Some(here)));
        }
        HERE.with_borrow(|here| match here {
            Some(here) => look(here),
            None => look(&Self::new(id)),
        })
    }

    fn new(id: Id) -> Self {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        Self {
            id,
            // Never that of no runtime.
            mark: hasher.hash_one(id) as usize | 1,
            timers: Timers::of(id),
        }
    }

    pub(crate) fn has_timers(&self) -> bool {
        self.timers.are_there
    }
}

/// A sleep in the runtime of this handle, in which this thread is and which has timers.
pub(crate) fn sleep(handle: &Handle, span: Duration) -> Sleep {
    let now = Instant::now();
    let before = ASKED.replace(Some(now));
    if before.is_some_and(|before| now.saturating_duration_since(before) < FAST)
        && let Some(timers) = Here::with(handle, |here| here.timers.are_to_beat())
    {
        handle.spawn(Beating(timers).go_on());
    }
    tokio::time::sleep(span)
}

impl Timers {
    fn of(runtime: Id) -> Arc<Self> {
        let find = |known: &[(Id, Weak<Self>)]| {
            let mut known = known.iter().filter(|(id, _)| *id == runtime);
            known.find_map(|(_, timers)| timers.upgrade())
        };
        let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(timers) = find(&known()) {
            return timers;
        }
        // Where no lock is held: a panic hook is user code.
        let timers = Arc::new(Self {
            are_there: are_there(),
            beats: AtomicBool::new(false),
            needed: AtomicBool::new(false),
        });
        let mut known = known();
        if let Some(timers) = find(&known) {
            return timers;
        }
        known.retain(|(_, timers)| timers.strong_count() > 0);
        known.push((runtime, Arc::downgrade(&timers)));
        timers
    }

    /// Calls come fast. Whether the task is to begin, which then is at work.
    fn are_to_beat(self: &Arc<Self>) -> Option<Arc<Self>> {
        // Looked at first: all threads read these lines, and should not write them.
        if !self.needed.load(Ordering::Relaxed) {
            self.needed.store(true, Ordering::Relaxed);
        }
        let begins =
            !self.beats.load(Ordering::Relaxed) && !self.beats.swap(true, Ordering::AcqRel);
        begins.then(|| Arc::clone(self))
    }
}

/// The task. Dropped, with its runtime perhaps, it leaves its place.
struct Beating(Arc<Timers>);

impl Beating {
    async fn go_on(self) {
        while self.0.needed.swap(false, Ordering::Relaxed) {
            tokio::time::sleep(BEAT).await;
        }
    }
}

impl Drop for Beating {
    fn drop(&mut self) {
        self.0.beats.store(false, Ordering::Release);
    }
}

/// Whether the runtime that this thread is in has its time driver. Tokio tells only by a panic, of
/// which the panic hook hears, once a runtime.
fn are_there() -> bool {
    catch_unwind(|| drop(tokio::time::sleep(Duration::ZERO))).is_ok()
}

/// Calls that follow each other within this come fast.
const FAST: Duration = Duration::from_millis(2);
/// Shorter than the time limits of most calls.
const BEAT: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::runtime::{Builder, Runtime};

    fn timers() -> Arc<Timers> {
        Here::with(&Handle::current(), |here| Arc::clone(&here.timers))
    }

    fn nap() {
        drop(sleep(&Handle::current(), BEAT));
    }

    fn beats(timers: &Timers) -> bool {
        timers.beats.load(Ordering::Acquire)
    }

    #[tokio::test(start_paused = true)]
    async fn it_beats_while_calls_come_fast_and_no_longer() {
        let timers = timers();
        nap();
        tokio::time::advance(FAST).await;
        nap();
        assert!(!beats(&timers), "these two are slow");
        for _ in 0..10 {
            nap();
            assert!(beats(&timers));
            tokio::time::sleep(BEAT / 2).await;
            nap();
        }
        tokio::time::sleep(3 * BEAT).await;
        assert!(!beats(&timers), "nobody calls any more");
        nap();
        nap();
        assert!(beats(&timers), "and again");
    }

    #[test]
    fn each_runtime_beats_for_itself_and_one_that_ended_does_not() {
        let runtime = || Builder::new_current_thread().enable_time().build().unwrap();
        let used = |runtime: &Runtime| {
            runtime.block_on(async {
                nap();
                nap();
                timers()
            })
        };
        let (one, other) = (runtime(), runtime());
        let (first, second) = (used(&one), used(&other));
        assert!(beats(&first) && beats(&second) && !Arc::ptr_eq(&first, &second));
        drop(one);
        assert!(!beats(&first) && beats(&second));
    }

    #[test]
    fn a_runtime_without_timers_is_known_as_one() {
        let runtime = Builder::new_current_thread().build().unwrap();
        assert!(!runtime.block_on(async { timers().are_there }));
    }
}
