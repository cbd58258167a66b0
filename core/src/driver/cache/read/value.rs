//! Reading what always exists: a value and no `Option`.

use core::borrow::Borrow;
use core::future::Future;
use core::hash::Hash;
use std::borrow::ToOwned;

use crate::driver::cache::Cache;
use crate::machine::error::Error;
use crate::machine::policy::call::Call;
use crate::machine::tier::load::Load;
use crate::ports::loader::LoadError;

/// Reading what always exists.
impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Cache<K, V> {
    /// [`get_or_load`](Self::get_or_load) for a loader that always has a value: the value itself, and no
    /// `Option`.
    ///
    /// # Errors
    /// Those of `get_or_load`; and [`Error::NotFound`] if a loader answered `None` all the same, this one or
    /// another, as long as that is remembered.
    ///
    /// # Cancellation
    /// As that of `get_or_load`.
    ///
    /// ```
    /// # use jetcache_core::doc::runtime as jetcache_tokio;
    /// # async fn rate(_: &str) -> Result<u32, std::io::Error> { Ok(100) }
    /// # jetcache_core::doc::block_on(async {
    /// # let rates = jetcache_tokio::builder::<String, u32>("rates").build()?;
    /// let euro: u32 = rates.get_or_load_value("EUR", async || Ok(rate("EUR").await?)).await?;
    /// assert_eq!(euro, 100);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    #[doc(alias = "try_get_with")]
    #[doc(alias = "get_with")]
    pub async fn get_or_load_value<Q, L, F, T>(&self, key: &Q, loader: L) -> Result<V, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
        L: FnOnce() -> F,
        F: Future<Output = Result<T, LoadError>>,
        T: Into<Load<V>>,
    {
        let found = self.get_or_load(key, loader).await?;
        found.ok_or(Error::NotFound)
    }

    /// [`get_or_load_value`](Self::get_or_load_value) with wishes of this call's own.
    ///
    /// # Errors
    /// Those of `get_or_load_value`, and [`Error::Config`] for a [refresh](Call::refresh) that cannot be.
    pub async fn get_or_load_value_with<Q, L, F, T>(
        &self,
        key: &Q,
        call: &Call,
        loader: L,
    ) -> Result<V, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
        L: FnOnce() -> F,
        F: Future<Output = Result<T, LoadError>>,
        T: Into<Load<V>>,
    {
        let found = self.get_or_load_with(key, call, loader).await?;
        found.ok_or(Error::NotFound)
    }

    /// [`load`](Self::load) for a registered loader that always has a value: the value itself, and no
    /// `Option`.
    ///
    /// # Errors
    /// Those of `load`, and [`Error::NotFound`] if a loader answered `None` all the same.
    ///
    /// # Cancellation
    /// Dropping the future stops the waiting, not the load.
    pub async fn load_value<Q>(&self, key: &Q) -> Result<V, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        self.load(key).await?.ok_or(Error::NotFound)
    }

    /// [`load_value`](Self::load_value) with wishes of this call's own.
    ///
    /// # Errors
    /// Those of `load_value`, and [`Error::Config`] for a [refresh](Call::refresh) that cannot be.
    pub async fn load_value_with<Q>(&self, key: &Q, call: &Call) -> Result<V, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        self.load_with(key, call).await?.ok_or(Error::NotFound)
    }
}
