//! Turns the times that were set into the policy of a cache.

use core::time::Duration;

use crate::machine::error::Error;
#[cfg(feature = "test-util")]
use crate::machine::policy::LeaseFirst;
use crate::machine::policy::pace::Pace;
use crate::machine::policy::{Jitter, Kind, Policy};
use crate::machine::tier::wire::Wire;

/// What was set; what was not follows from the rest.
#[derive(Default)]
pub(super) struct Times {
    pub(super) ttl: Option<Duration>,
    pub(super) local_ttl: Option<Duration>,
    pub(super) negative_ttl: Option<Duration>,
    pub(super) jitter: Option<Jitter>,
    pub(super) stale_for: Option<Duration>,
    pub(super) stale_retry: Option<Duration>,
    pub(super) soft_timeout: Option<Duration>,
    pub(super) eager: bool,
    pub(super) remote_timeout: Option<Duration>,
    pub(super) load_timeout: Option<Duration>,
    pub(super) lease: Option<Duration>,
    pub(super) lease_wait: Option<Duration>,
    pub(super) failover_window: Option<Duration>,
    pub(super) unconfirmed: Option<usize>,
    pub(super) write_timeout: Option<Duration>,
    pub(super) refresh_every: Option<Duration>,
    pub(super) stop_refresh_after: Option<Duration>,
    pub(super) refresh_concurrency: Option<usize>,
    pub(super) refresh_capacity: Option<usize>,
    #[cfg(feature = "test-util")]
    pub(super) lease_first: Option<LeaseFirst>,
}

impl Times {
    /// # Errors
    /// [`Error::Config`] for times that cannot be, or do not go together.
    pub(super) fn policy(&self, kind: Kind, wire: Wire) -> Result<Policy, Error> {
        let mut policy = Policy::new(kind);
        policy.ttl = self.ttl.unwrap_or(policy.ttl);
        if !kind.has_remote() {
            policy.local_ttl = policy.ttl;
        }
        policy.local_ttl = self.local_ttl.unwrap_or(policy.local_ttl);
        policy.negative_ttl = self.negative_ttl.unwrap_or(policy.negative_ttl);
        policy.jitter = self.jitter.unwrap_or(policy.jitter);
        policy.stale_for = self.stale_for.unwrap_or(policy.stale_for);
        policy.stale_retry = self.stale_retry.unwrap_or(policy.stale_retry);
        policy.soft_timeout = self.soft_timeout;
        policy.eager = self.eager;
        policy.remote_timeout = self.remote_timeout.unwrap_or(policy.remote_timeout);
        policy.load_timeout = self.load_timeout.unwrap_or(policy.load_timeout);
        let lease = Policy::usual_lease(policy.remote_timeout);
        policy.lease = self.lease.unwrap_or(lease);
        policy.lease_wait = self.lease_wait.unwrap_or(policy.lease_wait);
        policy.failover_window = self.failover_window.unwrap_or(policy.failover_window);
        policy.unconfirmed = self.unconfirmed.unwrap_or(policy.unconfirmed);
        policy.refresh = self.refresh_every.map(|every| self.pace(every));
        policy.strangers = wire == Wire::JetcacheGo;
        #[cfg(feature = "test-util")]
        {
            policy.lease_first = self.lease_first.or(policy.lease_first);
        }
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
