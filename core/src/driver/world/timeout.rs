//! Gives a future a time limit.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use futures_util::FutureExt;
use pin_project_lite::pin_project;

use crate::driver::world::erased::{AnyRuntime, Boxed};

/// What `work` brings within `span`, or `None`; then `work` is to be dropped.
pub(crate) fn timeout<W: Future>(runtime: &dyn AnyRuntime, span: Duration, work: W) -> Timeout<W> {
    Timeout {
        work,
        alarm: runtime.sleep(span),
    }
}

pin_project! {
    /// A struct, since an `async fn` makes room twice for a future that it is given.
    pub(crate) struct Timeout<W> {
        #[pin]
        work: W,
        alarm: Boxed<'static, ()>,
    }
}

impl<W: Future> Future for Timeout<W> {
    type Output = Option<W::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let limited = self.project();
        if let Poll::Ready(brought) = limited.work.poll(cx) {
            return Poll::Ready(Some(brought));
        }
        limited.alarm.poll_unpin(cx).map(|()| None)
    }
}

/// What a timer is set to at least. The clock is coarse: a shorter sleep would end before the clock
/// has moved, again and again.
pub(crate) const TICK: Duration = Duration::from_millis(1);
