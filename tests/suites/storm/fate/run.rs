//! Plays one storm: who is there, what befalls them, and how it must end.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use jetcache_core::{BreakerState, BusState, Cache, Call, Runtime, Timestamp};

use crate::actors::caller::{Caller, Node, REMOTE_TIMEOUT};
use crate::actors::loading::{Database, is_absence};
use crate::fate::judge::Judge;
use crate::fate::ledger::Key;
use crate::fate::plan::Plan;
use crate::fate::promise::Promise;
use crate::fate::tally::Tally;
use crate::world::bus::{Air, Bus};
use crate::world::codec::Fickle;
use crate::world::gap::{Gap, Width};
use crate::world::lives::Home;
use crate::world::net::Net;
use crate::world::time::{Id, World};
use crate::world::weather::Weather;

struct Run {
    world: World,
    judge: Judge,
    net: Net,
    air: Air,
    plan: Plan,
    nodes: Vec<Life>,
    /// How many lives there were.
    lives: usize,
    tally: Tally,
}

/// A node, in one life of it.
struct Life {
    number: usize,
    home: Home,
    node: Node,
}

/// Plays one storm.
///
/// # Errors
/// Which promise was broken, and how far it had come.
pub(crate) fn run(seed: u64) -> Result<Tally, String> {
    let mut run = Run::of(seed);
    // A loader's panic is an answer. A panic that comes out of a call is a fault.
    if catch_unwind(AssertUnwindSafe(|| run.play())).is_err() {
        run.judge
            .rule(false, Promise::P3, || "a call panicked".to_owned());
    }
    match run.judge.broken() {
        Some(broken) => Err(format!("seed {seed}, step {}: {broken}", run.world.ticks())),
        None => Ok(run.tally),
    }
}

impl Run {
    fn of(seed: u64) -> Self {
        let world = World::new(seed);
        let judge = Judge::new(&world);
        let weather = Weather::of(&world);
        let air = Air::of(&world, &judge);
        let fleet = air.bus() != Bus::None;
        let plan = Plan::of(&world, weather, fleet);
        let net = Net::new(&world, &judge, weather).on(&air);
        let net = if plan.log { net.with_log() } else { net };
        let mut run = Self {
            net,
            air,
            plan,
            nodes: Vec::new(),
            lives: 0,
            world,
            judge,
            tally: Tally::default(),
        };
        for place in 0..1 + u64::from(fleet) + run.world.below(2) {
            let born = run.born(place);
            run.nodes.push(born);
        }
        run
    }

    /// A new life of the node at this place; it has the same source id in all its lives.
    fn born(&mut self, place: u64) -> Life {
        let (number, home) = (self.lives, Home::new(&self.world));
        self.lives += 1;
        let database = Database {
            world: self.world.clone(),
            judge: self.judge.clone(),
            node: number,
            chunk: self.plan.chunk,
            tags: self.plan.log,
        };
        let (singly, together) = (database.clone(), database);
        let (ttl, local_ttl) = match self.plan.lasting {
            true => (HOUR, HOUR),
            false => (Duration::from_secs(2), Duration::from_secs(1)),
        };
        let mut builder = Cache::builder("storm", home.clone())
            .remote(self.net.of(number), Fickle)
            .ttl(ttl)
            .local_ttl(local_ttl)
            .negative_ttl(local_ttl / 2)
            .remote_timeout(REMOTE_TIMEOUT)
            // Random bits are dealt out by shard, and shards come from a randomly seeded hasher:
            // with jitter a seed would not always play the same.
            .jitter(0, Duration::ZERO)
            .load_timeout(Duration::from_millis(300))
            .lease_wait(Duration::from_millis(100))
            // Longer than any storm.
            .failover_window(HOUR)
            .not_found_when(is_absence)
            .batch_chunk(self.plan.chunk)
            .load_concurrency(self.plan.load_concurrency)
            .lease_first(self.plan.lease_first)
            .loader(move |key: Key| singly.clone().load(key));
        builder = match self.plan.breaker {
            Some(breaker) => {
                let turns = self.judge.circuits().of(number, breaker);
                builder.breaker(breaker).observer(turns)
            }
            None => builder.no_breaker(),
        };
        if self.plan.weather.is_calm() {
            // Any lease that is not given back would still be there at the end.
            builder = builder.lease(HOUR);
        }
        if self.plan.batch_loader {
            builder = builder.batch_loader(move |keys: Vec<Key>| together.load_many(keys));
        }
        if self.plan.log {
            builder = builder.observer(self.judge.sweeps(number));
        }
        if self.plan.crowded {
            builder = builder.unconfirmed_capacity(1);
        }
        if self.plan.gaps {
            builder = builder.local(Gap::new(&self.world, Width::Few));
        }
        if self.air.bus() != Bus::None {
            let antenna = self.air.antenna(number);
            builder = builder.bus(antenna).source_id(&format!("shop{place}"));
            // What it finds is not judged: two loads of a row bring two values here, and a call that
            // skips L2 keeps one of them in L1.
            if self.plan.lasting {
                builder = builder.check_one_in(1);
            }
        }
        if let Some((window, soft)) = self.plan.stale {
            builder = builder.stale_for(window).stale_retry(window / 4);
            if let Some(soft) = soft {
                builder = builder.soft_timeout(soft);
            }
        }
        if let Some(timeout) = self.plan.write_timeout {
            builder = builder.write_timeout(timeout);
        }
        let node = builder.build().unwrap();
        Life { number, home, node }
    }

    fn caller(&self) -> Id {
        let life = &self.nodes[self.world.below(self.nodes.len() as u64) as usize];
        let what = self.plan.ask(&self.world);
        let wait = Duration::from_millis(self.world.below(400));
        let caller = Caller {
            world: self.world.clone(),
            judge: self.judge.clone(),
            node: life.node.clone(),
            number: life.number,
            keys: self.plan.keys,
            chunk: self.plan.chunk,
            writers_may_hang: self.plan.write_timeout.is_some(),
            gaps: self.plan.gaps,
            log: self.plan.log,
        };
        let world = self.world.clone();
        life.home.begin(async move {
            world.sleep(wait).await;
            caller.act(what).await;
        })
    }

    /// A node dies, and its next life begins.
    fn die(&mut self) {
        let place = self.world.below(self.nodes.len() as u64);
        let born = self.born(place);
        let dead = std::mem::replace(&mut self.nodes[place as usize], born);
        self.count(&dead.node);
        self.judge.died(dead.number);
        dead.home.dies();
        std::mem::forget(dead);
    }

    fn play(&mut self) {
        let world = self.world.clone();
        let mut callers: Vec<Id> = (0..10 + world.below(40)).map(|_| self.caller()).collect();
        let mut silent = Silent::default();
        let end = world.time() + Duration::from_secs(20);
        let fleet = self.air.bus() != Bus::None;
        while self.step(&silent.tasks, end) {
            silent.end(world.time());
            let caller = callers[world.below(callers.len() as u64) as usize];
            match world.below(300) {
                0 if !silent.tasks.contains(&caller) && world.cancel(caller) => {
                    self.judge.cancelled()
                }
                1 if !world.is_done(caller) && silent.begin(caller, &world) => {
                    self.judge.fell_silent(caller);
                }
                2 if fleet && world.percent(30) => self.air.cut_one(),
                3 if self.plan.mortal && self.lives < MOST_LIVES && world.percent(50) => {
                    self.die();
                    callers.extend((0..world.below(8)).map(|_| self.caller()));
                }
                5 if self.plan.fails_over => self.net.go_on(),
                4 if fleet && callers.len() < MOST_CALLERS => callers.push(self.caller()),
                _ => {}
            }
        }

        // The weather clears, and everybody but the silent must be answered.
        self.net.heal();
        self.air.heal();
        silent.end(Timestamp::from_nanos(u64::MAX));
        self.rest(&silent.tasks);
        for caller in callers {
            let answered = silent.tasks.contains(&caller) || world.is_done(caller);
            self.judge.rule(answered, Promise::P4, || {
                format!("caller {caller} waits for ever")
            });
        }
        // Now the silent are dropped too, and nothing may be left of anybody.
        for caller in &silent.tasks {
            world.cancel(*caller);
        }
        self.rest(&BTreeSet::new());
        self.looks_at_l2();
        if self.plan.log {
            self.is_believed();
        }
        self.is_at_rest();
        self.ends();
    }

    /// Each node asks L2 once more, and so finds out who leads there.
    fn looks_at_l2(&self) {
        if self.net.failovers_so_far() == 0 {
            return;
        }
        for Life { home, node, .. } in &self.nodes {
            let node = node.clone();
            home.begin(async move {
                let _ = node.get_with(&0, &Call::new().skip_local()).await;
            });
        }
        self.rest(&BTreeSet::new());
    }

    /// What somebody believes who knows nothing but L2, and that they all use it.
    fn is_believed(&mut self) {
        let born = self.born(u64::MAX);
        let loses = self.net.failovers_so_far() > 0;
        for key in 0..self.plan.keys {
            let (node, judge) = (born.node.clone(), self.judge.clone());
            born.home.begin(async move {
                let call = Call::new().skip_local();
                judge.is_believed(key, loses, node.get_with(&key, &call).await);
            });
        }
        self.nodes.push(born);
        self.rest(&BTreeSet::new());
    }

    /// Everybody has an answer: what may be left in L1, in L2 and under way.
    fn is_at_rest(&mut self) {
        let Self { judge, nodes, .. } = self;
        for Life { number, node, .. } in &*nodes {
            // Only the task that listens to the bus goes on.
            let left = (node.activity(), node.tasks());
            judge.rule(left == Default::default(), Promise::P5, || {
                format!("{left:?} are left")
            });
            judge.rule(
                node.stats().breaker == BreakerState::Closed,
                Promise::P3,
                || format!("{number} leaves L2 alone for ever"),
            );
            judge.rule(node.bus() != BusState::Down, Promise::P4, || {
                format!("{number} is deaf for ever")
            });
            for key in 0..self.plan.keys {
                judge.rests_in_l1(self.air.bus(), (*number, key), node.peek(&key));
            }
        }
        // Where there is a log, what is dead may stand there.
        for key in (0..self.plan.keys).filter(|_| !self.plan.log) {
            judge.rests_in_l2(key, self.net.stands(&format!("storm:{key}")));
        }
        let leases = self.net.leases();
        // The dead give nothing back, and what was given back may be lost.
        let exempt = !self.plan.weather.is_calm()
            || self.lives > self.nodes.len()
            || self.net.failovers_so_far() > 0;
        judge.rule(leases == 0 || exempt, Promise::P5, || {
            format!("{leases} leases were not given back")
        });
        let widest = self.net.widest();
        judge.rule(widest <= self.plan.chunk.max(1), Promise::P5, || {
            format!("L2 was asked about {widest} keys at once")
        });
    }

    /// The caches are closed or dropped, and nothing goes on.
    fn ends(&mut self) {
        self.tally += self.judge.tally();
        for Life { node, home, .. } in std::mem::take(&mut self.nodes) {
            self.count(&node);
            if self.world.percent(50) {
                home.begin(async move { node.close().await });
            }
        }
        self.rest(&BTreeSet::new());
        let left = self.world.tasks();
        self.judge.rule(left == 0, Promise::P5, || {
            format!("{left} tasks go on for ever")
        });
    }

    fn rest(&self, silent: &BTreeSet<Id>) {
        let now = self.world.time();
        // Without a bus the tasks come to an end by themselves, or something goes on for ever; with one
        // they never do.
        let end = || match self.air.bus() {
            Bus::None => (self.world.time() + Duration::from_secs(60)).min(now + REST * 10),
            _ => now + REST,
        };
        while self.step(silent, end()) {}
    }

    fn step(&self, silent: &BTreeSet<Id>, end: Timestamp) -> bool {
        self.judge.broken().is_none() && self.world.step(silent, end)
    }

    fn count(&mut self, node: &Node) {
        let stats = node.stats();
        self.tally.faults += stats.remote_faults;
        self.tally.heard += stats.heard;
        self.tally.epochs += stats.epochs;
        self.tally.failovers += stats.failovers;
        self.tally.opened += stats.breaker_opened;
        self.tally.raises_heard += stats.raises_heard;
        self.tally.dead += stats.dead_local + stats.dead_remote;
        self.tally.overflowed += stats.overflowed;
    }
}

/// Tasks that are not polled, for a while or for ever.
#[derive(Default)]
struct Silent {
    tasks: BTreeSet<Id>,
    until: BTreeMap<Id, Timestamp>,
}

impl Silent {
    fn begin(&mut self, caller: Id, world: &World) -> bool {
        if world.percent(50) {
            let span = Duration::from_millis(world.below(1_500));
            self.until.insert(caller, world.time() + span);
        }
        self.tasks.insert(caller)
    }

    fn end(&mut self, now: Timestamp) {
        self.until.retain(|caller, until| {
            if *until <= now {
                self.tasks.remove(caller);
            }
            *until > now
        });
    }
}

const HOUR: Duration = Duration::from_secs(3600);
/// By then everything late has arrived, and every broken subscription is made again.
const REST: Duration = Duration::from_secs(45);
const MOST_LIVES: usize = 6;
const MOST_CALLERS: usize = 120;
