//! What every [`Remote`] must do.

mod changes;
mod crowds;
mod extensions;
mod generations;
mod inserts;
mod inspection;
mod jetcache_go;
mod marks;
mod native;
mod reads;
mod suite;

use core::time::Duration;

use jetcache_core::Remote;
use jetcache_core::ports::remote::Wire;

use crate::contract::remote::jetcache_go::{locks, unload};
use crate::contract::remote::suite::Suite;

/// Runs the suite over a store, in [`Wire::Native`]. It uses keys of its own, beginning with
/// `contract:`, some with braces, and leaves them behind for at most a minute. `sleep` sleeps for
/// at least so long, on your runtime.
///
/// # Panics
/// At the first rule that is broken.
pub async fn run<R: Remote>(remote: &R, sleep: impl AsyncFn(Duration)) {
    let suite = Suite::new(remote, Wire::Native, sleep);
    reads::run(&suite).await;
    changes::run(&suite).await;
    inserts::run(&suite).await;
    crowds::run(&suite).await;
    marks::run(&suite).await;
    native::run(&suite).await;
    extensions::run(&suite).await;
    generations::heads::run(&suite).await;
    inspection::run(&suite).await;
}

/// As [`run`], in [`Wire::JetcacheGo`], for stores that serve it.
///
/// # Panics
/// At the first rule that is broken.
pub async fn run_jetcache_go<R: Remote>(remote: &R, sleep: impl AsyncFn(Duration)) {
    let suite = Suite::new(remote, Wire::JetcacheGo, sleep);
    reads::run(&suite).await;
    changes::run(&suite).await;
    inserts::run(&suite).await;
    crowds::run(&suite).await;
    marks::run(&suite).await;
    jetcache_go::run(&suite).await;
    locks::run(&suite).await;
    unload::run(&suite).await;
    inspection::run(&suite).await;
}

/// Rules beyond those of [`run_jetcache_go`], for stores that know which values were loaded: then
/// [`Remote::unload`] takes nothing else.
///
/// # Panics
/// At the first rule that is broken.
pub async fn run_unload<R: Remote>(remote: &R, sleep: impl AsyncFn(Duration)) {
    let suite = Suite::new(remote, Wire::JetcacheGo, sleep);
    unload::run_alone(&suite).await;
}

/// The rules of [`Remote::raise`], [`Remote::news`] and [`Remote::ensure`], for stores that have a log of
/// generations: without one a store is an L2 of caches in the jetcache-go format alone. It leaves the logs
/// of two dozen namespaces behind, which begin with `contract:`.
///
/// # Panics
/// At the first rule that is broken.
pub async fn run_generations<R: Remote>(remote: &R) {
    let sleep = async |_| {};
    generations::run_log(&Suite::new(remote, Wire::Native, sleep)).await;
}
