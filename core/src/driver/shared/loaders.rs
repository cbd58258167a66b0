//! The loaders that a cache was built with, and how large the parts of a batch are.

use core::time::Duration;
use std::sync::{Arc, PoisonError, RwLock};

use async_lock::{Semaphore, SemaphoreGuardArc};

use crate::driver::world::caught::caught;
use crate::driver::world::erased::{AnyBatchLoader, AnyLoader, AnyRuntime};
use crate::driver::world::timeout::timeout;
use crate::machine::error::{BoxError, Error};
use crate::machine::tier::load::{Load, NothingStands};
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
    /// How many loaders may run at once, if that is bounded.
    pub(crate) cap: Caps,
}

/// The bound of now, which may change while the cache runs.
#[derive(Default)]
pub(crate) struct Caps(RwLock<Option<Cap>>);

impl Caps {
    pub(crate) fn now(&self) -> Option<Cap> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What runs already is not counted from now on.
    pub(crate) fn replace(&self, cap: Option<Cap>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = cap;
    }
}

/// The bound of the loaders that run at once, so that an L2 that is away does not take the database
/// along.
#[derive(Clone)]
pub(crate) struct Cap {
    turns: Arc<Semaphore>,
    pub(crate) most: usize,
    /// How long a load waits for its turn.
    pub(crate) wait: Duration,
}

impl Cap {
    pub(crate) fn new(most: usize, wait: Duration) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(most)),
            most,
            wait,
        }
    }

    /// A turn, which ends when it is dropped.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if there was none in time.
    pub(crate) async fn turn(&self, runtime: &dyn AnyRuntime) -> Result<SemaphoreGuardArc, Error> {
        if let Some(turn) = self.turns.try_acquire_arc() {
            return Ok(turn);
        }
        let turn = timeout(runtime, self.wait, self.turns.acquire_arc()).await;
        turn.ok_or(Error::Overloaded)
    }
}

impl<K, V> Default for Loaders<K, V> {
    fn default() -> Self {
        Self {
            one: None,
            many: None,
            not_found: None,
            chunk: 1000,
            concurrency: 16,
            cap: Caps::default(),
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
        // To say that nothing has changed is no word of what does not exist.
        if !error.is::<NothingStands>()
            && let Some(means_absent) = &self.not_found
            && caught(|| means_absent(&error))?
        {
            return Ok(Load::from(None));
        }
        Err(Error::Load(error.into()))
    }
}

/// A call needs the registered loader, and there is none.
pub(crate) fn no_loader() -> Error {
    Error::config("no loader is registered: give the builder one, or use get_or_load")
}
