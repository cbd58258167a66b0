//! The loaders that a cache was built with, and how large the parts of a batch are.

use std::sync::Arc;

use crate::driver::world::caught::caught;
use crate::driver::world::erased::{AnyBatchLoader, AnyLoader};
use crate::machine::error::{BoxError, Error};
use crate::machine::tier::entry::Load;
use crate::ports::loader::LoadError;

pub(crate) type Predicate = Box<dyn Fn(&BoxError) -> bool + Send + Sync>;

pub(crate) struct Loaders<K, V> {
    /// The registered loader of single keys, or the batch loader asked for one key.
    pub(crate) one: Option<Arc<dyn AnyLoader<K, V>>>,
    pub(crate) many: Option<Arc<dyn AnyBatchLoader<K, V>>>,
    /// Which errors mean that the key does not exist.
    pub(crate) not_found: Option<Predicate>,
    /// How many keys of a batch go together.
    pub(crate) chunk: usize,
    /// How many loads of single keys a batch runs at once.
    pub(crate) concurrency: usize,
}

impl<K, V> Default for Loaders<K, V> {
    fn default() -> Self {
        Self {
            one: None,
            many: None,
            not_found: None,
            chunk: 1000,
            concurrency: 16,
        }
    }
}

impl<K, V> Loaders<K, V> {
    /// What an error of a loader means: that the key does not exist, or that its callers fail.
    ///
    /// # Errors
    /// [`Error::Load`], or [`Error::Panicked`] if the user's predicate panicked.
    pub(crate) fn judge<W>(&self, error: LoadError) -> Result<Load<W>, Error> {
        let error = error.into_inner();
        if let Some(means_absent) = &self.not_found
            && caught(|| means_absent(&error))?
        {
            return Ok(Load::from(None));
        }
        Err(Error::Load(error.into()))
    }
}
