//! A thread that waits for a future.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use parking::Parker;

/// Polls the future on this thread, which sleeps in between.
pub(super) fn park_on<T>(mut future: Pin<&mut (dyn Future<Output = T> + Send + '_)>) -> T {
    let parker = Parker::new();
    let waker = Waker::from(parker.unparker());
    let mut cx = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(outcome) => return outcome,
            Poll::Pending => parker.park(),
        }
    }
}
