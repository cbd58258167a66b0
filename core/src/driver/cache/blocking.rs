//! The cache for threads: each call waits for its answer.
//!
//! There is no second cache beneath: a call is the asynchronous one, and the thread waits for it. What
//! a call has to run of the user's, it runs itself, on its own thread.

mod change;
mod desk;
mod read;
mod wait;

use core::fmt;
use core::future::Future;
use core::hash::Hash;

use crate::driver::cache::Cache;
use crate::driver::cache::blocking::desk::Desk;
use crate::driver::cache::blocking::wait::{outcome, serve};
use crate::machine::error::Error;
use crate::ports::loader::LoadError;

/// The blocking face of a [`Cache`]: the same cache, for threads without an executor.
///
/// It is a handle, as the cache is: cheap to clone, and of the same entries, flights and statistics. A
/// thousand threads that ask for one cold key run one loader, as a thousand tasks do, and threads and
/// tasks share it. What has no method here is asked of the [cache](Self::cache) by
/// [`wait`](Self::wait).
///
/// Loaders and writers are ordinary closures that run on the thread of the call; they may borrow, and
/// may block. Nobody can stop one: past `load_timeout` those who wait for it go on without it, and its
/// own call fails with [`Error::Timeout`] once it is over. A panic of theirs is [`Error::Panicked`].
/// While one runs, and the cache has an L2, a second thread keeps the lease of its key.
///
/// # Where it may be called
/// On any thread that may block. In the middle of an async task it may not: the runtime would stand
/// still, and with it what the call waits for. There the call waits for nothing and fails with
/// [`Error::Config`], which the log has, too; [`get`](Self::get) and [`exists`](Self::exists) see L1 alone.
/// An L1 hit is answered anywhere. The [guide](crate::guide::threads) says what counts as such a place.
///
/// ```
/// # use jetcache_core::doc::runtime as jetcache_tokio;
/// use std::sync::Arc;
///
///
/// # struct Db;
/// # impl Db { fn user(&self, id: u64) -> Result<Option<Arc<str>>, std::io::Error> { Ok(Some("Ada".into())) } }
/// # let db = Db;
/// let users = jetcache_tokio::builder::<u64, Arc<str>>("users").build()?.blocking();
/// let user = users.get_or_load(&7, || Ok(db.user(7)?))?;
/// assert_eq!(user.as_deref(), Some("Ada"));
/// users.invalidate(&7)?;
/// # Ok::<(), jetcache_tokio::Error>(())
/// ```
pub struct Blocking<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    cache: Cache<K, V>,
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Cache<K, V> {
    /// The same cache for threads: its calls wait.
    #[must_use]
    pub fn blocking(&self) -> Blocking<K, V> {
        Blocking {
            cache: self.clone(),
        }
    }
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static>
    Blocking<K, V>
{
    /// The cache itself.
    #[must_use]
    pub const fn cache(&self) -> &Cache<K, V> {
        &self.cache
    }

    /// Waits for any call of the cache, or several of them:
    ///
    /// ```
    /// # use jetcache_core::doc::runtime as jetcache_tokio;
    /// # let users = jetcache_tokio::builder::<u64, u64>("users").build()?.blocking();
    /// let seen = users.wait(users.cache().inspect(&7))?;
    /// assert_eq!(&*seen.cache, "users");
    /// # Ok::<(), jetcache_tokio::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] where no thread may wait; the future was not polled.
    pub fn wait<F>(&self, call: F) -> Result<F::Output, Error>
    where
        F: Future + Send,
        F::Output: Send,
    {
        outcome(&*self.cache.shared.runtime, call).map_err(|why| self.refused(why))
    }

    /// The outcome of a call that has the user's code run by `work`, on this thread.
    fn carry<F, R, A>(
        &self,
        desk: &Desk<R, A>,
        call: F,
        work: impl FnMut(R) -> Result<A, LoadError>,
    ) -> Result<F::Output, Error>
    where
        F: Future + Send,
        F::Output: Send,
        R: Send,
        A: Send,
    {
        // Without an L2 there is no lease to keep.
        let keeps = self.cache.kind().has_remote();
        let runtime = &*self.cache.shared.runtime;
        serve(runtime, keeps, desk, call, work).map_err(|why| self.refused(why))
    }

    /// Nobody may wait here.
    fn refused(&self, why: &'static str) -> Error {
        self.cache.shared.journal.warn_of_runtime(why);
        Error::config(why)
    }
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Clone
    for Blocking<K, V>
{
    fn clone(&self) -> Self {
        self.cache.blocking()
    }
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static>
    From<Cache<K, V>> for Blocking<K, V>
{
    fn from(cache: Cache<K, V>) -> Self {
        Self { cache }
    }
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> fmt::Debug
    for Blocking<K, V>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cache.fmt(f)
    }
}
