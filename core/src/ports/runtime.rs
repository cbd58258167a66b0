//! What an async runtime must offer: a clock, dice, a timer, and tasks.

#[cfg(feature = "std")]
mod park;

use alloc::boxed::Box;
use core::future::Future;
use core::pin::Pin;
use core::time::Duration;

use crate::machine::time::Timestamp;

/// A task of the cache's own.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send + 'static>>;

/// The runtime under a cache.
///
/// `jetcache_adapters::contract::runtime` is a test suite that every implementation should pass.
pub trait Runtime: Send + Sync + 'static {
    /// The time on a monotonic clock, exactly: no value is served past an end that it shows.
    fn now(&self) -> Timestamp;

    /// The same time by a clock that costs less to read, and is wrong by less than
    /// [`Timestamp::COARSE`]. It is read on every hit, where it only shows that an end is far enough
    /// ahead; the default is the exact clock.
    fn coarse(&self) -> Timestamp {
        self.now()
    }

    /// 128 random bits that no other node and no other call gets. The cache holds a lock meanwhile: this must not
    /// panic, nor use a cache.
    fn roll(&self) -> u128;

    /// Whether a cache can run where the caller stands: asked by every call that goes further than
    /// L1, so it should be cheap. The default says yes.
    ///
    /// # Errors
    /// What is missing, in words that say what to do. Calls that can fail answer it as
    /// [`Error::Config`](crate::Error::Config), the others do without L2, and the log has it.
    fn check(&self) -> Result<(), &'static str> {
        Ok(())
    }

    /// Completes when `span` has passed. It is polled within the runtime; creating it must not
    /// panic anywhere.
    fn sleep(&self, span: Duration) -> impl Future<Output = ()> + Send + 'static;

    /// Runs `task` to its end, whoever called. It must not panic, also when called from a `Drop`
    /// outside the runtime.
    ///
    /// # Errors
    /// The task itself, if there is no runtime to run it now; the caller then runs it in place.
    fn spawn(&self, task: Task) -> Result<(), Task>;

    /// Whether this thread may wait for a call of a [`Blocking`](crate::Blocking) cache: asked by every
    /// one that goes further than L1. The default says yes.
    ///
    /// # Errors
    /// Why not, in words that say what to do: it is in the middle of a task whose runtime would stand
    /// still. Such a call answers it as [`Error::Config`](crate::Error::Config).
    fn may_block(&self) -> Result<(), &'static str> {
        Ok(())
    }

    /// Runs a call of a [`Blocking`](crate::Blocking) cache to its end, while this thread waits. The
    /// default polls it on this thread, outside any runtime.
    #[cfg(feature = "std")]
    fn block_on(&self, call: Pin<&mut (dyn Future<Output = ()> + Send + '_)>) {
        park::park_on(call);
    }
}
