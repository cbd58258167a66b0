//! Runs a plan's asks on one thread.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use jetcache_core::machine::stats::activity::Activity;
use jetcache_core::unsync::{Builder, Level2, Tasks};
use jetcache_core::{Cached, Kind, Load, LoadError};

use crate::sim::alone::judge::Judge;
use crate::sim::alone::world::{Hand, Numbers, Value, World};
use crate::sim::fate::plan::{Ask, Brings, KEYS, Key, Loader, Plan, What, Wish};
use crate::sim::fate::promise::Promise;
use crate::sim::fate::run::Report;
use crate::sim::generations::scopes::Scopes;
use crate::sim::world::time::whole_millis;

/// Puts the asks of a seed's plan to a cache of one thread, whichever node they are for. Tags, refreshes and
/// evictions are left out; a write-through is an invalidation.
#[must_use]
pub fn run_alone(seed: u64) -> Report {
    let plan = Plan::seeded(seed);
    let world = Rc::new(World::new(seed));
    let settings = Builder::<Key, Value>::new(NonZeroUsize::MIN)
        .ttl(plan.policy.ttl)
        .local_ttl(plan.policy.local_ttl)
        .negative_ttl(plan.policy.negative_ttl)
        .jitter(plan.policy.jitter)
        .stale_for(plan.policy.stale_for)
        .stale_retry(plan.policy.stale_retry)
        .load_timeout(plan.policy.load_timeout)
        .unconfirmed(plan.policy.unconfirmed);
    let hand = Hand(Rc::clone(&world));
    match plan.policy.kind {
        Kind::Local => {
            let tasks = settings.build_tasks(hand).expect("a plan's policy works");
            Run::new(plan, world, tasks).go()
        }
        _ => {
            let settings = settings.store(hand.clone(), Numbers);
            let tasks = settings.build_tasks(hand).expect("a plan's policy works");
            Run::new(plan, world, tasks).go()
        }
    }
}

struct Run<L> {
    plan: Plan,
    world: Rc<World>,
    tasks: Rc<Tasks<Key, Value, Hand, L>>,
    judge: Rc<RefCell<Judge>>,
    /// What begins, and what is dropped, when.
    events: BTreeMap<u64, Vec<Event>>,
    asking: Vec<Option<Pin<Box<dyn Future<Output = ()>>>>>,
    steps: usize,
}

#[derive(Clone, Copy)]
enum Event {
    Start(usize),
    Drop(usize),
    /// It is polled again.
    Resume,
}

/// Somebody was woken.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<L: Level2<Key, Value> + 'static> Run<L> {
    fn new(plan: Plan, world: Rc<World>, tasks: Tasks<Key, Value, Hand, L>) -> Self {
        let mut events: BTreeMap<u64, Vec<Event>> = BTreeMap::new();
        let mut at = |at, event| events.entry(at).or_default().push(event);
        for (id, ask) in plan.asks.iter().enumerate() {
            at(ask.at, Event::Start(id));
            if let Some(dropped) = ask.dropped {
                at(dropped, Event::Drop(id));
            }
            if let Some((_, until)) = ask.held.filter(|(_, until)| *until < u64::MAX) {
                at(until, Event::Resume);
            }
        }
        Self {
            asking: plan.asks.iter().map(|_| None).collect(),
            plan,
            world,
            tasks: Rc::new(tasks),
            judge: Rc::default(),
            events,
            steps: 0,
        }
    }

    fn go(mut self) -> Report {
        while let Some(next) = self.next() {
            self.world.now.set(self.world.now.get().max(next));
            let now = self.world.now.get();
            self.world.alarms.borrow_mut().retain(|alarm| *alarm > now);
            while let Some(entry) = self
                .events
                .first_entry()
                .filter(|entry| *entry.key() <= now)
            {
                for event in entry.remove() {
                    match event {
                        Event::Start(id) => self.start(id),
                        Event::Drop(id) => self.asking[id] = None,
                        Event::Resume => {}
                    }
                }
            }
            self.repair();
            self.poll();
            if self.judge.borrow().broken.is_some() {
                break;
            }
        }
        self.rest();
        let broken = self.judge.borrow_mut().broken.take();
        Report {
            steps: self.steps,
            broken,
            trace: Vec::new(),
        }
    }

    /// Repeats the removals that are due, and comes back for the next one.
    fn repair(&self) {
        if let Some(next) = self.tasks.run_pending() {
            let next = next.as_nanos().div_ceil(1_000_000);
            self.world.alarms.borrow_mut().insert(next);
        }
    }

    fn next(&self) -> Option<u64> {
        let event = self.events.first_key_value().map(|(at, _)| *at);
        let alarm = self.world.alarms.borrow().first().copied();
        event.into_iter().chain(alarm).min()
    }

    fn start(&mut self, id: usize) {
        let ask = self.plan.asks[id].clone();
        let (key, now) = (ask.key, self.world.now.get());
        self.steps += 1;
        let (tasks, judge) = (&self.tasks, &self.judge);
        let claim = judge.borrow_mut().comes(key, now);
        match ask.what {
            What::Load(wish, loader) => self.asking[id] = Some(self.load(id, &ask, wish, loader)),
            What::Get(_) => {
                let found = tasks.get(&key);
                (judge.borrow_mut()).answers(claim, &found, self.world.now.get());
            }
            What::Peek => judge.borrow_mut().answers(claim, &tasks.peek(&key), now),
            What::Invalidate | What::WriteThrough(..) => {
                let version = judge.borrow_mut().changes(key);
                tasks.invalidate(&key);
                judge.borrow_mut().settles(key, version);
            }
            What::Insert(wish, _) => {
                let version = judge.borrow_mut().changes(key);
                let value = self.value(version, None, wish, None);
                let inserted = tasks.insert_with(key, value, &untagged(wish).call());
                if inserted.is_ok() {
                    judge.borrow_mut().settles(key, version);
                }
            }
            What::Hear => {
                judge.borrow_mut().clears();
                tasks.clear_local();
            }
            What::Refresh(..) | What::Raise(_) | What::Evict => {}
        }
    }

    /// A value that is born now.
    fn value(&self, version: u64, began: Option<u64>, wish: Wish, ttl: Option<u64>) -> Value {
        let policy = &self.plan.policy;
        let window = wish.stale_for.unwrap_or(whole_millis(policy.stale_for));
        Value {
            version,
            began,
            born: self.world.now.get(),
            ttl: ttl.or(wish.ttl).unwrap_or(whole_millis(policy.ttl)),
            window,
            encodable: true,
        }
    }

    fn load(
        &self,
        id: usize,
        ask: &Ask,
        wish: Wish,
        loader: Loader,
    ) -> Pin<Box<dyn Future<Output = ()>>> {
        let (key, held) = (ask.key, ask.held.is_some());
        let (tasks, judge) = (Rc::clone(&self.tasks), Rc::clone(&self.judge));
        let world = Rc::clone(&self.world);
        let negative = whole_millis(self.plan.policy.negative_ttl);
        let mut value = self.value(0, None, wish, loader.ttl);
        // What is kept nowhere has no life that could end.
        let kept = !wish.no_store && loader.brings != Brings::Uncached && loader.ttl != Some(0);
        if !kept {
            value.ttl = ENDLESS;
        }
        value.encodable = loader.brings != Brings::Unencodable;
        Box::pin(async move {
            // It comes when it is polled first.
            let claim = judge.borrow_mut().comes(key, world.now.get());
            let call = untagged(wish).call();
            let loading = async || {
                let began = world.now.get();
                let version = judge.borrow_mut().begins(id, claim, held);
                let _running = Running(&judge, id);
                world.nap(loader.takes).await;
                let value = Value {
                    version,
                    began: Some(began),
                    born: world.now.get(),
                    ..value
                };
                let load = match loader.brings {
                    Brings::Absent => {
                        let until = match kept {
                            true => world.now.get() + loader.ttl.unwrap_or(negative),
                            false => ENDLESS,
                        };
                        (judge.borrow_mut()).is_absent(key, version, began, until);
                        Load::from(None)
                    }
                    Brings::Uncached => Load::from(value).uncached(),
                    Brings::Error | Brings::Panic => return Err(LoadError::from("no database")),
                    Brings::Value | Brings::Unchanged | Brings::Remarked | Brings::Unencodable => {
                        Load::from(value)
                    }
                };
                Ok(match loader.ttl {
                    Some(ttl) => load.ttl(Duration::from_millis(ttl)),
                    None => load,
                })
            };
            let found = tasks.get_or_load_cached(&key, &call, loading).await;
            let found = found.unwrap_or(Cached::Miss);
            (judge.borrow_mut()).answers(claim, &found, world.now.get());
        })
    }

    /// Polls those who are polled now, until nobody is woken any more.
    fn poll(&mut self) {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        for _ in 0..MOST_TURNS {
            let now = self.world.now.get();
            for id in 0..self.asking.len() {
                let held = self.plan.asks[id].held;
                if held.is_some_and(|(from, until)| from <= now && now < until) {
                    continue;
                }
                if let Some(asking) = &mut self.asking[id] {
                    self.steps += 1;
                    if asking
                        .as_mut()
                        .poll(&mut Context::from_waker(&waker))
                        .is_ready()
                    {
                        self.asking[id] = None;
                    }
                }
            }
            if !woken.0.swap(false, Ordering::Relaxed) {
                return;
            }
        }
        let turns = || format!("tasks wake each other {MOST_TURNS} times at one moment");
        self.judge.borrow_mut().rule(false, Promise::P4, turns);
    }

    /// Nothing is under way any more, and the store works.
    fn rest(&mut self) {
        for id in 0..self.asking.len() {
            let held = self.plan.asks[id].held;
            let done =
                self.asking[id].is_none() || held.is_some_and(|(_, until)| until == u64::MAX);
            let waits = || format!("ask {id} waits for ever");
            let judged = self.judge.borrow().broken.is_some();
            (self.judge.borrow_mut()).rule(done || judged, Promise::P4, waits);
            self.asking[id] = None;
        }
        self.world.bad.set(0);
        while let Some(next) = self.tasks.run_pending() {
            let next = next.as_nanos().div_ceil(1_000_000);
            self.world.now.set(self.world.now.get().max(next));
        }
        let load = self.tasks.activity();
        (self.judge.borrow_mut()).rule(load == Activity::default(), Promise::P5, || {
            format!("at rest there still is {load:?}")
        });
        for key in 0..Key::try_from(KEYS).unwrap_or(0) {
            let claim = self.judge.borrow_mut().comes(key, self.world.now.get());
            let found = self.tasks.get(&key);
            let now = self.world.now.get();
            self.judge.borrow_mut().answers(claim, &found, now);
        }
    }
}

/// A loader that runs, until it is dropped.
struct Running<'a>(&'a RefCell<Judge>, usize);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.borrow_mut().ends(self.1);
    }
}

/// With an L2 nobody raises tags there.
fn untagged(wish: Wish) -> Wish {
    Wish {
        tags: Scopes::default(),
        ..wish
    }
}

/// How often everybody is polled at one moment.
const MOST_TURNS: usize = 1000;

/// How long something lives that has no life.
const ENDLESS: u64 = 1 << 60;
