//! Listens to the bus, for all caches of a node: subscribes, hears, and subscribes again when the
//! subscription breaks (PROTOCOL.md, H1 to H3).

use core::panic::AssertUnwindSafe;
use core::pin::pin;
use core::time::Duration;
use std::sync::{Arc, Weak};

use futures_util::FutureExt;
use futures_util::future::{Either, select};

use super::erased::AnySubscription;
use super::hub::{BusState, Hub};
use super::pulse::Beat;
use super::telling::{GRACE, PATIENCE, longer};
use super::timeout::timeout;
use crate::machine::error::Fault;
use crate::machine::event::Event;
use crate::machine::time::Timestamp;
use crate::ports::bus::{Kind, Message, News};

/// Starts the task that listens, if there is a cache to listen for and none runs. Every call that
/// goes further than L1 calls this first, so that a task which died with its runtime, or stands
/// still with it, is replaced.
pub(super) fn ensure_listening(hub: &Arc<Hub>) {
    let now = hub.runtime.now();
    if let Some(beat) = hub.listening.take(now, until(now, Duration::ZERO)) {
        let listener = Listener {
            hub: Arc::downgrade(hub),
            beat,
        };
        // Without a runtime the next call tries again.
        let _ = hub.runtime.spawn(Box::pin(listener.listen()));
    }
}

/// Until when a task that waits for `nap` and then does something may be silent.
fn until(now: Timestamp, nap: Duration) -> Timestamp {
    now + nap.saturating_add(PATIENCE).saturating_add(GRACE)
}

/// The task. It keeps nothing alive: when the last cache is gone it ends.
struct Listener {
    hub: Weak<Hub>,
    beat: Beat,
}

/// Why a subscription is over.
enum End {
    /// It broke.
    Cut(Fault),
    /// A cache came or went.
    Stirred,
    /// This task is not needed any more.
    Over,
}

impl Listener {
    async fn listen(mut self) {
        let mut pause = Duration::ZERO;
        while let Some((hub, _)) = self.at_work(Duration::ZERO) {
            let membership = hub.membership();
            let subscribed = subscribe(&hub).await;
            let began = hub.runtime.now();
            let end = match subscribed {
                Ok(subscription) => {
                    hub.advance_epoch();
                    hub.set_state(BusState::Up);
                    drop(hub);
                    self.hear(subscription, membership).await
                }
                Err(fault) => {
                    drop(hub);
                    End::Cut(fault)
                }
            };
            let Some(hub) = self.hub.upgrade() else {
                return;
            };
            let fault = match end {
                End::Over => return,
                End::Stirred => continue,
                End::Cut(fault) => fault,
            };
            self.cut(&hub, fault);
            // One that stood for a while is made again at once.
            let stood = hub.runtime.now().since(began) >= STOOD;
            pause = if stood { Duration::ZERO } else { longer(pause) };
            if !self.pause(hub, pause).await {
                return;
            }
        }
    }

    fn cut(&self, hub: &Hub, fault: Fault) {
        let news = hub.state() != BusState::Down;
        hub.set_state(BusState::Down);
        hub.note(&Event::BusFault(fault));
        if news {
            let now = hub.runtime.now();
            for (_, ears) in hub.ears() {
                ears.is_deaf(now);
            }
        }
    }

    /// Whether to go on afterwards.
    async fn pause(&mut self, hub: Arc<Hub>, pause: Duration) -> bool {
        let stirs = hub.stirs();
        let again = self.at_work(pause).is_some();
        let sleep = hub.runtime.sleep(pause);
        drop(hub);
        if again && !pause.is_zero() {
            select(sleep, stirs).await;
        }
        again
    }

    /// The hub, if this task is to go on; it may be silent for `nap` then. And when it said so.
    fn at_work(&mut self, nap: Duration) -> Option<(Arc<Hub>, Timestamp)> {
        let hub = self.hub.upgrade().filter(|hub| hub.has_members())?;
        let now = hub.runtime.now();
        self.beat.again(until(now, nap)).then_some((hub, now))
    }

    async fn hear(&mut self, mut subscription: Box<dyn AnySubscription>, membership: u64) -> End {
        loop {
            let Some((hub, _)) = self.at_work(BEAT) else {
                return End::Over;
            };
            let stirs = hub.stirs();
            if hub.membership() != membership && hub.subscribes_to_keys() {
                return End::Stirred;
            }
            let tick = hub.runtime.sleep(BEAT);
            drop(hub);
            let next = AssertUnwindSafe(subscription.next()).catch_unwind();
            let news = match select(next, select(stirs, tick)).await {
                Either::Left((news, _)) => news,
                Either::Right(_) => continue,
            };
            let Some(hub) = self.hub.upgrade() else {
                return End::Over;
            };
            match news {
                Ok(Ok(news)) => take_in(&hub, news),
                Ok(Err(fault)) => return End::Cut(fault),
                Err(_) => return End::Cut(Fault::Refused("the bus panicked".into())),
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // With its runtime, or because nobody is left to listen for; or because another one listens
        // in its place.
        if let Some(hub) = self.hub.upgrade()
            && self.beat.again(until(hub.runtime.now(), Duration::ZERO))
            && hub.state() == BusState::Up
        {
            hub.set_state(BusState::Down);
        }
    }
}

async fn subscribe(hub: &Hub) -> Result<Box<dyn AnySubscription>, Fault> {
    let prefixes = hub.prefixes();
    let subscribing = async { hub.bus.subscribe(&prefixes).await };
    let subscribing = pin!(AssertUnwindSafe(subscribing).catch_unwind());
    match timeout(&*hub.runtime, PATIENCE, subscribing).await {
        None => Err(Fault::Timeout),
        Some(Err(_)) => Err(Fault::Refused("the bus panicked".into())),
        Some(Ok(subscribed)) => subscribed,
    }
}

fn take_in(hub: &Hub, news: News) {
    match news {
        News::Message(Message { source, .. }) if *source == *hub.source => {}
        News::Message(Message {
            kind: Kind::Everything,
            ..
        })
        | News::Everything => hub.advance_epoch(),
        News::Message(Message { kind, keys, .. }) => hand_out(hub, &keys, kind == Kind::Delete),
        News::Changed(keys) => hand_out(hub, &keys, false),
        News::Unreadable => hub.note(&Event::Garbled),
    }
}

/// Each cache hears of its own keys.
fn hand_out(hub: &Hub, keys: &[String], removed: bool) {
    for (prefix, ears) in hub.ears() {
        let own: Vec<&str> = keys
            .iter()
            .map(String::as_str)
            .filter(|key| key.starts_with(&prefix))
            .collect();
        if !own.is_empty() {
            ears.hear(&own, removed);
        }
    }
}

/// How often a task that only waits says that it lives.
const BEAT: Duration = Duration::from_secs(1);
/// How long a subscription must have stood for the next one to be made at once.
const STOOD: Duration = Duration::from_secs(1);
