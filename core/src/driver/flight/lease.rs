//! Leases that were asked for, and what becomes of their replies.

use core::hash::Hash;
use core::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use portable_atomic::Ordering;

use crate::driver::link::{Ask, Link, Outcomes, failed};
use crate::driver::shared::{Errand, Shared};
use crate::driver::world::erased::Boxed;
use crate::driver::world::timeout::timeout;
use crate::machine::error::Fault;
use crate::ports::remote::Leased;

/// Asks for leases, and waits `remote_timeout` for the reply: an outcome an ask.
pub(crate) async fn ask<K, V>(
    shared: &Arc<Shared<K, V>>,
    link: &Link<K, V>,
    asks: Vec<Ask>,
) -> Outcomes<Leased>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    let asks: Arc<[Ask]> = asks.into();
    let mut asked = Asked {
        shared: Arc::clone(shared),
        reply: Some(link.lease(Arc::clone(&asks))),
        asks,
    };
    asked.reply().await
}

/// Dropped before its reply, it leaves a task behind that listens for it, so that leases which
/// nobody wants any more are given back.
struct Asked<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    shared: Arc<Shared<K, V>>,
    asks: Arc<[Ask]>,
    reply: Option<Boxed<'static, Outcomes<Leased>>>,
}

impl<K, V> Asked<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    async fn reply(&mut self) -> Outcomes<Leased> {
        let span = self.shared.policy.remote_timeout;
        let late = failed(self.asks.len(), &Fault::Timeout);
        let Some(reply) = self.reply.as_mut() else {
            return late;
        };
        match select(reply, self.shared.runtime.sleep(span)).await {
            Either::Left((leased, _)) => {
                self.reply = None;
                leased
            }
            Either::Right(((), _)) => late,
        }
    }
}

impl<K, V> Drop for Asked<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
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
        // Without a runtime the leases end by themselves, as they do when the cache is closed or
        // gone.
        let _ = self.shared.spawn(async move {
            let _errand = errand;
            let stop = life.stop.listen();
            if life.closed.load(Ordering::SeqCst) {
                return;
            }
            let late = pin!(timeout(&*runtime, stands, reply));
            let Either::Left((Some(leased), _)) = select(late, pin!(stop)).await else {
                return;
            };
            let Some(shared) = cache.upgrade() else {
                return;
            };
            for (ask, leased) in asks.iter().zip(leased) {
                if matches!(leased, Ok(Leased { granted: true, .. }))
                    && shared.ask(ask.shard, |table, context, _| {
                        table.late_lease(ask.token, context)
                    })
                {
                    shared.release(Arc::clone(&ask.key), ask.token);
                }
            }
        });
    }
}
