//! Waits for a future, but no longer than for another.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

/// What `future` brings, unless `limit` is over first.
pub(super) async fn within<F: Future>(limit: impl Future, future: F) -> Option<F::Output> {
    let (mut limit, mut future) = (pin!(limit), pin!(future));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(brought) => Poll::Ready(Some(brought)),
        Poll::Pending => limit.as_mut().poll(cx).map(|_| None),
    })
    .await
}
