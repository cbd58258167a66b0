//! Reading what always exists: a value and no `Option`.

use core::borrow::Borrow;
use core::hash::Hash;
use std::borrow::ToOwned;

use crate::driver::cache::blocking::Blocking;
use crate::machine::error::Error;
use crate::machine::policy::call::Call;
use crate::machine::tier::load::Load;
use crate::ports::loader::LoadError;

/// Reading what always exists.
impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static>
    Blocking<K, V>
{
    /// [`get_or_load`](Self::get_or_load) for a loader that always has a value: see
    /// [`Cache::get_or_load_value`](crate::Cache::get_or_load_value).
    ///
    /// # Errors
    /// Those of `get_or_load`, and [`Error::NotFound`] if a loader answered `None` all the same.
    pub fn get_or_load_value<Q, L, T>(&self, key: &Q, loader: L) -> Result<V, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + Sync + ?Sized,
        L: FnOnce() -> Result<T, LoadError>,
        T: Into<Load<V>>,
    {
        self.get_or_load(key, loader)?.ok_or(Error::NotFound)
    }

    /// [`get_or_load_value`](Self::get_or_load_value) with wishes of this call's own.
    ///
    /// # Errors
    /// Those of `get_or_load_value`, and [`Error::Config`] for wishes that cannot be.
    pub fn get_or_load_value_with<Q, L, T>(
        &self,
        key: &Q,
        call: &Call,
        loader: L,
    ) -> Result<V, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + Sync + ?Sized,
        L: FnOnce() -> Result<T, LoadError>,
        T: Into<Load<V>>,
    {
        let found = self.get_or_load_with(key, call, loader)?;
        found.ok_or(Error::NotFound)
    }

    /// [`load`](Self::load) for a registered loader that always has a value: see
    /// [`Cache::load_value`](crate::Cache::load_value).
    ///
    /// # Errors
    /// Those of `load`, and [`Error::NotFound`] if a loader answered `None` all the same.
    pub fn load_value<Q>(&self, key: &Q) -> Result<V, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + Sync + ?Sized,
    {
        self.load(key)?.ok_or(Error::NotFound)
    }

    /// [`load_value`](Self::load_value) with wishes of this call's own.
    ///
    /// # Errors
    /// Those of `load_value`, and [`Error::Config`] for wishes that cannot be.
    pub fn load_value_with<Q>(&self, key: &Q, call: &Call) -> Result<V, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + Sync + ?Sized,
    {
        self.load_with(key, call)?.ok_or(Error::NotFound)
    }
}
