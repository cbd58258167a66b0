//! Users' code that panics, runtimes that end or stand still, an L2 with moods: each case was once
//! a fault that was found by reading the driver.

pub(crate) mod edges;
pub(crate) mod endings;
pub(crate) mod moods;
pub(crate) mod panics;

use std::future::{Future, ready};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jetcache_core::{Builder, Cache, LoadError};

type Node = Cache<String, Arc<str>>;

fn builder() -> Builder<String, Arc<str>> {
    jetcache_tokio::builder("hostile").remote_timeout(ms(100))
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

fn in_tokio<T>(future: impl Future<Output = T>) -> T {
    runtime().block_on(future)
}

fn brings(text: &str) -> impl FnOnce() -> std::future::Ready<Result<Arc<str>, LoadError>> + use<> {
    let text = Arc::from(text);
    move || ready(Ok(text))
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(ms(5)).await;
    }
}

/// Waits for a future, but not for ever: a case that hangs fails here.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    let soon = tokio::time::timeout(Duration::from_secs(10), future);
    soon.await.expect("an answer before long")
}
