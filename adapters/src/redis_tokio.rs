//! Redis on tokio.

use tokio::runtime::Handle;

use crate::redis::host::Host;

pub(crate) const HOST: Host = Host {
    is_here: || Handle::try_current().is_ok(),
    spawn: |task| drop(tokio::spawn(task)),
    // tokio wakes who yields only after it has polled its sockets.
    breathe: || Box::pin(tokio::task::yield_now()),
};
