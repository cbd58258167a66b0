//! Where a call that runs asynchronously asks its thread to run the user's code.

use core::any::Any;
use core::fmt;
use std::boxed::Box;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_channel::oneshot::{Sender, channel};

use crate::driver::flight::chain::Chain;
use crate::ports::loader::LoadError;

/// Requests in the order of their coming: `R` is what the code is given, `A` what it brings. A batch asks for
/// several of its loads at once.
pub(super) struct Desk<R, A>(Mutex<VecDeque<Request<R, A>>>);

/// What the thread is asked to do.
pub(super) struct Request<R, A> {
    given: R,
    /// In the middle of which loads it runs.
    chain: Chain,
    answer: Sender<Brought<A>>,
}

/// What the code brought, or its panic.
type Brought<A> = Result<Result<A, LoadError>, Box<dyn Any + Send>>;

impl<R, A> Desk<R, A> {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(VecDeque::new()))
    }

    /// Asks the thread, and waits for what its code brings. In place of the code, in the call.
    ///
    /// # Errors
    /// The code's own.
    ///
    /// # Panics
    /// If the code did.
    pub(super) async fn ask(&self, given: R) -> Result<A, LoadError> {
        let (answer, brought) = channel();
        let request = Request {
            given,
            chain: Chain::here(),
            answer,
        };
        self.requests().push_back(request);
        match brought.await {
            Ok(Ok(brought)) => brought,
            Ok(Err(panic)) => resume_unwind(panic),
            // The thread answers each request that it takes.
            Err(_) => Err(LoadError::from(Gone)),
        }
    }

    /// What is to be done now: the first request that is still waited for.
    pub(super) fn take(&self) -> Option<Request<R, A>> {
        loop {
            // What nobody waits for is dropped outside the lock.
            let request = self.requests().pop_front()?;
            if !request.answer.is_canceled() {
                return Some(request);
            }
        }
    }

    fn requests(&self) -> MutexGuard<'_, VecDeque<Request<R, A>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R, A> Request<R, A> {
    /// Runs the code. A call that has given up waiting does not hear of it.
    pub(super) fn serve(self, work: &mut impl FnMut(R) -> Result<A, LoadError>) {
        let Self {
            given,
            chain,
            answer,
        } = self;
        let brought = catch_unwind(AssertUnwindSafe(|| chain.within(|| work(given))));
        let _ = answer.send(brought);
    }
}

/// Code that runs once, as work.
pub(super) fn once<A, T: Into<A>>(
    code: impl FnOnce() -> Result<T, LoadError>,
) -> impl FnMut(()) -> Result<A, LoadError> {
    let mut code = Some(code);
    move |()| match code.take() {
        Some(code) => code().map(Into::into),
        // A call asks for it once.
        None => Err(LoadError::from(Gone)),
    }
}

#[derive(Debug)]
struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody can run the loader any more")
    }
}

impl core::error::Error for Gone {}

#[cfg(test)]
mod tests {
    use core::future::Future;
    use core::task::{Context, Waker};
    use std::pin::pin;

    use super::*;

    #[test]
    fn requests_are_served_in_their_order_and_only_while_somebody_waits() {
        let desk = Desk::<u32, u32>::new();
        let mut cx = Context::from_waker(Waker::noop());
        let mut first = pin!(desk.ask(1));
        let mut third = pin!(desk.ask(3));
        {
            let mut second = pin!(desk.ask(2));
            assert!(first.as_mut().poll(&mut cx).is_pending());
            assert!(second.as_mut().poll(&mut cx).is_pending());
        }
        assert!(third.as_mut().poll(&mut cx).is_pending());
        let mut served = std::vec::Vec::new();
        while let Some(request) = desk.take() {
            request.serve(&mut |given| {
                served.push(given);
                Ok(given * 10)
            });
        }
        assert_eq!(served, [1, 3]);
        let answers = [first, third].map(|mut asked| asked.as_mut().poll(&mut cx));
        let answers = answers.map(|answer| answer.map(|brought| brought.ok()));
        assert_eq!(
            answers,
            [10, 30].map(|brought| core::task::Poll::Ready(Some(brought)))
        );
    }
}
