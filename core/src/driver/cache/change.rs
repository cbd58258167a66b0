//! Changing what a cache holds.

use core::borrow::Borrow;
use core::hash::Hash;
use std::borrow::ToOwned;
use std::sync::Arc;

use crate::driver::cache::Cache;
use crate::driver::cache::change_many::reach;
use crate::driver::change::Run;
use crate::driver::change::carry_out::detached;
use crate::driver::shared::Admission;
use crate::machine::change::{Outcome, Plan, Reach};
use crate::machine::error::Error;
use crate::machine::policy::Call;
use crate::ports::remote::Condition;

/// Changing.
impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
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

    /// [`insert`](Self::insert) with wishes of this call's own. A level that is skipped is cleared
    /// of the key.
    ///
    /// # Errors
    /// Those of `insert`, and [`Error::Config`] for a TTL of zero or for `no_store`.
    pub async fn insert_with(&self, key: K, value: V, call: &Call) -> Result<Reach, Error> {
        let made = Box::pin(self.put(key, value, *call, None)).await?;
        Ok(reach(Some(made)))
    }

    /// Inserts `value` if no tier has a value for `key`, as L2 judges, or L1 if there is no L2. A
    /// not-found placeholder is no value. Whether it was applied; if not, nothing was changed
    /// anywhere.
    ///
    /// # Errors
    /// [`Error::Undecided`] if L2 did not say; those of [`insert`](Self::insert).
    ///
    /// # Cancellation
    /// Dropping the future stops the waiting, not the insert.
    pub async fn insert_if_absent(&self, key: K, value: V) -> Result<bool, Error> {
        self.insert_if_absent_with(key, value, &Call::new()).await
    }

    /// [`insert_if_absent`](Self::insert_if_absent) with wishes of this call's own.
    ///
    /// # Errors
    /// Those of `insert_if_absent`, and [`Error::Config`] for a TTL of zero, for `no_store` or for
    /// `skip_remote`.
    pub async fn insert_if_absent_with(
        &self,
        key: K,
        value: V,
        call: &Call,
    ) -> Result<bool, Error> {
        self.insert_if(key, value, *call, Condition::Absent).await
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
    /// Those of `insert_if_present`, and [`Error::Config`] for a TTL of zero, for `no_store` or for
    /// `skip_remote`.
    pub async fn insert_if_present_with(
        &self,
        key: K,
        value: V,
        call: &Call,
    ) -> Result<bool, Error> {
        self.insert_if(key, value, *call, Condition::Present).await
    }

    async fn insert_if(
        &self,
        key: K,
        value: V,
        call: Call,
        condition: Condition,
    ) -> Result<bool, Error> {
        match Box::pin(self.put(key, value, call, Some(condition))).await? {
            Outcome::Applied(applied) => Ok(applied),
            Outcome::Made(_) | Outcome::Undecided => Err(Error::Undecided),
        }
    }

    async fn put(
        &self,
        key: K,
        value: V,
        call: Call,
        condition: Option<Condition>,
    ) -> Result<Outcome, Error> {
        call.check_change(condition.is_some())?;
        let _admission = Admission::ask(&self.shared.life).ok_or(Error::Closed)?;
        let run = self.open_insert(self.prepare(key, value)?, call, condition);
        let made = detached(&self.shared, vec![run]).await.pop();
        Ok(made.flatten().unwrap_or(Outcome::Undecided))
    }

    /// What an insert needs before it is opened. Nothing has changed yet.
    pub(crate) fn prepare(&self, key: K, value: V) -> Result<Prepared<K, V>, Error> {
        let (key, text) = self.address(key)?;
        let link = self.shared.link.as_ref();
        let encoded = link.map(|link| link.format.encode(Some(&value)));
        Ok(Prepared {
            key,
            text,
            bytes: encoded.transpose()?.unwrap_or_default(),
            value: Arc::new(value),
        })
    }

    pub(super) fn open_insert(
        &self,
        prepared: Prepared<K, V>,
        call: Call,
        condition: Option<Condition>,
    ) -> Run<K, V> {
        let Prepared {
            key,
            text,
            bytes,
            value,
        } = prepared;
        let plan = Plan::Insert {
            value,
            call,
            condition,
        };
        Run::open(&self.shared, key, text, plan, bytes)
    }

    /// Removes `key` from every tier.
    ///
    /// When it returns, no later read on this node gets a value whose loading began before the
    /// call; with [`Reach::Everywhere`] L2 has none either. On a closed cache it is sent to L2 once, and
    /// not repeated.
    ///
    /// # Cancellation
    /// Dropping the future stops the waiting, not the removal.
    pub async fn invalidate<Q>(&self, key: &Q) -> Reach
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        // A key that L2 cannot hold is nowhere.
        let Ok((key, text)) = self.address(key.to_owned()) else {
            return Reach::Everywhere;
        };
        let run = Run::open(&self.shared, key, text, Plan::Invalidate, Vec::new());
        let made = Box::pin(detached(&self.shared, vec![run])).await.pop();
        reach(made.flatten())
    }

    /// Removes `key` from this process's L1. A load that is under way keeps nothing there.
    pub fn invalidate_local<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        if self.shared.local.is_some() {
            self.shared.forget(&Arc::new(key.to_owned()), false);
        }
    }

    /// Removes everything from this process's L1. Loads that are under way keep nothing there.
    pub fn clear_local(&self) {
        if self.shared.local.is_some() {
            self.shared.forget_all();
        }
    }
}

/// An insert that can be opened.
pub(crate) struct Prepared<K, V> {
    key: Arc<K>,
    text: Option<Arc<str>>,
    bytes: Vec<u8>,
    value: Arc<V>,
}
