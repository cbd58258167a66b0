//! Threads as a [`Runtime`], for programs without an executor.

use core::cell::Cell;
use core::future::Future;
use core::time::Duration;
use std::sync::LazyLock;

use futures_executor::{ThreadPool, ThreadPoolBuilder};
use futures_timer::Delay;
use jetcache_core::{Clock, Runtime, Task, Timestamp, roll};

/// A few threads and a timer that all caches of the program share, and nothing else: no tokio and no
/// smol. It serves L1 and an L2 in the process; Redis brings a runtime, so take its crate there.
///
/// The threads are begun when they are first needed, one a core and four at most. A task that blocks its
/// thread, as an asynchronous loader should not, has one thread less for the others.
///
/// A [`Blocking`](jetcache_core::Blocking) call may be made on any thread but these.
///
/// ```
/// use std::sync::Arc;
///
/// use jetcache_adapters::Threads;
/// use jetcache_core::Cache;
///
/// let names = Cache::<u64, Arc<str>>::builder("names", Threads::new()).build()?.blocking();
/// let name = names.get_or_load(&7, || Ok(Arc::from("Ada")))?;
/// assert_eq!(name.as_deref(), Some("Ada"));
/// # Ok::<(), jetcache_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Threads {
    clock: Clock,
}

impl Threads {
    /// Threads with the system's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Clock::system())
    }

    /// Threads with a clock of your own, for instance one that a test moves.
    #[must_use]
    pub const fn with_clock(clock: Clock) -> Self {
        Self { clock }
    }
}

impl Default for Threads {
    fn default() -> Self {
        Self::new()
    }
}

impl Runtime for Threads {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    #[inline]
    fn coarse(&self) -> Timestamp {
        self.clock.coarse()
    }

    fn roll(&self) -> u128 {
        roll()
    }

    fn sleep(&self, span: Duration) -> impl Future<Output = ()> + Send + 'static {
        self.clock.sleep(span, Delay::new(span))
    }

    fn spawn(&self, task: Task) -> Result<(), Task> {
        match &*POOL {
            Some(pool) => {
                pool.spawn_ok(task);
                Ok(())
            }
            None => Err(task),
        }
    }

    fn may_block(&self) -> Result<(), &'static str> {
        match RUNS_TASKS.get() {
            true => Err("a blocking call in a task of the cache: await the cache itself"),
            false => Ok(()),
        }
    }
}

/// `None` if the system gives no threads: then callers run the tasks.
static POOL: LazyLock<Option<ThreadPool>> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    ThreadPoolBuilder::new()
        .pool_size(cores.min(MOST))
        .name_prefix("jetcache-")
        .after_start(|_| RUNS_TASKS.set(true))
        .create()
        .ok()
});

thread_local! {
    static RUNS_TASKS: Cell<bool> = const { Cell::new(false) };
}

/// Threads of the pool.
const MOST: usize = 4;
