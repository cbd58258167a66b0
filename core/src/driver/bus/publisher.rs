//! Tells the other nodes through the bus what L2 does not tell by itself (PROTOCOL.md, C6).

use core::time::Duration;
use std::sync::Arc;

use futures_util::future::select;

use crate::driver::bus::barrier::Barrier;
use crate::driver::bus::hub::{BEAT, Hub, PATIENCE};
use crate::driver::task::chore::Shift;
use crate::driver::world::caught::caught_future;
use crate::driver::world::timeout::timeout;
use crate::machine::error::Fault;
use crate::machine::event::Event;
use crate::machine::policy::backoff::Backoff;
use crate::ports::bus::{Kind, Message};

/// One more change that the other nodes are to be told of.
pub(crate) fn tell(hub: &Arc<Hub>, cache: &str, kind: Kind, key: &str) {
    hub.outbox().add(cache, &hub.source, kind, key);
    ensure_publisher(hub);
}

/// A raise that the other nodes are to be told of, by these texts.
pub(crate) fn tell_raise(hub: &Arc<Hub>, cache: &str, texts: Vec<String>) {
    hub.outbox().add_raise(cache, &hub.source, texts);
    ensure_publisher(hub);
}

/// Starts the task that empties the outbox, if there is anything in it and none runs.
pub(crate) fn ensure_publisher(hub: &Arc<Hub>) {
    if hub.outbox().is_empty() {
        return;
    }
    hub.telling.ensure(hub.runtime.now(), |shift| {
        let publishing = empty_outbox(Arc::clone(hub), shift);
        let _ = hub.runtime.spawn(Box::pin(publishing));
    });
}

async fn empty_outbox(hub: Arc<Hub>, mut shift: Shift) {
    let mut failures = 0;
    let mut barrier = Barrier::default();
    loop {
        // Before the look at the breaker, or its closing in between is lost.
        let nudged = hub.nudged();
        if !hub.outbox().is_empty() && barrier.bars(&hub).is_some() {
            if !shift.goes_on(hub.runtime.now(), BEAT) {
                return;
            }
            select(hub.runtime.sleep(BEAT), nudged).await;
            continue;
        }
        let messages = hub.outbox().take(&hub.source);
        if messages.is_empty() {
            drop(shift);
            hub.told();
            // A change may have come since, and have found this task still there.
            ensure_publisher(&hub);
            return;
        }
        let mut unsaid = Unsaid(Some(&hub));
        let Err(fault) = publish(&hub, &messages).await else {
            unsaid.0 = None;
            hub.told();
            failures = 0;
            if !shift.goes_on(hub.runtime.now(), Duration::ZERO) {
                return;
            }
            continue;
        };
        drop(unsaid);
        hub.note(&Event::BusFault(fault));
        if hub.members.is_empty() {
            // The last cache is gone, and its messages with it. The others' L1 ends by itself.
            drop(hub.outbox().take(&hub.source));
            drop(shift);
            hub.told();
            return;
        }
        let pause = Backoff::BUS.pause(failures);
        failures = failures.saturating_add(1);
        if !shift.goes_on(hub.runtime.now(), pause) {
            return;
        }
        hub.runtime.sleep(pause).await;
    }
}

async fn publish(hub: &Hub, messages: &[Message]) -> Result<(), Fault> {
    let publishing = caught_future(async { hub.bus.publish(messages).await });
    match timeout(&*hub.runtime, PATIENCE, publishing).await {
        None => Err(Fault::Timeout),
        Some(Err(_)) => Err(Fault::Refused("the bus panicked".into())),
        Some(Ok(published)) => published,
    }
}

/// Messages being told. Dropped before they were, with the runtime perhaps, they become "anything".
struct Unsaid<'a>(Option<&'a Hub>);

impl Drop for Unsaid<'_> {
    fn drop(&mut self) {
        if let Some(hub) = self.0 {
            let mut outbox = hub.outbox();
            outbox.said();
            outbox.add_everything();
        }
    }
}
