//! Reading many keys at once.

use core::borrow::Borrow;
use core::future::Future;
use core::hash::Hash;
use core::ops::Range;
use std::borrow::ToOwned;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use portable_atomic::{AtomicBool, Ordering};

use crate::driver::cache::Cache;
use crate::driver::cache::batch::Batch;
use crate::driver::cache::read::{loaded, no_loader, unshared};
use crate::driver::flight::glance::Deaf;
use crate::driver::flight::lead_many::{Going, Member, Next, Shares, fly};
use crate::driver::flight::seat::{Move, Seat};
use crate::driver::shared::{Admission, Shared};
use crate::driver::world::erased::{AnyBatchLoader, Boxed};
use crate::machine::error::Error;
use crate::machine::lookup::Reply;
use crate::machine::policy::Call;
use crate::machine::shard::{Role, Ticket};
use crate::machine::tier::entry::Cached;
use crate::ports::batch_loader::Loads;
use crate::ports::loader::LoadError;

/// Reading many keys at once: what L1 does not have is one read of L2, one call of a loader, one
/// write to L2.
///
/// Keys are borrowed, so that an L1 hit copies none: `&[1, 2, 3]`, `&ids` for a `Vec` of keys, or
/// `["a", "b"]` for a cache of `String`s. A batch of more keys than
/// [`batch_chunk`](crate::Builder::batch_chunk) is split.
impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// What L1 and L2 know about each of `keys`. No loader runs and none is waited for. What L2
    /// cannot answer about is a miss. An L2 that does not answer costs one `remote_timeout`.
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
        let probe = self.probe(keys, call);
        let (answers, _) = Box::pin(self.glance(&probe.misses, *call)).await;
        probe.answered(
            |hit| hit.map_or(Cached::Absent, Cached::Hit),
            |at| unshared(&answers[at]),
        )
    }

    /// The values of `keys`, from L1, from L2, or from `loader`; `None` for those that do not
    /// exist.
    ///
    /// The loader is called with the keys that no tier has and nobody else is loading; those that
    /// are being loaded, for a single caller or for another batch, are waited for. It is called
    /// again for keys that another caller gave up. It returns a `HashMap<K, T>`, a `Vec<(K, T)>` or
    /// [`Loads`], with `T` being `V`, `Option<V>` or [`Load<V>`](crate::Load); a key that it does
    /// not mention does not exist, which is remembered for `negative_ttl`. Each call is bounded by
    /// `load_timeout`.
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
    /// # use jetcache_core::doc::{block_on, Threads};
    /// # use jetcache_core::Cache;
    /// # use std::collections::HashMap;
    /// # use std::sync::Arc;
    /// # struct Db;
    /// # impl Db {
    /// #     async fn users(&self, _: &[u64]) -> Result<HashMap<u64, Arc<str>>, std::io::Error> {
    /// #         Ok(HashMap::new())
    /// #     }
    /// # }
    /// # let db = Db;
    /// # block_on(async {
    /// # let cache = Cache::<u64, Arc<str>>::builder("users", Threads).build()?;
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
    /// Those of `get_many_or_load`, and [`Error::Config`] for a TTL of zero, for every key.
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
            return keys
                .into_iter()
                .map(|key| (key, Err(error.clone())))
                .collect();
        }
        let probe = self.probe(keys, call);
        let answers = Box::pin(self.load_many_by(&probe.misses, *call, &mut loader)).await;
        let batch = probe.answered(Ok, |at| loaded(&answers[at]));
        if call.refresh {
            for (key, answer) in batch.iter() {
                self.answered(*key, call, answer);
            }
        }
        batch
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
    /// Those of `load_many`, and [`Error::Config`] for a TTL of zero and for a
    /// [refresh](Call::refresh) that cannot be, for every key.
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
            return keys
                .into_iter()
                .map(|key| (key, Err(error.clone())))
                .collect();
        }
        let probe = self.probe(keys, call);
        let batch = match (&self.shared.batch_loader, &self.shared.loader) {
            (Some(loader), _) => {
                let answers =
                    Box::pin(self.load_many_registered(&probe.misses, *call, loader)).await;
                probe.answered(Ok, |at| loaded(&answers[at]))
            }
            (None, None) => probe.answered(Ok, |_| Err(no_loader())),
            (None, Some(_)) => {
                let answers = Box::pin(self.load_each(&probe.misses, *call)).await;
                probe.answered(Ok, |at| answers[at].clone())
            }
        };
        for (key, answer) in batch.iter() {
            self.answered(*key, call, answer);
        }
        batch
    }

    /// What L1 has of the keys, and which of them it has not.
    fn probe<'k, Q, I>(&self, keys: I, call: &Call) -> Probe<'k, Q, V>
    where
        I: IntoIterator<Item = &'k Q>,
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let keys = keys.into_iter();
        let expected = keys.size_hint().0;
        let mut found = Vec::with_capacity(expected);
        let mut misses = Vec::new();
        let mut places = hashbrown::HashMap::new();
        for key in keys {
            let spot = match self.hit_with(key, call) {
                Some(hit) => Spot::Hit(hit),
                None if misses.is_empty() => {
                    // The rest is likely to miss as well.
                    places.reserve(expected);
                    misses.reserve(expected);
                    misses.push(key);
                    places.insert(key, 0);
                    Spot::Miss(0)
                }
                None => Spot::Miss(*places.entry(key).or_insert_with(|| {
                    misses.push(key);
                    misses.len() - 1
                })),
            };
            found.push((key, spot));
        }
        Probe { found, misses }
    }

    async fn load_many_by<Q, L, F, T>(
        &self,
        keys: &[&Q],
        call: Call,
        loader: &mut L,
    ) -> Vec<Shares<V>>
    where
        Q: ToOwned<Owned = K> + ?Sized,
        L: FnMut(Vec<K>) -> F,
        F: Future<Output = Result<T, LoadError>>,
        T: Into<Loads<K, V>>,
    {
        let shared = &self.shared;
        let mut answers = Answers::new(keys.len());
        let Some(_admission) = Admission::ask(&shared.life) else {
            return answers.whole();
        };
        let deaf = AtomicBool::new(false);
        for part in answers.parts(shared.batch.chunk) {
            let mut boarding = self.board(keys, part, &mut answers);
            self.spare_waits(&mut boarding, heard(call, &deaf), &mut answers)
                .await;
            let (leading, following) = boarding.join(shared, heard(call, &deaf));
            let land = |at, answer| answers.land(at, answer);
            fly(shared, leading, following, &mut *loader, &deaf, land).await;
        }
        answers.whole()
    }

    async fn load_many_registered<Q>(
        &self,
        keys: &[&Q],
        call: Call,
        loader: &Arc<dyn AnyBatchLoader<K, V>>,
    ) -> Vec<Shares<V>>
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        let shared = &self.shared;
        let mut answers = Answers::new(keys.len());
        let Some(_admission) = Admission::ask(&shared.life) else {
            return answers.whole();
        };
        let deaf = Arc::new(AtomicBool::new(false));
        for part in answers.parts(shared.batch.chunk) {
            let mut boarding = self.board(keys, part, &mut answers);
            self.spare_waits(&mut boarding, heard(call, &deaf), &mut answers)
                .await;
            let (leading, mut following) = boarding.join(shared, heard(call, &deaf));
            if !leading.is_empty() {
                // A task takes these seats; the caller takes others and waits like everyone.
                following.extend(leading.iter().map(|(member, _)| Member {
                    at: member.at,
                    seat: member.seat.second(),
                }));
                let (own, load) = (Arc::clone(shared), batched(loader));
                let deaf = Arc::clone(&deaf);
                let flights = shared.spawn(async move {
                    fly(&own, leading, Vec::new(), load, &deaf, |_, _| {}).await;
                });
                if let Err(in_place) = flights {
                    in_place.await;
                }
            }
            // It leads if the task is gone, and its runtime perhaps with it.
            let land = |at, answer| answers.land(at, answer);
            fly(shared, Vec::new(), following, batched(loader), &deaf, land).await;
        }
        answers.whole()
    }

    /// Loads one by one what neither tier has.
    async fn load_each<Q>(&self, keys: &[&Q], call: Call) -> Vec<Result<Option<V>, Error>>
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        let (known, deaf) = self.glance(keys, call).await;
        let call = match deaf {
            Deaf(true) => call.skip_remote(),
            Deaf(false) => call,
        };
        let load = async |(at, key): (usize, &&Q)| match &known[at] {
            Cached::Miss => self.load_registered(*key, call).await,
            known => Ok(unshared(known).hit()),
        };
        stream::iter(keys.iter().enumerate().map(load))
            .buffered(self.shared.batch.concurrency)
            .collect()
            .await
    }

    /// A part of the keys, ready to take seats. A key that cannot be asked for has its answer.
    fn board<Q>(&self, keys: &[&Q], part: Range<usize>, answers: &mut Answers<V>) -> Boarding<K>
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        self.shared.ensure_tasks();
        let mut boarding = Boarding(Vec::with_capacity(part.len()));
        let mut place = String::new();
        for at in part {
            let key = keys[at].to_owned();
            let link = self.shared.link.as_ref();
            match link.map(|link| link.text_by(&mut place, &key)).transpose() {
                Err(error) => answers.land(at, Arc::new(Err(error))),
                Ok(text) => boarding.0.push(Guest {
                    at,
                    shard: self.shared.shard(&key),
                    key: Arc::new(key),
                    text,
                }),
            }
        }
        // Those of one shard take their seats under one lock.
        boarding.0.sort_by_key(|guest| guest.shard);
        boarding
    }
}

impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Keys that are being refreshed, and that L2 has meanwhile, need no seat.
    async fn spare_waits(&self, boarding: &mut Boarding<K>, call: Call, answers: &mut Answers<V>) {
        if self.shared.refreshing.is_none() {
            return;
        }
        let refreshing = |guest: &&Guest<K>| self.is_refreshing(&guest.key, &call);
        let guests: Vec<&Guest<K>> = boarding.0.iter().filter(refreshing).collect();
        if guests.is_empty() {
            return;
        }
        let keys: Vec<&K> = guests.iter().map(|guest| &*guest.key).collect();
        let (found, _) = self.glance::<K>(&keys, call).await;
        for (guest, found) in guests.into_iter().zip(found) {
            if !matches!(found, Cached::Miss) {
                answers.land(guest.at, Arc::new(Ok(found)));
            }
        }
        boarding.0.retain(|guest| answers.0[guest.at].is_none());
    }
}

/// Keys that are about to take seats.
struct Boarding<K>(Vec<Guest<K>>);

struct Guest<K> {
    at: usize,
    shard: usize,
    key: Arc<K>,
    text: Option<Arc<str>>,
}

impl<K> Boarding<K>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
{
    /// Each takes a seat in its key's flight: those that lead, and those that follow.
    fn join<V>(mut self, shared: &Arc<Shared<K, V>>, call: Call) -> Joined<K, V>
    where
        V: Clone + Send + Sync + 'static,
    {
        // They are seated under the lock: should anything panic there, their drop leaves the flight.
        let mut seated = Vec::with_capacity(self.0.len());
        let shard = |guest: &Guest<K>| guest.shard;
        shared.ask_each(&mut self.0, shard, |guest, table, context, effects| {
            let (ticket, role) = table.join(Arc::clone(&guest.key), call, context, effects);
            let step = match role {
                Role::Lead => Some(table.step(&ticket, context, Reply::Begin, effects)),
                Role::Follow => None,
            };
            seated.push((guest.seated(shared, ticket), step));
        });
        let mut joined = (Vec::with_capacity(seated.len()), Vec::new());
        for (member, step) in seated {
            match step {
                Some(step) => joined.0.push((member, Next::Move(Move::Step(step)))),
                None => joined.1.push(member),
            }
        }
        joined
    }
}

/// Seats that lead, and seats that follow.
type Joined<K, V> = (Vec<Going<K, V>>, Vec<Member<K, V>>);

impl<K> Guest<K>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
{
    fn seated<V>(&self, shared: &Arc<Shared<K, V>>, ticket: Ticket) -> Member<K, V>
    where
        V: Clone + Send + Sync + 'static,
    {
        Member {
            at: self.at,
            seat: Seat::new(
                shared,
                Arc::clone(&self.key),
                self.text.clone(),
                self.shard,
                ticket,
            ),
        }
    }
}

/// The wishes for the next part of a batch: an L2 that answered about none of a part's keys is not
/// asked again, so that a batch costs one timeout as a single key does.
fn heard(call: Call, deaf: &AtomicBool) -> Call {
    if deaf.load(Ordering::Relaxed) {
        call.skip_remote()
    } else {
        call
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

/// The keys of a request as L1 knows them.
struct Probe<'k, Q: ?Sized, V> {
    found: Vec<(&'k Q, Spot<V>)>,
    /// Those that L1 does not have, each once.
    misses: Vec<&'k Q>,
}

enum Spot<V> {
    /// L1 has it: a value, or that there is none.
    Hit(Option<V>),
    /// The how manieth of the misses it is.
    Miss(usize),
}

impl<'k, Q: ?Sized, V> Probe<'k, Q, V> {
    fn answered<R>(
        self,
        hit: impl Fn(Option<V>) -> R,
        miss: impl Fn(usize) -> R,
    ) -> Batch<&'k Q, R> {
        let outcome = |(key, spot)| match spot {
            Spot::Hit(found) => (key, hit(found)),
            Spot::Miss(at) => (key, miss(at)),
        };
        self.found.into_iter().map(outcome).collect()
    }
}

/// The answers of a batch as they come.
struct Answers<V>(Vec<Option<Shares<V>>>);

impl<V> Answers<V> {
    fn new(count: usize) -> Self {
        Self((0..count).map(|_| None).collect())
    }

    /// The ranges of so many answers each.
    fn parts(&self, chunk: usize) -> impl Iterator<Item = Range<usize>> + use<V> {
        let count = self.0.len();
        let starts = (0..count).step_by(chunk);
        starts.map(move |start| start..count.min(start.saturating_add(chunk)))
    }

    fn land(&mut self, at: usize, answer: Shares<V>) {
        self.0[at] = Some(answer);
    }

    /// All of them; what has none, because the cache is closed, has that for an answer.
    fn whole(self) -> Vec<Shares<V>> {
        let closed = || Arc::new(Err(Error::Closed));
        self.0
            .into_iter()
            .map(|answer| answer.unwrap_or_else(closed))
            .collect()
    }
}
