//! Changing many keys at once.

use core::borrow::Borrow;
use core::hash::Hash;
use core::panic::AssertUnwindSafe;
use std::borrow::ToOwned;
use std::collections::HashMap;
use std::panic::catch_unwind;

use crate::driver::cache::Cache;
use crate::driver::cache::batch::Batch;
use crate::driver::change::Run;
use crate::driver::change::carry_out::detached;
use crate::driver::flight::seat::panicked;
use crate::driver::shared::Admission;
use crate::machine::change::{Outcome, Plan, Reach};
use crate::machine::error::Error;
use crate::machine::policy::Call;

/// Changing many keys at once: each as [`insert`](Cache::insert) or
/// [`invalidate`](Cache::invalidate) changes one, and all with the round trips of one.
impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Puts each value in the place of whatever the tiers hold for its key. Of several values for
    /// one key the last one counts.
    ///
    /// # Errors
    /// For each key those of [`insert`](Self::insert): one value that cannot be encoded does not
    /// hold up the others.
    ///
    /// # Cancellation
    /// Dropping the future stops the waiting, not the inserts.
    ///
    /// ```
    /// # use jetcache_core::doc::{block_on, Threads};
    /// use jetcache_core::{Cache, Reach};
    ///
    /// # let cache = Cache::<u32, String>::builder("names", Threads).build()?;
    /// # block_on(async {
    /// let reached = cache.insert_many([(1, "one".into()), (2, "two".into())]).await;
    /// assert_eq!(reached.into_values()?, [Reach::Everywhere, Reach::Everywhere]);
    /// # Ok::<(), jetcache_core::Error>(())
    /// # })?;
    /// # Ok::<(), jetcache_core::Error>(())
    /// ```
    pub async fn insert_many<I>(&self, entries: I) -> Batch<K, Result<Reach, Error>>
    where
        I: IntoIterator<Item = (K, V)>,
    {
        self.insert_many_with(entries, &Call::new()).await
    }

    /// [`insert_many`](Self::insert_many) with wishes of this call's own. A level that is skipped is
    /// cleared of the keys.
    ///
    /// # Errors
    /// Those of `insert_many`, and [`Error::Config`] for a TTL of zero or for `no_store`, for every
    /// key.
    pub async fn insert_many_with<I>(
        &self,
        entries: I,
        call: &Call,
    ) -> Batch<K, Result<Reach, Error>>
    where
        I: IntoIterator<Item = (K, V)>,
    {
        let admitted = call
            .check_change(false)
            .and_then(|()| Admission::ask(&self.shared.life).ok_or(Error::Closed));
        let _admission = match admitted {
            Ok(admission) => admission,
            Err(error) => {
                let refused = |(key, _)| (key, Err(error.clone()));
                return entries.into_iter().map(refused).collect();
            }
        };
        let mut places = HashMap::new();
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for (key, value) in entries {
            let at = *places.entry(key.clone()).or_insert(values.len());
            if at < values.len() {
                values[at] = value;
            } else {
                values.push(value);
            }
            keys.push((key, at));
        }
        let mut owners: Vec<Option<K>> = values.iter().map(|_| None).collect();
        for (key, at) in places {
            owners[at] = Some(key);
        }
        let mut refused: HashMap<usize, Error> = HashMap::new();
        let (mut opened, mut prepared) = (Vec::new(), Vec::new());
        for (at, (key, value)) in owners.into_iter().flatten().zip(values).enumerate() {
            // A codec that panics must not take the others with it.
            let preparing = AssertUnwindSafe(|| self.prepare(key, value));
            match catch_unwind(preparing).unwrap_or_else(|panic| Err(panicked(&*panic))) {
                Ok(ready) => {
                    opened.push(at);
                    prepared.push(ready);
                }
                Err(error) => drop(refused.insert(at, error)),
            }
        }
        // Opened only when all are ready: one that is dropped afterwards counts as not confirmed.
        let runs = prepared
            .into_iter()
            .map(|ready| self.open_insert(ready, *call, None))
            .collect();
        let outcomes = Box::pin(detached(&self.shared, runs)).await;
        let reached: HashMap<usize, Reach> = opened
            .into_iter()
            .zip(outcomes.into_iter().map(reach))
            .collect();
        keys.into_iter()
            .map(|(key, at)| match refused.get(&at) {
                Some(error) => (key, Err(error.clone())),
                None => (key, Ok(reached.get(&at).copied().unwrap_or(Reach::Pending))),
            })
            .collect()
    }

    /// Removes each of `keys` from every tier.
    ///
    /// # Cancellation
    /// Dropping the future stops the waiting, not the removals.
    pub async fn invalidate_many<'k, Q, I>(&self, keys: I) -> Batch<&'k Q, Reach>
    where
        I: IntoIterator<Item = &'k Q>,
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized + 'k,
    {
        let keys: Vec<&'k Q> = keys.into_iter().collect();
        let mut places: HashMap<&Q, usize> = HashMap::new();
        let mut runs = Vec::with_capacity(keys.len());
        for key in &keys {
            if places.contains_key(key) {
                continue;
            }
            // A key that L2 cannot hold is nowhere.
            if let Ok((owned, text)) = self.address((*key).to_owned()) {
                places.insert(key, runs.len());
                runs.push(Run::open(
                    &self.shared,
                    owned,
                    text,
                    Plan::Invalidate,
                    Vec::new(),
                ));
            }
        }
        let outcomes = Box::pin(detached(&self.shared, runs)).await;
        let reached = |key: &'k Q| match places.get(key) {
            Some(&at) => (key, reach(outcomes[at])),
            None => (key, Reach::Everywhere),
        };
        keys.into_iter().map(reached).collect()
    }
}

/// How far a plain change has reached.
pub(crate) fn reach(outcome: Option<Outcome>) -> Reach {
    match outcome {
        Some(Outcome::Made(reach)) => reach,
        Some(Outcome::Applied(_) | Outcome::Undecided) | None => Reach::Pending,
    }
}
