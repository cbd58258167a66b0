//! Redis on tokio.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use tokio::runtime::Handle;

use crate::redis::connection::host::{Home, Host};

pub(super) const HOST: Host = Host {
    home,
    spawn: |task| drop(tokio::spawn(task)),
    sleep: |span| Box::pin(tokio::time::sleep(span)),
    breathe: || Box::pin(breathe()),
};

/// A runtime's id tells its number only as text; its hash is as good.
fn home() -> Option<Home> {
    let id = Handle::try_current().ok()?.id();
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    Some(Home(hasher.hash_one(id)))
}

/// tokio wakes a task that yields only after it has polled its sockets. What they woke may come
/// after this in the queue, hence the second turn. It is a task because the caller need not be one,
/// and yielding outside a task means nothing.
async fn breathe() {
    let turns = tokio::spawn(async {
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
    });
    // It fails only if the runtime ends.
    let _ = turns.await;
}
