//! An L2 in the process with moods: it misbehaves as a case wants it to.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use jetcache_adapters::Memory;
use jetcache_core::ports::remote::{
    Claim, Claimed, Ensure, Ensured, Fill, Filled, Found, Hold, LeaseAsk, Leased, Mark, NewsPage,
    Placed, Put, Raise, Raised, Settle, Wire,
};
use jetcache_core::{Fault, Remote};

use crate::behaviour::stage::expected_panic;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    #[default]
    Good,
    /// Reads are not answered.
    Silent,
    /// Leases are not answered.
    SilentLease,
    /// Leases are taken, and answered at the second poll.
    SlowLease,
    /// Leases are taken, and the connection breaks before the answer.
    LeaseBreaks,
    /// Fills are answered with an error.
    FillRefuses,
    /// Changes are refused.
    Broken,
    /// Removals are refused.
    RemovalsBreak,
    /// Puts are carried out, and then it panics.
    PutPanics,
    /// Puts are carried out, and one is not answered.
    PutMiscounts,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Moody {
    memory: Memory,
    mood: Arc<Mutex<Mood>>,
    claims: Arc<AtomicUsize>,
    leases: Arc<AtomicUsize>,
    nameless: Arc<AtomicUsize>,
}

impl Moody {
    pub(crate) fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub(crate) fn inner(&self) -> &Memory {
        &self.memory
    }

    /// How many claims it was asked for.
    pub(crate) fn claims(&self) -> usize {
        self.claims.load(Ordering::SeqCst)
    }

    /// How many leases it was asked for.
    pub(crate) fn leases(&self) -> usize {
        self.leases.load(Ordering::SeqCst)
    }

    /// How often it was asked to remove a key that is no text at all.
    pub(crate) fn nameless(&self) -> usize {
        self.nameless.load(Ordering::SeqCst)
    }

    fn is(&self, mood: Mood) -> bool {
        *self.mood.lock().unwrap() == mood
    }
}

fn faults<T>(count: usize) -> Vec<Result<T, Fault>> {
    (0..count)
        .map(|_| Err(Fault::Unreachable("it is in a bad mood".into())))
        .collect()
}

impl Remote for Moody {
    async fn read(&self, keys: &[&str], wire: Wire) -> Vec<Result<Option<Found>, Fault>> {
        if self.is(Mood::Silent) {
            return pending().await;
        }
        self.memory.read(keys, wire).await
    }

    async fn lease(&self, asks: &[LeaseAsk<'_>], wire: Wire) -> Vec<Result<Leased, Fault>> {
        self.leases.fetch_add(asks.len(), Ordering::SeqCst);
        if self.is(Mood::SilentLease) {
            return pending().await;
        }
        let leased = self.memory.lease(asks, wire).await;
        if self.is(Mood::SlowLease) {
            tokio::task::yield_now().await;
        }
        if self.is(Mood::LeaseBreaks) {
            return faults(asks.len());
        }
        leased
    }

    async fn fill(&self, fills: &[Fill<'_>], wire: Wire) -> Vec<Result<Filled, Fault>> {
        if self.is(Mood::FillRefuses) {
            return fills
                .iter()
                .map(|_| Err(Fault::Refused("too big".into())))
                .collect();
        }
        self.memory.fill(fills, wire).await
    }

    async fn renew(&self, asks: &[LeaseAsk<'_>]) -> Vec<Result<bool, Fault>> {
        self.memory.renew(asks).await
    }

    async fn release(&self, holds: &[Hold<'_>]) -> Vec<Result<(), Fault>> {
        self.memory.release(holds).await
    }

    async fn put(&self, puts: &[Put<'_>], wire: Wire) -> Vec<Result<Placed, Fault>> {
        if self.is(Mood::FillRefuses) {
            return puts
                .iter()
                .map(|_| Err(Fault::Refused("too big".into())))
                .collect();
        }
        let mut placed = self.memory.put(puts, wire).await;
        if self.is(Mood::PutPanics) {
            expected_panic("an adapter's");
        }
        if self.is(Mood::PutMiscounts) {
            placed.pop();
        }
        placed
    }

    async fn claim(&self, claims: &[Claim<'_>], wire: Wire) -> Vec<Result<Claimed, Fault>> {
        self.claims.fetch_add(claims.len(), Ordering::SeqCst);
        if self.is(Mood::Broken) {
            return faults(claims.len());
        }
        self.memory.claim(claims, wire).await
    }

    async fn settle(&self, settles: &[Settle<'_>], wire: Wire) -> Vec<Result<Filled, Fault>> {
        self.memory.settle(settles, wire).await
    }

    async fn remove(&self, keys: &[&str]) -> Vec<Result<(), Fault>> {
        let nameless = keys.iter().filter(|key| key.is_empty()).count();
        self.nameless.fetch_add(nameless, Ordering::SeqCst);
        if self.is(Mood::Broken) || self.is(Mood::RemovalsBreak) {
            return faults(keys.len());
        }
        self.memory.remove(keys).await
    }

    async fn unload(&self, keys: &[&str]) -> Vec<Result<(), Fault>> {
        if self.is(Mood::Broken) || self.is(Mood::RemovalsBreak) {
            return faults(keys.len());
        }
        self.memory.unload(keys).await
    }

    async fn raise(&self, raise: &Raise<'_>) -> Result<Raised, Fault> {
        if self.is(Mood::Broken) || self.is(Mood::RemovalsBreak) {
            return faults(1).remove(0);
        }
        self.memory.raise(raise).await
    }

    async fn news(&self, namespace: &str, since: Mark) -> Result<NewsPage, Fault> {
        if self.is(Mood::Silent) {
            return pending().await;
        }
        self.memory.news(namespace, since).await
    }

    async fn ensure(&self, ensure: &Ensure<'_>) -> Result<Ensured, Fault> {
        if self.is(Mood::Broken) || self.is(Mood::RemovalsBreak) {
            return faults(1).remove(0);
        }
        self.memory.ensure(ensure).await
    }
}
