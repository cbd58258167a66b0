//! What tasks need of their executor.

use core::future::Future;
use core::time::Duration;

use crate::unsync::clock::Moment;

/// The clock, the dice and the timer of an executor of one thread.
pub trait Timer {
    /// The time and new random bits.
    fn moment(&self) -> Moment;

    /// Completes when `span` has passed.
    fn sleep(&self, span: Duration) -> impl Future<Output = ()>;
}
