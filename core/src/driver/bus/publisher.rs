//! Tells the other nodes through the bus, what L2 does not tell by itself (PROTOCOL.md, C6).

use core::panic::AssertUnwindSafe;
use core::time::Duration;
use std::sync::Arc;

use futures_util::FutureExt;

use crate::driver::bus::hub::Hub;
use crate::driver::task::pulse::Beat;
use crate::driver::world::timeout::timeout;
use crate::machine::error::Fault;
use crate::machine::event::Event;
use crate::machine::time::Timestamp;
use crate::ports::bus::Message;

/// Starts the task that empties the outbox, if there is anything in it and none runs.
pub(crate) fn ensure_telling(hub: &Arc<Hub>) {
    if hub.outbox().is_empty() {
        return;
    }
    let now = hub.runtime.now();
    if let Some(beat) = hub.telling.take(now, until(now, Duration::ZERO)) {
        // Without a runtime the next word tries again.
        let _ = hub.runtime.spawn(Box::pin(tell(Arc::clone(hub), beat)));
    }
}

/// Until when a task that sleeps for `nap` and then publishes may be silent.
fn until(now: Timestamp, nap: Duration) -> Timestamp {
    now + nap.saturating_add(PATIENCE).saturating_add(GRACE)
}

async fn tell(hub: Arc<Hub>, mut beat: Beat) {
    let mut pause = Duration::ZERO;
    loop {
        let messages = hub.outbox().take(&hub.source);
        if messages.is_empty() {
            drop(beat);
            hub.told();
            // A word may have come since, and have found this task still there.
            ensure_telling(&hub);
            return;
        }
        let mut unsaid = Unsaid(Some(&hub));
        let published = publish(&hub, &messages).await;
        let Err(fault) = published else {
            unsaid.0 = None;
            hub.told();
            pause = Duration::ZERO;
            if !beat.again(until(hub.runtime.now(), pause)) {
                return;
            }
            continue;
        };
        drop(unsaid);
        hub.note(&Event::BusFault(fault));
        if !hub.has_members() {
            // Nobody is left in whose name to go on. The others' L1 ends by itself.
            drop(hub.outbox().take(&hub.source));
            drop(beat);
            hub.told();
            return;
        }
        pause = longer(pause);
        if !beat.again(until(hub.runtime.now(), pause)) {
            return;
        }
        hub.runtime.sleep(pause).await;
    }
}

async fn publish(hub: &Hub, messages: &[Message]) -> Result<(), Fault> {
    let publishing = AssertUnwindSafe(async { hub.bus.publish(messages).await }).catch_unwind();
    match timeout(&*hub.runtime, PATIENCE, publishing).await {
        None => Err(Fault::Timeout),
        Some(Err(_)) => Err(Fault::Refused("the bus panicked".into())),
        Some(Ok(published)) => published,
    }
}

/// What is being told. Dropped before it was, with its runtime perhaps, it is told as "anything".
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

/// The pause after one more failure: 50 ms, then twice as long each time, at most 5 s.
pub(crate) fn longer(pause: Duration) -> Duration {
    pause.saturating_mul(2).clamp(FIRST_PAUSE, LONGEST_PAUSE)
}

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long an attempt to publish, or to subscribe, may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// How long a task may be silent beyond what it waits for.
pub(crate) const GRACE: Duration = Duration::from_secs(1);
