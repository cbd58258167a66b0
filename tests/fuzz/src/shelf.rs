//! An L2 with one entry under every key, whatever bytes that is.

use std::future::{Future, ready};
use std::sync::{Arc, Mutex, PoisonError};

use jetcache_core::ports::remote::{
    Claim, Claimed, Fill, Filled, Found, Granted, Hold, LeaseAsk, Leased, Placed, Put, Settle, Wire,
};
use jetcache_core::{Fault, Remote};

/// An L2 with one entry under every key. It takes no change.
#[derive(Clone, Debug, Default)]
pub struct Shelf(Arc<Mutex<Option<Found>>>);

impl Shelf {
    /// This is what stands there from now on.
    pub fn put(&self, found: Option<Found>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }

    fn look(&self) -> Option<Found> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        found.clone()
    }
}

fn all<T: Clone>(count: usize, one: T) -> impl Future<Output = Vec<Result<T, Fault>>> + Send
where
    T: Send,
{
    ready(vec![Ok(one); count])
}

impl Remote for Shelf {
    fn read(
        &self,
        keys: &[&str],
        _: Wire,
    ) -> impl Future<Output = Vec<Result<Option<Found>, Fault>>> + Send {
        all(keys.len(), self.look())
    }

    fn lease(
        &self,
        asks: &[LeaseAsk<'_>],
        _: Wire,
    ) -> impl Future<Output = Vec<Result<Leased, Fault>>> + Send {
        let (granted, found) = (Granted::Yes, self.look());
        all(asks.len(), Leased { granted, found })
    }

    fn renew(
        &self,
        asks: &[LeaseAsk<'_>],
    ) -> impl Future<Output = Vec<Result<bool, Fault>>> + Send {
        all(asks.len(), true)
    }

    fn fill(
        &self,
        fills: &[Fill<'_>],
        _: Wire,
    ) -> impl Future<Output = Vec<Result<Filled, Fault>>> + Send {
        all(fills.len(), Filled::Refused)
    }

    fn release(&self, holds: &[Hold<'_>]) -> impl Future<Output = Vec<Result<(), Fault>>> + Send {
        all(holds.len(), ())
    }

    fn claim(
        &self,
        claims: &[Claim<'_>],
        _: Wire,
    ) -> impl Future<Output = Vec<Result<Claimed, Fault>>> + Send {
        all(claims.len(), Claimed::Refused(None))
    }

    fn put(
        &self,
        puts: &[Put<'_>],
        _: Wire,
    ) -> impl Future<Output = Vec<Result<Placed, Fault>>> + Send {
        all(puts.len(), Placed::Refused)
    }

    fn settle(
        &self,
        settles: &[Settle<'_>],
        _: Wire,
    ) -> impl Future<Output = Vec<Result<Filled, Fault>>> + Send {
        all(settles.len(), Filled::Refused)
    }

    fn remove(&self, keys: &[&str]) -> impl Future<Output = Vec<Result<(), Fault>>> + Send {
        all(keys.len(), ())
    }
}
