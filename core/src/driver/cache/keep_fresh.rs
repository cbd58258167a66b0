//! Keeping keys fresh: which calls ask for it, and reads beside a refresh.

use core::borrow::Borrow;
use core::hash::Hash;
use std::borrow::ToOwned;
use std::sync::Arc;

use crate::driver::cache::Cache;
use crate::driver::flight::glance::{answer, glance};
use crate::driver::refresh::turns::ensure_turns;
use crate::driver::shared::address::Address;
use crate::machine::error::Error;
use crate::machine::event::Event;
use crate::machine::lookup::step::Answer;
use crate::machine::policy::call::Call;

/// Keeping keys fresh.
impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Cache<K, V> {
    /// Stops keeping `key` fresh, until it is asked for with refresh again. A refresh of it that is
    /// under way ends as it would have.
    pub fn cancel_refresh<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if let Some(keys) = &self.shared.fresh_keys {
            let hash = self.shared.tables.hash(key);
            keys.remove(hash, |other| (**other).borrow() == key);
        }
    }

    /// # Errors
    /// [`Error::Config`] for wishes that no call which loads can fulfil.
    pub(super) fn check_load(&self, call: &Call) -> Result<(), Error> {
        call.check()?;
        if call.refresh && self.shared.fresh_keys.is_none() {
            return Err(Error::config(
                "refresh without a period: give the builder refresh_every",
            ));
        }
        if call.refresh && self.shared.loaders.one.is_none() {
            return Err(Error::config(
                "refresh without a registered loader: give the builder one",
            ));
        }
        Ok(())
    }

    /// A call that loads was answered; not sooner, since a key's first turn counts from its load.
    #[inline]
    pub(super) fn answered<Q, A>(&self, key: &Q, call: &Call, answer: &Result<A, Error>)
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        if let Some(keys) = &self.shared.fresh_keys
            && answer.is_ok()
            && keys.wants(call)
        {
            self.keep_fresh(key, call);
        }
    }

    fn keep_fresh<Q>(&self, key: &Q, call: &Call)
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        let shared = &self.shared;
        let Some(keys) = &shared.fresh_keys else {
            return;
        };
        let (now, hash) = (shared.runtime.now(), shared.tables.hash(key));
        let is_key = |other: &Arc<K>| (**other).borrow() == key;
        let known = keys.touch(hash, is_key, call, now);
        if !known && !shared.life.is_closed() {
            let added = keys.add(hash, || key.to_owned(), call.clone(), &*shared.runtime);
            if !added {
                shared.journal.note(&Event::NotRefreshed);
                return;
            }
        }
        ensure_turns(shared);
    }

    /// What L2 has of a key under refresh, so that nobody need wait for the refresh's loader.
    pub(super) async fn beside_refresh(
        &self,
        address: &Address<K>,
        call: &Call,
    ) -> Option<Answer<Arc<V>>> {
        let key = &*address.key;
        // Most caches refresh nothing, and need no hash here.
        self.shared.fresh_keys.as_ref()?;
        if !self.is_refreshing(self.shared.tables.hash(key), key, call) {
            return None;
        }
        let (found, _) = Box::pin(glance::<K, V, K>(&self.shared, &[key], call.clone())).await;
        found.into_iter().next().and_then(answer)
    }

    /// Whether the key's flight is a refresh, and L2 may have the value meanwhile.
    pub(super) fn is_refreshing(&self, hash: u64, key: &K, call: &Call) -> bool {
        let shared = &self.shared;
        if shared.fresh_keys.is_none() || shared.link.is_none() || call.skip_remote {
            return false;
        }
        let table = shared.tables.look(shared.tables.shard_of(hash));
        table.is_refreshing(hash, |other| **other == *key)
    }
}
