//! Keeps keys fresh that are asked for with refresh: which they are, and the task that waits for the
//! next turn.

use core::borrow::Borrow;
use core::hash::Hash;
use core::pin::pin;
use core::time::Duration;
use std::borrow::ToOwned;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use event_listener::Event as Bell;
use futures_util::future::select;
use portable_atomic::{AtomicUsize, Ordering};

use crate::driver::cache::Cache;
use crate::driver::counters::{hash_of, shard_of};
use crate::driver::refresh::run::Run;
use crate::driver::shared::Shared;
use crate::driver::task::pulse::{Beat, Pulse};
use crate::machine::error::Error;
use crate::machine::event::Event;
use crate::machine::policy::Call;
use crate::machine::policy::pace::Pace;
use crate::machine::schedule::{Due, Refreshes};
use crate::machine::tier::entry::Cached;
use crate::machine::time::Timestamp;

/// The keys of a cache that are kept fresh.
pub(crate) struct Refreshing<K> {
    pub(crate) pace: Pace,
    /// Whether every key is that is loaded.
    all: bool,
    tables: Box<[Mutex<Refreshes<Arc<K>>>]>,
    /// How many keys there are in all tables.
    len: AtomicUsize,
    /// The table at which the next turn begins, so that no table's keys starve behind another's.
    first: AtomicUsize,
    /// The task that waits for the next turn.
    working: Arc<Pulse>,
    /// Rung when there may be something to do sooner than that task expects.
    pub(crate) sooner: Bell,
}

impl<K: Hash + Eq> Refreshing<K> {
    pub(crate) fn new(pace: Pace, all: bool, shards: usize) -> Self {
        Self {
            pace,
            all,
            tables: (0..shards).map(|_| Mutex::default()).collect(),
            len: 0.into(),
            first: 0.into(),
            working: Arc::default(),
            sooner: Bell::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::SeqCst)
    }

    fn wants(&self, call: &Call) -> bool {
        call.refresh || (self.all && !call.no_store)
    }

    pub(crate) fn table(&self, at: usize) -> MutexGuard<'_, Refreshes<Arc<K>>> {
        // Only a user's `Hash` or `Eq` of a key could panic in there, and each is called before the
        // table is changed.
        self.tables[at]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn table_of(&self, hash: u64) -> usize {
        shard_of(hash, self.tables.len())
    }

    /// Keeps no key fresh any more.
    pub(crate) fn clear(&self) {
        for at in 0..self.tables.len() {
            let emptied = core::mem::take(&mut *self.table(at));
            self.give_room(emptied.len());
        }
    }

    /// Whether there is room for one more key, which is taken.
    fn take_room(&self) -> bool {
        let taken = self.len.fetch_add(1, Ordering::SeqCst) < self.pace.capacity;
        if !taken {
            self.len.fetch_sub(1, Ordering::SeqCst);
        }
        taken
    }

    fn give_room(&self, keys: usize) {
        self.len.fetch_sub(keys, Ordering::SeqCst);
    }

    /// How many more refreshes may begin.
    fn room(&self) -> usize {
        let tables = 0..self.tables.len();
        let running: usize = tables.map(|at| self.table(at).running()).sum();
        self.pace.at_once.saturating_sub(running)
    }

    fn next(&self) -> Option<Timestamp> {
        let room = self.room() > 0;
        (0..self.tables.len())
            .filter_map(|at| self.table(at).next(room))
            .min()
    }
}

impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Does not keep `key` fresh any more, until it is asked for with refresh again. A refresh of it
    /// that is under way ends as it would have.
    pub fn cancel_refresh<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if let Some(refreshing) = &self.shared.refreshing {
            let hash = hash_of(&self.shared.hasher, key);
            let mut table = refreshing.table(refreshing.table_of(hash));
            let removed = table.remove(hash, |other| (**other).borrow() == key);
            drop(table);
            refreshing.give_room(usize::from(removed.is_some()));
        }
    }

    /// # Errors
    /// [`Error::Config`] for wishes that no call which loads can fulfil.
    pub(crate) fn check_load(&self, call: &Call) -> Result<(), Error> {
        call.check()?;
        if call.refresh && self.shared.refreshing.is_none() {
            return Err(Error::config(
                "refresh without a period: give the builder refresh_every",
            ));
        }
        if call.refresh && self.shared.loader.is_none() {
            return Err(Error::config(
                "refresh without a registered loader: give the builder one",
            ));
        }
        Ok(())
    }

    /// A call that loads was answered. Not before that: the first turn of a key counts from its load.
    #[inline]
    pub(crate) fn answered<Q>(&self, key: &Q, call: &Call, answer: &Result<Option<V>, Error>)
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        if let Some(refreshing) = &self.shared.refreshing
            && answer.is_ok()
            && refreshing.wants(call)
        {
            self.keep_fresh(refreshing, key, call);
        }
    }

    fn keep_fresh<Q>(&self, refreshing: &Refreshing<K>, key: &Q, call: &Call)
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        let shared = &self.shared;
        let (now, hash) = (shared.runtime.now(), hash_of(&shared.hasher, key));
        let at = refreshing.table_of(hash);
        let is_key = |other: &Arc<K>| (**other).borrow() == key;
        let known = refreshing.table(at).touch(hash, is_key, *call, now);
        if !known && !shared.is_closed() {
            if !refreshing.take_room() {
                shared.tell(&Event::NotRefreshed);
                return;
            }
            let (key, roll) = (Arc::new(key.to_owned()), shared.runtime.roll());
            let mut table = refreshing.table(at);
            let spare = table.insert(hash, key, *call, now, roll, &refreshing.pace);
            drop(table);
            if spare.is_some() {
                refreshing.give_room(1);
            }
            refreshing.sooner.notify(usize::MAX);
        }
        ensure_refreshing(shared, refreshing, now);
    }

    /// What L2 has of a key whose flight is a refresh: nobody need wait for its loader meanwhile.
    pub(crate) async fn beside_refresh(&self, key: &Arc<K>, call: Call) -> Option<Cached<V>> {
        if !self.is_refreshing(key, &call) {
            return None;
        }
        let found = self.glance_one::<K>(key, call).await;
        (!matches!(found, Cached::Miss)).then_some(found)
    }

    /// Whether the key's flight is a refresh, and L2 may have the value meanwhile.
    pub(crate) fn is_refreshing(&self, key: &K, call: &Call) -> bool {
        let shared = &self.shared;
        if shared.refreshing.is_none() || shared.link.is_none() || call.skip_remote {
            return false;
        }
        let hash = hash_of(&shared.hasher, key);
        let table = shared.shards[shared.shard_of(hash)].lock();
        table.is_refreshing(hash, |other| **other == *key)
    }
}

/// Starts the task that waits for the next turn, if none runs, or if it died with its runtime or
/// stands still with it.
fn ensure_refreshing<K, V>(shared: &Arc<Shared<K, V>>, refreshing: &Refreshing<K>, now: Timestamp)
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    if refreshing.len() == 0 || shared.is_closed() {
        return;
    }
    if let Some(beat) = refreshing.working.take(now, until(now, Duration::ZERO)) {
        // Without a runtime the next call tries again.
        let _ = shared.spawn(take_turns(Arc::downgrade(shared), beat));
    }
}

/// Until when a task that sleeps for `nap` may be silent.
fn until(now: Timestamp, nap: Duration) -> Timestamp {
    now + nap.saturating_add(GRACE)
}

async fn take_turns<K, V>(cache: Weak<Shared<K, V>>, mut beat: Beat)
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    while let Some(shared) = cache.upgrade() {
        let Some(refreshing) = &shared.refreshing else {
            return;
        };
        let life = Arc::clone(&shared.life);
        let (stop, sooner) = (life.stop.listen(), refreshing.sooner.listen());
        let now = shared.runtime.now();
        if shared.is_closed() || !beat.again(until(now, Duration::ZERO)) {
            return;
        }
        if !begin(&shared, refreshing, now) {
            return;
        }
        let Some(next) = refreshing.next() else {
            drop(beat);
            // A key may have come since, and its caller may have found this task still there.
            ensure_refreshing(&shared, refreshing, now);
            return;
        };
        let nap = next.since(now).max(TICK);
        if !beat.again(until(now, nap)) {
            return;
        }
        let sleep = shared.runtime.sleep(nap);
        drop(shared);
        select(sleep, pin!(select(pin!(stop), pin!(sooner)))).await;
    }
}

/// Begins the refreshes whose turn has come, as many as there is room for. Whether there is a
/// runtime to run them.
fn begin<K, V>(shared: &Arc<Shared<K, V>>, refreshing: &Refreshing<K>, now: Timestamp) -> bool
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let count = refreshing.tables.len();
    let first = refreshing.first.fetch_add(1, Ordering::SeqCst);
    let mut room = refreshing.room();
    for table in (0..count).map(|table| first.wrapping_add(table) % count) {
        let due = refreshing
            .table(table)
            .due(now, room, &shared.policy, &refreshing.pace);
        let Due {
            refreshes,
            forgotten,
        } = due;
        refreshing.give_room(forgotten.len());
        room -= refreshes.len();
        for refresh in refreshes {
            let run = Run::new(shared, table, refresh);
            if shared.spawn(run.play()).is_err() {
                return false;
            }
        }
    }
    true
}

/// What a timer is set to at least: the clock is coarse.
const TICK: Duration = Duration::from_millis(1);
/// How long a task may be silent beyond what it waits for.
const GRACE: Duration = Duration::from_secs(1);
