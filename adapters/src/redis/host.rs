//! What the connections need of the runtime under them. redis-rs picks its runtime by looking
//! around; this looks in the same order, so that both pick the same one.

use jetcache_core::{Fault, Task};

/// A runtime that can run the connections' tasks.
#[derive(Debug)]
pub(crate) struct Host {
    /// Whether the caller stands inside it.
    pub(crate) is_here: fn() -> bool,
    /// Runs a task, if the caller stands inside.
    pub(crate) spawn: fn(Task),
    /// Completes after the runtime has looked at its sockets.
    pub(crate) breathe: fn() -> Task,
}

impl Host {
    /// The runtime that the caller stands in.
    pub(crate) fn here() -> Result<&'static Self, Fault> {
        crate::HOSTS
            .iter()
            .find(|host| (host.is_here)())
            .ok_or_else(|| {
                Fault::Unreachable(
                    "no runtime that this build of Redis knows is running here".into(),
                )
            })
    }
}
