//! Leases that are granted after the call was over: nobody wants them any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::{Either, select};
use jetcache_core::ports::remote::{Hold, LeaseAsk, Leased};
use jetcache_core::{Remote, Token};

use crate::redis_cluster::RedisCluster;
use crate::redis_cluster::scatter::{Call, Outcomes};

/// A [`LeaseAsk`] that may outlive its call.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) key: String,
    token: Token,
    life: Duration,
}

/// Counts some leases as listened for, for as long as this lives.
struct Listening {
    all: Arc<AtomicUsize>,
    these: usize,
}

impl Asked {
    pub(super) fn new(ask: &LeaseAsk<'_>) -> Self {
        Self {
            key: ask.key.to_owned(),
            token: ask.token,
            life: ask.life,
        }
    }

    pub(super) fn ask(&self) -> LeaseAsk<'_> {
        LeaseAsk {
            key: &self.key,
            token: self.token,
            life: self.life,
        }
    }
}

impl RedisCluster {
    /// Listens for the answers that are missing, for as long as a lease may stand, and gives back
    /// what they grant.
    pub(super) fn give_back(
        &self,
        mut call: Call<'static, Leased>,
        asks: Vec<Asked>,
        outcomes: &Outcomes<Leased>,
    ) {
        let missing = outcomes.iter().filter(|outcome| outcome.is_err()).count();
        let Some(listening) = Listening::begin(&self.late, missing) else {
            return;
        };
        let cluster = self.clone();
        let host = call.host;
        let stands = asks.iter().map(|ask| ask.life).max().unwrap_or_default();
        (host.spawn)(Box::pin(async move {
            let _listening = listening;
            let mut end = (host.sleep)(stands);
            while let Either::Left((Some((places, leased)), _)) =
                select(Box::pin(call.late()), &mut end).await
            {
                let granted = places
                    .iter()
                    .zip(leased)
                    .filter(|(_, leased)| leased.as_ref().is_ok_and(Leased::is_granted));
                let holds: Vec<_> = granted
                    .map(|(&place, _)| Hold::of(&asks[place].key, asks[place].token))
                    .collect();
                // If that fails, the lease ends by itself.
                let _ = cluster.release(&holds).await;
            }
        }));
    }
}

impl Listening {
    fn begin(all: &Arc<AtomicUsize>, these: usize) -> Option<Self> {
        let before = all.fetch_add(these, Ordering::Relaxed);
        let listening = Self {
            all: Arc::clone(all),
            these,
        };
        (before + these <= MOST).then_some(listening)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.all.fetch_sub(self.these, Ordering::Relaxed);
    }
}

/// How many leases are listened for at once. Those beyond that end by themselves.
const MOST: usize = 1024;
