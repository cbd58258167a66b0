//! Leases that were asked for: what becomes of late replies, and how a lease is given back.

use core::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use tracing::Instrument;

use crate::driver::link::outcomes::{Outcomes, failed};
use crate::driver::link::{Ask, Link};
use crate::driver::shared::Shared;
use crate::driver::shared::life::Errand;
use crate::driver::world::bounds::{CacheKey, CacheValue};
use crate::driver::world::erased::Boxed;
use crate::driver::world::timeout::timeout;
use crate::machine::error::Fault;
use crate::machine::lookup::step::Release;
use crate::machine::tier::verb::{Granted, Verb};
use crate::ports::remote::{Hold, Leased};

/// Asks for leases, and waits `remote_timeout` for the reply: one outcome an ask.
pub(crate) async fn ask<K: CacheKey, V: CacheValue>(
    shared: &Arc<Shared<K, V>>,
    link: &Link<K, V>,
    asks: Vec<Ask>,
) -> Outcomes<Leased> {
    let asks: Arc<[Ask]> = asks.into();
    let trip = link.trip(Verb::Lease, asks.len());
    let mut asked = Asked {
        shared: Arc::clone(shared),
        reply: Some(link.lease(Arc::clone(&asks))),
        asks,
    };
    let leased = asked.reply(link).instrument(trip.span()).await;
    trip.note(&leased);
    leased
}

/// Gives a lease back, without waiting for the reply. Beyond a bound, or without a runtime, the
/// lease ends by itself.
pub(crate) fn release<K: CacheKey, V: CacheValue>(
    shared: &Arc<Shared<K, V>>,
    text: Arc<str>,
    lease: Release,
) {
    let Some(errand) = Errand::begin(&shared.life, |life| &life.releases) else {
        return;
    };
    let own = Arc::clone(shared);
    let _ = shared.spawn(async move {
        let _errand = errand;
        if let Some(link) = &own.link {
            let Release { token, failing } = lease;
            let hold = Hold {
                key: &text,
                token,
                failing,
            };
            link.release(&[hold]).await;
        }
    });
}

/// Leases asked for. Dropped before the reply, it leaves a task behind that listens for it and
/// gives back the leases that nobody wants any more.
struct Asked<K: CacheKey, V: CacheValue> {
    shared: Arc<Shared<K, V>>,
    asks: Arc<[Ask]>,
    reply: Option<Boxed<'static, Outcomes<Leased>>>,
}

impl<K: CacheKey, V: CacheValue> Asked<K, V> {
    async fn reply(&mut self, link: &Link<K, V>) -> Outcomes<Leased> {
        let sent = link.gate.as_ref().map(|gate| gate.now());
        let span = self.shared.rules.now().policy.remote_timeout;
        let late = failed(self.asks.len(), &Fault::Timeout);
        let Some(reply) = self.reply.as_mut() else {
            return late;
        };
        match select(reply, self.shared.runtime.sleep(span)).await {
            Either::Left((leased, _)) => {
                self.reply = None;
                leased
            }
            Either::Right(((), _)) => {
                if let Some(sent) = sent {
                    link.note_late(&self.asks, sent);
                }
                late
            }
        }
    }
}

impl<K: CacheKey, V: CacheValue> Drop for Asked<K, V> {
    fn drop(&mut self) {
        let Some(reply) = self.reply.take() else {
            return;
        };
        let Some(errand) = Errand::begin(&self.shared.life, |life| &life.late) else {
            return;
        };
        let cache = Arc::downgrade(&self.shared);
        let (life, runtime) = (
            Arc::clone(&self.shared.life),
            Arc::clone(&self.shared.runtime),
        );
        let asks = Arc::clone(&self.asks);
        let stands = asks.iter().map(|ask| ask.life).max().unwrap_or_default();
        // Without a runtime the leases end by themselves, as when the cache is closed or gone.
        let _ = self.shared.spawn(async move {
            let _errand = errand;
            let stopped = life.stopped();
            if life.is_closed() {
                return;
            }
            let late = pin!(timeout(&*runtime, stands, reply));
            let Either::Left((Some(leased), _)) = select(late, pin!(stopped)).await else {
                return;
            };
            let Some(shared) = cache.upgrade() else {
                return;
            };
            for (ask, leased) in asks.iter().zip(leased) {
                if matches!(leased, Ok(leased) if leased.granted == Granted::Yes)
                    && shared.ask(ask.shard, |table, context, _| {
                        table.late_lease(ask.token, context)
                    })
                {
                    release(&shared, Arc::clone(&ask.key), Release::of(ask.token));
                }
            }
        });
    }
}
