//! Whether a cache is open, what runs for it, and what closing waits for.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;

use event_listener::{Event as Bell, EventListener};
use portable_atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::driver::world::erased::AnyRuntime;
use crate::driver::world::lane::{Lane, stripes};
use crate::machine::error::Error;
use crate::ports::runtime::Task;

#[derive(Debug, Default)]
pub(crate) struct Life {
    closed: AtomicBool,
    tasks: AtomicUsize,
    /// Calls that went further than L1 and are not over.
    calls: Calls,
    /// Leases that are being given back by calls which are over.
    pub(crate) releases: AtomicUsize,
    /// Lease replies that are listened for after their askers have gone.
    pub(crate) late: AtomicUsize,
    /// Rung when the cache closes.
    stop: Bell,
    /// Rung when something ends that ran for a closed cache.
    idle: Bell,
}

impl Life {
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Ends the cache's own tasks; calls find it closed.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.stop.notify(usize::MAX);
    }

    /// Completes when the cache closes. Ask for it first and look at [`is_closed`](Self::is_closed)
    /// then, or the bell may ring in between.
    pub(crate) fn stopped(&self) -> EventListener {
        self.stop.listen()
    }

    /// Completes when there may be less to wait for.
    pub(crate) fn idles(&self) -> EventListener {
        self.idle.listen()
    }

    /// Calls and tasks that `close` waits for.
    pub(crate) fn is_busy(&self) -> bool {
        // The tasks last: what a call leaves behind is counted before the call is over.
        self.calls.any() || self.tasks() > 0
    }

    /// Something has ended that was counted.
    fn is_over(&self) {
        // Nobody waits for an open cache to be idle.
        if self.is_closed() {
            self.idle.notify(usize::MAX);
        }
    }

    pub(crate) fn tasks(&self) -> usize {
        self.tasks.load(Ordering::SeqCst)
    }

    /// Runs a task of the cache's own.
    ///
    /// # Errors
    /// The task itself, if there is no runtime to run it.
    pub(crate) fn spawn(
        self: &Arc<Self>,
        runtime: &dyn AnyRuntime,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Task> {
        let task = Counted {
            work: Box::pin(work),
            _errand: Errand::count(self, |life| &life.tasks),
        };
        runtime.spawn(Box::pin(task))
    }
}

/// A task that is counted for as long as there is anything left of it.
struct Counted {
    work: Task,
    /// Dropped last: the task counts until its work is gone.
    _errand: Errand,
}

impl Future for Counted {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.work.as_mut().poll(cx)
    }
}

/// A call that goes further than L1, counted for as long as it exists: `close` waits for it.
pub(crate) struct Admission<'a> {
    life: &'a Life,
    /// Where it was counted.
    lane: usize,
}

impl<'a> Admission<'a> {
    /// # Errors
    /// [`Error::Closed`].
    pub(crate) fn to(life: &'a Life) -> Result<Self, Error> {
        if life.is_closed() {
            return Err(Error::Closed);
        }
        // Counted before the second look: a `close` that this call does not see sees this call.
        let lane = life.calls.begin();
        let admission = Self { life, lane };
        if life.is_closed() {
            return Err(Error::Closed);
        }
        Ok(admission)
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        self.life.calls.end(self.lane);
        self.life.is_over();
    }
}

/// How many calls there are, counted where their threads do not disturb each other. A call may end on
/// another thread than it began on.
#[derive(Debug)]
struct Calls(Box<[Stripe]>);

/// Padded to two cache lines, which is what processors fetch at once.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe(AtomicUsize);

impl Default for Calls {
    fn default() -> Self {
        Self((0..stripes()).map(|_| Stripe::default()).collect())
    }
}

impl Calls {
    /// One more. Says where it is counted.
    fn begin(&self) -> usize {
        // The number of stripes is a power of two, so the mask is a valid index.
        let lane = Lane::of_thread().index() & (self.0.len() - 1);
        self.0[lane].0.fetch_add(1, Ordering::SeqCst);
        lane
    }

    fn end(&self, lane: usize) {
        self.0[lane].0.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether there are any, of those that began before this was asked.
    fn any(&self) -> bool {
        let mut counts = self.0.iter().map(|stripe| stripe.0.load(Ordering::SeqCst));
        counts.any(|count| count > 0)
    }
}

/// Something that runs for the cache, counted for as long as it exists: a task, or what trails behind a
/// call that is over.
pub(crate) struct Errand(Arc<Life>, Kind);

type Kind = fn(&Life) -> &AtomicUsize;

impl Errand {
    /// Something that trails behind; `None` if there are too many of its kind already.
    pub(crate) fn begin(life: &Arc<Life>, kind: Kind) -> Option<Self> {
        let before = kind(life).fetch_add(1, Ordering::SeqCst);
        // Made even beyond the bound: dropping it takes the count back.
        let errand = Self(Arc::clone(life), kind);
        (before < MOST_ERRANDS).then_some(errand)
    }

    fn count(life: &Arc<Life>, kind: Kind) -> Self {
        kind(life).fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(life), kind)
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        self.1(&self.0).fetch_sub(1, Ordering::SeqCst);
        self.0.is_over();
    }
}

/// How many of a kind may trail behind at once.
const MOST_ERRANDS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_ends_on_another_thread_is_over() {
        let life = Life::default();
        std::thread::scope(|scope| {
            let calls: Vec<_> = (0..3)
                .map(|_| scope.spawn(|| Admission::to(&life).unwrap()))
                .map(|thread| thread.join().unwrap())
                .collect();
            let here = Admission::to(&life).unwrap();
            life.close();
            assert!(life.is_busy() && Admission::to(&life).is_err());
            scope.spawn(move || drop(here));
            assert!(life.is_busy(), "three are not over");
            drop(calls);
        });
        assert!(!life.is_busy());
    }
}
