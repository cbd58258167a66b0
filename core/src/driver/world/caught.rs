//! Runs user code that may panic: loaders, codecs, engines, adapters, a key's `Hash`, a `Clone`.

use core::any::Any;
use core::future::Future;
use core::panic::AssertUnwindSafe;
use std::panic::{catch_unwind, resume_unwind};

use futures_util::{FutureExt, TryFutureExt};

use crate::machine::error::Error;

/// What user code panicked with. As an error it is [`Error::Panicked`].
pub(crate) struct Panic(Box<dyn Any + Send>);

/// Runs user code. It counts as unwind safe, since the owner ends what a panic interrupts: a seat
/// fails its flight, a change is abandoned.
pub(crate) fn caught<T>(code: impl FnOnce() -> T) -> Result<T, Panic> {
    catch_unwind(AssertUnwindSafe(code)).map_err(Panic)
}

/// [`caught`] for a future.
pub(crate) fn caught_future<T>(
    code: impl Future<Output = T>,
) -> impl Future<Output = Result<T, Panic>> {
    // An `async fn` would make room for it twice.
    AssertUnwindSafe(code).catch_unwind().map_err(Panic)
}

impl Panic {
    /// Goes on panicking, in the caller who ran the code.
    pub(crate) fn resume(self) -> ! {
        resume_unwind(self.0)
    }

    /// What it says.
    pub(crate) fn message(&self) -> &str {
        let text = self.0.downcast_ref::<&str>().copied();
        let text = text.or_else(|| self.0.downcast_ref::<String>().map(String::as_str));
        text.unwrap_or("no message")
    }
}

impl From<Panic> for Error {
    fn from(panic: Panic) -> Self {
        Self::Panicked(panic.message().into())
    }
}
