//! The way to L2: keys to text, values to envelopes, every operation under its timeout.

use core::fmt;
use core::panic::AssertUnwindSafe;
use core::time::Duration;
use std::panic::catch_unwind;
use std::sync::Arc;

use super::erased::{AnyRemote, AnyRuntime, Boxed};
use super::timeout::timeout;
use crate::machine::entry::Load;
use crate::machine::envelope;
use crate::machine::error::{BoxError, Error, Fault};
use crate::machine::lookup::Seen;
use crate::machine::token::Token;
use crate::ports::codec::Codec;
use crate::ports::remote::{
    Claim, Condition, Fill, Filled, Found, Hold, LeaseAsk, Leased, Life, Stored,
};

/// The L2 of one cache.
pub(super) struct Link<K, V> {
    pub(super) remote: Arc<dyn AnyRemote>,
    pub(super) codec: Arc<dyn Codec<V>>,
    pub(super) write_key: fn(&K, &mut String),
    pub(super) prefix: String,
    pub(super) timeout: Duration,
}

/// What a read of L2 showed: entries that can be read, and whether there were bytes that cannot.
pub(super) struct Look<V> {
    pub(super) seen: Option<Seen<Arc<V>>>,
    pub(super) undecodable: bool,
}

impl<K, V: 'static> Link<K, V> {
    /// The key's text in L2.
    ///
    /// # Errors
    /// [`Error::Key`] for a key that would be taken for another key's lease.
    pub(super) fn text(&self, key: &K) -> Result<Arc<str>, Error> {
        let mut text = self.prefix.clone();
        (self.write_key)(key, &mut text);
        if text.ends_with(LEASE_SUFFIX) {
            return Err(Error::Key(
                format!("it ends in {LEASE_SUFFIX}, which marks leases: rename it").into(),
            ));
        }
        Ok(text.into())
    }

    /// The value's envelope, its times still open; `None` is the not-found placeholder.
    pub(super) fn encode(&self, value: Option<&V>) -> Result<Vec<u8>, BoxError> {
        let mut bytes = Vec::new();
        envelope::open(&mut bytes, value.map(|_| self.codec.id()));
        if let Some(value) = value {
            self.codec.encode(value, &mut bytes)?;
        }
        Ok(bytes)
    }

    /// What bytes from L2 hold for a cache. Junk is a miss.
    pub(super) fn decode(&self, found: Option<Found>) -> Look<V> {
        let Some(found) = found else {
            return Look {
                seen: None,
                undecodable: false,
            };
        };
        // The bytes come from outside: a codec that panics on them must not fail every reader.
        let decoding = AssertUnwindSafe(|| self.try_decode(&found));
        let seen = catch_unwind(decoding).unwrap_or_default();
        Look {
            undecodable: seen.is_none(),
            seen,
        }
    }

    fn try_decode(&self, found: &Found) -> Option<Seen<Arc<V>>> {
        let entry = envelope::parse(&found.bytes).ok()?;
        let left = match found.life {
            Life::Clock(clock) => entry.left(clock),
            Life::Left(left) => left.min(entry.life),
        };
        let value = match entry.value {
            None => None,
            Some((codec, bytes)) if codec == self.codec.id() => {
                Some(Arc::new(self.codec.decode(bytes).ok()?))
            }
            Some(_) => return None,
        };
        Some(Seen { value, left })
    }

    pub(super) async fn read(
        &self,
        runtime: &dyn AnyRuntime,
        key: &str,
    ) -> Result<Option<Found>, Fault> {
        self.bounded(runtime, self.remote.read(&[key])).await
    }

    /// Not bounded: whoever gives up waiting for it goes on listening for the reply.
    pub(super) fn lease(
        &self,
        key: Arc<str>,
        token: Token,
        life: Duration,
    ) -> Boxed<'static, Result<Leased, Fault>> {
        let remote = Arc::clone(&self.remote);
        Box::pin(async move {
            let ask = LeaseAsk {
                key: &key,
                token,
                life,
            };
            only(remote.lease(&[ask]).await)
        })
    }

    pub(super) async fn fill(
        &self,
        runtime: &dyn AnyRuntime,
        key: &str,
        token: Token,
        bytes: &mut [u8],
        times: Times,
    ) -> Result<Filled, Fault> {
        envelope::seal(bytes, times.life, Duration::ZERO);
        let fill = Fill {
            key,
            token,
            value: Stored {
                bytes,
                life: times.life,
                stale: Duration::ZERO,
                lease: times.lease,
                age: times.age,
            },
        };
        self.bounded(runtime, self.remote.fill(&[fill])).await
    }

    pub(super) async fn claim(
        &self,
        runtime: &dyn AnyRuntime,
        key: &str,
        token: Token,
        life: Duration,
        condition: Option<Condition>,
    ) -> Result<bool, Fault> {
        let claim = Claim {
            key,
            token,
            life,
            condition,
        };
        self.bounded(runtime, self.remote.claim(&[claim])).await
    }

    pub(super) async fn release(&self, runtime: &dyn AnyRuntime, key: &str, token: Token) {
        // A release that is lost costs readers of the key `lease_wait`, until the lease ends.
        let _ = self
            .bounded(runtime, self.remote.release(&[Hold { key, token }]))
            .await;
    }

    pub(super) async fn remove(&self, runtime: &dyn AnyRuntime, key: &str) -> Result<(), Fault> {
        self.bounded(runtime, self.remote.remove(&[key])).await
    }

    /// Removes many keys at once: an outcome a key.
    pub(super) async fn remove_many(
        &self,
        runtime: &dyn AnyRuntime,
        keys: &[&str],
    ) -> Vec<Result<(), Fault>> {
        let removed = timeout(runtime, self.timeout, self.remote.remove(keys)).await;
        match removed {
            Some(outcomes) if outcomes.len() == keys.len() => outcomes,
            Some(_) => keys.iter().map(|_| Err(miscounted())).collect(),
            None => keys.iter().map(|_| Err(Fault::Timeout)).collect(),
        }
    }

    async fn bounded<T>(
        &self,
        runtime: &dyn AnyRuntime,
        operation: Boxed<'_, Vec<Result<T, Fault>>>,
    ) -> Result<T, Fault> {
        match timeout(runtime, self.timeout, operation).await {
            Some(outcomes) => only(outcomes),
            None => Err(Fault::Timeout),
        }
    }
}

impl<K, V> fmt::Debug for Link<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// The times of a fill.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) life: Duration,
    pub(super) lease: Duration,
    pub(super) age: Duration,
}

/// The text of an error for the callers of a loader.
pub(super) fn load_failure<V>(
    error: BoxError,
    not_found: Option<&(dyn Fn(&BoxError) -> bool + Send + Sync)>,
) -> Result<Load<V>, Error> {
    if not_found.is_some_and(|means_absent| means_absent(&error)) {
        return Ok(Load::from(None));
    }
    Err(Error::Load(error.into()))
}

fn only<T>(mut outcomes: Vec<Result<T, Fault>>) -> Result<T, Fault> {
    match outcomes.pop() {
        Some(outcome) if outcomes.is_empty() => outcome,
        _ => Err(miscounted()),
    }
}

fn miscounted() -> Fault {
    Fault::Refused("the remote did not answer one outcome a key".into())
}

/// What the keys of leases end in.
const LEASE_SUFFIX: &str = "#lease";
