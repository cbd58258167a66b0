//! Where a call that runs asynchronously asks its thread to run the user's code.

use core::any::Any;
use core::fmt;
use std::boxed::Box;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, PoisonError};

use futures_channel::oneshot::{Sender, channel};

use crate::driver::flight::chain::Chain;
use crate::ports::loader::LoadError;

/// One request at a time: `R` is what the code is given, `A` what it brings.
pub(super) struct Desk<R, A>(Mutex<Option<Request<R, A>>>);

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
        Self(Mutex::new(None))
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
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(request);
        match brought.await {
            Ok(Ok(brought)) => brought,
            Ok(Err(panic)) => resume_unwind(panic),
            // The thread answers each request that it takes.
            Err(_) => Err(LoadError::from(Gone)),
        }
    }

    /// What is to be done now.
    pub(super) fn take(&self) -> Option<Request<R, A>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
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
