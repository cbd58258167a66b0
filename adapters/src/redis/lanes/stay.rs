//! Who has a place keeps it until its answer is there, polled or not.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

/// Does a caller's work, which keeps its place (dropped, it is free) until it is woken: an answer that is there makes room even
/// if the caller is not polled any more.
pub(super) async fn until_woken<P: Send + 'static, T>(
    place: P,
    mut work: Pin<&mut impl Future<Output = T>>,
) -> T {
    let stay = Arc::new(Stay {
        place: Mutex::new(Some(place)),
        caller: Mutex::default(),
    });
    let waker = Waker::from(Arc::clone(&stay));
    let _end = End(&stay);
    poll_fn(|context| {
        *stay.caller() = Some(context.waker().clone());
        work.as_mut().poll(&mut Context::from_waker(&waker))
    })
    .await
}

/// A caller with a place.
struct Stay<P> {
    place: Mutex<Option<P>>,
    caller: Mutex<Option<Waker>>,
}

impl<P> Stay<P> {
    fn end(&self) {
        let place = {
            let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
            place.take()
        };
        // Where no lock is held: it may start a task.
        drop(place);
    }

    fn caller(&self) -> MutexGuard<'_, Option<Waker>> {
        self.caller.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: Send + 'static> Wake for Stay<P> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.end();
        let caller = self.caller().take();
        if let Some(caller) = caller {
            caller.wake();
        }
    }
}

/// The end of a caller's work, or of its patience.
struct End<'a, P>(&'a Stay<P>);

impl<P> Drop for End<'_, P> {
    fn drop(&mut self) {
        self.0.end();
    }
}
