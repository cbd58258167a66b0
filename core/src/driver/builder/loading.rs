//! The settings of loaders and batches.

use core::hash::Hash;
use std::sync::Arc;

use crate::driver::builder::Builder;
use crate::driver::shared::loaders::Loaders;
use crate::driver::world::erased::OneOfMany;
use crate::machine::error::{BoxError, Error};
use crate::ports::batch_loader::BatchLoader;
use crate::ports::loader::Loader;

/// The loaders as a cache has them.
///
/// # Errors
/// [`Error::Config`] for a batch that could not be split.
pub(super) fn finished<K, V>(mut loaders: Loaders<K, V>) -> Result<Loaders<K, V>, Error>
where
    K: Clone + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    for (name, size) in [
        ("batch_chunk", loaders.chunk),
        ("load_concurrency", loaders.concurrency),
    ] {
        if size == 0 {
            return Err(Error::config(format!("{name} is zero: give it at least 1")));
        }
    }
    if let (None, Some(many)) = (&loaders.one, &loaders.many) {
        loaders.one = Some(Arc::new(OneOfMany(Arc::clone(many))));
    }
    Ok(loaders)
}

/// Loaders and batches.
impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Builder<K, V> {
    /// The loader that [`load`](Cache::load) runs: a [`Loader`], or a function of the key. What it
    /// captures is cloned into each future: `move |id: u64| { let db = db.clone(); async move { .. } }`.
    ///
    /// ```
    /// # use jetcache_core::doc::{block_on, Threads};
    /// use jetcache_core::{Cache, LoadError};
    ///
    /// let cache = Cache::<String, String>::builder("greetings", Threads)
    ///     .loader(|name: String| async move { Ok::<_, LoadError>(format!("hello, {name}")) })
    ///     .build()?;
    /// let greeting = block_on(cache.load("world"))?;
    /// assert_eq!(greeting.as_deref(), Some("hello, world"));
    /// # Ok::<(), jetcache_core::Error>(())
    /// ```
    pub fn loader(mut self, loader: impl Loader<K, V>) -> Self {
        self.loaders.one = Some(Arc::new(loader));
        self
    }

    /// The loader that [`load_many`](Cache::load_many) runs: a [`BatchLoader`], or a function of the
    /// keys. Without one, `load_many` runs the [`loader`](Self::loader) for one key after the
    /// other; without that one, [`load`](Cache::load) runs this one for its single key.
    ///
    /// ```
    /// # use jetcache_core::doc::{block_on, Threads};
    /// use jetcache_core::{Cache, LoadError};
    ///
    /// let cache = Cache::<u32, String>::builder("squares", Threads)
    ///     .batch_loader(|ids: Vec<u32>| async move {
    ///         let rows = ids.into_iter().map(|id| (id, (id * id).to_string()));
    ///         Ok::<Vec<_>, LoadError>(rows.collect())
    ///     })
    ///     .build()?;
    /// let squares = block_on(cache.load_many(&[2, 3])).into_values()?;
    /// assert_eq!(squares, [Some("4".to_string()), Some("9".to_string())]);
    /// # Ok::<(), jetcache_core::Error>(())
    /// ```
    pub fn batch_loader(mut self, loader: impl BatchLoader<K, V>) -> Self {
        self.loaders.many = Some(Arc::new(loader));
        self
    }

    /// How many keys of a batch go together: in one read of L2, one call of a loader, one write.
    /// A larger batch is split, and its parts follow one another. Default: 1000.
    pub fn batch_chunk(mut self, keys: usize) -> Self {
        self.loaders.chunk = keys;
        self
    }

    /// How many loads a [`load_many`](Cache::load_many) runs at once when only a loader of single
    /// keys is registered. Default: 16.
    pub fn load_concurrency(mut self, loads: usize) -> Self {
        self.loaders.concurrency = loads;
        self
    }

    /// Which errors of a loader mean that the key does not exist: they are remembered for
    /// `negative_ttl` and answered with `None`.
    ///
    /// The error is the one that the loader's `?` met. If that was an `anyhow::Error`, its type is
    /// anyhow's and a `downcast_ref` to your own finds nothing: see [`LoadError`](crate::LoadError).
    pub fn not_found_when(
        mut self,
        means_absent: impl Fn(&BoxError) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.loaders.not_found = Some(Box::new(means_absent));
        self
    }
}
