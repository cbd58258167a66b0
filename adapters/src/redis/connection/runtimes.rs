//! The runtimes that this build knows, and which of them the caller stands in.
//!
//! redis-rs picks its runtime by looking around: tokio if the caller stands in it, else smol. This
//! looks in the same order, so that both pick the same one.

#[cfg(feature = "redis-smol")]
mod smol;
#[cfg(feature = "redis-tokio")]
mod tokio;

use jetcache_core::Fault;

use crate::redis::connection::host::{Home, Host};

/// The runtime that the caller stands in.
pub(crate) fn here() -> Result<(&'static Host, Home), Fault> {
    let (host, home) = home().ok_or_else(|| {
        Fault::Unreachable("no runtime that this build of Redis knows runs here".into())
    })?;
    (host.check)(home).map_err(|why| Fault::Unreachable(why.into()))?;
    Ok((host, home))
}

/// The same, be it one that can have connections or not.
pub(crate) fn home() -> Option<(&'static Host, Home)> {
    HOSTS.iter().find_map(|host| Some((host, (host.home)()?)))
}

const HOSTS: &[Host] = &[
    #[cfg(feature = "redis-tokio")]
    tokio::HOST,
    #[cfg(feature = "redis-smol")]
    smol::HOST,
];
