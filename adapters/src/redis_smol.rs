//! Redis on smol and async-std.

use crate::redis::host::Host;

pub(crate) const HOST: Host = Host {
    // smol's executor and reactor have threads of their own.
    is_here: || true,
    spawn: |task| smol::spawn(task).detach(),
    breathe: || Box::pin(smol::future::yield_now()),
};
