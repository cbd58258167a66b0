//! Reading one key.

use core::borrow::Borrow;
use core::future::Future;
use core::hash::Hash;
use core::pin::Pin;
use std::borrow::ToOwned;
use std::sync::Arc;

use crate::driver::cache::Cache;
use crate::driver::flight::chain::{LoadKey, check, wait};
use crate::driver::flight::glance::glance;
use crate::driver::flight::lead::lead;
use crate::driver::flight::seat::{Seat, SharedAnswer};
use crate::driver::world::bounds::{CacheKey, CacheValue};
use crate::machine::error::Error;
use crate::machine::event::Event;
use crate::machine::lookup::step::Answer;
use crate::machine::policy::call::Call;
use crate::machine::tier::entry::{Cached, Entry, Load};
use crate::ports::loader::LoadError;

/// Reading.
impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Cache<K, V> {
    /// The value of `key`, from L1, from L2, or from `loader`; `None` if it does not exist.
    ///
    /// However many callers ask at once, one loader runs: the others wait for its answer. The
    /// loader may borrow; it returns `V`, `Option<V>` or [`Load<V>`], with `Ok(None)` for "does not
    /// exist", which is remembered for `negative_ttl`. It is bounded by `load_timeout`.
    ///
    /// # Errors
    /// [`Error::Load`] if the loader that ran failed, [`Error::Panicked`] if it panicked,
    /// [`Error::Timeout`] if it took too long, for all who waited for it; the next call loads
    /// again. [`Error::Deadlock`] if this call stands in a loader that waits for this very load.
    /// [`Error::Key`] if the key cannot be stored in L2. [`Error::Closed`].
    ///
    /// # Cancellation
    /// Dropping the future drops its loader. The longest waiter, if there is one, runs its own.
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
            None => self.load_far(key, Call::new(), loader).await,
        }
    }

    /// [`get_or_load`](Self::get_or_load) with wishes of this call's own. They apply if this
    /// caller's loader runs; one that joins another's flight takes that flight's answer.
    ///
    /// # Errors
    /// Those of `get_or_load`, and [`Error::Config`] for a TTL of zero and for a
    /// [refresh](Call::refresh) that cannot be.
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
        self.check_load(call)?;
        let loaded = match self.hit_with(key, call) {
            Some(hit) => Ok(hit),
            None => self.load_far(key, *call, loader).await,
        };
        if call.refresh {
            self.answered(key, call, &loaded);
        }
        loaded
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
        self.load_with(key, &Call::new()).await
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
        self.check_load(call)?;
        let loaded = match self.hit_with(key, call) {
            Some(hit) => Ok(hit),
            None => Box::pin(self.load_registered(key, *call)).await,
        };
        self.answered(key, call, &loaded);
        loaded
    }

    /// What L1 and L2 know about `key`. No loader runs and none is waited for. An L2 that cannot
    /// answer is a miss, after `remote_timeout` at most.
    pub async fn get<Q>(&self, key: &Q) -> Cached<V>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        self.get_with(key, &Call::new()).await
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
            None => Box::pin(self.look_further(key, *call)).await,
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
        if self.kind().has_local() {
            self.shared.journal.note(&Event::LocalMiss);
        }
        Cached::Miss
    }

    /// Whether L1 or L2 has a value for `key`: no if it is known not to exist, or if L2 cannot
    /// answer. Nothing is kept in L1.
    pub async fn exists<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        self.exists_with(key, &Call::new()).await
    }

    /// [`exists`](Self::exists) with wishes of this call's own: to skip a level.
    pub async fn exists_with<Q>(&self, key: &Q, call: &Call) -> bool
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        match self.hit_with(key, call) {
            Some(hit) => hit.is_some(),
            None => Box::pin(self.look_further(key, call.no_store()))
                .await
                .is_hit(),
        }
    }

    /// An L1 hit: a value, or that the key does not exist.
    #[inline]
    fn hit<Q>(&self, key: &Q) -> Option<Option<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.fresh(key).map(Entry::into_value)
    }

    /// The fresh entry of L1.
    #[inline]
    pub(super) fn fresh<Q>(&self, key: &Q) -> Option<Entry<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let shared = &self.shared;
        let entry = shared.level1.fresh(&key, &*shared.runtime)?;
        shared.journal.note_local_hit();
        Some(entry)
    }

    fn hit_with<Q>(&self, key: &Q, call: &Call) -> Option<Option<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if call.skip_local { None } else { self.hit(key) }
    }

    /// The long way, boxed and out of line: a hit neither carries its future nor makes room for it on
    /// the stack.
    #[inline(never)]
    fn load_far<'a, Q, L, F, T>(
        &'a self,
        key: &'a Q,
        call: Call,
        loader: L,
    ) -> Pin<Box<impl Future<Output = Result<Option<V>, Error>> + use<'a, K, V, Q, L, F, T>>>
    where
        Q: ToOwned<Owned = K> + ?Sized,
        L: FnOnce() -> F,
        F: Future<Output = Result<T, LoadError>>,
        T: Into<Load<V>>,
    {
        Box::pin(self.load_by(key, call, loader))
    }

    async fn load_by<Q, L, F, T>(&self, key: &Q, call: Call, loader: L) -> Result<Option<V>, Error>
    where
        Q: ToOwned<Owned = K> + ?Sized,
        L: FnOnce() -> F,
        F: Future<Output = Result<T, LoadError>>,
        T: Into<Load<V>>,
    {
        let (_admission, address) = self.admit(key)?;
        check(LoadKey::of(&self.shared, address.hash))?;
        let call = address.wishes(call);
        if let Some(found) = self.beside_refresh(&address, call).await {
            return loaded(&found);
        }
        let mut seat = Seat::join(&self.shared, address, call);
        let mut loader = Some(loader);
        loop {
            let answer = match turn(&mut seat).await? {
                Some(answer) => Some(answer),
                None => lead(&mut seat, &mut loader).await.into_answer(),
            };
            if let Some(answer) = answer {
                return loaded(&answer);
            }
        }
    }

    async fn load_registered<Q>(&self, key: &Q, call: Call) -> Result<Option<V>, Error>
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        let answer = self.answer_registered(key, call).await?;
        loaded(&answer)
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
        let (_admission, address) = self.admit(key)?;
        check(LoadKey::of(&self.shared, address.hash))?;
        let call = address.wishes(call);
        if let Some(found) = self.beside_refresh(&address, call).await {
            return Ok(Arc::new(found));
        }
        let load = || {
            let (loader, key) = (Arc::clone(loader), Arc::clone(&address.key));
            move || async move { loader.load((*key).clone()).await }
        };
        let mut seat = Seat::join(&self.shared, address.clone(), call);
        let mut spawned = None;
        loop {
            let answer = match turn(&mut seat).await? {
                Some(answer) => Some(answer),
                None if spawned != Some(seat.rejoined()) => {
                    spawned = Some(seat.rejoined());
                    // The task takes this seat; the caller takes another and waits like everyone.
                    let own = seat.second();
                    let mut leader = core::mem::replace(&mut seat, own);
                    let load = load();
                    let flight = self.shared.spawn(async move {
                        lead(&mut leader, &mut Some(load)).await;
                    });
                    if let Err(in_place) = flight {
                        in_place.await;
                    }
                    None
                }
                // The task is gone, and its runtime perhaps with it: the caller leads.
                None => lead(&mut seat, &mut Some(load())).await.into_answer(),
            };
            if let Some(answer) = answer {
                return Ok(answer);
            }
        }
    }

    /// What L2 knows of a key that L1 does not have. A closed cache knows nothing.
    async fn look_further<Q>(&self, key: &Q, call: Call) -> Cached<V>
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        let Ok(_admission) = self.admit_many() else {
            return Cached::Miss;
        };
        let (found, _) = glance(&self.shared, &[key], call).await;
        let found = found.first();
        found.map_or(Cached::Miss, |(found, _)| unshared(found))
    }
}

/// Waits for the flight's answer, where that can come. `None`: this seat is to lead.
///
/// # Errors
/// [`Error::Deadlock`].
async fn turn<K: CacheKey, V: CacheValue>(
    seat: &mut Seat<K, V>,
) -> Result<Option<SharedAnswer<V>>, Error> {
    let _wait = wait(seat.load_key())?;
    Ok(seat.turn().await)
}

pub(super) fn no_loader() -> Error {
    Error::config("no loader is registered: give the builder one, or use get_or_load")
}

/// The answer of a flight, copied for one caller.
pub(super) fn loaded<V: Clone>(answer: &Answer<Arc<V>>) -> Result<Option<V>, Error> {
    match &answer.outcome {
        Ok(cached) => Ok(unshared(cached).hit()),
        Err(error) => Err(error.clone()),
    }
}

pub(super) fn unshared<V: Clone>(cached: &Cached<Arc<V>>) -> Cached<V> {
    match cached {
        Cached::Hit(value) => Cached::Hit((**value).clone()),
        Cached::Absent => Cached::Absent,
        Cached::Miss => Cached::Miss,
    }
}
