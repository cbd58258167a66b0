//! The tokio runtime that a thread is in, as the thread itself has noted it: calls look at it without
//! looking at anything that other threads write.

use core::cell::Cell;
use core::hash::{BuildHasher, BuildHasherDefault};
use core::time::Duration;
use std::collections::hash_map::DefaultHasher;
use std::panic::catch_unwind;

use tokio::runtime::{Handle, Id};

/// A runtime.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Here {
    id: Id,
    /// Tells it from others, and from none, which is zero.
    pub(crate) mark: usize,
    /// Whether it has its time driver.
    pub(crate) has_timers: bool,
}

thread_local! {
    static NOTED: Cell<Option<Here>> = const { Cell::new(None) };
}

impl Here {
    /// The runtime of this handle, in which this thread is.
    pub(crate) fn of(handle: &Handle) -> Self {
        let id = handle.id();
        if let Some(here) = NOTED.get().filter(|here| here.id == id) {
            return here;
        }
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let here = Self {
            id,
            mark: hasher.hash_one(id) as usize | 1,
            has_timers: has_timers(),
        };
        NOTED.set(Some(here));
        here
    }
}

/// Whether the runtime that this thread is in has its time driver. Tokio tells only by a panic, of
/// which the panic hook hears, as often as a thread comes into a runtime that has none.
fn has_timers() -> bool {
    catch_unwind(|| drop(tokio::time::sleep(Duration::ZERO))).is_ok()
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn a_thread_that_goes_from_one_runtime_to_another_and_back_knows_each() {
        let timed = Builder::new_current_thread().enable_time().build().unwrap();
        let bare = Builder::new_current_thread().build().unwrap();
        let here = || async { Here::of(&Handle::current()) };
        for _ in 0..2 {
            let (first, second) = (timed.block_on(here()), bare.block_on(here()));
            assert!(first.has_timers && !second.has_timers);
            assert!(first.mark != second.mark && first.mark != 0 && second.mark != 0);
        }
    }
}
