//! Reading one key.

mod value;

use core::borrow::Borrow;
use core::future::Future;
use core::hash::Hash;
use core::pin::Pin;
use std::borrow::ToOwned;
use std::sync::Arc;

use crate::driver::cache::Cache;
use crate::driver::flight::chain::{LoadKey, check, wait};
use crate::driver::flight::glance::glance_one;
use crate::driver::flight::lead::lead;
use crate::driver::flight::seat::{Seat, SharedAnswer};
use crate::driver::shared::journal::Journal;
use crate::driver::world::bounds::{CacheKey, CacheValue};
use crate::machine::error::Error;
use crate::machine::event::Event;
use crate::machine::lookup::step::Answer;
use crate::machine::policy::call::Call;
use crate::machine::tier::entry::{Cached, Entry};
use crate::machine::tier::load::Load;
use crate::ports::loader::LoadError;
use crate::ports::standing::Standing;

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
    /// # use jetcache_core::doc::runtime as jetcache_tokio;
    /// # use jetcache_tokio::LoadError;
    /// # use std::sync::Arc;
    /// # struct Db;
    /// # impl Db { async fn user(&self, id: u64) -> Result<Option<Arc<str>>, std::io::Error> { Ok(None) } }
    /// # let (db, id) = (Db, 7_u64);
    /// # jetcache_core::doc::block_on(async {
    /// # let cache = jetcache_tokio::builder::<u64, Arc<str>>("users").build()?;
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
        let hit = self.hit(key, |hit| {
            self.after_hit(key, &PLAIN, hit);
            hit.take_value()
        });
        match hit {
            Some(value) => Ok(value),
            None => Ok(self
                .load_far(key, Call::new(), |standing| {
                    Standing::hide(standing);
                    loader()
                })
                .await?
                .hit()),
        }
    }

    /// [`get_or_load`](Self::get_or_load) with wishes of this call's own. They apply if this
    /// caller's loader runs; one that joins another's flight takes that flight's answer.
    ///
    /// # Errors
    /// Those of `get_or_load`, and [`Error::Config`] for a [refresh](Call::refresh) that
    /// cannot be.
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
        let loaded = self.get_or_load_cached(key, call, loader).await?;
        Ok(loaded.hit())
    }

    /// [`get_or_load_with`](Self::get_or_load_with), and whether the value is stale: it answers
    /// [`Cached::Hit`], [`Cached::Stale`] or [`Cached::Absent`].
    ///
    /// # Errors
    /// Those of `get_or_load_with`.
    pub async fn get_or_load_cached<Q, L, F, T>(
        &self,
        key: &Q,
        call: &Call,
        loader: L,
    ) -> Result<Cached<V>, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
        L: FnOnce() -> F,
        F: Future<Output = Result<T, LoadError>>,
        T: Into<Load<V>>,
    {
        self.get_or_load_if_changed(key, call, |standing| {
            Standing::hide(standing);
            loader()
        })
        .await
    }

    /// [`get_or_load_cached`](Self::get_or_load_cached) by a loader that is shown the value that
    /// [stands](Standing) there, if there is one: it may answer that this one is
    /// [`unchanged`](Load::unchanged), and then neither fetches it nor has it sent to L2 again. With
    /// [`stale_for`](crate::Builder::stale_for) that is a value whose life is over.
    ///
    /// # Errors
    /// Those of `get_or_load_with`; [`NothingStands`](crate::NothingStands) as an [`Error::Load`] for a
    /// loader that says `unchanged` of nothing.
    ///
    /// ```
    /// # use jetcache_core::doc::runtime as jetcache_tokio;
    /// # use jetcache_tokio::{Cached, Call, Load, Standing};
    /// # use core::time::Duration;
    /// # use std::sync::Arc;
    /// # struct Api;
    /// # impl Api {
    /// #     /// `None`: not modified, as a 304 says.
    /// #     async fn page(&self, id: u64, etag: Option<&str>) -> Result<Option<(Arc<str>, String)>, std::io::Error> {
    /// #         Ok((etag != Some("v1")).then(|| ("page".into(), "v1".into())))
    /// #     }
    /// # }
    /// # let (api, id) = (Api, 7_u64);
    /// # jetcache_core::doc::block_on(async {
    /// let cache = jetcache_tokio::builder::<u64, Arc<str>>("pages")
    ///     .ttl(Duration::from_secs(60))
    ///     .stale_for(Duration::from_secs(3600))
    ///     .build()?;
    /// let page = cache
    ///     .get_or_load_if_changed(&id, &Call::new(), async |standing: Option<Standing<Arc<str>>>| {
    ///         let etag = standing.as_ref().and_then(Standing::mark_text);
    ///         Ok(match api.page(id, etag).await? {
    ///             None => Load::unchanged(),
    ///             Some((page, etag)) => Load::from(page).mark(etag),
    ///         })
    ///     })
    ///     .await?;
    /// assert_eq!(page, Cached::Hit("page".into()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn get_or_load_if_changed<Q, L, F, T>(
        &self,
        key: &Q,
        call: &Call,
        loader: L,
    ) -> Result<Cached<V>, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
        L: FnOnce(Option<Standing<V>>) -> F,
        F: Future<Output = Result<T, LoadError>>,
        T: Into<Load<V>>,
    {
        self.check_load(call)?;
        let hit = self.hit_with(key, call, |hit| {
            self.after_hit(key, call, hit);
            hit.take_cached()
        });
        let loaded = match hit {
            Some(cached) => Ok(cached),
            None => self.load_far(key, call.clone(), loader).await,
        };
        if call.refresh {
            self.answered(key, call, &loaded);
        }
        loaded
    }

    /// What L1 and L2 know about `key`. No loader runs and none is waited for. An L2 that cannot
    /// answer is a miss, after `remote_timeout` at most.
    pub async fn get<Q>(&self, key: &Q) -> Cached<V>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        // Not by way of `get_with`, which would move the answer of a hit once more.
        let hit = self.hit(key, |hit| {
            self.draw(key, hit);
            hit.take_cached()
        });
        match hit {
            Some(cached) => cached,
            None => self.look_far(key, &PLAIN).await,
        }
    }

    /// [`get`](Self::get) with wishes of this call's own: to skip a level, to keep nothing in L1,
    /// or to keep it for another time.
    pub async fn get_with<Q>(&self, key: &Q, call: &Call) -> Cached<V>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        let hit = self.hit_with(key, call, |hit| {
            self.draw(key, hit);
            hit.take_cached()
        });
        match hit {
            Some(cached) => cached,
            None => self.look_far(key, call).await,
        }
    }

    /// What L1 knows about `key`, at once.
    pub fn peek<Q>(&self, key: &Q) -> Cached<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.hit(key, Entry::take_cached).unwrap_or_else(|| {
            if self.kind().has_local() {
                self.shared.journal.note(&Event::LocalMiss);
            }
            Cached::Miss
        })
    }

    /// Whether L1 or L2 has a value for `key`: no if it is known not to exist, or if L2 cannot
    /// answer. Nothing is kept in L1.
    pub async fn exists<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        self.exists_with(key, &PLAIN).await
    }

    /// [`exists`](Self::exists) with wishes of this call's own: to skip a level.
    pub async fn exists_with<Q>(&self, key: &Q, call: &Call) -> bool
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        match self.hit_with(key, call, |hit| hit.value().is_some()) {
            Some(exists) => exists,
            None => {
                let call = call.clone().no_store();
                self.look_far(key, &call).await.is_hit()
            }
        }
    }

    /// What `taken` takes from an L1 hit: a value, or that the key does not exist.
    #[inline(always)]
    pub(super) fn hit<Q, R>(&self, key: &Q, taken: impl FnOnce(&mut Entry<V>) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let shared = &self.shared;
        shared.level1.hit(&key, &*shared.runtime, |entry| {
            shared.journal.note_local_hit();
            if entry.is_stale() {
                shared.journal.note(&Event::Stale);
            }
            taken(entry)
        })
    }

    /// The same for a call with wishes.
    #[inline(always)]
    pub(super) fn hit_with<Q, R>(
        &self,
        key: &Q,
        call: &Call,
        taken: impl FnOnce(&mut Entry<V>) -> R,
    ) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if call.skip_local || call.stale_for.is_some() && !self.answers(key, call) {
            return None;
        }
        self.hit(key, taken)
    }

    /// Whether what L1 has is fresh enough for a call that says how stale it may be.
    #[cold]
    fn answers<Q>(&self, key: &Q, call: &Call) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let shared = &self.shared;
        let entry = shared.level1.fresh(&key, &*shared.runtime);
        entry.is_some_and(|entry| entry.answers(call, shared.runtime.now()))
    }

    /// The long way, boxed and out of line: a hit neither carries its future nor makes room for it on
    /// the stack.
    #[inline(never)]
    fn load_far<'a, Q, L, F, T>(
        &'a self,
        key: &'a Q,
        call: Call,
        loader: L,
    ) -> Pin<Box<impl Future<Output = Result<Cached<V>, Error>> + use<'a, K, V, Q, L, F, T>>>
    where
        Q: ToOwned<Owned = K> + ?Sized,
        L: FnOnce(Option<Standing<V>>) -> F,
        F: Future<Output = Result<T, LoadError>>,
        T: Into<Load<V>>,
    {
        Box::pin(self.load_by(key, call, loader))
    }

    /// The same without a loader.
    #[inline(never)]
    fn look_far<'a, Q>(
        &'a self,
        key: &'a Q,
        call: &'a Call,
    ) -> Pin<Box<impl Future<Output = Cached<V>> + use<'a, K, V, Q>>>
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        Box::pin(self.look_further(key, call))
    }

    async fn load_by<Q, L, F, T>(&self, key: &Q, call: Call, loader: L) -> Result<Cached<V>, Error>
    where
        Q: ToOwned<Owned = K> + ?Sized,
        L: FnOnce(Option<Standing<V>>) -> F,
        F: Future<Output = Result<T, LoadError>>,
        T: Into<Load<V>>,
    {
        let (_admission, address) = self.admit(key)?;
        check(LoadKey::of(&self.shared, address.hash))?;
        let call = address.wishes(call);
        if let Some(found) = self.beside_refresh(&address, &call).await {
            return loaded(&self.shared.journal, &found);
        }
        let mut seat = Seat::join(&self.shared, address, call);
        let mut loader = Some(loader);
        loop {
            let answer = match turn(&mut seat).await? {
                Some(answer) => Some(answer),
                // In a box of its own: two small ones cost less than one that malloc has to look for.
                None => Box::pin(lead(&mut seat, &mut loader)).await.into_answer(),
            };
            if let Some(answer) = answer {
                return loaded(&self.shared.journal, &answer);
            }
        }
    }

    /// What L2 knows of a key that L1 does not have. A closed cache knows nothing.
    async fn look_further<Q>(&self, key: &Q, call: &Call) -> Cached<V>
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        let Ok(_admission) = self.admit_many() else {
            return Cached::Miss;
        };
        let (found, _) = glance_one(&self.shared, key, call).await;
        unshared(&found)
    }
}

/// Waits for the flight's answer, where that can come. `None`: this seat is to lead.
///
/// # Errors
/// [`Error::Deadlock`].
pub(super) async fn turn<K: CacheKey, V: CacheValue>(
    seat: &mut Seat<K, V>,
) -> Result<Option<SharedAnswer<V>>, Error> {
    let _wait = wait(seat.load_key())?;
    Ok(seat.turn().await)
}

/// A call without wishes.
pub(super) static PLAIN: Call = Call::new();

/// The answer of a flight, copied for one caller.
pub(super) fn loaded<V: Clone>(
    journal: &Journal,
    answer: &Answer<Arc<V>>,
) -> Result<Cached<V>, Error> {
    if let Ok(Cached::Stale(_)) = answer.outcome {
        journal.note(&Event::Stale);
    }
    match &answer.outcome {
        Ok(cached) => Ok(unshared(cached)),
        Err(error) => Err(error.clone()),
    }
}

pub(super) fn unshared<V: Clone>(cached: &Cached<Arc<V>>) -> Cached<V> {
    cached.as_ref().map(|value| (**value).clone())
}
