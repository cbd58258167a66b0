//! Keeps the bus from dialling its own server while the circuit breaker of that server is open: then
//! nothing is dialled but the breaker's probe.

use crate::driver::bus::hub::Hub;
use crate::machine::error::Fault;
use crate::machine::time::Timestamp;

/// Where a task stands that needs the bus's server.
#[derive(Debug, Default)]
pub(crate) struct Barrier {
    /// Since when it has waited.
    since: Option<Timestamp>,
}

impl Barrier {
    /// Why the server is not to be dialled now, if it is not. Asked again and again: where it has
    /// kept somebody waiting for long enough, it lets one attempt pass.
    pub(crate) fn bars(&mut self, hub: &Hub) -> Option<Fault> {
        let now = hub.runtime.now();
        let bar = hub.bar();
        let bar = bar.filter(|bar| {
            let since = *self.since.get_or_insert(now);
            now.since(since) < bar.for_at_most
        });
        if bar.is_none() {
            self.since = None;
        }
        bar.map(|bar| bar.why)
    }
}
