//! Where many values come from at once.

use alloc::vec::Vec;
use core::fmt;
use core::future::Future;

use super::loader::LoadError;
use crate::machine::tier::load::Load;

/// A loader of many keys that is registered with a cache, for
/// [`load_many`](crate::Cache::load_many).
///
/// Any `Fn(Vec<K>) -> Future<Output = Result<R, LoadError>>` is one, where `R` becomes [`Loads`]: a
/// `HashMap<K, T>`, a `Vec<(K, T)>`, with `T` being `V`, `Option<V>` or [`Load<V>`].
pub trait BatchLoader<K, V>: Send + Sync + 'static {
    /// Loads the values of `keys`, none of which is there twice. It is bounded by `load_timeout`
    /// and then dropped. A key that it says nothing about does not exist; what it says about
    /// others is ignored. If it fails, it fails for all of them. It is not shown what stands, and cannot
    /// say that something is [`unchanged`](Load::unchanged).
    fn load_many(
        &self,
        keys: Vec<K>,
    ) -> impl Future<Output = Result<Loads<K, V>, LoadError>> + Send;
}

impl<K, V, F, R, T> BatchLoader<K, V> for F
where
    K: Send,
    F: Fn(Vec<K>) -> R + Send + Sync + 'static,
    R: Future<Output = Result<T, LoadError>> + Send,
    T: Into<Loads<K, V>>,
{
    fn load_many(
        &self,
        keys: Vec<K>,
    ) -> impl Future<Output = Result<Loads<K, V>, LoadError>> + Send {
        let loading = self(keys);
        async move { loading.await.map(Into::into) }
    }
}

/// What a loader of many keys brings: for each a value, "does not exist", or an error of its own.
///
/// A `HashMap<K, T>` or a `Vec<(K, T)>` becomes one, with `T` being `V`, `Option<V>` or
/// [`Load<V>`]; so does an iterator of `(K, Result<T, LoadError>)` when it is collected.
///
/// ```
/// # use jetcache_core::doc::runtime as jetcache_tokio;
/// use jetcache_tokio::{LoadError, Loads};
///
/// let rows = vec![(1, "one"), (2, "two")];
/// let loads: Loads<u32, &str> = rows.into();
/// let loads = loads.fail(3, "shard 3 is away");
///
/// let rows = [(1, Ok("one")), (2, Err(LoadError::from("shard 2 is away")))];
/// let loads: Loads<u32, &str> = rows.into_iter().collect();
/// # let _ = loads;
/// ```
pub struct Loads<K, V> {
    pub(crate) entries: Vec<(K, Result<Load<V>, LoadError>)>,
}

impl<K, V> Loads<K, V> {
    /// Nothing: no key exists.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
        }
    }

    /// With what was loaded for `key`. Of several for one key the last one counts.
    #[must_use]
    pub fn value(mut self, key: K, value: impl Into<Load<V>>) -> Self {
        self.entries.push((key, Ok(value.into())));
        self
    }

    /// With an error for `key` alone.
    #[must_use]
    pub fn fail(mut self, key: K, error: impl Into<LoadError>) -> Self {
        self.entries.push((key, Err(error.into())));
        self
    }
}

impl<K, V> Default for Loads<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: fmt::Debug, V> fmt::Debug for Loads<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.entries.iter().map(|(key, load)| (key, load.is_ok()));
        f.debug_map().entries(keys).finish()
    }
}

impl<K, V, T: Into<Load<V>>> From<Vec<(K, T)>> for Loads<K, V> {
    fn from(loaded: Vec<(K, T)>) -> Self {
        loaded
            .into_iter()
            .map(|(key, load)| (key, Ok(load)))
            .collect()
    }
}

#[cfg(feature = "std")]
impl<K, V, T: Into<Load<V>>, S> From<std::collections::HashMap<K, T, S>> for Loads<K, V> {
    fn from(loaded: std::collections::HashMap<K, T, S>) -> Self {
        loaded
            .into_iter()
            .map(|(key, load)| (key, Ok(load)))
            .collect()
    }
}

impl<K, V, T: Into<Load<V>>> From<alloc::collections::BTreeMap<K, T>> for Loads<K, V> {
    fn from(loaded: alloc::collections::BTreeMap<K, T>) -> Self {
        loaded
            .into_iter()
            .map(|(key, load)| (key, Ok(load)))
            .collect()
    }
}

impl<K, V, T: Into<Load<V>>> FromIterator<(K, Result<T, LoadError>)> for Loads<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, Result<T, LoadError>)>>(loads: I) -> Self {
        let entries = loads
            .into_iter()
            .map(|(key, load)| (key, load.map(Into::into)));
        Self {
            entries: entries.collect(),
        }
    }
}
