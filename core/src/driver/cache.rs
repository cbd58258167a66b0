//! The cache that users hold.

use core::borrow::Borrow;
use core::fmt;
use core::future::Future;
use core::hash::Hash;
use std::borrow::ToOwned;
use std::sync::Arc;

use futures_util::future::{Either, select};
use portable_atomic::Ordering;

use super::builder::Builder;
use super::change::Run;
use super::repair::{ensure_repairs, repair};
use super::report::ensure_report;
use super::seat::{Led, Seat};
use super::shared::Shared;
use crate::machine::change::{Outcome, Plan, Reach};
use crate::machine::entry::{Cached, Load};
use crate::machine::error::Error;
use crate::machine::event::Event;
use crate::machine::lookup::Answer;
use crate::machine::policy::{Call, Kind, Policy};
use crate::machine::shard::{Activity, Role, Turn};
use crate::machine::stats::Stats;
use crate::machine::time::Timestamp;
use crate::ports::loader::LoadError;
use crate::ports::remote::Condition;
use crate::ports::runtime::Runtime;

/// A cache with two levels: L1 in the process, L2 shared by all nodes. Either may be missing.
///
/// It is a handle: clones are cheap and are the same cache. A hit clones `V`, so let `V` be an
/// `Arc`, or something as cheap. When the last handle is dropped the cache's tasks end.
///
/// # What dropping a future does
/// - A read ([`get_or_load`](Self::get_or_load), [`load`](Self::load), [`get`](Self::get),
///   [`exists`](Self::exists)): the caller is gone, nobody else notices. If its loader was running
///   for others, the longest waiting of them runs its own.
/// - A change ([`insert`](Self::insert) and its kind, [`invalidate`](Self::invalidate)): the
///   waiting stops, the change does not. Dropped before it was first polled, it was never begun.
/// - [`close`](Self::close): the cache stays closed, and what was not drained yet goes on.
///
/// ```
/// # use std::num::NonZeroUsize;
/// # use jetcache_core::doc::{block_on, Threads};
/// use jetcache_core::{Cache, LoadError};
/// use std::sync::Arc;
///
/// # block_on(async {
/// let cache = Cache::<String, Arc<str>>::builder("greetings", Threads).build()?;
/// let greeting = cache
///     .get_or_load("world", async || Ok::<_, LoadError>(Arc::from("hello")))
///     .await?;
/// assert_eq!(greeting.as_deref(), Some("hello"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct Cache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    shared: Arc<Shared<K, V>>,
    _handle: Arc<Handle<K, V>>,
}

/// Dropped with the last handle: ends the tasks.
struct Handle<K, V>(Arc<Shared<K, V>>);

impl<K, V> Drop for Handle<K, V> {
    fn drop(&mut self) {
        self.0.life.closed.store(true, Ordering::SeqCst);
        self.0.life.stop.notify(usize::MAX);
    }
}

impl<K, V> Clone for Cache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            _handle: Arc::clone(&self._handle),
        }
    }
}

impl<K, V> fmt::Debug for Cache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}

/// Reading.
impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// A builder for a cache of this name on this runtime. The runtime crates have a `builder` of
    /// their own that knows the runtime and the L1 engine.
    pub fn builder(name: &str, runtime: impl Runtime) -> Builder<K, V> {
        Builder::new(name, runtime)
    }

    pub(super) fn new(shared: Shared<K, V>) -> Self {
        let shared = Arc::new(shared);
        Self {
            _handle: Arc::new(Handle(Arc::clone(&shared))),
            shared,
        }
    }

    /// The value of `key`, from L1, from L2, or from `loader`; `None` if it does not exist.
    ///
    /// However many callers ask at once, one loader runs: the others wait for its answer. The
    /// loader may borrow; it returns `V`, `Option<V>` or [`Load<V>`], with `Ok(None)` for "does not
    /// exist", which is remembered for `negative_ttl`. It is bounded by `load_timeout`.
    ///
    /// # Errors
    /// [`Error::Load`] if the loader that ran failed, [`Error::Panicked`] if it panicked,
    /// [`Error::Timeout`] if it took too long, for all who waited for it; the next call loads
    /// again. [`Error::Key`] if the key cannot be stored in L2. [`Error::Closed`].
    ///
    /// # Cancellation
    /// Dropping the future drops its loader. If others wait for it, the one that has waited longest
    /// runs its own.
    ///
    /// ```
    /// # use jetcache_core::doc::{block_on, Threads};
    /// # use jetcache_core::{Cache, LoadError};
    /// # use std::sync::Arc;
    /// # struct Db;
    /// # impl Db { async fn user(&self, id: u64) -> Result<Option<Arc<str>>, std::io::Error> { Ok(None) } }
    /// # let (db, id) = (Db, 7_u64);
    /// # block_on(async {
    /// # let cache = Cache::<u64, Arc<str>>::builder("users", Threads).build()?;
    /// let user = cache.get_or_load(&id, async || Ok(db.user(id).await?)).await?;
    /// assert!(user.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn get_or_load<Q, L, F, T>(&self, key: &Q, loader: L) -> Result<Option<V>, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
        L: FnOnce() -> F,
        F: Future<Output = Result<T, LoadError>>,
        T: Into<Load<V>>,
    {
        match self.hit(key) {
            Some(hit) => Ok(hit),
            // The long way is boxed, so that the future of a hit stays small.
            None => Box::pin(self.load_by(key, Call::new(), loader)).await,
        }
    }

    /// [`get_or_load`](Self::get_or_load) with wishes of this call's own. They apply if this
    /// caller's loader runs; one that joins another's flight takes that flight's answer.
    ///
    /// # Errors
    /// Those of `get_or_load`, and [`Error::Config`] for a TTL of zero.
    pub async fn get_or_load_with<Q, L, F, T>(
        &self,
        key: &Q,
        call: &Call,
        loader: L,
    ) -> Result<Option<V>, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
        L: FnOnce() -> F,
        F: Future<Output = Result<T, LoadError>>,
        T: Into<Load<V>>,
    {
        call.check()?;
        match self.hit_with(key, call) {
            Some(hit) => Ok(hit),
            None => Box::pin(self.load_by(key, *call, loader)).await,
        }
    }

    /// The value of `key`, from L1, from L2, or from the registered loader; `None` if it does not
    /// exist. The load runs as a task of its own and survives its callers.
    ///
    /// # Errors
    /// Those of [`get_or_load`](Self::get_or_load), and [`Error::Config`] if no loader was
    /// registered.
    ///
    /// # Cancellation
    /// Dropping the future stops the waiting, not the load.
    pub async fn load<Q>(&self, key: &Q) -> Result<Option<V>, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        match self.hit(key) {
            Some(hit) => Ok(hit),
            None => Box::pin(self.load_registered(key, Call::new())).await,
        }
    }

    /// [`load`](Self::load) with wishes of this call's own.
    ///
    /// # Errors
    /// Those of `load`, and [`Error::Config`] for a TTL of zero.
    pub async fn load_with<Q>(&self, key: &Q, call: &Call) -> Result<Option<V>, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        call.check()?;
        match self.hit_with(key, call) {
            Some(hit) => Ok(hit),
            None => Box::pin(self.load_registered(key, *call)).await,
        }
    }

    /// What L1 and L2 know about `key`. No loader runs and none is waited for. An L2 that cannot
    /// answer is a miss, after `remote_timeout` at most.
    pub async fn get<Q>(&self, key: &Q) -> Cached<V>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        match self.hit(key) {
            Some(hit) => hit.map_or(Cached::Absent, Cached::Hit),
            None => Box::pin(self.visit(key, Call::new())).await,
        }
    }

    /// [`get`](Self::get) with wishes of this call's own: to skip a level, to keep nothing in L1,
    /// or to keep it for another time.
    pub async fn get_with<Q>(&self, key: &Q, call: &Call) -> Cached<V>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        match self.hit_with(key, call) {
            Some(hit) => hit.map_or(Cached::Absent, Cached::Hit),
            None => Box::pin(self.visit(key, *call)).await,
        }
    }

    /// What L1 knows about `key`, at once.
    pub fn peek<Q>(&self, key: &Q) -> Cached<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if let Some(hit) = self.hit(key) {
            return hit.map_or(Cached::Absent, Cached::Hit);
        }
        if self.shared.local.is_some() {
            self.shared.tell(&Event::LocalMiss);
        }
        Cached::Miss
    }

    /// Whether L1 or L2 has a value for `key`. What is known not to exist does not, and what L2
    /// cannot answer about does not either. Nothing is kept in L1.
    pub async fn exists<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        match self.hit(key) {
            Some(hit) => hit.is_some(),
            None => Box::pin(self.visit(key, Call::new().no_store()))
                .await
                .is_hit(),
        }
    }

    /// An L1 hit: a value, or that the key does not exist.
    fn hit<Q>(&self, key: &Q) -> Option<Option<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let local = self.shared.local.as_ref()?;
        let entry = local.get(&key)?;
        if !entry.is_fresh(self.shared.runtime.now()) {
            local.remove(&key);
            return None;
        }
        self.shared.tell(&Event::LocalHit);
        Some(entry.into_value())
    }

    fn hit_with<Q>(&self, key: &Q, call: &Call) -> Option<Option<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if call.skip_local { None } else { self.hit(key) }
    }

    async fn load_by<Q, L, F, T>(&self, key: &Q, call: Call, loader: L) -> Result<Option<V>, Error>
    where
        Q: ToOwned<Owned = K> + ?Sized,
        L: FnOnce() -> F,
        F: Future<Output = Result<T, LoadError>>,
        T: Into<Load<V>>,
    {
        let (key, text) = self.admit(key)?;
        let mut seat = Seat::join(&self.shared, &key, text.as_ref(), call);
        let mut loader = Some(loader);
        loop {
            match seat.turn().await {
                Turn::Lead => match seat.lead(loader.take()).await {
                    Led::Finished | Led::Follow => {}
                    Led::Alone(answer) => return loaded(&answer),
                },
                Turn::Answer(answer) => return loaded(&answer),
                // `turn` waits itself.
                Turn::Wait(_) => {}
            }
        }
    }

    async fn load_registered<Q>(&self, key: &Q, call: Call) -> Result<Option<V>, Error>
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        let Some(loader) = &self.shared.loader else {
            return Err(Error::config(
                "no loader is registered: give the builder one, or use get_or_load",
            ));
        };
        let (key, text) = self.admit(key)?;
        let mut seat = Seat::join(&self.shared, &key, text.as_ref(), call);
        loop {
            match seat.turn().await {
                Turn::Lead => {
                    // The task takes this seat; the caller takes another and waits like everyone.
                    let mut leader = seat;
                    seat = Seat::join(&self.shared, &key, text.as_ref(), call);
                    let (loader, key) = (Arc::clone(loader), Arc::clone(&key));
                    let flight = self.shared.spawn(async move {
                        let load = || async move { loader.load((*key).clone()).await };
                        leader.lead(Some(load)).await;
                    });
                    if let Err(in_place) = flight {
                        in_place.await;
                    }
                }
                Turn::Answer(answer) => return loaded(&answer),
                Turn::Wait(_) => {}
            }
        }
    }

    async fn visit<Q>(&self, key: &Q, call: Call) -> Cached<V>
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        let Ok((key, text)) = self.admit(key) else {
            return Cached::Miss;
        };
        let mut seat = Seat::visit(&self.shared, &key, text.as_ref(), call);
        debug_assert_eq!(seat.role(), Role::Lead);
        // A read has no loader to run.
        type Never<V> = fn() -> core::future::Ready<Result<Option<V>, LoadError>>;
        let _ = seat.lead(None::<Never<V>>).await;
        match seat.turn().await {
            Turn::Answer(answer) => match &*answer {
                Ok(cached) => unshared(cached),
                Err(_) => Cached::Miss,
            },
            Turn::Lead | Turn::Wait(_) => Cached::Miss,
        }
    }

    /// What every call that goes further than L1 needs: an open cache, the key and its text.
    fn admit<Q>(&self, key: &Q) -> Result<(Arc<K>, Option<Arc<str>>), Error>
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        if self.shared.is_closed() {
            return Err(Error::Closed);
        }
        self.address(key.to_owned())
    }

    fn address(&self, key: K) -> Result<(Arc<K>, Option<Arc<str>>), Error> {
        ensure_repairs(&self.shared);
        ensure_report(&self.shared);
        let text = self
            .shared
            .link
            .as_ref()
            .map(|link| link.text(&key))
            .transpose()?;
        Ok((Arc::new(key), text))
    }
}

/// Changing.
impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Puts `value` in the place of whatever the tiers hold for `key`.
    ///
    /// When it returns, no later read on this node gets a value that was loaded or inserted before.
    /// Inserts of one key from several nodes take effect in the order in which L2 took them, which
    /// need not be the order of the database: where that matters, change the row and then
    /// [`invalidate`](Self::invalidate).
    ///
    /// An L2 that does not answer is not an error: see [`Reach::Pending`].
    ///
    /// # Errors
    /// [`Error::Encode`] if the value cannot be encoded, [`Error::Key`] if the key cannot be
    /// stored, [`Error::Closed`]; nothing was changed.
    ///
    /// # Cancellation
    /// Dropping the future stops the waiting, not the insert.
    pub async fn insert(&self, key: K, value: V) -> Result<Reach, Error> {
        self.insert_with(key, value, &Call::new()).await
    }

    /// [`insert`](Self::insert) with wishes of this call's own. A level that is skipped is cleared
    /// of the key.
    ///
    /// # Errors
    /// Those of `insert`, and [`Error::Config`] for a TTL of zero or for `no_store`.
    pub async fn insert_with(&self, key: K, value: V, call: &Call) -> Result<Reach, Error> {
        match Box::pin(self.put(key, value, *call, None)).await? {
            Outcome::Made(reach) => Ok(reach),
            Outcome::Applied(_) | Outcome::Undecided => Ok(Reach::Pending),
        }
    }

    /// Inserts `value` if no tier has a value for `key`, as L2 judges, or L1 if there is no L2. A
    /// not-found placeholder is no value. Whether it was applied; if not, nothing was changed
    /// anywhere.
    ///
    /// # Errors
    /// [`Error::Undecided`] if L2 did not say; those of [`insert`](Self::insert).
    ///
    /// # Cancellation
    /// Dropping the future stops the waiting, not the insert.
    pub async fn insert_if_absent(&self, key: K, value: V) -> Result<bool, Error> {
        self.insert_if_absent_with(key, value, &Call::new()).await
    }

    /// [`insert_if_absent`](Self::insert_if_absent) with wishes of this call's own.
    ///
    /// # Errors
    /// Those of `insert_if_absent`, and [`Error::Config`] for a TTL of zero, for `no_store` or for
    /// `skip_remote`.
    pub async fn insert_if_absent_with(
        &self,
        key: K,
        value: V,
        call: &Call,
    ) -> Result<bool, Error> {
        self.insert_if(key, value, *call, Condition::Absent).await
    }

    /// Inserts `value` if there is a value for `key` already, as L2 judges, or L1 if there is no
    /// L2. Whether it was applied; if not, nothing was changed anywhere.
    ///
    /// # Errors
    /// [`Error::Undecided`] if L2 did not say; those of [`insert`](Self::insert).
    ///
    /// # Cancellation
    /// Dropping the future stops the waiting, not the insert.
    pub async fn insert_if_present(&self, key: K, value: V) -> Result<bool, Error> {
        self.insert_if_present_with(key, value, &Call::new()).await
    }

    /// [`insert_if_present`](Self::insert_if_present) with wishes of this call's own.
    ///
    /// # Errors
    /// Those of `insert_if_present`, and [`Error::Config`] for a TTL of zero, for `no_store` or for
    /// `skip_remote`.
    pub async fn insert_if_present_with(
        &self,
        key: K,
        value: V,
        call: &Call,
    ) -> Result<bool, Error> {
        self.insert_if(key, value, *call, Condition::Present).await
    }

    async fn insert_if(
        &self,
        key: K,
        value: V,
        call: Call,
        condition: Condition,
    ) -> Result<bool, Error> {
        match Box::pin(self.put(key, value, call, Some(condition))).await? {
            Outcome::Applied(applied) => Ok(applied),
            Outcome::Made(_) | Outcome::Undecided => Err(Error::Undecided),
        }
    }

    async fn put(
        &self,
        key: K,
        value: V,
        call: Call,
        condition: Option<Condition>,
    ) -> Result<Outcome, Error> {
        call.check_change(condition.is_some())?;
        if self.shared.is_closed() {
            return Err(Error::Closed);
        }
        let (key, text) = self.address(key)?;
        let encoded = self
            .shared
            .link
            .as_ref()
            .map(|link| link.encode(Some(&value)));
        let bytes = encoded
            .transpose()
            .map_err(|error| Error::Encode(error.into()))?;
        let plan = Plan::Insert {
            value: Arc::new(value),
            call,
            condition,
        };
        let run = Run::open(&self.shared, key, text, plan, bytes.unwrap_or_default());
        Ok(run.detached().await.unwrap_or(Outcome::Undecided))
    }

    /// Removes `key` from every tier.
    ///
    /// When it returns, no later read on this node gets a value whose loading began before the
    /// call; with [`Reach::Everywhere`] L2 has none either. It works on a closed cache too.
    ///
    /// # Cancellation
    /// Dropping the future stops the waiting, not the removal.
    pub async fn invalidate<Q>(&self, key: &Q) -> Reach
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        // A key that L2 cannot hold is nowhere.
        let Ok((key, text)) = self.address(key.to_owned()) else {
            return Reach::Everywhere;
        };
        let run = Run::open(&self.shared, key, text, Plan::Invalidate, Vec::new());
        match Box::pin(run.detached()).await {
            Some(Outcome::Made(reach)) => reach,
            Some(_) | None => Reach::Pending,
        }
    }

    /// Removes `key` from this process's L1. A load that is under way keeps nothing there.
    pub fn invalidate_local<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        let Some(local) = &self.shared.local else {
            return;
        };
        let owned = Arc::new(key.to_owned());
        let shard = self.shared.shard(&owned);
        let pending = self
            .shared
            .ask(shard, |table, _, effects| table.supersede(&owned, effects));
        self.shared.wait_written(shard, &pending);
        local.remove(&key);
    }

    /// Removes everything from this process's L1. Loads that are under way keep nothing there.
    pub fn clear_local(&self) {
        let Some(local) = &self.shared.local else {
            return;
        };
        let shards = 0..self.shared.shards.len();
        let pending: Vec<_> = shards
            .map(|shard| {
                self.shared
                    .ask(shard, |table, _, effects| table.supersede_all(effects))
            })
            .collect();
        for (shard, pending) in pending.iter().enumerate() {
            self.shared.wait_written(shard, pending);
        }
        local.clear();
    }
}

/// Looking at the cache itself.
impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The cache's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Which levels it has.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.shared.policy.kind
    }

    /// Its settings.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.shared.policy
    }

    /// How many entries L1 has; engines may need a moment to be exact.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.local.as_ref().map_or(0, |local| local.len())
    }

    /// Whether L1 has no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The weight of L1's entries: their number, or bytes where the engine has a weigher.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.shared.local.as_ref().map_or(0, |local| local.weight())
    }

    /// What was counted since the cache was built; zeros if statistics are off.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// How much is under way: flights, waiting callers, changes, unconfirmed keys.
    #[must_use]
    pub fn activity(&self) -> Activity {
        self.shared.activity()
    }

    /// How many tasks run for this cache.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.shared.tasks()
    }

    /// Closes the cache: new reads and inserts are refused with [`Error::Closed`], a read without a
    /// loader is a miss. Loads and changes that are under way end first, for at most
    /// `load_timeout` + 4 × `remote_timeout`; removals that L2 has not confirmed are sent once
    /// more; then L1 is emptied.
    ///
    /// It closes every handle of this cache, and may be called any number of times.
    ///
    /// # Cancellation
    /// Dropping the future leaves the cache closed; what was not drained goes on by itself.
    pub async fn close(&self) {
        let shared = &self.shared;
        shared.life.closed.store(true, Ordering::SeqCst);
        shared.life.stop.notify(usize::MAX);
        let policy = &shared.policy;
        let patience = policy
            .load_timeout
            .saturating_add(policy.remote_timeout * 4);
        let mut patience = shared.runtime.sleep(patience);
        loop {
            let idle = shared.life.idle.listen();
            if shared.tasks() == 0 {
                break;
            }
            match select(idle, patience).await {
                Either::Left(((), rest)) => patience = rest,
                Either::Right(_) => break,
            }
        }
        while repair(shared, Timestamp::MAX).await > 0 {
            if shared.activity().unconfirmed > 0 {
                // L2 has just been asked in vain.
                break;
            }
        }
        self.clear_local();
    }
}

impl<K, V> Shared<K, V> {
    pub(super) fn stats(&self) -> Stats {
        let mut stats = self
            .counters
            .as_ref()
            .map_or_else(Stats::default, |c| c.read());
        stats.evicted = self.local.as_ref().and_then(|local| local.evicted());
        stats
    }
}

/// The answer of a flight, copied for one caller.
fn loaded<V: Clone>(answer: &Answer<Arc<V>>) -> Result<Option<V>, Error> {
    match answer {
        Ok(cached) => Ok(unshared(cached).hit()),
        Err(error) => Err(error.clone()),
    }
}

fn unshared<V: Clone>(cached: &Cached<Arc<V>>) -> Cached<V> {
    match cached {
        Cached::Hit(value) => Cached::Hit((**value).clone()),
        Cached::Absent => Cached::Absent,
        Cached::Miss => Cached::Miss,
    }
}
