//! Changing, one key or many.

use core::borrow::Borrow;
use core::future::Future;
use core::hash::Hash;
use core::pin::pin;
use core::task::{Context, Waker};
use std::borrow::ToOwned;

use crate::driver::cache::batch::Batch;
use crate::driver::cache::blocking::Blocking;
use crate::driver::cache::blocking::desk::{Desk, once};
use crate::machine::change::Reach;
use crate::machine::error::Error;
use crate::machine::policy::call::Call;
use crate::machine::tier::load::Load;
use crate::ports::loader::LoadError;

/// Changing.
///
/// Where no thread may wait, each fails. A removal has begun there all the same, and ends some time later.
impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static>
    Blocking<K, V>
{
    /// Stores `value` under `key`: see [`Cache::insert`](crate::Cache::insert).
    ///
    /// # Errors
    /// Those of the cache's, and [`Error::Config`] where no thread may wait.
    pub fn insert(&self, key: K, value: V) -> Result<Reach, Error> {
        self.wait(self.cache.insert(key, value))?
    }

    /// [`insert`](Self::insert) with wishes of this call's own.
    ///
    /// # Errors
    /// Those of `insert`, and [`Error::Config`] for wishes that cannot be.
    pub fn insert_with(&self, key: K, value: V, call: &Call) -> Result<Reach, Error> {
        self.wait(self.cache.insert_with(key, value, call))?
    }

    /// Stores `value` if there is none for `key`: see
    /// [`Cache::insert_if_absent`](crate::Cache::insert_if_absent).
    ///
    /// # Errors
    /// Those of the cache's, and [`Error::Config`] where no thread may wait.
    pub fn insert_if_absent(&self, key: K, value: V) -> Result<bool, Error> {
        self.wait(self.cache.insert_if_absent(key, value))?
    }

    /// Stores `value` if there is one for `key`: see
    /// [`Cache::insert_if_present`](crate::Cache::insert_if_present).
    ///
    /// # Errors
    /// Those of the cache's, and [`Error::Config`] where no thread may wait.
    pub fn insert_if_present(&self, key: K, value: V) -> Result<bool, Error> {
        self.wait(self.cache.insert_if_present(key, value))?
    }

    /// Stores many values: see [`Cache::insert_many`](crate::Cache::insert_many).
    ///
    /// # Errors
    /// For each key those of the cache's; and [`Error::Config`] where no thread may wait.
    pub fn insert_many<I>(&self, entries: I) -> Result<Batch<K, Result<Reach, Error>>, Error>
    where
        I: IntoIterator<Item = (K, V)> + Send,
        I::IntoIter: Send,
    {
        self.wait(self.cache.insert_many(entries))
    }

    /// Removes `key` from L1 and L2, and from the other nodes' L1: see
    /// [`Cache::invalidate`](crate::Cache::invalidate).
    ///
    /// # Errors
    /// [`Error::Config`] where no thread may wait; the removal has begun.
    pub fn invalidate<Q>(&self, key: &Q) -> Result<Reach, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + Sync + ?Sized,
    {
        self.wait(self.cache.invalidate(key))
            .inspect_err(|_| begin(self.cache.invalidate(key)))
    }

    /// Removes many keys: see [`Cache::invalidate_many`](crate::Cache::invalidate_many).
    ///
    /// # Errors
    /// [`Error::Config`] where no thread may wait; the removals have begun.
    pub fn invalidate_many<'k, Q, I>(&self, keys: I) -> Result<Batch<&'k Q, Reach>, Error>
    where
        I: IntoIterator<Item = &'k Q> + Clone + Send,
        I::IntoIter: Send,
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + Sync + ?Sized + 'k,
    {
        self.wait(self.cache.invalidate_many(keys.clone()))
            .inspect_err(|_| begin(self.cache.invalidate_many(keys)))
    }

    /// Removes all values with this tag: see [`Cache::invalidate_tag`](crate::Cache::invalidate_tag).
    ///
    /// # Errors
    /// [`Error::Config`] if values cannot have tags, and where no thread may wait; the removal has begun
    /// there.
    pub fn invalidate_tag(&self, tag: &str) -> Result<Reach, Error> {
        self.wait(self.cache.invalidate_tag(tag))
            .inspect_err(|_| begin(self.cache.invalidate_tag(tag)))?
    }

    /// Removes everything: see [`Cache::clear`](crate::Cache::clear).
    ///
    /// # Errors
    /// [`Error::Config`] if the cache cannot be cleared, and where no thread may wait; the removal has
    /// begun there.
    pub fn clear(&self) -> Result<Reach, Error> {
        self.wait(self.cache.clear())
            .inspect_err(|_| begin(self.cache.clear()))?
    }

    /// Runs `writer`, which changes the row of `key` in the database, and puts what it returns in the
    /// place of what the tiers hold: see [`Cache::write_through`](crate::Cache::write_through).
    ///
    /// # Errors
    /// Those of the cache's, and [`Error::Config`] where no thread may wait: the writer was not run.
    ///
    /// ```
    /// # use jetcache_core::doc::runtime as jetcache_tokio;
    /// # use std::sync::Arc;
    /// # struct Db;
    /// # impl Db { fn rename(&self, id: u64, name: &str) -> Result<Arc<str>, std::io::Error> { Ok(name.into()) } }
    /// # let db = Db;
    /// let users = jetcache_tokio::builder::<u64, Arc<str>>("users").build()?.blocking();
    /// let user = users.write_through(&7, || Ok(db.rename(7, "Ada")?))?;
    /// assert_eq!(users.peek(&7).hit(), user);
    /// # Ok::<(), jetcache_tokio::Error>(())
    /// ```
    pub fn write_through<Q, W, T>(&self, key: &Q, writer: W) -> Result<Option<V>, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + Sync + ?Sized,
        W: FnOnce() -> Result<T, LoadError>,
        T: Into<Load<V>>,
    {
        self.write_through_with(key, &Call::new(), writer)
    }

    /// [`write_through`](Self::write_through) with wishes of this call's own.
    ///
    /// # Errors
    /// Those of `write_through`, and [`Error::Config`] for wishes that cannot be.
    pub fn write_through_with<Q, W, T>(
        &self,
        key: &Q,
        call: &Call,
        writer: W,
    ) -> Result<Option<V>, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + Sync + ?Sized,
        W: FnOnce() -> Result<T, LoadError>,
        T: Into<Load<V>>,
    {
        let desk = Desk::<(), Load<V>>::new();
        let written = self.cache.write_through_with(key, call, || desk.ask(()));
        self.carry(&desk, written, once(writer))?
    }

    /// Waits until L2 has acknowledged the changes of `key`: see
    /// [`Cache::confirmed`](crate::Cache::confirmed).
    ///
    /// # Errors
    /// Those of the cache's, and [`Error::Config`] where no thread may wait.
    pub fn confirmed<Q>(&self, key: &Q) -> Result<(), Error>
    where
        Q: ToOwned<Owned = K> + Sync + ?Sized,
    {
        self.wait(self.cache.confirmed(key))?
    }

    /// Closes the cache, and waits for what is under way: see [`Cache::close`](crate::Cache::close).
    ///
    /// # Errors
    /// [`Error::Config`] where no thread may wait; the cache is closed.
    pub fn close(&self) -> Result<(), Error> {
        self.wait(self.cache.close())
            .inspect_err(|_| begin(self.cache.close()))
    }
}

/// Begins a change, which goes on by itself.
fn begin<T>(change: impl Future<Output = T>) {
    let mut cx = Context::from_waker(Waker::noop());
    let _ = pin!(change).poll(&mut cx);
}
