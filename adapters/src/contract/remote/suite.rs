//! The store under test, with one verb a method for one key, and the values that the tests use.

use core::time::Duration;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

use jetcache_core::machine::tier::envelope::{Envelope, open, parse, seal};
use jetcache_core::machine::tier::wire::PLACEHOLDER;
use jetcache_core::ports::bus::Kind;
use jetcache_core::ports::remote::{
    Claim, Claimed, Condition, Fill, Filled, Found, Hold, LeaseAsk, Leased, Life, Placed, Put,
    Settle, Stamp, Stored, Wire,
};
use jetcache_core::{Fault, Remote, Token};

/// The store under test in one format, and one verb a method for one key.
pub(super) struct Suite<'a, R, S> {
    pub(super) remote: &'a R,
    pub(super) wire: Wire,
    sleep: S,
    prefix: String,
    count: AtomicU64,
}

impl<'a, R: Remote, S: AsyncFn(Duration)> Suite<'a, R, S> {
    pub(super) fn new(remote: &'a R, wire: Wire, sleep: S) -> Self {
        Self {
            remote,
            wire,
            sleep,
            prefix: format!("contract:{:x}:", RandomState::new().hash_one(0)),
            count: AtomicU64::new(1),
        }
    }

    /// A key that nobody has used.
    pub(super) fn key(&self) -> String {
        format!("{}{}", self.prefix, self.number())
    }

    /// A token that nobody has used.
    pub(super) fn token(&self) -> Token {
        let high = u128::from(RandomState::new().hash_one(self.number()));
        Token::from_bits((high << 64) | u128::from(self.number()))
    }

    fn number(&self) -> u64 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) async fn pause(&self, span: Duration) {
        (self.sleep)(span).await;
    }

    pub(super) async fn read(&self, key: &str) -> Option<Found> {
        only("read", self.remote.read(&[key], self.wire).await)
    }

    pub(super) async fn lease(&self, key: &str, token: Token) -> Leased {
        self.lease_for(key, token, LEASE).await
    }

    pub(super) async fn lease_for(&self, key: &str, token: Token, life: Duration) -> Leased {
        only(
            "lease",
            self.remote
                .lease(&[LeaseAsk { key, token, life }], self.wire)
                .await,
        )
    }

    pub(super) async fn fill(&self, key: &str, token: Token, bytes: &[u8]) -> Filled {
        self.fill_with(key, token, stored(bytes)).await
    }

    pub(super) async fn fill_with(&self, key: &str, token: Token, value: Stored<'_>) -> Filled {
        only(
            "fill",
            self.remote
                .fill(
                    &[Fill {
                        key,
                        token,
                        value,
                        kind: Kind::SetByOnce,
                    }],
                    self.wire,
                )
                .await,
        )
    }

    pub(super) async fn release(&self, key: &str, token: Token) {
        only(
            "release",
            self.remote.release(&[Hold::of(key, token)]).await,
        );
    }

    pub(super) async fn claim(
        &self,
        key: &str,
        token: Token,
        condition: Option<Condition>,
    ) -> bool {
        let claim = claim(key, token, condition, false);
        let claimed = only("claim", self.remote.claim(&[claim], self.wire).await);
        assert!(
            !matches!(claimed, Claimed::Granted(Some(_), _)),
            "a claim that removes spares nothing"
        );
        matches!(claimed, Claimed::Granted(..))
    }

    /// A claim that spares: what it spared, if it was granted.
    pub(super) async fn claim_sparing(
        &self,
        key: &str,
        token: Token,
        condition: Option<Condition>,
    ) -> Option<Option<Stamp>> {
        let claim = claim(key, token, condition, true);
        match only("claim", self.remote.claim(&[claim], self.wire).await) {
            Claimed::Granted(spared, _) => Some(spared),
            Claimed::Refused(_) => None,
        }
    }

    pub(super) async fn insert(
        &self,
        key: &str,
        token: Token,
        bytes: &[u8],
        condition: Option<Condition>,
        spared: Option<Stamp>,
    ) -> Placed {
        let put = Put {
            key,
            token,
            value: stored(bytes),
            condition,
            dead: None,
            spared,
        };
        only("put", self.remote.put(&[put], self.wire).await)
    }

    pub(super) async fn settle(&self, key: &str, token: Option<Token>, bytes: &[u8]) -> Filled {
        let value = stored(bytes);
        only(
            "settle",
            self.remote
                .settle(&[Settle { key, token, value }], self.wire)
                .await,
        )
    }

    pub(super) async fn remove(&self, key: &str) {
        only("remove", self.remote.remove(&[key]).await);
    }

    /// An entry as the cache writes it: a value, or the not-found placeholder.
    pub(super) fn entry(&self, payload: Option<&[u8]>) -> Vec<u8> {
        match self.wire {
            Wire::JetcacheGo => payload.unwrap_or(PLACEHOLDER).to_vec(),
            _ => sealed(payload),
        }
    }

    /// The value of an entry as it was found.
    pub(super) fn payload(&self, found: &Found) -> Vec<u8> {
        match self.wire {
            Wire::JetcacheGo => found.bytes.clone(),
            _ => envelope(found)
                .value
                .map_or_else(Vec::new, |(_, bytes)| bytes.to_vec()),
        }
    }

    /// What is left of the life of what was found.
    pub(super) fn left(&self, found: &Found) -> Duration {
        match (self.wire, found.life) {
            (Wire::Native, Life::Clock(clock)) => envelope(found).left(clock),
            (_, Life::Left(left)) => left,
            (_, life) => panic!("{life:?} does not tell the life of an entry in this format"),
        }
    }

    /// Puts bytes under a key in the way in which a load does.
    pub(super) async fn put(&self, key: &str, value: Stored<'_>) {
        let token = self.token();
        assert!(
            self.lease(key, token).await.is_granted(),
            "{key}: a free lease is granted"
        );
        let filled = self.fill_with(key, token, value).await;
        assert_eq!(
            filled,
            Filled::Stored,
            "{key}: the holder of the lease fills"
        );
    }

    /// The lease of this token stands, and fills.
    pub(super) async fn put_again(&self, key: &str, token: Token) {
        let filled = self.fill(key, token, &self.entry(Some(b"w"))).await;
        assert_eq!(filled, Filled::Stored, "{key}: the lease stands, and fills");
    }

    pub(super) async fn is_free(&self, key: &str) -> bool {
        let token = self.token();
        let granted = self.lease(key, token).await.is_granted();
        self.release(key, token).await;
        granted
    }

    pub(super) async fn wait_until(&self, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
        for _ in 0..1000 {
            if is_so().await {
                return;
            }
            self.pause(Duration::from_millis(10)).await;
        }
        panic!("{what}");
    }
}

/// The one outcome of a verb for one key.
pub(super) fn only<T>(verb: &str, mut outcomes: Vec<Result<T, Fault>>) -> T {
    assert_eq!(outcomes.len(), 1, "{verb}: one outcome a key");
    match outcomes.remove(0) {
        Ok(outcome) => outcome,
        Err(fault) => panic!("{verb}: {fault}"),
    }
}

pub(super) fn present(found: Option<Found>) -> Found {
    match found {
        Some(found) => found,
        None => panic!("what was stored is not found"),
    }
}

fn envelope(found: &Found) -> Envelope<'_> {
    match parse(&found.bytes) {
        Ok(envelope) => envelope,
        Err(junk) => panic!("an entry that was stored cannot be parsed: {junk}"),
    }
}

pub(super) fn claim(
    key: &str,
    token: Token,
    condition: Option<Condition>,
    spares: bool,
) -> Claim<'_> {
    Claim {
        key,
        token,
        life: LEASE,
        condition,
        dead: None,
        spares,
    }
}

/// As long as the lease lives, loaded in no time.
pub(super) fn stored(bytes: &[u8]) -> Stored<'_> {
    Stored {
        replaces: None,
        bytes,
        life: LIFE,
        stale: Duration::ZERO,
        lease: LEASE,
        // Far more than a test takes: nothing is taken off the life.
        age: LEASE,
    }
}

/// An entry of the native format: a value, or the not-found placeholder.
pub(super) fn sealed(payload: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    open(&mut bytes, payload.map(|_| 200));
    bytes.extend_from_slice(payload.unwrap_or_default());
    seal(&mut bytes, LIFE, Duration::ZERO);
    bytes
}

pub(super) const LEASE: Duration = Duration::from_secs(60);
pub(super) const LIFE: Duration = Duration::from_secs(60);
