//! User code that may panic: loaders, codecs, engines, a key's `Hash`, a value's `Clone`, adapters.

use core::any::Any;
use core::future::Future;
use core::panic::AssertUnwindSafe;
use std::panic::{catch_unwind, resume_unwind};

use futures_util::FutureExt;

use crate::machine::error::Error;

/// What user code panicked with. As an error it is [`Error::Panicked`].
pub(crate) struct Panic(Box<dyn Any + Send>);

/// Runs user code. What of ours a panic interrupts is ended by its owner, a seat fails its flight and
/// a change is abandoned, which is why it counts as unwind safe.
pub(crate) fn caught<T>(code: impl FnOnce() -> T) -> Result<T, Panic> {
    catch_unwind(AssertUnwindSafe(code)).map_err(Panic)
}

/// [`caught`] for a future.
pub(crate) async fn caught_future<T>(code: impl Future<Output = T>) -> Result<T, Panic> {
    AssertUnwindSafe(code).catch_unwind().await.map_err(Panic)
}

impl Panic {
    /// Goes on panicking, in the caller who ran the code.
    pub(crate) fn resume(self) -> ! {
        resume_unwind(self.0)
    }
}

impl From<Panic> for Error {
    fn from(Panic(panic): Panic) -> Self {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Self::Panicked(text.unwrap_or("no message").into())
    }
}
