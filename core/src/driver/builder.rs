//! How a cache is put together: its settings, and `build`. Beneath, `settings` has all that can be
//! set, and each topic has a file that checks what belongs to it.

mod configured;
mod fleet;
mod levels;
mod loader;
mod loading;
#[cfg(feature = "test-util")]
mod luck;
pub(super) mod node;
mod settings;
mod stale;
mod times;

use core::fmt;
use core::hash::Hash;
use core::time::Duration;
use std::sync::{Arc, Mutex, OnceLock};

use event_listener::Event as Bell;

use crate::driver::builder::fleet::Fleet;
use crate::driver::builder::levels::Levels;
use crate::driver::builder::loading::finished;
use crate::driver::builder::times::Times;
use crate::driver::cache::Cache;
use crate::driver::settings::rules::{Current, Rules};
use crate::driver::sharding::shard_count;
use crate::driver::shared::checks::Checks;
use crate::driver::shared::fresh_keys::FreshKeys;
use crate::driver::shared::journal::Journal;
use crate::driver::shared::loaders::Loaders;
use crate::driver::shared::reports::Report;
use crate::driver::shared::tables::Tables;
use crate::driver::shared::{Repairs, Shared};
use crate::driver::task::chore::Chore;
use crate::driver::world::erased::AnyRuntime;
use crate::machine::error::Error;
use crate::machine::policy::Policy;
use crate::ports::observer::Observer;

/// Puts a [`Cache`] together. Every setting has a default that is right in production; by default
/// there is an L1 of 10,000 entries and no L2.
///
/// ```
/// # use jetcache_core::doc::runtime as jetcache_tokio;
/// use jetcache_tokio::Error;
/// use std::time::Duration;
///
/// let wrong = jetcache_tokio::builder::<u64, String>("users").ttl(Duration::ZERO).build();
/// assert!(matches!(wrong, Err(Error::Config(_))));
/// ```
#[must_use = "a builder does nothing until it builds"]
pub struct Builder<K, V> {
    name: Arc<str>,
    runtime: Arc<dyn AnyRuntime>,
    levels: Levels<K, V>,
    loaders: Loaders<K, V>,
    times: Times,
    fleet: Fleet,
    observers: Vec<Arc<dyn Observer>>,
    counted: bool,
    report_every: Option<Duration>,
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Builder<K, V> {
    /// Builds the cache. It needs no running runtime, connects to nothing and starts nothing:
    /// background work begins with the first call that needs it.
    ///
    /// # Errors
    /// [`Error::Config`] with what to change: no level at all, a TTL or timeout of zero, no
    /// capacity, a lease shorter than it can be, a table or refresh period of zero,
    /// [`refresh_all`](Self::refresh_all) without a period or a loader, keys in L2 that another
    /// living cache of the same [`Node`](crate::Node) or handle of Redis may have, a bus without an L2, or one that
    /// cannot watch it, [`check_one_in`](Self::check_one_in) without a bus and both levels.
    pub fn build(self) -> Result<Cache<K, V>, Error> {
        let kind = self.levels.kind()?;
        let mut policy = self.times.policy(kind, self.levels.wire)?;
        let settings = self.as_settings(&policy);
        let Self {
            name,
            runtime,
            levels,
            loaders,
            times,
            fleet,
            observers,
            counted,
            report_every,
        } = self;
        let shards = shard_count();
        let loaders = finished(loaders)?;
        fleet.check(&times, &loaders)?;
        let hub = fleet.hub(&runtime, kind)?;
        let reports = Report::of(&observers, report_every)?;
        let journal = Journal::new(name, Arc::clone(&runtime), counted, observers);
        let journal = Arc::new(journal);
        policy.log = levels.keeps_log();
        let (level1, link, registration) =
            levels.build(&journal, &runtime, hub.as_ref(), &policy)?;
        let blind = hub.as_ref().map(|_| Policy {
            local_cap: fleet.blind_local_ttl.unwrap_or(policy.local_cap),
            ..policy.clone()
        });
        policy.hears = hub.is_some();
        let fresh_keys =
            (policy.refresh).map(|pace| FreshKeys::new(pace, fleet.refresh_all, shards));
        let remote_timeout = policy.remote_timeout;
        let shared = Shared {
            kind,
            rules: Current::new(Rules {
                policy,
                blind,
                write_timeout: times.write_timeout,
            }),
            settings: Mutex::new(settings),
            tables: Tables::new(shards),
            generations: Arc::clone(&level1.generations),
            level1,
            link,
            hub,
            loaders,
            life: Arc::default(),
            journal,
            repairs: Repairs {
                needed: false.into(),
                chore: Chore::new(remote_timeout),
                start: OnceLock::new(),
                first: 0.into(),
                back: Bell::new(),
            },
            fresh_keys,
            reports,
            checks: (fleet.check_one_in).map(|one_in| {
                // It may wait for L2 once.
                Checks::new(one_in, Chore::new(remote_timeout))
            }),
            runtime,
        };
        Ok(Cache::new(shared, registration))
    }
}

impl<K, V> fmt::Debug for Builder<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
