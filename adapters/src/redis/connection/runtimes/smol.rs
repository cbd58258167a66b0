//! Connections on smol and async-std.

use std::time::Duration;

use crate::redis::connection::host::{Home, Host};

pub(super) const HOST: Host = Host {
    // smol's executor and reactor have threads of their own, and there is one of each.
    home: || Some(Home(0)),
    check: |_| Ok(()),
    has_time: || true,
    spawn: |task| smol::spawn(task).detach(),
    sleep: |span| {
        Box::pin(async move {
            smol::Timer::after(span).await;
        })
    },
    breathe: || Box::pin(breathe()),
};

/// The reactor looks at its sockets before it wakes a timer, and the executor runs its tasks
/// roughly in the order in which they were woken.
async fn breathe() {
    // Long enough not to be over at the first poll, which would pass the reactor by.
    smol::Timer::after(Duration::from_micros(50)).await;
    smol::spawn(async {}).await;
}
