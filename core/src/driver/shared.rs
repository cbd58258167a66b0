//! What all handles of a cache share: the machine behind its locks, the ports, the tasks.

use core::fmt;
use core::future::Future;
use core::hash::Hash;
use core::panic::AssertUnwindSafe;
use core::pin::Pin;
use core::task::Poll;
use core::time::Duration;
use std::panic::catch_unwind;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use event_listener::Event as Bell;
use portable_atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crate::driver::bus::hub::{BusState, Hub};
use crate::driver::bus::publisher::ensure_telling;
use crate::driver::bus::subscriber::ensure_listening;
use crate::driver::change::repair::ensure_repairs;
use crate::driver::counters::{Counters, Hasher, hash_of, shard_of};
use crate::driver::link::Link;
use crate::driver::refresh::turns::Refreshing;
use crate::driver::report::ensure_report;
use crate::driver::task::pulse::Pulse;
use crate::driver::world::dice::Rolls;
use crate::driver::world::erased::{AnyBatchLoader, AnyLoader, AnyRuntime};
use crate::machine::effects::Effects;
use crate::machine::error::{BoxError, Error};
use crate::machine::event::Event;
use crate::machine::policy::Policy;
use crate::machine::shard::{Activity, Context, Pending, Shard};
use crate::machine::stats::Counter;
use crate::machine::token::Token;
use crate::ports::local::Local;
use crate::ports::observer::Observer;
use crate::ports::remote::Hold;
use crate::ports::runtime::Task;

pub(super) type Table<K, V> = Shard<Arc<K>, Arc<V>, Hasher>;
pub(super) type Aftermath<K, V> = Effects<Arc<K>, Arc<V>>;
pub(super) type Predicate = Box<dyn Fn(&BoxError) -> bool + Send + Sync>;

pub(super) struct Shared<K, V> {
    pub(super) name: Arc<str>,
    pub(super) policy: Policy,
    pub(super) local: Option<Arc<dyn Local<K, V>>>,
    pub(super) link: Option<Link<K, V>>,
    pub(super) hub: Option<Arc<Hub>>,
    /// What holds while the bus is known to be down, if that is something else.
    pub(super) blind_policy: Option<Policy>,
    pub(super) write_timeout: Option<Duration>,
    pub(super) loader: Option<Arc<dyn AnyLoader<K, V>>>,
    pub(super) batch_loader: Option<Arc<dyn AnyBatchLoader<K, V>>>,
    pub(super) batch: Batching,
    pub(super) not_found: Option<Predicate>,
    pub(super) runtime: Arc<dyn AnyRuntime>,
    pub(super) counters: Option<Counters>,
    pub(super) observers: Vec<Arc<dyn Observer>>,
    pub(super) report_every: Option<Duration>,
    pub(super) shards: Box<[Guarded<K, V>]>,
    pub(super) hasher: Hasher,
    pub(super) life: Arc<Life>,
    /// Set when a key becomes unconfirmed, so that calls need not look into every shard.
    pub(super) doubtful: AtomicBool,
    /// The task that repeats removals.
    pub(super) repairing: Arc<Pulse>,
    /// The shard at which the next batch of repeated removals begins.
    pub(super) next_repaired: AtomicUsize,
    pub(super) reporting: AtomicBool,
    /// The keys that are kept fresh, if any may be.
    pub(super) refreshing: Option<Refreshing<K>>,
    /// When the log may hear of L2's faults again, in nanoseconds of the clock.
    pub(super) next_warning: AtomicU64,
    /// The same for the bus, and for refreshes.
    pub(super) next_bus_warning: AtomicU64,
    pub(super) next_refresh_warning: AtomicU64,
}

/// How large the parts of a batch are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batching {
    /// How many keys go together.
    pub(super) chunk: usize,
    /// How many loads of single keys run at once.
    pub(super) concurrency: usize,
}

impl Default for Batching {
    fn default() -> Self {
        Self {
            chunk: 1000,
            concurrency: 16,
        }
    }
}

impl Batching {
    pub(super) fn check(self) -> Result<(), Error> {
        for (name, size) in [
            ("batch_chunk", self.chunk),
            ("load_concurrency", self.concurrency),
        ] {
            if size == 0 {
                return Err(Error::config(format!("{name} is zero: give it at least 1")));
            }
        }
        Ok(())
    }
}

/// One shard of the machine and its lock.
pub(super) struct Guarded<K, V> {
    table: Mutex<Table<K, V>>,
    /// Rung when an announced L1 write is sealed.
    sealed: Condvar,
    /// How many threads listen for that. Ringing costs a system call.
    listeners: AtomicUsize,
}

/// Whether the cache is open, and how many tasks run for it.
#[derive(Debug, Default)]
pub(super) struct Life {
    pub(super) closed: AtomicBool,
    tasks: AtomicUsize,
    /// Calls that went further than L1 and are not over.
    calls: AtomicUsize,
    /// Leases that are being given back by calls which are over.
    releases: AtomicUsize,
    /// Lease replies that are listened for after their askers have gone.
    pub(super) late: AtomicUsize,
    /// Rung when the cache closes.
    pub(super) stop: Bell,
    /// Rung when a task ends.
    pub(super) idle: Bell,
}

impl<K: Hash + Eq, V> Guarded<K, V> {
    pub(super) fn new(hasher: Hasher) -> Self {
        Self {
            table: Mutex::new(Shard::new(hasher)),
            sealed: Condvar::new(),
            listeners: AtomicUsize::new(0),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Table<K, V>> {
        // Only a user's `Hash`, `Eq` or `Clone` of a key could panic under the lock, and each is
        // called before the table is changed.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets those look again who wait for an announced write.
    pub(super) fn notify_sealed(&self) {
        // Who listens said so under the lock under which the write was not sealed yet.
        if self.listeners.load(Ordering::SeqCst) > 0 {
            self.sealed.notify_all();
        }
    }
}

impl<K, V> Shared<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    pub(super) fn shard(&self, key: &K) -> usize {
        self.shard_of(hash_of(&self.hasher, key))
    }

    pub(super) fn shard_of(&self, hash: u64) -> usize {
        shard_of(hash, self.shards.len())
    }

    /// Asks the machine, under its lock; wakes, tells and drops once the lock is open.
    pub(super) fn ask<R>(
        &self,
        shard: usize,
        question: impl FnOnce(&mut Table<K, V>, &Context<'_>, &mut Aftermath<K, V>) -> R,
    ) -> R {
        let context = Context {
            now: self.runtime.now(),
            roll: self.runtime.roll(),
            policy: self.policy_now(),
        };
        let mut effects = Effects::default();
        let mut table = self.shards[shard].lock();
        let answer = question(&mut table, &context, &mut effects);
        let doubtful = table.next_repair().is_some();
        drop(table);
        if doubtful {
            self.doubtful.store(true, Ordering::SeqCst);
        }
        effects.carry_out(|event| self.tell(&event));
        answer
    }

    fn policy_now(&self) -> &Policy {
        match (&self.blind_policy, &self.hub) {
            (Some(blind), Some(hub)) if hub.state() == BusState::Down => blind,
            _ => &self.policy,
        }
    }

    /// Starts the tasks that are needed and do not run: a call that goes further than L1 begins with
    /// this.
    pub(super) fn ensure_tasks(self: &Arc<Self>) {
        ensure_repairs(self);
        ensure_report(self);
        if let Some(hub) = self.hub.as_ref().filter(|_| !self.is_closed()) {
            ensure_listening(hub);
            ensure_telling(hub);
        }
    }

    /// Blocks until other threads have done these L1 writes. There is no await in a write, so its
    /// thread is inside the engine right now.
    pub(super) fn wait_written(&self, shard: usize, pending: &Pending) {
        if pending.is_empty() {
            return;
        }
        let guarded = &self.shards[shard];
        let mut table = guarded.lock();
        guarded.listeners.fetch_add(1, Ordering::SeqCst);
        while !table.is_written(pending) {
            table = guarded
                .sealed
                .wait(table)
                .unwrap_or_else(PoisonError::into_inner);
        }
        guarded.listeners.fetch_sub(1, Ordering::SeqCst);
    }

    /// Asks the machine about many things, in their order; those that follow one another in one
    /// shard under one lock.
    pub(super) fn ask_each<T, R>(
        &self,
        things: &mut [T],
        shard: impl Fn(&T) -> usize,
        mut question: impl FnMut(&mut T, &mut Table<K, V>, &Context<'_>, &mut Aftermath<K, V>) -> R,
    ) -> Vec<R> {
        let mut answers = Vec::with_capacity(things.len());
        for run in things.chunk_by_mut(|one, other| shard(one) == shard(other)) {
            self.ask(shard(&run[0]), |table, context, effects| {
                let mut rolls = Rolls::from(context.roll);
                for thing in run {
                    let roll = rolls.draw();
                    let context = Context { roll, ..*context };
                    answers.push(question(thing, table, &context, effects));
                }
            });
        }
        answers
    }

    pub(super) fn tell(&self, event: &Event) {
        if let Some(counters) = &self.counters {
            counters.raise(Counter::of(event));
        }
        match event {
            Event::RemoteFault(fault) => self.warn("L2", fault, &self.next_warning),
            Event::BusFault(fault) => self.warn("the bus", fault, &self.next_bus_warning),
            _ => {}
        }
        if !self.observers.is_empty() {
            self.tell_observers(event);
        }
    }

    /// A refresh failed, and there is no caller to tell.
    pub(super) fn warn_of_refresh(&self, error: &Error) {
        self.warn("a refresh", error, &self.next_refresh_warning);
    }

    /// Says in the log that something fails, now and then: what fails once often fails a thousand
    /// times.
    fn warn(&self, what: &str, why: &dyn fmt::Display, next_warning: &AtomicU64) {
        let now = self.runtime.now();
        let next = next_warning.load(Ordering::Relaxed);
        if now.as_nanos() < next {
            return;
        }
        let then = (now + WARNINGS_APART).as_nanos();
        let exchanged =
            next_warning.compare_exchange(next, then, Ordering::Relaxed, Ordering::Relaxed);
        if exchanged.is_ok() {
            tracing::warn!(target: "jetcache", "{what} of {}: {why}", self.name);
        }
    }

    /// As `tell`, for the one event that happens at every hit.
    #[inline]
    pub(super) fn tell_local_hit(&self) {
        if let Some(counters) = &self.counters {
            counters.raise(Counter::LocalHit);
        }
        if !self.observers.is_empty() {
            self.tell_observers(&Event::LocalHit);
        }
    }

    /// An observer that panics must not take the call with it that it was told about.
    fn tell_observers(&self, event: &Event) {
        for observer in &self.observers {
            let told = catch_unwind(AssertUnwindSafe(|| observer.on(&self.name, event)));
            if told.is_err() {
                tracing::error!(target: "jetcache", "an observer of {} panicked", self.name);
            }
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.life.closed.load(Ordering::SeqCst)
    }

    /// Runs a task of the cache's own.
    ///
    /// # Errors
    /// The task itself, if there is no runtime to run it.
    pub(super) fn spawn(
        &self,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Task> {
        let task = Counted {
            work: Box::pin(work),
            _count: Count::new(&self.life),
        };
        self.runtime.spawn(Box::pin(task))
    }

    /// Gives a lease back, without waiting for the reply. Beyond a bound, or without a runtime, the
    /// lease ends by itself.
    pub(super) fn release(self: &Arc<Self>, text: Arc<str>, token: Token) {
        let Some(errand) = Errand::begin(&self.life, |life| &life.releases) else {
            return;
        };
        let shared = Arc::clone(self);
        let _ = self.spawn(async move {
            let _errand = errand;
            if let Some(link) = &shared.link {
                let hold = Hold { key: &text, token };
                link.release(&*shared.runtime, &[hold]).await;
            }
        });
    }

    pub(super) fn activity(&self) -> Activity {
        let now = self.runtime.now();
        let refreshes = self.refreshing.as_ref().map_or(0, Refreshing::len);
        let first = Activity {
            refreshes,
            untold: self.hub.as_ref().map_or(0, |hub| hub.untold()),
            ..Activity::default()
        };
        self.shards.iter().fold(first, |sum, shard| {
            let table = shard.lock();
            let mut activity = table.activity();
            activity.bypassed = usize::from(table.is_bypassed(now));
            sum + activity
        })
    }

    /// Calls and tasks that `close` waits for.
    pub(super) fn is_busy(&self) -> bool {
        // The tasks last: what a call leaves behind is counted before the call is over.
        self.life.calls.load(Ordering::SeqCst) > 0 || self.tasks() > 0
    }

    pub(super) fn tasks(&self) -> usize {
        self.life.tasks.load(Ordering::SeqCst)
    }
}

impl<K, V> fmt::Debug for Shared<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("name", &self.name)
            .field("kind", &self.policy.kind)
            .field("link", &self.link)
            .field("tasks", &self.life.tasks)
            .finish_non_exhaustive()
    }
}

/// A task that is counted for as long as there is anything left of it.
struct Counted {
    work: Task,
    /// Dropped last.
    _count: Count,
}

impl Future for Counted {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut core::task::Context<'_>) -> Poll<()> {
        self.work.as_mut().poll(cx)
    }
}

struct Count(Arc<Life>);

impl Count {
    fn new(life: &Arc<Life>) -> Self {
        life.tasks.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(life))
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.0.tasks.fetch_sub(1, Ordering::SeqCst);
        self.0.idle.notify(usize::MAX);
    }
}

/// A call that goes further than L1, for as long as it lasts: `close` waits for it.
pub(super) struct Admission(Arc<Life>);

impl Admission {
    /// `None` if the cache is closed.
    pub(super) fn ask(life: &Arc<Life>) -> Option<Self> {
        if life.closed.load(Ordering::SeqCst) {
            return None;
        }
        // Counted before it looks again: a `close` that this call does not see sees this call.
        life.calls.fetch_add(1, Ordering::SeqCst);
        let admission = Self(Arc::clone(life));
        (!life.closed.load(Ordering::SeqCst)).then_some(admission)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::SeqCst);
        if self.0.closed.load(Ordering::SeqCst) {
            self.0.idle.notify(usize::MAX);
        }
    }
}

/// Something that trails behind calls which are over, counted for as long as it exists.
pub(super) struct Errand(Arc<Life>, Kind);

type Kind = fn(&Life) -> &AtomicUsize;

impl Errand {
    /// `None` if there are too many of its kind already.
    pub(super) fn begin(life: &Arc<Life>, kind: Kind) -> Option<Self> {
        let begun = Self(Arc::clone(life), kind);
        let before = kind(life).fetch_add(1, Ordering::SeqCst);
        (before < MOST_ERRANDS).then_some(begun)
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        self.1(&self.0).fetch_sub(1, Ordering::SeqCst);
    }
}

/// How many errands of a kind there are at once.
const MOST_ERRANDS: usize = 1024;
/// How long the log is spared between two faults of L2.
const WARNINGS_APART: Duration = Duration::from_secs(10);
