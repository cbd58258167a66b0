//! What a hit leaves to the background: loading anew what is in the last part of its life, and
//! checking it.

use core::borrow::Borrow;
use core::future::Future;
use core::hash::Hash;
use std::borrow::ToOwned;
use std::sync::Arc;

use crate::driver::cache::Cache;
use crate::driver::check::check;
use crate::driver::flight::lead::lead;
use crate::driver::flight::seat::Seat;
use crate::driver::shared::checks::Checks;
use crate::machine::policy::call::Call;
use crate::machine::policy::pace::Aim;
use crate::machine::tier::entry::{Cached, Entry};
use crate::machine::tier::load::Load;
use crate::ports::loader::LoadError;
use crate::ports::standing::Standing;

impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Cache<K, V> {
    /// The hit of a call that loads, in L1, as the caller gets it.
    #[inline]
    pub(super) fn at_hand<Q>(&self, key: &Q, call: &Call) -> Option<Cached<V>>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        call.check().ok()?;
        self.hit_with(key, call, |hit| {
            self.after_hit(key, call, hit);
            hit.take_cached()
        })
    }

    /// A call that loads had a hit: the registered loader runs again if it is time.
    #[inline]
    pub(super) fn after_hit<Q>(&self, key: &Q, call: &Call, hit: &Entry<V>)
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        if hit.has_lead() {
            self.load_early_registered(key, call, hit);
        }
        self.draw(key, hit);
    }

    /// A hit may be drawn to be checked against L2.
    #[inline]
    pub(super) fn draw<Q>(&self, key: &Q, hit: &Entry<V>)
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        if let Some(checks) = &self.shared.checks
            && checks.draws()
        {
            self.check(checks, key, hit);
        }
    }

    #[cold]
    fn check<Q>(&self, checks: &Checks<K>, key: &Q, hit: &Entry<V>)
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        check(&self.shared, checks, key.to_owned(), hit);
    }

    #[cold]
    fn load_early_registered<Q>(&self, key: &Q, call: &Call, hit: &Entry<V>)
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        if let Some(loader) = &self.shared.loaders.one {
            self.load_early(key, call, hit, |key| {
                let (loader, key) = (Arc::clone(loader), Arc::clone(key));
                move |standing| async move { loader.load((*key).clone(), standing).await }
            });
        }
    }

    /// Loads the key in a task of its own, if it is time to and nobody does. Without a runtime to run
    /// it nothing happens: the entry has some life left.
    #[cold]
    pub(super) fn load_early<Q, L, F, T>(
        &self,
        key: &Q,
        call: &Call,
        hit: &Entry<V>,
        loader: impl FnOnce(&Arc<K>) -> L,
    ) where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
        L: FnOnce(Option<Standing<V>>) -> F + Send + 'static,
        F: Future<Output = Result<T, LoadError>> + Send + 'static,
        T: Into<Load<V>> + Send + 'static,
    {
        let shared = &self.shared;
        if !hit.is_due(shared.runtime.coarse()) || shared.life.is_closed() || call.no_store {
            return;
        }
        let hash = shared.tables.hash(key);
        let table = shared.tables.look(shared.tables.shard_of(hash));
        let loads = table.is_refreshing(hash, |other| (**other).borrow() == key);
        drop(table);
        let address = (!loads).then(|| shared.address(Arc::new(key.to_owned())));
        let Some(Ok(address)) = address else {
            return;
        };
        let (call, load) = (address.wishes(call.clone()), loader(&address.key));
        let Some(mut seat) = Seat::refresh(shared, address, call, Aim::Eager) else {
            return;
        };
        let _ = shared.spawn(async move {
            lead(&mut seat, &mut Some(load)).await;
        });
    }
}
