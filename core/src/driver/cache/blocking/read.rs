//! Reading, one key or many.

mod value;

use core::borrow::Borrow;
use core::hash::Hash;
use std::borrow::ToOwned;

use crate::driver::cache::batch::Batch;
use crate::driver::cache::blocking::Blocking;
use crate::driver::cache::blocking::desk::{Desk, once};
use crate::machine::error::Error;
use crate::machine::policy::call::Call;
use crate::machine::tier::entry::Cached;
use crate::machine::tier::load::Load;
use crate::ports::batch_loader::Loads;
use crate::ports::loader::LoadError;

/// Reading.
impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static>
    Blocking<K, V>
{
    /// The value of `key`, from L1, from L2, or from `loader`; `None` if it does not exist. However many
    /// threads and tasks ask at once, one loader runs: see
    /// [`Cache::get_or_load`](crate::Cache::get_or_load).
    ///
    /// # Errors
    /// Those of the cache's, and [`Error::Config`] where no thread may wait.
    pub fn get_or_load<Q, L, T>(&self, key: &Q, loader: L) -> Result<Option<V>, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + Sync + ?Sized,
        L: FnOnce() -> Result<T, LoadError>,
        T: Into<Load<V>>,
    {
        self.get_or_load_with(key, &PLAIN, loader)
    }

    /// [`get_or_load`](Self::get_or_load) with wishes of this call's own.
    ///
    /// # Errors
    /// Those of `get_or_load`, and [`Error::Config`] for wishes that cannot be.
    pub fn get_or_load_with<Q, L, T>(
        &self,
        key: &Q,
        call: &Call,
        loader: L,
    ) -> Result<Option<V>, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + Sync + ?Sized,
        L: FnOnce() -> Result<T, LoadError>,
        T: Into<Load<V>>,
    {
        if let Some(hit) = self.at_hand(key, call) {
            return Ok(hit.hit());
        }
        let desk = Desk::<(), Load<V>>::new();
        let found = self.cache.get_or_load_with(key, call, || desk.ask(()));
        self.carry(&desk, found, once(loader))?
    }

    /// The value of `key`, from L1, from L2, or from the registered loader: see
    /// [`Cache::load`](crate::Cache::load). That loader is asynchronous and runs as a task of the cache's
    /// runtime.
    ///
    /// # Errors
    /// Those of the cache's, and [`Error::Config`] where no thread may wait.
    pub fn load<Q>(&self, key: &Q) -> Result<Option<V>, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + Sync + ?Sized,
    {
        self.load_with(key, &PLAIN)
    }

    /// [`load`](Self::load) with wishes of this call's own.
    ///
    /// # Errors
    /// Those of `load`, and [`Error::Config`] for wishes that cannot be.
    pub fn load_with<Q>(&self, key: &Q, call: &Call) -> Result<Option<V>, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + Sync + ?Sized,
    {
        match self.at_hand(key, call) {
            Some(hit) => Ok(hit.hit()),
            None => self.wait(self.cache.load_with(key, call))?,
        }
    }

    /// What L1 and L2 know about `key`: see [`Cache::get`](crate::Cache::get). A miss where no thread may
    /// wait.
    pub fn get<Q>(&self, key: &Q) -> Cached<V>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + Sync + ?Sized,
    {
        self.get_with(key, &PLAIN)
    }

    /// [`get`](Self::get) with wishes of this call's own.
    pub fn get_with<Q>(&self, key: &Q, call: &Call) -> Cached<V>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + Sync + ?Sized,
    {
        self.at_hand(key, call).unwrap_or_else(|| {
            let found = self.wait(self.cache.get_with(key, call));
            found.unwrap_or(Cached::Miss)
        })
    }

    /// What L1 knows about `key`, at once.
    pub fn peek<Q>(&self, key: &Q) -> Cached<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.cache.peek(key)
    }

    /// Whether L1 or L2 has a value for `key`: see [`Cache::exists`](crate::Cache::exists). No where no
    /// thread may wait.
    pub fn exists<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + Sync + ?Sized,
    {
        self.wait(self.cache.exists(key)).unwrap_or(false)
    }

    /// What L1 and L2 know about each of `keys`: see [`Cache::get_many`](crate::Cache::get_many).
    ///
    /// # Errors
    /// [`Error::Config`] where no thread may wait.
    pub fn get_many<'k, Q, I>(&self, keys: I) -> Result<Batch<&'k Q, Cached<V>>, Error>
    where
        I: IntoIterator<Item = &'k Q> + Send,
        I::IntoIter: Send,
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + Sync + ?Sized + 'k,
    {
        self.wait(self.cache.get_many(keys))
    }

    /// The values of `keys`, from L1, from L2, or from `loader`: see
    /// [`Cache::get_many_or_load`](crate::Cache::get_many_or_load).
    ///
    /// # Errors
    /// For each key those of the cache's; and [`Error::Config`] where no thread may wait.
    ///
    /// ```
    /// # use jetcache_core::doc::runtime as jetcache_tokio;
    /// # use std::collections::HashMap;
    /// # struct Db;
    /// # impl Db {
    /// #     fn users(&self, ids: &[u64]) -> Result<HashMap<u64, String>, std::io::Error> {
    /// #         Ok(ids.iter().map(|id| (*id, id.to_string())).collect())
    /// #     }
    /// # }
    /// # let db = Db;
    /// let users = jetcache_tokio::builder::<u64, String>("users").build()?.blocking();
    /// let found = users.get_many_or_load(&[7, 8], |ids| Ok(db.users(&ids)?))?;
    /// assert!(found.iter().all(|(_, user)| matches!(user, Ok(Some(_)))));
    /// # Ok::<(), jetcache_tokio::Error>(())
    /// ```
    pub fn get_many_or_load<'k, Q, I, L, T>(
        &self,
        keys: I,
        loader: L,
    ) -> Result<Batch<&'k Q, Result<Option<V>, Error>>, Error>
    where
        I: IntoIterator<Item = &'k Q> + Send,
        I::IntoIter: Send,
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + Sync + ?Sized + 'k,
        L: FnMut(Vec<K>) -> Result<T, LoadError>,
        T: Into<Loads<K, V>>,
    {
        self.get_many_or_load_with(keys, &PLAIN, loader)
    }

    /// [`get_many_or_load`](Self::get_many_or_load) with wishes of this call's own.
    ///
    /// # Errors
    /// Those of `get_many_or_load`, and for each key [`Error::Config`] for wishes that cannot be.
    pub fn get_many_or_load_with<'k, Q, I, L, T>(
        &self,
        keys: I,
        call: &Call,
        mut loader: L,
    ) -> Result<Batch<&'k Q, Result<Option<V>, Error>>, Error>
    where
        I: IntoIterator<Item = &'k Q> + Send,
        I::IntoIter: Send,
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + Sync + ?Sized + 'k,
        L: FnMut(Vec<K>) -> Result<T, LoadError>,
        T: Into<Loads<K, V>>,
    {
        let desk = Desk::<Vec<K>, Loads<K, V>>::new();
        let ask = |keys| desk.ask(keys);
        let found = self.cache.get_many_or_load_with(keys, call, ask);
        self.carry(&desk, found, |keys| loader(keys).map(Into::into))
    }

    /// The values of `keys`, from L1, from L2, or from the registered loader: see
    /// [`Cache::load_many`](crate::Cache::load_many).
    ///
    /// # Errors
    /// For each key those of the cache's; and [`Error::Config`] where no thread may wait.
    pub fn load_many<'k, Q, I>(
        &self,
        keys: I,
    ) -> Result<Batch<&'k Q, Result<Option<V>, Error>>, Error>
    where
        I: IntoIterator<Item = &'k Q> + Send,
        I::IntoIter: Send,
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + Sync + ?Sized + 'k,
    {
        self.wait(self.cache.load_many(keys))
    }

    /// A hit for a call that loads: it waits for nothing. A call that keeps its key fresh goes the long
    /// way, which knows how.
    fn at_hand<Q>(&self, key: &Q, call: &Call) -> Option<Cached<V>>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        (!call.refresh)
            .then(|| self.cache.at_hand(key, call))
            .flatten()
    }
}

/// A call without wishes.
static PLAIN: Call = Call::new();
