//! The door: every call that goes further than L1 begins here.

use core::hash::Hash;
use std::borrow::ToOwned;
use std::sync::Arc;

use crate::driver::bus::publisher::ensure_publisher;
use crate::driver::bus::subscriber::ensure_subscriber;
use crate::driver::cache::Cache;
use crate::driver::change::repair::ensure_repairs;
use crate::driver::report::ensure_report;
use crate::driver::shared::address::Address;
use crate::driver::shared::life::Errand;
use crate::machine::error::Error;

impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Cache<K, V> {
    /// A call of many keys.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub(super) fn admit_many(&self) -> Result<Errand, Error> {
        let admission = Errand::admit(&self.shared.life)?;
        self.ensure_tasks();
        Ok(admission)
    }

    /// A call of keys that L1 does not have; `None` if there are none, or the cache is closed.
    pub(super) fn admit_some<Q: ?Sized>(&self, keys: &[&Q]) -> Option<Errand> {
        if keys.is_empty() {
            return None;
        }
        self.admit_many().ok()
    }

    /// A call of one key.
    ///
    /// # Errors
    /// [`Error::Closed`], and [`Error::Key`] if L2 cannot hold the key.
    pub(super) fn admit<Q>(&self, key: &Q) -> Result<(Errand, Address<K>), Error>
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        let admission = self.admit_many()?;
        let address = self.shared.address(Arc::new(key.to_owned()))?;
        Ok((admission, address))
    }

    /// A removal, which is let in even when the cache is closed.
    ///
    /// # Errors
    /// [`Error::Key`] if L2 cannot hold the key.
    pub(super) fn admit_removal<Q>(&self, key: &Q) -> Result<Address<K>, Error>
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        self.ensure_tasks();
        self.shared.address(Arc::new(key.to_owned()))
    }

    /// Starts the tasks that are needed and do not run. A task dies with its runtime, or stands
    /// still with it, so calls look again and again.
    pub(super) fn ensure_tasks(&self) {
        let shared = &self.shared;
        ensure_repairs(shared);
        ensure_report(shared);
        if let Some(hub) = shared.hub.as_ref().filter(|_| !shared.life.is_closed()) {
            ensure_subscriber(hub);
            ensure_publisher(hub);
        }
    }
}
