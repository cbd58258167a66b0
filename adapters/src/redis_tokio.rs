//! Redis on tokio.

use tokio::runtime::Handle;

use crate::redis::host::Host;

pub(crate) const HOST: Host = Host {
    is_here: || Handle::try_current().is_ok(),
    spawn: |task| drop(tokio::spawn(task)),
    breathe: || Box::pin(breathe()),
};

/// tokio wakes who yields only after it has polled its sockets. What they woke may come after this
/// in the queue, hence the second turn.
async fn breathe() {
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
}
