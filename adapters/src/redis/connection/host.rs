//! What the connections need of the runtime under them.

use std::time::Duration;

use jetcache_core::Task;

/// A kind of runtime that can run the connections' tasks.
#[derive(Debug)]
pub(crate) struct Host {
    /// Which runtime of this kind the caller stands in, if it stands in one.
    pub(crate) home: fn() -> Option<Home>,
    /// Whether connections can be had on that runtime; asked by every call.
    pub(crate) check: fn(Home) -> Result<(), &'static str>,
    /// Whether the caller's task may go on for a while. If not, whatever it polls wakes it at once and has
    /// no answer, be it there or not.
    pub(crate) has_time: fn() -> bool,
    /// Runs a task, if the caller stands inside.
    pub(crate) spawn: fn(Task),
    /// Completes after so long, if the caller stands inside.
    pub(crate) sleep: fn(Duration) -> Task,
    /// Completes after the runtime has looked at its sockets, and so noticed those that were
    /// closed.
    pub(crate) breathe: fn() -> Task,
}

/// Tells one runtime from all others of this process, also from those that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Home(pub(crate) u64);
