//! The way to L2: keys to text, every operation under its timeout.

pub(super) mod format;
pub(super) mod namespaces;

use core::fmt;
use core::future::Future;
use core::panic::AssertUnwindSafe;
use core::time::Duration;
use std::sync::Arc;

use futures_util::FutureExt;

use crate::driver::bus::hub::Hub;
use crate::driver::link::format::Format;
use crate::driver::world::erased::{AnyRemote, AnyRuntime, Boxed};
use crate::driver::world::timeout::timeout;
use crate::machine::error::{BoxError, Error, Fault};
use crate::machine::tier::entry::Load;
use crate::machine::tier::wire::Wire;
use crate::machine::token::Token;
use crate::ports::bus::Kind;
use crate::ports::remote::{Claim, Fill, Filled, Found, Hold, LeaseAsk, Leased, Settle, Stored};

/// The L2 of one cache.
pub(super) struct Link<K, V> {
    pub(super) remote: Arc<dyn AnyRemote>,
    pub(super) voice: Voice,
    pub(super) hub: Option<Arc<Hub>>,
    pub(super) format: Format<V>,
    pub(super) write_key: fn(&K, &mut String),
    pub(super) parse_key: fn(&str) -> Option<K>,
    pub(super) prefix: String,
    pub(super) timeout: Duration,
}

/// How the other nodes hear of a change.
pub(super) enum Voice {
    /// Not from here: there is no bus, or it watches L2.
    Silent,
    /// From L2, in the same step: this handle of it tells.
    WithChange(Arc<dyn AnyRemote>),
    /// From the bus, once L2 has acknowledged the change.
    After(Arc<Hub>, Arc<str>),
}

/// Whether the other nodes are to hear of what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Told,
    Kept,
}

/// Many keys' outcomes, in the order in which they were asked for.
pub(super) type Outcomes<T> = Vec<Result<T, Fault>>;

impl<K, V: 'static> Link<K, V> {
    /// The key's text in L2.
    ///
    /// # Errors
    /// [`Error::Key`] for a key that would be taken for another key's lease.
    pub(super) fn text(&self, key: &K) -> Result<Arc<str>, Error> {
        self.text_by(&mut String::new(), key)
    }

    /// [`text`](Self::text), made in a place that can be used again.
    ///
    /// # Errors
    /// Those of `text`.
    pub(super) fn text_by(&self, text: &mut String, key: &K) -> Result<Arc<str>, Error> {
        text.clear();
        self.add_text(text, key)?;
        Ok(text.as_str().into())
    }

    /// Appends the key's text; nothing if it is refused.
    ///
    /// # Errors
    /// Those of [`text`](Self::text).
    pub(super) fn add_text(&self, text: &mut String, key: &K) -> Result<(), Error> {
        let start = text.len();
        text.push_str(&self.prefix);
        (self.write_key)(key, text);
        if text[start..].ends_with(LEASE_SUFFIX) {
            text.truncate(start);
            return Err(Error::Key(
                format!("it ends in {LEASE_SUFFIX}, which marks leases: rename it").into(),
            ));
        }
        Ok(())
    }

    pub(super) async fn read(
        &self,
        runtime: &dyn AnyRuntime,
        keys: &[&str],
    ) -> Outcomes<Option<Found>> {
        let read = async { self.remote.read(keys, self.format.wire).await };
        self.bounded(runtime, keys.len(), read).await
    }

    /// The key that has this text, if it is one of this cache's.
    pub(super) fn parse(&self, text: &str) -> Option<K> {
        (self.parse_key)(text.strip_prefix(&self.prefix)?)
    }

    /// Whether what stands there is no entry but a lease, or the lock of a refresh.
    pub(super) fn is_no_entry(&self, text: &str) -> bool {
        let locks = self.format.wire == Wire::JetcacheGo;
        text.ends_with(LEASE_SUFFIX) || locks && text.ends_with(LOCK_SUFFIX)
    }

    /// The L2 to send a change to.
    fn remote_with(&self, word: Word) -> &dyn AnyRemote {
        match (&self.voice, word) {
            (Voice::WithChange(telling), Word::Told) => &**telling,
            _ => &*self.remote,
        }
    }

    /// Tells the others what L2 has acknowledged, if that is left to the bus.
    fn tell<'a, T>(
        &self,
        word: Word,
        keys: impl Iterator<Item = &'a str>,
        outcomes: &Outcomes<T>,
        kind: impl Fn(&T) -> Option<Kind>,
    ) {
        let (Voice::After(hub, cache), Word::Told) = (&self.voice, word) else {
            return;
        };
        for (key, outcome) in keys.zip(outcomes) {
            if let Some(kind) = outcome.as_ref().ok().and_then(&kind) {
                hub.tell(cache, kind, key);
            }
        }
    }

    /// Not bounded: whoever gives up waiting for it goes on listening for the reply.
    pub(super) fn lease(&self, asks: Arc<[Ask]>) -> Boxed<'static, Outcomes<Leased>> {
        let remote = Arc::clone(&self.remote);
        let wire = self.format.wire;
        Box::pin(async move {
            let asks: Vec<_> = asks.iter().map(Ask::lease).collect();
            let leasing = async { remote.lease(&asks, wire).await };
            survived(asks.len(), leasing).await
        })
    }

    pub(super) async fn fill(
        &self,
        runtime: &dyn AnyRuntime,
        fills: &[Fill<'_>],
        word: Word,
    ) -> Outcomes<Filled> {
        let remote = self.remote_with(word);
        let fill = async { remote.fill(fills, self.format.wire).await };
        let filled = self.bounded(runtime, fills.len(), fill).await;
        let keys = fills.iter().map(|fill| fill.key);
        self.tell(word, keys, &filled, |filled| match filled {
            Filled::Stored => Some(Kind::Set),
            Filled::Refused => None,
        });
        filled
    }

    pub(super) async fn claim(
        &self,
        runtime: &dyn AnyRuntime,
        claims: &[Claim<'_>],
        word: Word,
    ) -> Outcomes<bool> {
        let remote = self.remote_with(word);
        let claim = async { remote.claim(claims, self.format.wire).await };
        let claimed = self.bounded(runtime, claims.len(), claim).await;
        let keys = claims.iter().map(|claim| claim.key);
        self.tell(word, keys, &claimed, |claimed| claimed.then_some(Kind::Set));
        claimed
    }

    pub(super) async fn settle(
        &self,
        runtime: &dyn AnyRuntime,
        settles: &[Settle<'_>],
        word: Word,
    ) -> Outcomes<Filled> {
        let remote = self.remote_with(word);
        let settle = async { remote.settle(settles, self.format.wire).await };
        let settled = self.bounded(runtime, settles.len(), settle).await;
        let keys = settles.iter().map(|settle| settle.key);
        self.tell(word, keys, &settled, |filled| {
            Some(match filled {
                Filled::Stored => Kind::Set,
                Filled::Refused => Kind::Delete,
            })
        });
        settled
    }

    /// A release that is lost costs readers of the key `lease_wait`, until the lease ends.
    pub(super) async fn release(&self, runtime: &dyn AnyRuntime, holds: &[Hold<'_>]) {
        let release = async { self.remote.release(holds).await };
        let _ = self.bounded(runtime, holds.len(), release).await;
    }

    pub(super) async fn remove(
        &self,
        runtime: &dyn AnyRuntime,
        keys: &[&str],
        word: Word,
    ) -> Outcomes<()> {
        let remote = self.remote_with(word);
        let remove = async { remote.remove(keys).await };
        let removed = self.bounded(runtime, keys.len(), remove).await;
        self.tell(word, keys.iter().copied(), &removed, |()| {
            Some(Kind::Delete)
        });
        removed
    }

    /// Takes the lock of jetcache-go's refreshes. Whether this token has it now.
    pub(super) async fn lock(
        &self,
        runtime: &dyn AnyRuntime,
        name: &str,
        token: Token,
        life: Duration,
    ) -> Result<bool, Fault> {
        let lock = async { vec![self.remote.lock(name, token, life).await] };
        only(self.bounded(runtime, 1, lock).await)
    }

    /// A lock that is not given back ends by itself.
    pub(super) async fn unlock(&self, runtime: &dyn AnyRuntime, name: &str, token: Token) {
        let unlock = async { vec![self.remote.unlock(name, token).await] };
        let _ = self.bounded(runtime, 1, unlock).await;
    }

    async fn bounded<T>(
        &self,
        runtime: &dyn AnyRuntime,
        count: usize,
        operation: impl Future<Output = Outcomes<T>>,
    ) -> Outcomes<T> {
        let operation = survived(count, operation);
        let outcomes = timeout(runtime, self.timeout, operation).await;
        let outcomes = outcomes.unwrap_or_else(|| failed(count, &Fault::Timeout));
        if let Some(hub) = &self.hub {
            hub.note_l2(outcomes.iter().any(Result::is_ok));
        }
        outcomes
    }
}

impl<K, V> fmt::Debug for Link<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// A lease that is asked for, and where its reply belongs.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) key: Arc<str>,
    pub(super) shard: usize,
    pub(super) token: Token,
    pub(super) life: Duration,
}

impl Ask {
    fn lease(&self) -> LeaseAsk<'_> {
        LeaseAsk {
            key: &self.key,
            token: self.token,
            life: self.life,
        }
    }
}

/// The times of a fill.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) life: Duration,
    pub(super) lease: Duration,
    pub(super) age: Duration,
}

impl Times {
    pub(super) fn stored<'a>(self, bytes: &'a [u8], replaces: Option<&'a [u8]>) -> Stored<'a> {
        Stored {
            bytes,
            replaces,
            life: self.life,
            stale: Duration::ZERO,
            lease: self.lease,
            age: self.age,
        }
    }
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

/// The outcome of a verb that was asked for one key.
pub(super) fn only<T>(mut outcomes: Outcomes<T>) -> Result<T, Fault> {
    outcomes.pop().unwrap_or_else(|| Err(miscounted()))
}

/// What an adapter answers. One that panics is a broken L2, and no more than that.
async fn survived<T>(count: usize, operation: impl Future<Output = Outcomes<T>>) -> Outcomes<T> {
    match AssertUnwindSafe(operation).catch_unwind().await {
        Ok(outcomes) => counted(count, outcomes),
        Err(_) => failed(count, &Fault::Refused("the adapter panicked".into())),
    }
}

fn counted<T>(count: usize, outcomes: Outcomes<T>) -> Outcomes<T> {
    if outcomes.len() == count {
        return outcomes;
    }
    failed(count, &miscounted())
}

pub(super) fn failed<T>(count: usize, fault: &Fault) -> Outcomes<T> {
    (0..count).map(|_| Err(fault.clone())).collect()
}

fn miscounted() -> Fault {
    Fault::Refused("the remote did not answer one outcome a key".into())
}

/// What the keys of leases end in.
const LEASE_SUFFIX: &str = "#lease";
/// What the locks of jetcache-go's refreshes end in.
pub(super) const LOCK_SUFFIX: &str = "_#RL#";
