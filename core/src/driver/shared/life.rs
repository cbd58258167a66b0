//! Whether a cache is open, what runs for it, and what closing waits for.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;

use event_listener::{Event as Bell, EventListener};
use portable_atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::driver::world::erased::AnyRuntime;
use crate::machine::error::Error;
use crate::ports::runtime::Task;

#[derive(Debug, Default)]
pub(crate) struct Life {
    closed: AtomicBool,
    tasks: AtomicUsize,
    /// Calls that went further than L1 and are not over.
    calls: AtomicUsize,
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
        self.calls.load(Ordering::SeqCst) > 0 || self.tasks() > 0
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

/// Something that runs for the cache, counted for as long as it exists: a task, a call that goes
/// further than L1, or what trails behind a call that is over.
pub(crate) struct Errand(Arc<Life>, Kind);

type Kind = fn(&Life) -> &AtomicUsize;

impl Errand {
    /// A call that goes further than L1: `close` waits for it.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub(crate) fn admit(life: &Arc<Life>) -> Result<Self, Error> {
        if life.is_closed() {
            return Err(Error::Closed);
        }
        // Counted before the second look: a `close` that this call does not see sees this call.
        let call = Self::count(life, |life| &life.calls);
        if life.is_closed() {
            return Err(Error::Closed);
        }
        Ok(call)
    }

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
        // Nobody waits for an open cache to be idle.
        if self.0.is_closed() {
            self.0.idle.notify(usize::MAX);
        }
    }
}

/// How many of a kind may trail behind at once.
const MOST_ERRANDS: usize = 1024;
