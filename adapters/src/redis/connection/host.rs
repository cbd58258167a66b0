//! What the connections need of the runtime under them. redis-rs picks its runtime by looking
//! around; this looks in the same order, so that both pick the same one.

use std::time::Duration;

use jetcache_core::{Fault, Task};

/// A kind of runtime that can run the connections' tasks.
#[derive(Debug)]
pub(crate) struct Host {
    /// Which runtime of this kind the caller stands in, if it stands in one.
    pub(crate) home: fn() -> Option<Home>,
    /// Runs a task, if the caller stands inside.
    pub(crate) spawn: fn(Task),
    /// Completes after so long, if the caller stands inside.
    #[allow(dead_code, reason = "one server alone needs no clock")]
    pub(crate) sleep: fn(Duration) -> Task,
    /// Completes after the runtime has looked at its sockets.
    pub(crate) breathe: fn() -> Task,
}

/// One runtime among all of this process, ended ones too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Home(pub(crate) u64);

impl Host {
    /// The runtime that the caller stands in.
    pub(crate) fn here() -> Result<(&'static Self, Home), Fault> {
        let mut hosts = crate::redis_host::HOSTS.iter();
        hosts
            .find_map(|host| Some((host, (host.home)()?)))
            .ok_or_else(|| {
                Fault::Unreachable("no runtime that this build of Redis knows runs here".into())
            })
    }
}
