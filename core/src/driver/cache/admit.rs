//! The door: every call that goes further than L1 begins here.

use core::hash::Hash;
use std::borrow::ToOwned;
use std::sync::Arc;

use crate::driver::bus::publisher::ensure_publisher;
use crate::driver::bus::subscriber::ensure_subscriber;
use crate::driver::cache::Cache;
use crate::driver::change::repair::ensure_repairs;
use crate::driver::report::ensure_reports;
use crate::driver::shared::address::Address;
use crate::driver::shared::life::Admission;
use crate::driver::shared::sweep::forget;
use crate::machine::error::Error;

impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Cache<K, V> {
    /// A call of many keys.
    ///
    /// # Errors
    /// [`Error::Closed`], and [`Error::Config`] if no cache can run on the caller's runtime.
    pub(super) fn admit_many(&self) -> Result<Admission<'_>, Error> {
        let admission = Admission::to(&self.shared.life)?;
        self.check_runtime()?;
        self.ensure_tasks();
        Ok(admission)
    }

    /// A call of keys that L1 does not have; `None` if there are none.
    ///
    /// # Errors
    /// Those of [`admit_many`](Self::admit_many).
    pub(super) fn admit_some<Q: ?Sized>(
        &self,
        keys: &[&Q],
    ) -> Result<Option<Admission<'_>>, Error> {
        if keys.is_empty() {
            return Ok(None);
        }
        self.admit_many().map(Some)
    }

    /// A load of one key.
    ///
    /// # Errors
    /// Those of [`admit_many`](Self::admit_many), and [`Error::Key`] if the key's text is not what it
    /// should be.
    pub(super) fn admit<Q>(&self, key: &Q) -> Result<(Admission<'_>, Address<K>), Error>
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        let admission = self.admit_many()?;
        let address = self.shared.address(Arc::new(key.to_owned()))?;
        Ok((admission, address))
    }

    /// A change of one key.
    ///
    /// # Errors
    /// [`Error::Closed`], and [`Error::Key`] if L2 cannot hold the key.
    pub(super) fn admit_change<Q>(&self, key: &Q) -> Result<(Admission<'_>, Address<K>), Error>
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        let admission = self.admit_many()?;
        let address = self.shared.address_to_change(Arc::new(key.to_owned()))?;
        Ok((admission, address))
    }

    /// A removal, which is let in even when the cache is closed. A key that L2 cannot hold is nowhere
    /// but in L1, which has lost it now.
    pub(super) fn admit_removal<Q>(&self, key: &Q) -> Option<Address<K>>
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        // A removal goes on as well as it can: it is right to try.
        if self.check_runtime().is_ok() {
            self.ensure_tasks();
        }
        let key = Arc::new(key.to_owned());
        let address = self.shared.address_to_change(Arc::clone(&key));
        if address.is_err() {
            forget(&self.shared, &key);
        }
        address.ok()
    }

    /// Whether a cache can run where the caller stands. If not, the log has it as well: not every
    /// call can answer an error.
    fn check_runtime(&self) -> Result<(), Error> {
        self.shared.runtime.check().map_err(|why| {
            self.shared.journal.warn_of_runtime(why);
            Error::config(why)
        })
    }

    /// Starts the tasks that are needed and do not run. A task dies with its runtime, or stands
    /// still with it, so calls look again and again.
    pub(super) fn ensure_tasks(&self) {
        let shared = &self.shared;
        ensure_repairs(shared);
        ensure_reports(shared);
        if let Some(hub) = shared.hub.as_ref().filter(|_| !shared.life.is_closed()) {
            ensure_subscriber(hub);
            ensure_publisher(hub);
        }
    }
}
