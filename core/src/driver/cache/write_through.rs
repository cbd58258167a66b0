//! Writing through: the database and the entry change as one (PROTOCOL.md, C4).

use core::borrow::Borrow;
use core::future::{Future, ready};
use core::hash::Hash;
use core::panic::AssertUnwindSafe;
use std::borrow::ToOwned;
use std::panic::catch_unwind;
use std::sync::Arc;

use futures_channel::oneshot::{Receiver, Sender, channel};
use futures_util::FutureExt;
use futures_util::future::{Either, join};

use crate::driver::cache::Cache;
use crate::driver::change::{Run, Wish};
use crate::driver::flight::lead::unencoded;
use crate::driver::flight::seat::panicked;
use crate::driver::link::{Link, Times, Word, only};
use crate::driver::shared::{Admission, Shared};
use crate::driver::world::timeout::timeout;
use crate::machine::change::{ChangeReply, Plan};
use crate::machine::error::{Error, Fault};
use crate::machine::policy::Call;
use crate::machine::tier::entry::Load;
use crate::machine::tier::verb::Filled;
use crate::machine::token::Token;
use crate::ports::loader::LoadError;
use crate::ports::remote::{Claim, Settle};

/// Writing through.
impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Runs `writer`, which changes the row of `key` in the database and answers what the row is
    /// now, and puts that in the place of whatever the tiers hold. `None` is remembered as "does not
    /// exist". The answer is the writer's.
    ///
    /// This is how a row and its entry change without a race: when it returns, no later read on this
    /// node gets a value that is older than the row that it wrote, whoever else writes or loads
    /// meanwhile, on whatever node. When the last of several that overlap has returned, and the nodes
    /// have heard of it, nobody reads anything but the last row: they leave the key empty, since nobody
    /// knows whose row that is, and the next reader loads it.
    ///
    /// While the writer runs the key is taken: who finds it neither in L1 nor in L2 waits as for
    /// another node's load, for `lease_wait` at most, and then loads for itself and keeps that in L1
    /// until the write-through ends.
    ///
    /// The writer may borrow; it returns `V`, `Option<V>` or a [`Load<V>`], as a loader does. It runs
    /// whether L2 answers or not, and exactly once. It has no time limit unless
    /// [`write_timeout`](crate::Builder::write_timeout) gives it one. One that takes longer than the
    /// lease leaves the key empty.
    ///
    /// # Errors
    /// [`Error::Load`] if the writer failed, [`Error::Panicked`] if it panicked, [`Error::Timeout`] if
    /// it took longer than `write_timeout`: the key is removed, since nobody knows whether the row was
    /// changed. [`Error::Key`] if the key cannot be stored in L2, [`Error::Closed`]: the writer was
    /// not run.
    ///
    /// A value that cannot be encoded, or is longer than `max_value_size`, is answered all the same;
    /// it is counted, and the key is removed.
    ///
    /// # Cancellation
    /// Dropping the future drops the writer, and the key is removed. What a database does with a
    /// statement whose caller is gone is its own affair: if it is carried out after the removal, an
    /// older value may be read until its TTL ends.
    ///
    /// ```
    /// # use jetcache_core::doc::{block_on, Threads};
    /// # use jetcache_core::{Cache, LoadError};
    /// # use std::sync::Arc;
    /// # struct Db;
    /// # impl Db { async fn rename(&self, id: u64, name: &str) -> Result<Arc<str>, std::io::Error> { Ok(name.into()) } }
    /// # let (db, id) = (Db, 7_u64);
    /// # block_on(async {
    /// # let cache = Cache::<u64, Arc<str>>::builder("users", Threads).build()?;
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

    /// [`write_through`](Self::write_through) with wishes of this call's own. An L1 that is skipped
    /// is cleared of the key.
    ///
    /// # Errors
    /// Those of `write_through`, and [`Error::Config`] for a TTL of zero, for `no_store` and for
    /// `skip_remote`; the writer was not run.
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
        Box::pin(self.carry_through(key, *call, writer)).await
    }

    async fn carry_through<Q, W, F, T>(
        &self,
        key: &Q,
        call: Call,
        writer: W,
    ) -> Result<Option<V>, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
        W: FnOnce() -> F,
        F: Future<Output = Result<T, LoadError>>,
        T: Into<Load<V>>,
    {
        let shared = &self.shared;
        let _admission = Admission::ask(&shared.life).ok_or(Error::Closed)?;
        let (owned, text) = self.address(key.to_owned())?;
        let plan = Plan::WriteThrough { call };
        let run = Run::open(shared, owned, text, plan, Vec::new());
        let ((go, gone), (written, wrote)) = (channel(), channel());
        let (done, over) = channel();
        let task = Task {
            shared: Arc::clone(shared),
            run,
            go: Some(go),
            wrote: Some(wrote),
        };
        let task = async move {
            task.carry_out().await;
            let _ = done.send(());
        };
        // Without L2 there is nothing to wait for.
        let task = match shared.link {
            None => Either::Right(task),
            Some(_) => Either::Left(match shared.spawn(task) {
                Ok(()) => Either::Left(ready(())),
                Err(in_place) => Either::Right(in_place),
            }),
        };
        let calling = async {
            let _ = gone.await;
            let loaded = write(shared, writer).await;
            let _ = written.send(loaded.as_ref().ok().cloned());
            if over.await.is_err() {
                // The task is gone, with its runtime perhaps, and what it removed may have been
                // loaded again before the row was changed.
                self.invalidate(key).await;
            }
            loaded
        };
        let (loaded, ()) = join(calling, task).await;
        Ok(loaded?.value.map(|value| (*value).clone()))
    }
}

/// Runs the writer, within its time.
async fn write<K, V, W, F, T>(shared: &Shared<K, V>, writer: W) -> Result<Load<Arc<V>>, Error>
where
    W: FnOnce() -> F,
    F: Future<Output = Result<T, LoadError>>,
    T: Into<Load<V>>,
{
    let writing = AssertUnwindSafe(async move { writer().await.map(Into::into) }).catch_unwind();
    let written = match shared.write_timeout {
        None => Some(writing.await),
        Some(span) => timeout(&*shared.runtime, span, writing).await,
    };
    match written {
        None => Err(Error::Timeout),
        Some(Err(panic)) => Err(panicked(&*panic)),
        Some(Ok(Err(error))) => Err(Error::Load(error.into_inner().into())),
        Some(Ok(Ok(load))) => Ok(Load::map(load, Arc::new)),
    }
}

/// What a write-through does besides writing: a task of its own, so that it is finished whatever
/// becomes of the writer.
struct Task<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    shared: Arc<Shared<K, V>>,
    run: Run<K, V>,
    /// Tells the caller to write.
    go: Option<Sender<()>>,
    /// What it wrote; it is gone, if this breaks.
    wrote: Option<Receiver<Option<Load<Arc<V>>>>>,
}

impl<K, V> Task<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    async fn carry_out(mut self) {
        let mut reply = ChangeReply::Begin;
        loop {
            // If anything of the user's panics, the engine or a `Clone`, the change is abandoned:
            // the key is removed, and the caller has its answer.
            let going = AssertUnwindSafe(|| self.run.go_on(reply));
            let Ok(wish) = catch_unwind(going) else {
                return self.give_up().await;
            };
            reply = match wish {
                Wish::Over(_) => return,
                Wish::Write => ChangeReply::Written(self.written().await),
                Wish::Remove => ChangeReply::Removed(self.remove().await),
                Wish::Claim {
                    token,
                    life,
                    condition,
                    told,
                } => {
                    let claim = Claim {
                        key: self.text(),
                        token,
                        life,
                        condition,
                    };
                    let word = if told { Word::Told } else { Word::Kept };
                    ChangeReply::Claimed(self.claim(claim, word).await)
                }
                Wish::Settle {
                    token,
                    value,
                    times,
                } => ChangeReply::Settled(self.settle(token, value.as_deref(), times).await),
                // Only an insert wishes that.
                Wish::Fill { .. } => ChangeReply::Filled(Err(no_l2())),
            };
        }
    }

    /// The writer must have run all the same.
    async fn give_up(mut self) {
        if self.go.is_some() {
            self.written().await;
        }
    }

    async fn written(&mut self) -> Option<Load<Arc<V>>> {
        let (go, wrote) = (self.go.take()?, self.wrote.take()?);
        let _ = go.send(());
        wrote.await.ok().flatten()
    }

    async fn remove(&self) -> Result<(), Fault> {
        let link = self.link()?;
        only(
            link.remove(&*self.shared.runtime, &[self.text()], Word::Told)
                .await,
        )
    }

    async fn claim(&self, claim: Claim<'_>, word: Word) -> Result<bool, Fault> {
        let link = self.link()?;
        only(link.claim(&*self.shared.runtime, &[claim], word).await)
    }

    async fn settle(&self, token: Token, value: Option<&V>, times: Times) -> Result<Filled, Fault> {
        let link = self.link()?;
        let encoding = AssertUnwindSafe(|| link.format.encode(value));
        let encoded = catch_unwind(encoding).unwrap_or_else(|panic| Err(panicked(&*panic)));
        let mut bytes = encoded.map_err(unencoded)?;
        link.format.seal(&mut bytes, times.life);
        let settle = Settle {
            key: self.text(),
            token: Some(token),
            // The claim has emptied the key.
            value: times.stored(&bytes, None),
        };
        only(
            link.settle(&*self.shared.runtime, &[settle], Word::Told)
                .await,
        )
    }

    fn link(&self) -> Result<&Link<K, V>, Fault> {
        self.shared.link.as_ref().ok_or_else(no_l2)
    }

    fn text(&self) -> &str {
        self.run.text.as_deref().unwrap_or_default()
    }
}

fn no_l2() -> Fault {
    Fault::Refused("there is no L2".into())
}
