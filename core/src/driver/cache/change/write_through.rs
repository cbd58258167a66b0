//! Writing through: the database and the entry change as one (PROTOCOL.md, C4).

use core::borrow::Borrow;
use core::future::Future;
use core::hash::Hash;
use std::borrow::ToOwned;
use std::sync::Arc;

use futures_util::future::join;

use crate::driver::cache::Cache;
use crate::driver::cache::change::tags::check_call_tags;
use crate::driver::change::Change;
use crate::driver::change::carry_out::carry_out;
use crate::driver::change::writer::writer;
use crate::driver::flight::chain::{LoadKey, loading};
use crate::driver::flight::load::write;
use crate::machine::change::Plan;
use crate::machine::error::Error;
use crate::machine::policy::call::Call;
use crate::machine::tier::load::Load;
use crate::ports::loader::LoadError;

/// Writing through.
impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Cache<K, V> {
    /// Runs `writer`, which changes the row of `key` in the database and returns what the row is
    /// now, and puts that in the place of whatever the tiers hold. `None` is remembered as "does
    /// not exist". The answer is the writer's.
    ///
    /// This is how a row and its entry change without a race: when it returns, no later read on
    /// this node gets a value older than the row that it wrote, whoever else writes or loads
    /// meanwhile, on any node. Several that overlap leave the key empty, since nobody knows whose
    /// row is the last, and the next reader loads it: once all have returned, and the nodes have
    /// heard of it, nobody reads anything but the last row.
    ///
    /// While the writer runs the key is taken: a reader that finds it in no tier waits as for
    /// another node's load, for `lease_wait` at most, and then loads for itself and keeps that in
    /// L1 until the write-through ends.
    ///
    /// The writer may borrow; it returns `V`, `Option<V>` or a [`Load<V>`], as a loader does. It
    /// runs whether L2 answers or not, and exactly once. It has no time limit unless
    /// [`write_timeout`](crate::Builder::write_timeout) gives it one. One that takes longer than
    /// the lease leaves the key empty.
    ///
    /// # Errors
    /// [`Error::Load`] if the writer failed, [`Error::Panicked`] if it panicked, [`Error::Timeout`]
    /// past `write_timeout`: the key is removed, since nobody knows whether the row was changed.
    /// [`Error::Key`] if the key cannot be stored in L2, [`Error::Closed`]: the writer was not run.
    /// A writer may read its own key, but not load it: that is [`Error::Deadlock`] to the load.
    ///
    /// A value that cannot be encoded, or is longer than `max_value_size`, is answered all the
    /// same; it is counted, and the key is removed.
    ///
    /// # Cancellation
    /// Dropping the future drops the writer, and the key is removed. What a database does with a
    /// statement whose caller is gone is its own affair: if it is carried out after the removal, an
    /// older value may be read until its TTL ends.
    ///
    /// ```
    /// # use jetcache_core::doc::runtime as jetcache_tokio;
    /// # use jetcache_tokio::LoadError;
    /// # use std::sync::Arc;
    /// # struct Db;
    /// # impl Db { async fn rename(&self, id: u64, name: &str) -> Result<Arc<str>, std::io::Error> { Ok(name.into()) } }
    /// # let (db, id) = (Db, 7_u64);
    /// # jetcache_core::doc::block_on(async {
    /// # let cache = jetcache_tokio::builder::<u64, Arc<str>>("users").build()?;
    /// let user = cache.write_through(&id, async || Ok(db.rename(id, "Ada").await?)).await?;
    /// assert_eq!(user.as_deref(), Some("Ada"));
    /// assert_eq!(cache.peek(&id).hit(), user);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn write_through<Q, W, F, T>(&self, key: &Q, writer: W) -> Result<Option<V>, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
        W: FnOnce() -> F,
        F: Future<Output = Result<T, LoadError>>,
        T: Into<Load<V>>,
    {
        self.write_through_with(key, &Call::new(), writer).await
    }

    /// [`write_through`](Self::write_through) with wishes of this call's own. A skipped L1 loses
    /// the key.
    ///
    /// # Errors
    /// Those of `write_through`, and [`Error::Config`] for `no_store` and for `skip_remote`; the
    /// writer was not run.
    pub async fn write_through_with<Q, W, F, T>(
        &self,
        key: &Q,
        call: &Call,
        writer: W,
    ) -> Result<Option<V>, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
        W: FnOnce() -> F,
        F: Future<Output = Result<T, LoadError>>,
        T: Into<Load<V>>,
    {
        call.check_write()?;
        Box::pin(self.carry_through(key, call.clone(), writer)).await
    }

    async fn carry_through<Q, W, F, T>(
        &self,
        key: &Q,
        call: Call,
        write_row: W,
    ) -> Result<Option<V>, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
        W: FnOnce() -> F,
        F: Future<Output = Result<T, LoadError>>,
        T: Into<Load<V>>,
    {
        check_call_tags(&self.shared, &call)?;
        let (_admission, address) = self.admit_change(key)?;
        let keys = Arc::from([LoadKey::of(&self.shared, address.hash)]);
        let (caller, gone, written) = writer();
        let plan = Plan::WriteThrough { call };
        let change = Change::open(&self.shared, address, plan, Vec::new()).written_by(caller);
        let calling = async {
            // The caller writes even if the change is gone, and then nobody is left to hear of it.
            let _ = gone.await;
            let loaded = loading(keys, write(&self.shared, write_row)).await;
            let _ = written.send(loaded.as_ref().ok().cloned());
            loaded
        };
        let (loaded, (outcomes, _)) = join(calling, carry_out(&self.shared, vec![change])).await;
        if outcomes.contains(&None) {
            // The task is gone, with its runtime perhaps, and what it removed may have been loaded
            // again before the row was changed.
            self.invalidate(key).await;
        }
        Ok(loaded?.value.map(|value| (*value).clone()))
    }
}
