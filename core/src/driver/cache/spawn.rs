//! Loads that run as tasks of their own and survive their callers.

use core::borrow::Borrow;
use core::future::Future;
use core::hash::Hash;
use core::pin::Pin;
use std::borrow::ToOwned;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::driver::cache::Cache;
use crate::driver::cache::batch::Batch;
use crate::driver::cache::read::{PLAIN, loaded, turn};
use crate::driver::cache::read_many::failed;
use crate::driver::flight::chain::{LoadKey, check};
use crate::driver::flight::lead::lead;
use crate::driver::flight::seat::{Led, Seat, SharedAnswer};
use crate::driver::shared::level1::taken;
use crate::driver::shared::loaders::no_loader;
use crate::driver::world::bounds::{CacheKey, CacheValue};
use crate::driver::world::erased::AnyBatchLoader;
use crate::machine::error::Error;
use crate::machine::policy::call::Call;
use crate::machine::tier::entry::Cached;
use crate::machine::tier::load::Load;
use crate::ports::batch_loader::BatchLoader;
use crate::ports::loader::LoadError;
use crate::ports::standing::Standing;

/// Reading with a loader that owns what it needs.
impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Cache<K, V> {
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
        // Not by way of the other two: each would move the answer of a hit once more.
        let hit = self.hit(key, |hit| {
            self.after_hit(key, &PLAIN, hit);
            hit.take_value()
        });
        let loaded = match hit {
            Some(value) => Ok(value),
            None => self
                .load_registered_far(key, Call::new())
                .await
                .map(Cached::hit),
        };
        self.answered(key, &PLAIN, &loaded);
        loaded
    }

    /// [`load`](Self::load) with wishes of this call's own.
    ///
    /// # Errors
    /// Those of `load`, and [`Error::Config`] for a TTL of zero and for a
    /// [refresh](Call::refresh) that cannot be.
    pub async fn load_with<Q>(&self, key: &Q, call: &Call) -> Result<Option<V>, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        Ok(self.load_cached(key, call).await?.hit())
    }

    /// [`load_with`](Self::load_with), and whether the value is stale: it answers [`Cached::Hit`],
    /// [`Cached::Stale`] or [`Cached::Absent`].
    ///
    /// # Errors
    /// Those of `load_with`.
    pub async fn load_cached<Q>(&self, key: &Q, call: &Call) -> Result<Cached<V>, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        self.check_load(call)?;
        let hit = self.hit_with(key, call, |hit| {
            self.after_hit(key, call, hit);
            hit.take_cached()
        });
        let loaded = match hit {
            Some(cached) => Ok(cached),
            None => self.load_registered_far(key, call.clone()).await,
        };
        self.answered(key, call, &loaded);
        loaded
    }

    /// The value of `key`, from L1, from L2, or from `loader`, which owns what it needs and runs as a
    /// task of its own. So the load survives its callers: with a stale value at hand nobody waits
    /// longer than [`soft_timeout`](crate::Builder::soft_timeout), and what is loaded meanwhile is
    /// kept for those who come next. It answers [`Cached::Hit`], [`Cached::Stale`] or
    /// [`Cached::Absent`].
    ///
    /// # Errors
    /// Those of [`get_or_load_with`](Self::get_or_load_with).
    ///
    /// # Cancellation
    /// Dropping the future stops the waiting, not the load.
    ///
    /// ```
    /// # use jetcache_core::doc::runtime as jetcache_tokio;
    /// # use jetcache_tokio::{Call, Cached};
    /// # use core::time::Duration;
    /// # use std::sync::Arc;
    /// # struct Db;
    /// # impl Db {
    /// #     async fn user(&self, id: u64) -> Result<Arc<str>, std::io::Error> { Ok("Ann".into()) }
    /// # }
    /// # let (db, id) = (Arc::new(Db), 7_u64);
    /// # jetcache_core::doc::block_on(async {
    /// let cache = jetcache_tokio::builder::<u64, Arc<str>>("users")
    ///     .stale_for(Duration::from_secs(600))
    ///     .soft_timeout(Duration::from_millis(50))
    ///     .build()?;
    /// let load = move || async move { Ok(db.user(id).await?) };
    /// let user = cache.get_or_spawn(&id, &Call::new(), load).await?;
    /// assert!(matches!(user, Cached::Hit(_)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn get_or_spawn<Q, L, F, T>(
        &self,
        key: &Q,
        call: &Call,
        loader: L,
    ) -> Result<Cached<V>, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
        L: FnOnce() -> F + Send + 'static,
        F: Future<Output = Result<T, LoadError>> + Send + 'static,
        T: Into<Load<V>> + Send + 'static,
    {
        self.get_or_spawn_if_changed(key, call, |standing| {
            Standing::hide(standing);
            loader()
        })
        .await
    }

    /// [`get_or_spawn`](Self::get_or_spawn) by a loader that is shown the value that [stands](Standing)
    /// there, and may answer that it is [`unchanged`](Load::unchanged), as that of
    /// [`get_or_load_if_changed`](Self::get_or_load_if_changed).
    ///
    /// # Errors
    /// Those of `get_or_load_if_changed`.
    ///
    /// # Cancellation
    /// Dropping the future stops the waiting, not the load.
    pub async fn get_or_spawn_if_changed<Q, L, F, T>(
        &self,
        key: &Q,
        call: &Call,
        loader: L,
    ) -> Result<Cached<V>, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
        L: FnOnce(Option<Standing<V>>) -> F + Send + 'static,
        F: Future<Output = Result<T, LoadError>> + Send + 'static,
        T: Into<Load<V>> + Send + 'static,
    {
        self.check_load(call)?;
        let loaded = match self.hit_with(key, call, taken) {
            Some(hit) => {
                if hit.has_lead() {
                    self.load_early(key, call, &hit, |_| loader);
                }
                Ok(hit.into_cached())
            }
            None => Box::pin(self.load_spawned(key, call.clone(), loader)).await,
        };
        if call.refresh {
            self.answered(key, call, &loaded);
        }
        loaded
    }

    /// [`get_many_or_load_with`](Self::get_many_or_load_with) by a loader that owns what it needs and
    /// runs as a task of its own, as that of [`get_or_spawn`](Self::get_or_spawn) does.
    ///
    /// # Errors
    /// For each key those of `get_many_or_load_with`.
    ///
    /// # Cancellation
    /// Dropping the future stops the waiting, not the loads that have begun.
    pub async fn get_many_or_spawn<'k, Q, I>(
        &self,
        keys: I,
        call: &Call,
        loader: impl BatchLoader<K, V>,
    ) -> Batch<&'k Q, Result<Option<V>, Error>>
    where
        I: IntoIterator<Item = &'k Q>,
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized + 'k,
    {
        if let Err(error) = self.check_load(call) {
            return failed(keys, &error);
        }
        let loader: Arc<dyn AnyBatchLoader<K, V>> = Arc::new(loader);
        let mut probe = self.probe(keys, call, |key, hit| self.after_hit(key, call, hit));
        while let Some(round) = probe.round(|| self.shared.runtime.now()) {
            let loading = self.load_many_registered(&round.keys, call.clone(), &loader);
            let answers = Box::pin(loading).await;
            probe.answered(round, answers);
        }
        self.handed_out(probe, call, call.refresh)
    }

    /// The long way, boxed and out of line as that of `get_or_load`.
    #[inline(never)]
    fn load_registered_far<'a, Q>(
        &'a self,
        key: &'a Q,
        call: Call,
    ) -> Pin<Box<impl Future<Output = Result<Cached<V>, Error>> + use<'a, K, V, Q>>>
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        Box::pin(self.load_registered(key, call))
    }

    async fn load_registered<Q>(&self, key: &Q, call: Call) -> Result<Cached<V>, Error>
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        let answer = self.answer_registered(key, call).await?;
        loaded(&self.shared.journal, &answer)
    }

    /// # Errors
    /// What keeps it from being looked up at all.
    pub(super) async fn answer_registered<Q>(
        &self,
        key: &Q,
        call: Call,
    ) -> Result<SharedAnswer<V>, Error>
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        let Some(loader) = &self.shared.loaders.one else {
            return Err(no_loader());
        };
        let load = |key: &Arc<K>| {
            let (loader, key) = (Arc::clone(loader), Arc::clone(key));
            Supply::of(move |standing| async move { loader.load((*key).clone(), standing).await })
        };
        self.answer_by_task(key, call, load).await
    }

    async fn load_spawned<Q, L, F, T>(
        &self,
        key: &Q,
        call: Call,
        loader: L,
    ) -> Result<Cached<V>, Error>
    where
        Q: ToOwned<Owned = K> + ?Sized,
        L: FnOnce(Option<Standing<V>>) -> F + Send + 'static,
        F: Future<Output = Result<T, LoadError>> + Send + 'static,
        T: Into<Load<V>> + Send + 'static,
    {
        let supply = Supply::of(loader);
        let answer = self.answer_by_task(key, call, |_| supply.clone()).await?;
        loaded(&self.shared.journal, &answer)
    }

    /// Has a task lead the key's flight with a loader of this supply, and waits for the answer.
    ///
    /// # Errors
    /// What keeps it from being looked up at all.
    async fn answer_by_task<Q, L, F, T>(
        &self,
        key: &Q,
        call: Call,
        supply: impl Fn(&Arc<K>) -> Supply<L>,
    ) -> Result<SharedAnswer<V>, Error>
    where
        Q: ToOwned<Owned = K> + ?Sized,
        L: FnOnce(Option<Standing<V>>) -> F + Send + 'static,
        F: Future<Output = Result<T, LoadError>> + Send + 'static,
        T: Into<Load<V>> + Send + 'static,
    {
        let (_admission, address) = self.admit(key)?;
        check(LoadKey::of(&self.shared, address.hash))?;
        let call = address.wishes(call);
        if let Some(found) = self.beside_refresh(&address, &call).await {
            return Ok(Arc::new(found));
        }
        let key = Arc::clone(&address.key);
        let mut seat = Seat::join(&self.shared, address, call);
        let mut spawned = None;
        loop {
            let answer = match turn(&mut seat).await? {
                Some(answer) => Some(answer),
                None if spawned != Some(seat.rejoined()) => {
                    spawned = Some(seat.rejoined());
                    // The task takes this seat; the caller takes another and waits like everyone.
                    let own = seat.second();
                    let mut leader = core::mem::replace(&mut seat, own);
                    let supply = supply(&key);
                    let flight = self.shared.spawn(async move {
                        supply.lead(&mut leader).await;
                    });
                    if let Err(in_place) = flight {
                        in_place.await;
                    }
                    None
                }
                // The task is gone, and its runtime perhaps with it: the caller leads.
                None => supply(&key).lead(&mut seat).await.into_answer(),
            };
            if let Some(answer) = answer {
                return Ok(answer);
            }
        }
    }
}

/// A loader that can be called once, by whoever comes to lead: a task, or the caller if that is gone.
struct Supply<L>(Arc<Mutex<Option<L>>>);

impl<L> Supply<L> {
    fn of(loader: L) -> Self {
        Self(Arc::new(Mutex::new(Some(loader))))
    }

    /// Leads a flight with it; what the flight did not need goes back.
    async fn lead<K, V, F, T>(&self, seat: &mut Seat<K, V>) -> Led<V>
    where
        K: CacheKey,
        V: CacheValue,
        L: FnOnce(Option<Standing<V>>) -> F,
        F: Future<Output = Result<T, LoadError>>,
        T: Into<Load<V>>,
    {
        let mut loader = self.lock().take();
        if loader.is_none() {
            // The tiers may answer all the same.
            let spent = |_| async { Err::<Load<V>, LoadError>(SPENT.into()) };
            return lead(seat, &mut Some(spent)).await;
        }
        let led = lead(seat, &mut loader).await;
        if loader.is_some() {
            *self.lock() = loader;
        }
        led
    }

    fn lock(&self) -> MutexGuard<'_, Option<L>> {
        // No user code runs under it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a loader that can run once does not run.
const SPENT: &str = "the loader has run already, and what it brought was overtaken by a change, or its \
                     task is gone: ask again";

impl<L> Clone for Supply<L> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
