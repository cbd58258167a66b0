//! Connections on tokio.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use tokio::runtime::Handle;

use crate::redis::connection::host::{Home, Host};

pub(super) const HOST: Host = Host {
    home,
    spawn: |task| drop(tokio::spawn(task)),
    sleep: |span| Box::pin(tokio::time::sleep(span)),
    breathe: || Box::pin(breathe()),
};

/// A runtime's id shows its number only as text, so its hash stands in for it.
fn home() -> Option<Home> {
    let id = Handle::try_current().ok()?.id();
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    Some(Home(hasher.hash_one(id)))
}

/// tokio resumes a task that yielded only after it has polled its sockets. The tasks that they woke
/// may be queued behind this one, hence the second turn. It is a task of its own because the caller
/// need not be one, and outside a task a yield means nothing.
async fn breathe() {
    let turns = tokio::spawn(async {
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
    });
    // It fails only if the runtime ends.
    let _ = turns.await;
}
