//! What is answered when nothing fresh can be had.

use core::time::Duration;

use crate::driver::builder::Builder;

/// Stale values.
impl<K, V> Builder<K, V> {
    /// How long after its TTL a value may still be served when it cannot be loaded anew, or not in
    /// time: a window in both levels. Default: 0, never.
    ///
    /// A stale value is answered when the loader fails, panics, runs into
    /// [`load_timeout`](Self::load_timeout) or finds no room among
    /// [`max_loads`](Self::max_loads); when another node loads for longer than
    /// [`lease_wait`](Self::lease_wait); and after [`soft_timeout`](Self::soft_timeout). Never past its
    /// window, and never after the key was changed or removed. What did not exist is not answered
    /// stale. [`Cached::Stale`](crate::Cached::Stale), an event and
    /// [`Stats::stale`](crate::Stats::stale) say that it is stale.
    ///
    /// A loader that takes what [stands](crate::Standing) there may find that such a value is
    /// [`unchanged`](crate::Load::unchanged).
    ///
    /// [`Call::stale_for`](crate::Call::stale_for) and [`Load::stale_for`](crate::Load::stale_for)
    /// set it for a call and for a value. L2 keeps a value for its TTL and the window. In the
    /// jetcache-go format only L1 has a window.
    ///
    /// ```
    /// # use jetcache_core::doc::runtime as jetcache_tokio;
    /// # use jetcache_tokio::{Cached, Call, LoadError};
    /// # use core::time::Duration;
    /// # jetcache_core::doc::block_on(async {
    /// let cache = jetcache_tokio::builder::<u64, String>("users")
    ///     .ttl(Duration::from_millis(1))
    ///     .stale_for(Duration::from_secs(600))
    ///     .build()?;
    /// cache.insert(7, "Ann".into()).await?;
    /// # std::thread::sleep(Duration::from_millis(5));
    /// // The life of that is over, and the database is away.
    /// let away = async || Err::<String, LoadError>("the database is away".into());
    /// let user = cache.get_or_load_cached(&7, &Call::new(), away).await?;
    /// assert_eq!(user, Cached::Stale("Ann".to_owned()));
    /// # Ok::<(), jetcache_tokio::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn stale_for(mut self, window: Duration) -> Self {
        self.times.stale_for = Some(window);
        self
    }

    /// How long a key whose load failed is answered with its stale value before it is loaded again.
    /// Default: 1 s. In a fleet one node tries in a period: the others see the failure under the
    /// key's lease.
    pub fn stale_retry(mut self, period: Duration) -> Self {
        self.times.stale_retry = Some(period);
        self
    }

    /// How long a caller waits for a load if there is a stale value to answer. Default: as long as
    /// the load takes.
    ///
    /// The load goes on, and what it brings is kept unless the key was changed meanwhile, if it
    /// runs as a task of its own: by [`load`](crate::Cache::load),
    /// [`load_many`](crate::Cache::load_many) or [`get_or_spawn`](crate::Cache::get_or_spawn). The
    /// loader of [`get_or_load`](crate::Cache::get_or_load) lives in its caller, which waits for it;
    /// the others who asked for the key do not.
    pub fn soft_timeout(mut self, span: Duration) -> Self {
        self.times.soft_timeout = Some(span);
        self
    }

    /// Loads a value anew, in the background, when a hit finds it in the last part of its life, so that
    /// no caller of a key that is asked for often ever waits. Off by default.
    ///
    /// The moment is chosen by XFetch (Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache
    /// Stampede Prevention, VLDB 2015): before the end by as long as the load takes, times an
    /// exponentially distributed number, in the second half of the life. Each node draws its own, and
    /// the first one loads, under the key's lease; the others find in L2 what it loaded. How long the
    /// load takes was measured, and stands in L2 with the value. If the load fails the value stays until
    /// its end.
    ///
    /// Hits of calls that load have this effect. What runs is the registered loader, or that of
    /// [`get_or_spawn`](crate::Cache::get_or_spawn); without either nothing does.
    pub fn eager(mut self) -> Self {
        self.times.eager = true;
        self
    }

    /// Answers a stale value at once, and loads it anew meanwhile: a
    /// [`soft_timeout`](Self::soft_timeout) of zero.
    pub fn stale_while_revalidate(self) -> Self {
        self.soft_timeout(Duration::ZERO)
    }
}
