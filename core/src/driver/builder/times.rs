//! The settings of how long things live and may take.

use core::hash::Hash;
use core::time::Duration;

use crate::driver::builder::Builder;
use crate::machine::error::Error;
use crate::machine::policy::pace::Pace;
use crate::machine::policy::{Jitter, Kind, Policy};
use crate::machine::tier::wire::Wire;

/// What was set; what was not follows from the rest.
#[derive(Default)]
pub(super) struct Times {
    ttl: Option<Duration>,
    local_ttl: Option<Duration>,
    negative_ttl: Option<Duration>,
    jitter: Option<Jitter>,
    remote_timeout: Option<Duration>,
    load_timeout: Option<Duration>,
    lease: Option<Duration>,
    lease_wait: Option<Duration>,
    unconfirmed: Option<usize>,
    pub(super) write_timeout: Option<Duration>,
    pub(super) refresh_every: Option<Duration>,
    pub(super) stop_refresh_after: Option<Duration>,
    pub(super) refresh_concurrency: Option<usize>,
    pub(super) refresh_capacity: Option<usize>,
}

impl Times {
    /// # Errors
    /// [`Error::Config`] for times that cannot be, or do not go together.
    pub(super) fn policy(&self, kind: Kind, wire: Wire, shards: usize) -> Result<Policy, Error> {
        let mut policy = Policy::new(kind);
        policy.ttl = self.ttl.unwrap_or(policy.ttl);
        if !kind.has_remote() {
            policy.local_ttl = policy.ttl;
        }
        policy.local_ttl = self.local_ttl.unwrap_or(policy.local_ttl);
        policy.negative_ttl = self.negative_ttl.unwrap_or(policy.negative_ttl);
        policy.jitter = self.jitter.unwrap_or(policy.jitter);
        policy.remote_timeout = self.remote_timeout.unwrap_or(policy.remote_timeout);
        policy.load_timeout = self.load_timeout.unwrap_or(policy.load_timeout);
        let lease = Policy::usual_lease(policy.load_timeout, policy.remote_timeout);
        policy.lease = self.lease.unwrap_or(lease);
        policy.lease_wait = self.lease_wait.unwrap_or(policy.lease_wait);
        let unconfirmed = self.unconfirmed.unwrap_or(DEFAULT_UNCONFIRMED);
        policy.unconfirmed = unconfirmed.div_ceil(shards);
        policy.refresh = self.refresh_every.map(|every| self.pace(every));
        policy.strangers = wire == Wire::JetcacheGo;
        policy.check()?;
        refuse_zero("write_timeout", self.write_timeout)?;
        Ok(policy)
    }

    fn pace(&self, every: Duration) -> Pace {
        let mut pace = Pace::new(every);
        pace.stop_after = self.stop_refresh_after.unwrap_or(pace.stop_after);
        pace.at_once = self.refresh_concurrency.unwrap_or(pace.at_once);
        pace.capacity = self.refresh_capacity.unwrap_or(pace.capacity);
        pace
    }
}

/// # Errors
/// [`Error::Config`] for a span that is set to zero.
pub(super) fn refuse_zero(name: &str, span: Option<Duration>) -> Result<(), Error> {
    if span.is_some_and(|span| span.is_zero()) {
        return Err(Error::config(format!(
            "{name} is zero: give it a duration above zero, or leave it out"
        )));
    }
    Ok(())
}

/// How long things live, and how long they may take.
impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Builder<K, V> {
    /// How long a value is fresh. Default: 1 h.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.times.ttl = Some(ttl);
        self
    }

    /// How long L1 keeps an entry at most. Default: 1 min with an L2, `ttl` without. An L1 entry
    /// never outlives what L2 has left.
    pub fn local_ttl(mut self, ttl: Duration) -> Self {
        self.times.local_ttl = Some(ttl);
        self
    }

    /// How long "does not exist" is remembered. Default: 1 min.
    pub fn negative_ttl(mut self, ttl: Duration) -> Self {
        self.times.negative_ttl = Some(ttl);
        self
    }

    /// What is taken off every TTL at random: so many percent of it, and at most so long. Default:
    /// 10 %, at most 10 s.
    pub fn jitter(mut self, percent: u8, at_most: Duration) -> Self {
        self.times.jitter = Some(Jitter { percent, at_most });
        self
    }

    /// How long a caller waits for one L2 operation. Default: 250 ms.
    pub fn remote_timeout(mut self, timeout: Duration) -> Self {
        self.times.remote_timeout = Some(timeout);
        self
    }

    /// How long a loader may take. Default: 10 s.
    pub fn load_timeout(mut self, timeout: Duration) -> Self {
        self.times.load_timeout = Some(timeout);
        self
    }

    /// How long the writer of a [`write_through`](Cache::write_through) may take; then it is dropped,
    /// and the key is removed. Off by default.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.times.write_timeout = Some(timeout);
        self
    }

    /// How long a load's lease in L2 stands if nobody gives it back. Default: `load_timeout` +
    /// 4 × `remote_timeout`; less than `load_timeout` + 2 × `remote_timeout` is an error.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.times.lease = Some(lease);
        self
    }

    /// How long a lookup waits for another node's load before it loads for itself. Zero: not at
    /// all. Default: 2 s.
    pub fn lease_wait(mut self, wait: Duration) -> Self {
        self.times.lease_wait = Some(wait);
        self
    }

    /// How many keys may be unconfirmed at once. What does not fit makes part of the cache do
    /// without L2 for the longest life it has written. Default: 8192.
    pub fn unconfirmed_capacity(mut self, keys: usize) -> Self {
        self.times.unconfirmed = Some(keys);
        self
    }
}

const DEFAULT_UNCONFIRMED: usize = 8192;
