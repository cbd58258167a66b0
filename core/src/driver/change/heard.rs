//! What a cache does when it hears that others have changed its keys (PROTOCOL.md, H1, H3, G2).

use core::hash::Hash;
use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::{Arc, Weak};

use event_listener::EventListener;
use futures_util::future::{Either, select};
use portable_atomic::Ordering;

use crate::driver::bus::hub::{BusState, Hears};
use crate::driver::change::repair::{ensure_repairs, repair};
use crate::driver::shared::Shared;
use crate::driver::world::erased::Boxed;
use crate::machine::event::Event;
use crate::machine::tier::wire::Wire;
use crate::machine::time::Timestamp;

impl<K, V> Hears for Shared<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn hear(self: Arc<Self>, keys: &[&str], removed: bool) {
        let Some(link) = &self.link else {
            return;
        };
        // Whoever says so may know nothing of leases: what was loaded before must not be filled in.
        let removed = removed && link.format.wire == Wire::JetcacheGo;
        let mut heard = 0;
        for text in keys {
            if link.is_no_entry(text) {
                continue;
            }
            let hearing = AssertUnwindSafe(|| {
                let key = link.parse(text)?;
                self.forget(&Arc::new(key), removed);
                Some(())
            });
            // A key's own `parse`, `Hash` or `Eq` may panic; what is called back by L1, too.
            match catch_unwind(hearing) {
                Ok(Some(())) => heard += 1,
                Ok(None) | Err(_) => self.tell(&Event::Garbled),
            }
        }
        if heard > 0 {
            self.tell(&Event::Heard { keys: heard });
        }
        if removed {
            ensure_repairs(&self);
        }
    }

    fn hear_of_everything(self: Arc<Self>) {
        if catch_unwind(AssertUnwindSafe(|| self.forget_all())).is_err() {
            tracing::error!(target: "jetcache", "L1 of {} panicked", self.name);
        }
    }

    fn room(&self) -> usize {
        // All of them may be of one shard.
        (self.policy.unconfirmed / 2).max(1)
    }

    fn catch_up(self: Arc<Self>) -> Boxed<'static, ()> {
        Box::pin(async move {
            // Removals of this cache's own changes have the other half of the room.
            while self.is_crowded() && repair(&self, Timestamp::MAX).await.acknowledged > 0 {}
        })
    }

    fn is_deaf(self: Arc<Self>, since: Timestamp) {
        let (Some(hub), Some(blind)) = (&self.hub, &self.blind_policy) else {
            return;
        };
        // What L1 got while the bus was up does not outlast the cap either.
        let (epoch, span) = (hub.epoch(), blind.local_cap);
        let left = (since + span).since(self.runtime.now());
        let sleep = self.runtime.sleep(left);
        let cache = Arc::downgrade(&self);
        let life = Arc::clone(&self.life);
        let _ = self.spawn(async move {
            let stop = life.stop.listen();
            if life.closed.load(Ordering::SeqCst) {
                return;
            }
            let mut waiting = select(sleep, stop);
            while let Some(stirs) = deaf_still(&cache, epoch) {
                match select(waiting, stirs).await {
                    Either::Right(((), rest)) => waiting = rest,
                    Either::Left((Either::Right(_), _)) => return,
                    Either::Left((Either::Left(_), _)) => {
                        if let (Some(shared), Some(_)) =
                            (cache.upgrade(), deaf_still(&cache, epoch))
                        {
                            shared.hear_of_everything();
                        }
                        return;
                    }
                }
            }
        });
    }

    fn note(&self, event: &Event) {
        self.tell(event);
    }
}

/// What rings when the bus is otherwise, if nothing was heard since this epoch began.
fn deaf_still<K, V>(cache: &Weak<Shared<K, V>>, epoch: u64) -> Option<EventListener> {
    let shared = cache.upgrade()?;
    let hub = shared.hub.as_ref()?;
    let stirs = hub.stirs();
    ((hub.epoch(), hub.state()) == (epoch, BusState::Down)).then_some(stirs)
}

impl<K, V> Shared<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Whether half of the room for unconfirmed keys is taken, in some shard.
    fn is_crowded(&self) -> bool {
        let room = self.policy.unconfirmed;
        let mut shards = self.shards.iter();
        shards.any(|shard| shard.lock().unconfirmed() * 2 > room)
    }

    /// Whatever is under way on the key is superseded, and L1 loses it. `removed`: a removal of this
    /// node's own follows.
    pub(crate) fn forget(&self, key: &Arc<K>, removed: bool) {
        let shard = self.shard(key);
        let pending = self.ask(shard, |table, context, effects| {
            if removed {
                table.removed_elsewhere(Arc::clone(key), context, effects)
            } else {
                table.supersede(key, effects)
            }
        });
        self.wait_written(shard, &pending);
        if let Some(local) = &self.local {
            local.remove(&&**key);
        }
        self.ask(shard, |table, _, _| table.swept(key));
    }

    /// Whatever is under way on any key is superseded, and L1 loses everything.
    pub(crate) fn forget_all(&self) {
        let shards = 0..self.shards.len();
        let pending: Vec<_> = shards
            .map(|shard| self.ask(shard, |table, _, effects| table.supersede_all(effects)))
            .collect();
        for (shard, pending) in pending.iter().enumerate() {
            self.wait_written(shard, pending);
        }
        if let Some(local) = &self.local {
            local.clear();
        }
        for shard in 0..self.shards.len() {
            self.ask(shard, |table, _, _| table.swept_all());
        }
    }
}
