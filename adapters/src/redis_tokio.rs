//! Redis on tokio.

use tokio::runtime::Handle;

use crate::redis::host::Host;

pub(crate) const HOST: Host = Host {
    is_here: || Handle::try_current().is_ok(),
    spawn: |task| drop(tokio::spawn(task)),
    breathe: || Box::pin(breathe()),
};

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
