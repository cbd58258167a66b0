//! What all handles of a cache share: the machine behind its locks, the tiers, what runs for it.

pub(super) mod address;
pub(super) mod checks;
pub(super) mod fresh_keys;
pub(super) mod generated;
pub(super) mod journal;
pub(super) mod level1;
pub(super) mod life;
pub(super) mod loaders;
pub(super) mod reports;
pub(super) mod sweep;
pub(super) mod tables;
mod watcher;

use core::cell::{OnceCell, RefCell};
use core::fmt;
use core::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use event_listener::Event as Bell;
use portable_atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::driver::bus::hub::Hub;
use crate::driver::link::Link;
use crate::driver::link::guard::Member;
use crate::driver::link::text::reserved;
use crate::driver::settings::Settings;
use crate::driver::settings::reload::{capped, changed, rules};
use crate::driver::settings::rules::{Current, Rules};
use crate::driver::shared::address::Address;
use crate::driver::shared::checks::Checks;
use crate::driver::shared::fresh_keys::FreshKeys;
use crate::driver::shared::generated::Generated;
use crate::driver::shared::journal::Journal;
use crate::driver::shared::level1::Level1;
use crate::driver::shared::life::Life;
use crate::driver::shared::loaders::{Cap, Loaders};
use crate::driver::shared::reports::Report;
use crate::driver::shared::tables::{Aftermath, Table, Tables};
use crate::driver::task::chore::Chore;
use crate::driver::world::bounds::{CacheKey, CacheValue};
use crate::driver::world::dice::Rolls;
use crate::driver::world::erased::AnyRuntime;
use crate::machine::effects::Effects;
use crate::machine::error::Error;
use crate::machine::event::Event;
use crate::machine::generations::scope::bucket;
use crate::machine::policy::breaker::{BreakerState, Turned};
use crate::machine::policy::{Kind, Policy};
use crate::machine::shard::Context;
use crate::machine::stats::Stats;
use crate::machine::stats::activity::Activity;
use crate::machine::token::Roll;
use crate::ports::bus::BusState;
use crate::ports::observer::watched::Snapshot;
use crate::ports::runtime::Task;

pub(super) struct Shared<K, V> {
    pub(super) kind: Kind,
    pub(super) rules: Current,
    /// Its settings as data. Held while they change.
    pub(super) settings: Mutex<Settings>,
    pub(super) runtime: Arc<dyn AnyRuntime>,
    pub(super) tables: Tables<K, V>,
    pub(super) level1: Level1<K, V>,
    pub(super) generations: Arc<Generated>,
    pub(super) link: Option<Link<K, V>>,
    pub(super) hub: Option<Arc<Hub>>,
    pub(super) loaders: Loaders<K, V>,
    pub(super) life: Arc<Life>,
    pub(super) journal: Arc<Journal>,
    pub(super) repairs: Repairs,
    /// The keys that are kept fresh, if any may be.
    pub(super) fresh_keys: Option<FreshKeys<K>>,
    pub(super) reports: Vec<Report>,
    /// The L1 hits that are checked, if any are.
    pub(super) checks: Option<Checks<K>>,
}

/// Starts a task.
type Start = Box<dyn Fn() + Send + Sync>;

/// The removals that are repeated.
pub(super) struct Repairs {
    /// Set when a key becomes unconfirmed, so that calls need not look into every shard.
    pub(super) needed: AtomicBool,
    /// The task that repeats them.
    pub(super) chore: Chore,
    /// Starts it when another primary is taken up.
    pub(super) start: OnceLock<Start>,
    /// The shard at which the next batch begins.
    pub(super) first: AtomicUsize,
    /// Rings when L2 is back.
    pub(super) back: Bell,
}

impl<K: CacheKey, V: CacheValue> Shared<K, V> {
    /// Where a key stands: its shard, and its text in L2.
    ///
    /// # Errors
    /// [`Error::Key`] if its text is not what it should be.
    pub(super) fn address(&self, key: Arc<K>) -> Result<Address<K>, Error> {
        let text = self.link.as_ref().map(|link| link.texts.of(&key));
        let text = text.transpose()?.flatten();
        let hash = self.tables.hash(&*key);
        Ok(Address {
            hash,
            shard: self.tables.shard_of(hash),
            bucket: text.as_deref().map_or(0, bucket),
            text,
            key,
        })
    }

    /// The same for a key that is to be changed.
    ///
    /// # Errors
    /// [`Error::Key`] also if L2 cannot hold it.
    pub(super) fn address_to_change(&self, key: Arc<K>) -> Result<Address<K>, Error> {
        let address = self.address(key)?;
        if self.link.is_some() && address.text.is_none() {
            return Err(reserved());
        }
        Ok(address)
    }

    /// Asks the machine, under its lock; wakes, notes and drops once the lock is open.
    pub(super) fn ask<R>(
        &self,
        shard: usize,
        question: impl FnOnce(&mut Table<K, V>, &Context<'_>, &mut Aftermath<K, V>) -> R,
    ) -> R {
        self.take_up_primary();
        let mut effects = Effects::default();
        let primary = self.link.as_ref().and_then(|link| link.primary.as_ref());
        let (answer, in_doubt) = self.tables.ask(shard, |table| {
            // Under the lock of the shard: what is news by now has been heard before this question.
            let generations = self.generations.look();
            let rules = self.rules.now();
            let context = Context {
                now: self.runtime.now(),
                roll: Roll::Drawn(&|| self.runtime.roll()),
                policy: self.policy_of(&rules),
                generations: &generations,
            };
            if let Some(primary) = primary {
                let room = rules.policy.unconfirmed.div_ceil(self.tables.len());
                table.remember(primary.answered(), room, &rules.policy, &mut effects);
            }
            let answer = question(table, &context, &mut effects);
            (answer, table.next_repair().is_some() || generations.lacks())
        });
        if in_doubt {
            self.repairs.needed.store(true, Ordering::SeqCst);
        }
        self.take_overflows(&mut effects);
        effects.carry_out(|event| self.journal.note(&event));
        answer
    }

    /// What did not fit among the unconfirmed keys is pending from now on.
    fn take_overflows(&self, effects: &mut Aftermath<K, V>) {
        let buckets = effects.take_overflows();
        if buckets.is_empty() {
            return;
        }
        let now = self.runtime.now();
        self.generations.ask(|generations| {
            for bucket in buckets {
                generations.overflowed(bucket, now);
            }
        });
        self.repairs.needed.store(true, Ordering::SeqCst);
        if let Some(start) = self.repairs.start.get() {
            start();
        }
    }

    /// If another primary of L2 answers than before, has what changed lately removed there again
    /// (PROTOCOL.md, F1), before the machine is asked anything: it knows then what not to believe.
    pub(super) fn take_up_primary(&self) {
        let primary = self.link.as_ref().and_then(|link| link.primary.as_ref());
        let Some(change) = primary.and_then(|primary| primary.begin()) else {
            return;
        };
        let mut effects = Effects::default();
        let rules = self.rules.now().clone();
        let (now, window) = (self.runtime.now(), rules.policy.failover_window);
        if self.link.as_ref().is_some_and(|link| link.log.is_some()) {
            (self.generations).ask(|generations| generations.failed_over(now, window));
        }
        for shard in 0..self.tables.len() {
            self.tables.ask(shard, |table| {
                let context = Context {
                    now: self.runtime.now(),
                    roll: Roll::Drawn(&|| self.runtime.roll()),
                    policy: self.policy_of(&rules),
                    generations: &self.generations.look(),
                };
                table.failed_over(&context, &mut effects);
            });
        }
        self.take_overflows(&mut effects);
        self.repairs.needed.store(true, Ordering::SeqCst);
        // Whatever users have to say to that may ask the machine.
        change.done();
        effects.carry_out(|event| self.journal.note(&event));
        self.journal.note(&Event::FailedOver);
        if let Some(start) = self.repairs.start.get() {
            start();
        }
    }

    /// Asks the machine about many things, in order; neighbours of one shard share a lock.
    pub(super) fn ask_each<T, R>(
        &self,
        things: &mut [T],
        shard: impl Fn(&T) -> usize,
        mut question: impl FnMut(&mut T, &mut Table<K, V>, &Context<'_>, &mut Aftermath<K, V>) -> R,
    ) -> Vec<R> {
        let mut answers = Vec::with_capacity(things.len());
        for run in things.chunk_by_mut(|one, other| shard(one) == shard(other)) {
            self.ask(shard(&run[0]), |table, context, effects| {
                let rolls = OnceCell::new();
                let first = || RefCell::new(Rolls::from(context.roll.bits()));
                let draw = || rolls.get_or_init(first).borrow_mut().draw();
                for thing in run {
                    let roll = Roll::Drawn(&draw);
                    let context = Context { roll, ..*context };
                    answers.push(question(thing, table, &context, effects));
                }
            });
        }
        answers
    }

    /// What of the rules holds now.
    fn policy_of<'a>(&self, rules: &'a Rules) -> &'a Policy {
        match (&rules.blind, &self.hub) {
            (Some(blind), Some(hub)) if hub.state() == BusState::Down => blind,
            _ => &rules.policy,
        }
    }

    /// Its settings as data.
    pub(super) fn settings(&self) -> MutexGuard<'_, Settings> {
        // No user code runs under it.
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets other settings.
    ///
    /// # Errors
    /// [`Error::Config`]: nothing has changed then.
    pub(super) fn reload(&self, others: &Settings) -> Result<(), Error> {
        let mut settings = self.settings();
        let after = changed(&settings, others, self.kind)?;
        let before = self.rules.now().clone();
        let rules = rules(&before, &after)?;
        for shard in 0..self.tables.len() {
            self.tables.ask(shard, |table| {
                table.remember_life(&Context {
                    now: self.runtime.now(),
                    roll: Roll::Drawn(&|| self.runtime.roll()),
                    policy: &before.policy,
                    generations: &self.generations.look(),
                });
            });
        }
        self.rules.replace(rules);
        if let Some((link, bytes)) = self.link.as_ref().zip(after.max_value_size) {
            link.format.limit.store(bytes, Ordering::Relaxed);
        }
        let (had, has) = (capped(&settings, None), capped(&after, None));
        if had != has {
            let cap = has.map(|(most, wait)| Cap::new(most, wait));
            self.loaders.cap.replace(cap);
        }
        *settings = after;
        Ok(())
    }

    /// How the bus is; none also when the cache is closed.
    pub(super) fn bus(&self) -> BusState {
        let hub = self.hub.as_ref().filter(|_| !self.life.is_closed());
        hub.map_or(BusState::None, |hub| hub.state())
    }

    pub(super) fn epoch(&self) -> u64 {
        self.hub.as_ref().map_or(0, |hub| hub.epoch())
    }

    /// All that it shows of itself.
    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            stats: self.stats(),
            activity: self.activity(),
            entries: self.level1.len(),
            weight: self.level1.weight(),
            tasks: self.life.tasks(),
            bus: self.bus(),
            epoch: self.epoch(),
        }
    }

    pub(super) fn activity(&self) -> Activity {
        let now = self.runtime.now();
        let first = Activity {
            refreshes: self.fresh_keys.as_ref().map_or(0, FreshKeys::len),
            untold: self.hub.as_ref().map_or(0, |hub| hub.untold()),
            pending_scopes: self.generations.look().pending(),
            ..Activity::default()
        };
        self.tables.each().fold(first, |sum, table| {
            let mut activity = table.activity();
            activity.bypassed = table.bypassed(now);
            sum + activity
        })
    }
}

impl<K, V> Shared<K, V> {
    /// Runs a task of the cache's own.
    ///
    /// # Errors
    /// The task itself, if there is no runtime to run it.
    pub(super) fn spawn(
        &self,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Task> {
        self.life.spawn(&*self.runtime, work)
    }

    pub(super) fn stats(&self) -> Stats {
        let mut stats = self.journal.stats();
        stats.evicted = self.level1.evicted();
        let gate = self.link.as_ref().and_then(|link| link.gate.as_ref());
        stats.breaker = gate.map_or(BreakerState::Closed, |gate| gate.state());
        stats
    }
}

impl<K: CacheKey, V: CacheValue> Member for Shared<K, V> {
    fn name(&self) -> &str {
        &self.journal.name
    }

    fn turned(&self, turned: &Turned) {
        match turned {
            Turned::Opened(fault) => self.journal.note(&Event::BreakerOpened(fault.clone())),
            Turned::Closed(after) => {
                self.journal.note(&Event::BreakerClosed { after: *after });
                if let Some(hub) = &self.hub {
                    hub.l2_is_back();
                }
                self.repairs.back.notify(usize::MAX);
            }
        }
    }
}

impl<K, V> fmt::Debug for Shared<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("name", &self.journal.name)
            .field("kind", &self.kind)
            .field("link", &self.link)
            .field("tasks", &self.life.tasks())
            .finish_non_exhaustive()
    }
}
