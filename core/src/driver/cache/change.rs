//! Changing what a cache holds: one key, or many at once.

pub(super) mod tags;
mod write_through;

use core::borrow::Borrow;
use core::hash::Hash;
use core::iter::zip;
use std::borrow::ToOwned;
use std::collections::HashMap;
use std::sync::Arc;

use crate::driver::cache::Cache;
use crate::driver::cache::batch::Batch;
use crate::driver::cache::change::tags::check_call_tags;
use crate::driver::change::Change;
use crate::driver::change::carry_out::carry_out;
use crate::driver::shared::address::Address;
use crate::driver::shared::sweep::{forget, forget_all};
use crate::driver::world::caught::caught;
use crate::machine::change::{ChangeOutcome, Plan, Reach};
use crate::machine::error::Error;
use crate::machine::policy::call::Call;
use crate::ports::remote::Condition;

/// Changing.
impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Cache<K, V> {
    /// Puts `value` in the place of whatever the tiers hold for `key`.
    ///
    /// When it returns, no later read on this node gets a value that was loaded or inserted before.
    /// Inserts of one key from several nodes take effect in the order in which L2 took them, which
    /// need not be the order of the database: where that matters, change the row and then
    /// [`invalidate`](Self::invalidate).
    ///
    /// An L2 that does not answer is not an error: see [`Reach::Pending`].
    ///
    /// # Errors
    /// [`Error::Encode`] if the value cannot be encoded, [`Error::TooLarge`] if it is longer than
    /// `max_value_size`, [`Error::Key`] if the key cannot be stored, [`Error::Closed`]; nothing was
    /// changed.
    ///
    /// # Cancellation
    /// Dropping the future stops the waiting, not the insert.
    pub async fn insert(&self, key: K, value: V) -> Result<Reach, Error> {
        self.insert_with(key, value, &Call::new()).await
    }

    /// [`insert`](Self::insert) with wishes of this call's own. A skipped level loses the key.
    ///
    /// # Errors
    /// Those of `insert`, and [`Error::Config`] for a TTL of zero or for `no_store`.
    pub async fn insert_with(&self, key: K, value: V, call: &Call) -> Result<Reach, Error> {
        let made = Box::pin(self.put(key, value, call.clone(), None)).await?;
        Ok(reach(Some(made)))
    }

    /// Inserts `value` if no tier has a value for `key` (a not-found placeholder is none), as L2
    /// judges, or L1 if there is no L2. Whether it was applied; if not, nothing was changed
    /// anywhere.
    ///
    /// # Errors
    /// [`Error::Undecided`] if L2 did not say, or was not asked because its
    /// [breaker](crate::Breaker) is open; those of [`insert`](Self::insert).
    ///
    /// # Cancellation
    /// Dropping the future stops the waiting, not the insert.
    pub async fn insert_if_absent(&self, key: K, value: V) -> Result<bool, Error> {
        self.insert_if_absent_with(key, value, &Call::new()).await
    }

    /// [`insert_if_absent`](Self::insert_if_absent) with wishes of this call's own.
    ///
    /// # Errors
    /// Those of `insert_if_absent`; [`Error::Config`] for a zero TTL, `no_store` or `skip_remote`.
    pub async fn insert_if_absent_with(
        &self,
        key: K,
        value: V,
        call: &Call,
    ) -> Result<bool, Error> {
        self.insert_if(key, value, call.clone(), Condition::Absent)
            .await
    }

    /// Inserts `value` if there is a value for `key` already, as L2 judges, or L1 if there is no
    /// L2. Whether it was applied; if not, nothing was changed anywhere.
    ///
    /// # Errors
    /// [`Error::Undecided`] if L2 did not say; those of [`insert`](Self::insert).
    ///
    /// # Cancellation
    /// Dropping the future stops the waiting, not the insert.
    pub async fn insert_if_present(&self, key: K, value: V) -> Result<bool, Error> {
        self.insert_if_present_with(key, value, &Call::new()).await
    }

    /// [`insert_if_present`](Self::insert_if_present) with wishes of this call's own.
    ///
    /// # Errors
    /// Those of `insert_if_present`; [`Error::Config`] for a zero TTL, `no_store` or `skip_remote`.
    pub async fn insert_if_present_with(
        &self,
        key: K,
        value: V,
        call: &Call,
    ) -> Result<bool, Error> {
        self.insert_if(key, value, call.clone(), Condition::Present)
            .await
    }

    async fn insert_if(
        &self,
        key: K,
        value: V,
        call: Call,
        condition: Condition,
    ) -> Result<bool, Error> {
        match Box::pin(self.put(key, value, call, Some(condition))).await? {
            ChangeOutcome::Applied(applied) => Ok(applied),
            ChangeOutcome::Made(_) | ChangeOutcome::Undecided => Err(Error::Undecided),
        }
    }

    async fn put(
        &self,
        key: K,
        value: V,
        call: Call,
        condition: Option<Condition>,
    ) -> Result<ChangeOutcome, Error> {
        call.check_insert(condition.is_some())?;
        check_call_tags(&self.shared, &call)?;
        let _admission = self.admit_many()?;
        let change = self.open_insert(self.prepare(key, value, &call)?, call, condition);
        let made = self.made(vec![change]).await.pop();
        Ok(made.flatten().unwrap_or(ChangeOutcome::Undecided))
    }

    /// What an insert needs before it is opened. Nothing has changed yet.
    fn prepare(&self, key: K, value: V, call: &Call) -> Result<Prepared<K, V>, Error> {
        let address = self.shared.address_to_change(Arc::new(key))?;
        let link = self.shared.link.as_ref();
        let encoded = link.map(|link| link.format.encode(Some(&value), &call.tags));
        let bytes = encoded.transpose()?.unwrap_or_default();
        Ok((address, bytes, Arc::new(value)))
    }

    fn open_insert(
        &self,
        (address, bytes, value): Prepared<K, V>,
        call: Call,
        condition: Option<Condition>,
    ) -> Change<K, V> {
        let plan = Plan::Insert {
            value,
            call,
            condition,
        };
        Change::open(&self.shared, address, plan, bytes)
    }

    /// Makes changes. If user code panicked in this very call, the panic goes on here.
    async fn made(&self, changes: Vec<Change<K, V>>) -> Vec<Option<ChangeOutcome>> {
        let (outcomes, panic) = carry_out(&self.shared, changes).await;
        panic.map_or(outcomes, |panic| panic.resume())
    }

    /// Removes `key` from every tier.
    ///
    /// When it returns, no later read on this node gets a value whose loading began before the
    /// call; with [`Reach::Everywhere`] L2 has none either. On a closed cache L2 gets it once.
    ///
    /// # Cancellation
    /// Dropping the future stops the waiting, not the removal.
    pub async fn invalidate<Q>(&self, key: &Q) -> Reach
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        let Some(address) = self.admit_removal(key) else {
            return Reach::Everywhere;
        };
        let change = Change::open(&self.shared, address, Plan::Invalidate, Vec::new());
        reach(Box::pin(self.made(vec![change])).await.pop().flatten())
    }

    /// Removes `key` from this process's L1. A load that is under way keeps nothing there.
    pub fn invalidate_local<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        if self.kind().has_local() {
            forget(&self.shared, &Arc::new(key.to_owned()));
        }
    }

    /// Removes everything from this process's L1. Loads that are under way keep nothing there.
    pub fn clear_local(&self) {
        if self.kind().has_local() {
            forget_all(&self.shared);
        }
    }
}

/// Changing many keys at once: each as [`insert`](Cache::insert) or
/// [`invalidate`](Cache::invalidate) changes one, and all with the round trips of one.
impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Cache<K, V> {
    /// Puts each value in the place of whatever the tiers hold for its key. Of several values for
    /// one key the last one counts.
    ///
    /// # Errors
    /// For each key those of [`insert`](Self::insert); one that fails does not hold up the others.
    ///
    /// # Cancellation
    /// Dropping the future stops the waiting, not the inserts.
    ///
    /// ```
    /// # use jetcache_core::doc::runtime as jetcache_tokio;
    /// use jetcache_tokio::Reach;
    ///
    /// # let cache = jetcache_tokio::builder::<u32, String>("names").build()?;
    /// # jetcache_core::doc::block_on(async {
    /// let reached = cache.insert_many([(1, "one".into()), (2, "two".into())]).await;
    /// assert_eq!(reached.into_values()?, [Reach::Everywhere, Reach::Everywhere]);
    /// # Ok::<(), jetcache_tokio::Error>(())
    /// # })?;
    /// # Ok::<(), jetcache_tokio::Error>(())
    /// ```
    pub async fn insert_many<I>(&self, entries: I) -> Batch<K, Result<Reach, Error>>
    where
        I: IntoIterator<Item = (K, V)>,
    {
        self.insert_many_with(entries, &Call::new()).await
    }

    /// [`insert_many`](Self::insert_many) with wishes of this call's own. A skipped level loses the
    /// keys.
    ///
    /// # Errors
    /// Those of `insert_many`; for every key [`Error::Config`] for a zero TTL or `no_store`.
    pub async fn insert_many_with<I>(
        &self,
        entries: I,
        call: &Call,
    ) -> Batch<K, Result<Reach, Error>>
    where
        I: IntoIterator<Item = (K, V)>,
    {
        let admitted = (call.check_insert(false))
            .and_then(|()| check_call_tags(&self.shared, call))
            .and_then(|()| self.admit_many());
        let _admission = match admitted {
            Ok(admission) => admission,
            Err(error) => {
                let refused = |(key, _)| (key, Err(error.clone()));
                return entries.into_iter().map(refused).collect();
            }
        };
        let (mut asked, mut values) = (Vec::new(), Vec::new());
        let mut places = HashMap::new();
        for (key, value) in entries {
            let at = *places.entry(key.clone()).or_insert(values.len());
            if at < values.len() {
                values[at] = value;
            } else {
                values.push(value);
            }
            asked.push((key, at));
        }
        let mut owners: Vec<(K, usize)> = places.into_iter().collect();
        owners.sort_unstable_by_key(|(_, at)| *at);
        let mut reached = vec![Ok(Reach::Pending); values.len()];
        let (mut opened, mut prepared) = (Vec::new(), Vec::new());
        for ((key, at), value) in zip(owners, values) {
            // A codec that panics must not take the others with it.
            let preparing = caught(|| self.prepare(key, value, call));
            match preparing.unwrap_or_else(|panic| Err(panic.into())) {
                Ok(ready) => {
                    opened.push(at);
                    prepared.push(ready);
                }
                Err(error) => reached[at] = Err(error),
            }
        }
        // Opened only when all are ready: one that is dropped afterwards counts as not confirmed.
        let changes = prepared
            .into_iter()
            .map(|ready| self.open_insert(ready, call.clone(), None))
            .collect();
        let outcomes = Box::pin(self.made(changes)).await;
        for (at, outcome) in zip(opened, outcomes) {
            reached[at] = Ok(reach(outcome));
        }
        let outcome = |(key, at): (K, usize)| (key, reached[at].clone());
        asked.into_iter().map(outcome).collect()
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
        let mut changes = Vec::with_capacity(keys.len());
        for key in &keys {
            if places.contains_key(key) {
                continue;
            }
            if let Some(address) = self.admit_removal(*key) {
                places.insert(key, changes.len());
                let plan = Plan::Invalidate;
                changes.push(Change::open(&self.shared, address, plan, Vec::new()));
            }
        }
        let outcomes = Box::pin(self.made(changes)).await;
        let reached = |key: &'k Q| match places.get(key) {
            Some(&at) => (key, reach(outcomes[at])),
            None => (key, Reach::Everywhere),
        };
        keys.into_iter().map(reached).collect()
    }
}

/// How far a plain change has reached.
fn reach(outcome: Option<ChangeOutcome>) -> Reach {
    match outcome {
        Some(ChangeOutcome::Made(reach)) => reach,
        Some(ChangeOutcome::Applied(_) | ChangeOutcome::Undecided) | None => Reach::Pending,
    }
}

/// An insert that can be opened: the key, the encoded value, the value.
type Prepared<K, V> = (Address<K>, Vec<u8>, Arc<V>);
