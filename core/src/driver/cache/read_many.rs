//! Reading many keys at once.

use core::borrow::Borrow;
use core::future::Future;
use core::hash::Hash;
use core::iter::zip;
use core::ops::Range;
use std::borrow::ToOwned;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{StreamExt, stream};

use crate::driver::cache::Cache;
use crate::driver::cache::batch::Batch;
use crate::driver::cache::probe::Probe;
use crate::driver::cache::read::{loaded, unshared};
use crate::driver::flight::board::{Board, Joined, Row};
use crate::driver::flight::chain::{LoadKey, check, is_nested};
use crate::driver::flight::glance::{Known, answer, glance, parts};
use crate::driver::flight::lead_many::lead_many;
use crate::driver::flight::member::Member;
use crate::driver::flight::seat::SharedAnswer;
use crate::driver::shared::journal::Journal;
use crate::driver::shared::loaders::no_loader;
use crate::driver::world::erased::{AnyBatchLoader, Boxed};
use crate::machine::error::Error;
use crate::machine::lookup::step::Answer;
use crate::machine::policy::call::Call;
use crate::machine::policy::outage::Outage;
use crate::machine::tier::entry::Cached;
use crate::machine::time::Timestamp;
use crate::ports::batch_loader::Loads;
use crate::ports::loader::LoadError;

/// Reading many keys at once: what L1 lacks is one read of L2, one loader call, one write to L2.
///
/// Keys are borrowed, so that an L1 hit copies none: `&[1, 2, 3]`, `&ids` for a `Vec` of keys, or
/// `["a", "b"]` for a cache of `String`s. A batch of more keys than
/// [`batch_chunk`](crate::Builder::batch_chunk) is split.
impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Cache<K, V> {
    /// What L1 and L2 know about each of `keys`. No loader runs and none is waited for. What L2
    /// cannot answer about is a miss, and so is what ends while the others are read. An L2 that does
    /// not answer costs one `remote_timeout`.
    ///
    /// # Cancellation
    /// Dropping the future stops the read.
    pub async fn get_many<'k, Q, I>(&self, keys: I) -> Batch<&'k Q, Cached<V>>
    where
        I: IntoIterator<Item = &'k Q>,
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized + 'k,
    {
        self.get_many_with(keys, &Call::new()).await
    }

    /// [`get_many`](Self::get_many) with wishes of this call's own: to skip a level, to keep
    /// nothing in L1, or to keep it for another time.
    pub async fn get_many_with<'k, Q, I>(&self, keys: I, call: &Call) -> Batch<&'k Q, Cached<V>>
    where
        I: IntoIterator<Item = &'k Q>,
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized + 'k,
    {
        let mut probe = self.probe(keys, call, |_, _| {});
        while let Some(round) = probe.round(|| self.shared.runtime.now()) {
            let (answers, _) = Box::pin(self.look_further_many(&round.keys, call.clone())).await;
            probe.answered(round, answers);
        }
        probe.outcomes(core::convert::identity, |found| {
            found.map_or(Cached::Miss, |(found, _)| unshared(found))
        })
    }

    /// The values of `keys`, from L1, from L2, or from `loader`; `None` for what does not exist.
    ///
    /// The loader is called with the keys that no tier has and nobody else is loading; those that
    /// are being loaded, for a single caller or for another batch, are waited for. It is called
    /// again for keys that another caller gave up, while it runs for others, too: therefore it may borrow,
    /// but changes what it captures through a `Cell` or a lock. It returns a `HashMap<K, T>`, a `Vec<(K, T)>` or
    /// [`Loads`], with `T` being `V`, `Option<V>` or [`Load<V>`](crate::Load); a key that it does
    /// not mention does not exist (kept for `negative_ttl`). `load_timeout` bounds each call.
    ///
    /// What L1 or L2 had, and what ended while the loader ran for the others, is looked up again
    /// and loaded if need be, before anything is handed out.
    ///
    /// # Errors
    /// For each key those of [`get_or_load`](Self::get_or_load). If the loader fails as a whole, it
    /// fails for all keys that it was called with; [`Loads`] can have an error for a key alone.
    ///
    /// # Cancellation
    /// Dropping the future drops its loader. For each key that others wait for, the one that has
    /// waited longest runs its own.
    ///
    /// ```
    /// # use jetcache_core::doc::runtime as jetcache_tokio;
    /// # use std::collections::HashMap;
    /// # use std::sync::Arc;
    /// # struct Db;
    /// # impl Db {
    /// #     async fn users(&self, _: &[u64]) -> Result<HashMap<u64, Arc<str>>, std::io::Error> {
    /// #         Ok(HashMap::new())
    /// #     }
    /// # }
    /// # let db = Db;
    /// # jetcache_core::doc::block_on(async {
    /// # let cache = jetcache_tokio::builder::<u64, Arc<str>>("users").build()?;
    /// let ids = vec![7, 8, 9];
    /// let users = cache.get_many_or_load(&ids, async |ids| Ok(db.users(&ids).await?)).await;
    /// assert!(users.iter().all(|(_, user)| matches!(user, Ok(None))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn get_many_or_load<'k, Q, I, L, F, T>(
        &self,
        keys: I,
        loader: L,
    ) -> Batch<&'k Q, Result<Option<V>, Error>>
    where
        I: IntoIterator<Item = &'k Q>,
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized + 'k,
        L: FnMut(Vec<K>) -> F,
        F: Future<Output = Result<T, LoadError>>,
        T: Into<Loads<K, V>>,
    {
        self.get_many_or_load_with(keys, &Call::new(), loader).await
    }

    /// [`get_many_or_load`](Self::get_many_or_load) with wishes of this call's own. They apply to
    /// the keys that this call's loader runs for.
    ///
    /// # Errors
    /// Those of `get_many_or_load`, and for every key [`Error::Config`] for a
    /// [refresh](Call::refresh) that cannot be.
    pub async fn get_many_or_load_with<'k, Q, I, L, F, T>(
        &self,
        keys: I,
        call: &Call,
        mut loader: L,
    ) -> Batch<&'k Q, Result<Option<V>, Error>>
    where
        I: IntoIterator<Item = &'k Q>,
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized + 'k,
        L: FnMut(Vec<K>) -> F,
        F: Future<Output = Result<T, LoadError>>,
        T: Into<Loads<K, V>>,
    {
        if let Err(error) = self.check_load(call) {
            return failed(keys, &error);
        }
        let mut probe = self.probe(keys, call, |key, hit| self.after_hit(key, call, hit));
        while let Some(round) = probe.round(|| self.shared.runtime.now()) {
            let answers = Box::pin(self.load_many_by(&round.keys, call.clone(), &mut loader)).await;
            probe.answered(round, answers);
        }
        self.handed_out(probe, call, call.refresh)
    }

    /// The values of `keys`, from L1, from L2, or from the registered loader; `None` for those that
    /// do not exist. The loads run as tasks of their own and survive their callers.
    ///
    /// A [`batch_loader`](crate::Builder::batch_loader) is called as the loader of
    /// [`get_many_or_load`](Self::get_many_or_load) is. Without one, the keys that no tier has are
    /// [loaded](Self::load) one by one, [`load_concurrency`](crate::Builder::load_concurrency) of
    /// them at once; each then asks L2 for itself.
    ///
    /// # Errors
    /// For each key those of `get_many_or_load`, and [`Error::Config`] if no loader was registered.
    ///
    /// # Cancellation
    /// Dropping the future stops the waiting, not the loads that have begun.
    pub async fn load_many<'k, Q, I>(&self, keys: I) -> Batch<&'k Q, Result<Option<V>, Error>>
    where
        I: IntoIterator<Item = &'k Q>,
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized + 'k,
    {
        self.load_many_with(keys, &Call::new()).await
    }

    /// [`load_many`](Self::load_many) with wishes of this call's own.
    ///
    /// # Errors
    /// Those of `load_many`, and for every key [`Error::Config`] for a
    /// [refresh](Call::refresh) that cannot be.
    pub async fn load_many_with<'k, Q, I>(
        &self,
        keys: I,
        call: &Call,
    ) -> Batch<&'k Q, Result<Option<V>, Error>>
    where
        I: IntoIterator<Item = &'k Q>,
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized + 'k,
    {
        if let Err(error) = self.check_load(call) {
            return failed(keys, &error);
        }
        let mut probe = self.probe(keys, call, |key, hit| self.after_hit(key, call, hit));
        while let Some(round) = probe.round(|| self.shared.runtime.now()) {
            let answers = match (&self.shared.loaders.many, &self.shared.loaders.one) {
                (Some(loader), _) => {
                    Box::pin(self.load_many_registered(&round.keys, call.clone(), loader)).await
                }
                (None, Some(_)) => Box::pin(self.load_each(&round.keys, call.clone())).await,
                (None, None) => refused(round.keys.len(), no_loader()),
            };
            probe.answered(round, answers);
        }
        self.handed_out(probe, call, true)
    }

    /// What a batch of loads has come to. What is to be kept `fresh` counts as asked for.
    pub(super) fn handed_out<'k, Q>(
        &self,
        probe: Probe<'k, Q, V, SharedAnswer<V>>,
        call: &Call,
        fresh: bool,
    ) -> Batch<&'k Q, Result<Option<V>, Error>>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        let batch = probe.outcomes(
            |hit| Ok(hit.hit()),
            |answer| outcome(&self.shared.journal, answer),
        );
        if fresh {
            for (key, answer) in batch.iter() {
                self.answered(*key, call, answer);
            }
        }
        batch
    }

    async fn load_many_by<Q, L, F, T>(
        &self,
        keys: &[&Q],
        call: Call,
        loader: &mut L,
    ) -> Vec<SharedAnswer<V>>
    where
        Q: ToOwned<Owned = K> + ?Sized,
        L: FnMut(Vec<K>) -> F,
        F: Future<Output = Result<T, LoadError>>,
        T: Into<Loads<K, V>>,
    {
        let shared = &self.shared;
        let mut answers = vec![None; keys.len()];
        // All of them may be in L1: then this call goes no further.
        let _admission = match self.admit_some(keys) {
            Ok(admission) => admission,
            Err(error) => return refused(keys.len(), error),
        };
        let outage = Mutex::new(Outage::default());
        for part in parts(keys.len(), shared.loaders.chunk) {
            let (leading, following) = self
                .board(keys, part, call.clone(), &outage, &mut answers)
                .await;
            let land = |at: usize, answer| answers[at] = Some(answer);
            lead_many(shared, leading, following, &mut *loader, &outage, land).await;
        }
        whole(answers)
    }

    pub(super) async fn load_many_registered<Q>(
        &self,
        keys: &[&Q],
        call: Call,
        loader: &Arc<dyn AnyBatchLoader<K, V>>,
    ) -> Vec<SharedAnswer<V>>
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        let shared = &self.shared;
        let mut answers = vec![None; keys.len()];
        // All of them may be in L1: then this call goes no further.
        let _admission = match self.admit_some(keys) {
            Ok(admission) => admission,
            Err(error) => return refused(keys.len(), error),
        };
        let outage = Arc::new(Mutex::new(Outage::default()));
        for part in parts(keys.len(), shared.loaders.chunk) {
            let (leading, mut following) = self
                .board(keys, part, call.clone(), &outage, &mut answers)
                .await;
            if !leading.is_empty() {
                // A task takes these seats; the caller takes others and waits like everyone.
                following.extend(leading.iter().map(|(member, _)| Member {
                    at: member.at,
                    seat: member.seat.second(),
                }));
                let (own, load) = (Arc::clone(shared), batched(loader));
                let outage = Arc::clone(&outage);
                let flights = shared.spawn(async move {
                    lead_many(&own, leading, Vec::new(), load, &outage, |_, _| {}).await;
                });
                if let Err(in_place) = flights {
                    in_place.await;
                }
            }
            // The caller leads if the task is gone, and its runtime perhaps with it.
            let land = |at: usize, answer| answers[at] = Some(answer);
            let load = batched(loader);
            lead_many(shared, Vec::new(), following, load, &outage, land).await;
        }
        whole(answers)
    }

    /// Loads one by one what neither tier has.
    async fn load_each<Q>(&self, keys: &[&Q], call: Call) -> Vec<SharedAnswer<V>>
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        let (known, outage) = self
            .look_further_many(keys, call.clone().first_look())
            .await;
        let call = call.within(outage);
        let load = async |(at, key): (usize, &&Q)| match answer(known[at].clone()) {
            Some(known) => Arc::new(known),
            None => self
                .answer_registered(*key, call.clone())
                .await
                .unwrap_or_else(|error| Arc::new(Answer::endless(Err(error)))),
        };
        stream::iter(keys.iter().enumerate().map(load))
            .buffered(self.shared.loaders.concurrency)
            .collect()
            .await
    }

    /// What L2 knows of keys that L1 does not have. A closed cache knows nothing.
    async fn look_further_many<Q>(&self, keys: &[&Q], call: Call) -> (Vec<Known<V>>, Outage)
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        match self.admit_some(keys) {
            Ok(_admission) => glance(&self.shared, keys, call).await,
            Err(_) => (
                vec![(Cached::Miss, Timestamp::MAX); keys.len()],
                Outage::default(),
            ),
        }
    }

    /// Seats a part of the keys: those that lead, and those that follow. Answered at once are keys
    /// that L2 cannot hold, and keys under refresh whose value L2 has.
    async fn board<Q>(
        &self,
        keys: &[&Q],
        part: Range<usize>,
        call: Call,
        outage: &Mutex<Outage>,
        answers: &mut [Option<SharedAnswer<V>>],
    ) -> Joined<K, V>
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        // A task may have died with its runtime while the part before was waited for.
        self.ensure_tasks();
        let call = call.within(*outage.lock().unwrap_or_else(PoisonError::into_inner));
        let refuse = |at: usize, error| {
            answers[at] = Some(Arc::new(Answer::endless(Err(error))));
        };
        let mut board = Board::new(&self.shared, keys, part, refuse);
        if is_nested() {
            board.rows.retain(|row| {
                let checked = check(LoadKey::of(&self.shared, row.hash));
                let refused = checked
                    .err()
                    .map(|error| Arc::new(Answer::endless(Err(error))));
                answers[row.at] = refused;
                answers[row.at].is_none()
            });
        }
        let refreshed = |row: &&Row<K>| self.is_refreshing(row.hash, &row.key, &call);
        let rows: Vec<&Row<K>> = board.rows.iter().filter(refreshed).collect();
        if !rows.is_empty() {
            let keys: Vec<&K> = rows.iter().map(|row| &*row.key).collect();
            let (found, _) = glance::<K, V, K>(&self.shared, &keys, call.clone()).await;
            for (row, found) in zip(rows, found) {
                answers[row.at] = answer(found).map(Arc::new);
            }
            board.rows.retain(|row| answers[row.at].is_none());
        }
        board.join(&self.shared, call)
    }
}

/// The registered loader as one that can be called again and again.
fn batched<K: Send + 'static, V: Send + 'static>(
    loader: &Arc<dyn AnyBatchLoader<K, V>>,
) -> impl FnMut(Vec<K>) -> Boxed<'static, Result<Loads<K, V>, LoadError>> + Send + use<K, V> {
    let loader = Arc::clone(loader);
    move |keys| {
        let loader = Arc::clone(&loader);
        Box::pin(async move { loader.load_many(keys).await })
    }
}

/// The answer about one key, copied for its caller.
fn outcome<V: Clone>(
    journal: &Journal,
    answer: Option<&SharedAnswer<V>>,
) -> Result<Option<V>, Error> {
    let Some(answer) = answer else {
        return Err(Error::Closed);
    };
    loaded(journal, answer).map(Cached::hit)
}

/// All answers. A key without one gets [`Error::Closed`]: the cache is closed.
fn whole<V>(answers: Vec<Option<SharedAnswer<V>>>) -> Vec<SharedAnswer<V>> {
    let closed = || Arc::new(Answer::endless(Err(Error::Closed)));
    let answers = answers.into_iter();
    answers
        .map(|answer| answer.unwrap_or_else(closed))
        .collect()
}

/// The same error for all keys.
/// The batch of a call that cannot be made.
pub(super) fn failed<Q, V>(
    keys: impl IntoIterator<Item = Q>,
    error: &Error,
) -> Batch<Q, Result<Option<V>, Error>> {
    let failed = |key| (key, Err(error.clone()));
    keys.into_iter().map(failed).collect()
}

fn refused<V>(count: usize, error: Error) -> Vec<SharedAnswer<V>> {
    let error = Arc::new(Answer::endless(Err(error)));
    (0..count).map(|_| Arc::clone(&error)).collect()
}
