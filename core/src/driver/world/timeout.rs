//! Gives a future a time limit.

use core::future::Future;
use core::pin::pin;
use core::time::Duration;

use futures_util::future::{Either, select};

use crate::driver::world::erased::AnyRuntime;

/// What `work` brings within `span`, or `None`; then `work` is dropped.
pub(crate) async fn timeout<T>(
    runtime: &dyn AnyRuntime,
    span: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    match select(pin!(work), runtime.sleep(span)).await {
        Either::Left((brought, _)) => Some(brought),
        Either::Right(((), _)) => None,
    }
}

/// What a timer is set to at least. The clock is coarse: a shorter sleep would end before the clock
/// has moved, again and again.
pub(crate) const TICK: Duration = Duration::from_millis(1);
