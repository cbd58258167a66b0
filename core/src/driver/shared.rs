//! What all handles of a cache share: the machine behind its locks, the ports, the tasks.

use core::fmt;
use core::future::Future;
use core::hash::Hash;
use core::time::Duration;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use event_listener::Event as Bell;
use portable_atomic::{AtomicBool, AtomicUsize, Ordering};

use super::erased::{AnyLoader, AnyRuntime};
use super::link::Link;
use super::stripes::{Counters, Hasher, hash_of, shard_of};
use crate::machine::effects::Effects;
use crate::machine::error::BoxError;
use crate::machine::event::Event;
use crate::machine::policy::Policy;
use crate::machine::shard::{Activity, Context, Pending, Shard};
use crate::machine::stats::Counter;
use crate::machine::token::Token;
use crate::ports::local::Local;
use crate::ports::observer::Observer;
use crate::ports::runtime::Task;

pub(super) type Table<K, V> = Shard<Arc<K>, Arc<V>, Hasher>;
pub(super) type Aftermath<K, V> = Effects<Arc<K>, Arc<V>>;
pub(super) type Predicate = Box<dyn Fn(&BoxError) -> bool + Send + Sync>;

pub(super) struct Shared<K, V> {
    pub(super) name: Arc<str>,
    pub(super) policy: Policy,
    pub(super) local: Option<Arc<dyn Local<K, V>>>,
    pub(super) link: Option<Link<K, V>>,
    pub(super) loader: Option<Arc<dyn AnyLoader<K, V>>>,
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
    pub(super) repairing: AtomicBool,
    pub(super) reporting: AtomicBool,
}

/// One shard of the machine and its lock.
pub(super) struct Guarded<K, V> {
    table: Mutex<Table<K, V>>,
    /// Rung when an announced L1 write is sealed.
    sealed: Condvar,
}

/// Whether the cache is open, and how many tasks run for it.
#[derive(Debug, Default)]
pub(super) struct Life {
    pub(super) closed: AtomicBool,
    tasks: AtomicUsize,
    /// Tasks that trail behind calls which are over: releases, and late lease replies.
    errands: AtomicUsize,
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
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Table<K, V>> {
        // Only a user's `Hash`, `Eq` or `Clone` of a key could panic under the lock, and each is
        // called before the table is changed.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets those look again who wait for an announced write.
    pub(super) fn notify_sealed(&self) {
        self.sealed.notify_all();
    }
}

impl<K, V> Shared<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    pub(super) fn shard(&self, key: &K) -> usize {
        shard_of(hash_of(&self.hasher, key), self.shards.len())
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
            policy: &self.policy,
        };
        let mut effects = Effects::default();
        let answer = question(&mut self.shards[shard].lock(), &context, &mut effects);
        effects.carry_out(|event| self.tell(&event));
        answer
    }

    /// Blocks until other threads have done these L1 writes. There is no await in a write, so its
    /// thread is inside the engine right now.
    pub(super) fn wait_written(&self, shard: usize, pending: &Pending) {
        if pending.is_empty() {
            return;
        }
        let guarded = &self.shards[shard];
        let mut table = guarded.lock();
        while !table.is_written(pending) {
            table = guarded
                .sealed
                .wait(table)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn tell(&self, event: &Event) {
        if let Some(counters) = &self.counters {
            counters.raise(Counter::of(event));
        }
        for observer in &self.observers {
            observer.on(&self.name, event);
        }
        if matches!(event, Event::Unconfirmed) {
            self.doubtful.store(true, Ordering::SeqCst);
        }
    }

    /// As `tell`, for the one event that happens at every hit.
    #[inline]
    pub(super) fn tell_local_hit(&self) {
        if let Some(counters) = &self.counters {
            counters.raise(Counter::LocalHit);
        }
        for observer in &self.observers {
            observer.on(&self.name, &Event::LocalHit);
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
        let counted = Counted::new(&self.life);
        self.runtime.spawn(Box::pin(async move {
            let _counted = counted;
            work.await;
        }))
    }

    /// Runs a task that trails behind a call which is over. There is a bound on them: beyond it, or
    /// without a runtime, it is not run, and the lease it is about ends by itself.
    pub(super) fn run_errand(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(errand) = Errand::begin(&self.life) {
            let _ = self.spawn(async move {
                let _errand = errand;
                work.await;
            });
        }
    }

    /// Gives a lease back, without waiting for the reply.
    pub(super) fn release(self: &Arc<Self>, text: Arc<str>, token: Token) {
        let shared = Arc::clone(self);
        self.run_errand(async move {
            if let Some(link) = &shared.link {
                link.release(&*shared.runtime, &text, token).await;
            }
        });
    }

    pub(super) fn activity(&self) -> Activity {
        self.shards.iter().fold(Activity::default(), |sum, shard| {
            sum + shard.lock().activity()
        })
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

/// Counts a task for as long as it exists.
struct Counted(Arc<Life>);

impl Counted {
    fn new(life: &Arc<Life>) -> Self {
        life.tasks.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(life))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.tasks.fetch_sub(1, Ordering::SeqCst);
        self.0.idle.notify(usize::MAX);
    }
}

/// Counts an errand for as long as it exists.
struct Errand(Arc<Life>);

impl Errand {
    fn begin(life: &Arc<Life>) -> Option<Self> {
        let begun = Self(Arc::clone(life));
        let before = life.errands.fetch_add(1, Ordering::SeqCst);
        (before < MOST_ERRANDS).then_some(begun)
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        self.0.errands.fetch_sub(1, Ordering::SeqCst);
    }
}

/// How many errands run at once.
const MOST_ERRANDS: usize = 1024;
