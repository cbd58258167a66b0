//! What a cache does when it hears that others have changed its keys (PROTOCOL.md, H1, H3, G2).

use core::time::Duration;
use std::sync::{Arc, Weak};

use event_listener::EventListener;
use futures_util::future::{Either, select};
use portable_atomic::Ordering;

use crate::driver::bus::members::Hears;
use crate::driver::change::repair::{ensure_repairs, repair};
use crate::driver::generations::believe::{learnt, look_now};
use crate::driver::link::Link;
use crate::driver::link::gate::Bar;
use crate::driver::shared::Shared;
use crate::driver::shared::sweep::{forget_all, sweep};
use crate::driver::world::bounds::{CacheKey, CacheValue};
use crate::driver::world::caught::caught;
use crate::driver::world::erased::Boxed;
use crate::machine::event::Event;
use crate::machine::generations::heard::Aftermath;
use crate::machine::generations::scope::{RaiseEvent, bucket};
use crate::machine::shard::repairs::Heard;
use crate::machine::time::Timestamp;
use crate::ports::bus::{BusState, Message};

impl<K: CacheKey, V: CacheValue> Hears for Shared<K, V> {
    fn hear(self: Arc<Self>, keys: &[&str], what: Heard) {
        let Some(link) = &self.link else {
            return;
        };
        let mut heard = 0;
        for text in keys.iter().filter(|text| !link.texts.is_no_entry(text)) {
            // A key's own `parse`, `Hash` or `Eq` may panic, and so may what L1 calls back.
            let hearing = caught(|| {
                let key = Arc::new(link.texts.parse(text)?);
                let shard = self.tables.shard_of(self.tables.hash(&*key));
                let left = self.ask(shard, |table, context, effects| {
                    table.heard(Arc::clone(&key), bucket(text), what, context, effects)
                });
                sweep(&self, shard, &key, left);
                Some(())
            });
            match hearing {
                Ok(Some(())) => heard += 1,
                Ok(None) | Err(_) => self.journal.note(&Event::Garbled),
            }
        }
        match (heard, what) {
            (0, _) => {}
            (_, Heard::Unclear) => self.journal.note(&Event::Garbled),
            (keys, _) => self.journal.note(&Event::Heard { keys }),
        }
        ensure_repairs(&self);
    }

    fn hear_raises(self: Arc<Self>, raises: &[&Message], source: &str) {
        let Some(link) = self.link.as_ref().filter(|link| link.log.is_some()) else {
            return;
        };
        let prefix = &*link.texts.prefix;
        let now = self.runtime.now();
        self.take_up_primary();
        let mut news = Aftermath::default();
        for raise in raises {
            let texts = raise.keys.iter();
            let members = texts.filter_map(|text| text.strip_prefix(prefix));
            let Some(event) = RaiseEvent::parse(members) else {
                self.journal.note(&Event::Garbled);
                continue;
            };
            let own = *raise.source == *source;
            news.add((self.generations).ask(|known| known.hear(&event, own, now)));
        }
        // What L1 calls back may panic.
        if caught(|| learnt(&self, &news)).is_err() {
            self.journal.note_panic_of_local();
        }
        if self.generations.look().lacks() {
            self.repairs.needed.store(true, Ordering::SeqCst);
        }
        ensure_repairs(&self);
    }

    fn hear_of_log(self: Arc<Self>, keys: &[String]) {
        let log = self.link.as_ref().and_then(|link| link.log.as_ref());
        if log.is_some_and(|log| keys.iter().any(|key| **key == *log.top)) {
            look_now(&self, |shared| shared.hear_of_everything());
        }
    }

    fn hear_of_everything(self: Arc<Self>) {
        self.generations
            .ask(|generations| generations.on_everything());
        if caught(|| forget_all(&self)).is_err() {
            self.journal.note_panic_of_local();
        }
        // The server of both may be another one by now.
        self.take_up_primary();
        if self.link.as_ref().is_some_and(Link::is_told_by_primary) {
            for shard in 0..self.tables.len() {
                self.ask(shard, |table, _, _| table.healed());
            }
            self.generations.ask(|generations| generations.healed());
        }
        ensure_repairs(&self);
    }

    fn room(&self) -> usize {
        self.rules.now().policy.removals_heard_at_once()
    }

    fn catch_up(self: Arc<Self>) -> Boxed<'static, ()> {
        Box::pin(async move {
            while self
                .rules
                .now()
                .policy
                .is_crowded(self.tables.unconfirmed())
                && repair(&self, Timestamp::MAX).await.contains(&true)
            {}
        })
    }

    fn go_blind(self: Arc<Self>, since: Timestamp) {
        // The rules are given back before a task is begun, which a runtime may run at once.
        let cap = (self.rules.now().blind.as_ref()).map(|blind| blind.local_cap);
        let (Some(hub), Some(span)) = (&self.hub, cap) else {
            return;
        };
        // What L1 got while the bus was up does not outlast the cap either.
        let epoch = hub.epoch();
        if span == Duration::MAX {
            return;
        }
        let left = (since + span).since(self.runtime.now());
        let sleep = self.runtime.sleep(left);
        let cache = Arc::downgrade(&self);
        let life = Arc::clone(&self.life);
        // Without a runtime L1 keeps what it has until its TTL.
        let _ = self.spawn(async move {
            let stopped = life.stopped();
            if life.is_closed() {
                return;
            }
            let mut waiting = select(sleep, stopped);
            while let Some(stirs) = blind_still(&cache, epoch) {
                match select(waiting, stirs).await {
                    Either::Right(((), rest)) => waiting = rest,
                    Either::Left((Either::Right(_), _)) => return,
                    Either::Left((Either::Left(_), _)) => {
                        if let (Some(shared), Some(_)) =
                            (cache.upgrade(), blind_still(&cache, epoch))
                        {
                            shared.hear_of_everything();
                        }
                        return;
                    }
                }
            }
        });
    }

    fn bar(&self, server: u64) -> Option<Bar> {
        let gate = self.link.as_ref()?.gate.as_ref()?;
        gate.bar(server)
    }

    fn note(&self, event: &Event) {
        self.journal.note(event);
    }
}

/// Another primary has taken over. Where it is one of several, the subscription may stand at another
/// server, and nothing shows that words of the one that is gone are lost: L1 is emptied, as when a
/// subscription broke (PROTOCOL.md, H3). Not at once: whoever is here may be in the middle of a write
/// to L1.
pub(crate) fn forget_what_was_missed<K: CacheKey, V: CacheValue>(shared: &Arc<Shared<K, V>>) {
    let rides = |link: &Link<K, V>| link.hub.is_some() && link.is_many_servers();
    if shared.link.as_ref().is_some_and(rides) {
        let cache = Arc::clone(shared);
        // Without a runtime nobody listens either.
        let _ = shared.spawn(async move { cache.hear_of_everything() });
    }
}

/// Rings when the bus's state changes; `None` if the bus is not down or this epoch is over.
fn blind_still<K, V>(cache: &Weak<Shared<K, V>>, epoch: u64) -> Option<EventListener> {
    let shared = cache.upgrade()?;
    let hub = shared.hub.as_ref()?;
    // Before the look at the state, or a ring in between is lost.
    let stirs = hub.stirs();
    ((hub.epoch(), hub.state()) == (epoch, BusState::Down)).then_some(stirs)
}
