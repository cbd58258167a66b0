//! One storm: who is there, and how it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use jetcache_core::{Cache, Runtime, Timestamp};

use crate::codec::Fickle;
use crate::database::{Database, is_absence};
use crate::deed::{Deed, Node, REMOTE_TIMEOUT, User};
use crate::judge::{Judge, Key, Tally};
use crate::net::{Net, Weather};
use crate::world::{Id, World};

struct Stage {
    world: World,
    judge: Judge,
    net: Net,
    weather: Weather,
    nodes: Vec<Node>,
    keys: Key,
    chunk: usize,
    deeds: Vec<Deed>,
}

/// Plays one storm.
///
/// # Errors
/// Which promise was broken, and how far it had come.
pub(crate) fn storm(seed: u64) -> Result<Tally, String> {
    let stage = Stage::of(seed);
    // What a call may panic with, it must not: loaders' panics are answers.
    if catch_unwind(AssertUnwindSafe(|| stage.play())).is_err() {
        stage
            .judge
            .rule(false, "P3", || "a call panicked".to_owned());
    }
    match stage.judge.broken() {
        Some(broken) => Err(format!(
            "seed {seed}, step {}: {broken}",
            stage.world.ticks()
        )),
        None => Ok(stage.tally()),
    }
}

impl Stage {
    fn of(seed: u64) -> Self {
        let world = World::new(seed);
        let judge = Judge::new(&world);
        let weather = Weather::of(&world);
        let mut stage = Self {
            net: Net::new(&world, &judge, weather),
            weather,
            nodes: Vec::new(),
            keys: [2, 3, 6][world.below(3) as usize],
            chunk: [1, 2, 1000, 1000][world.below(4) as usize],
            deeds: deeds(&world),
            world,
            judge,
        };
        for number in 0..1 + stage.world.below(2) as usize {
            stage.nodes.push(stage.node(number));
        }
        stage
    }

    fn node(&self, number: usize) -> Node {
        let database = Database {
            world: self.world.clone(),
            judge: self.judge.clone(),
            node: number,
            chunk: self.chunk,
        };
        let (singly, together) = (database.clone(), database);
        let mut builder = Cache::builder("storm", self.world.clone())
            .remote(self.net.clone(), Fickle)
            .ttl(Duration::from_secs(2))
            .local_ttl(Duration::from_secs(1))
            .negative_ttl(Duration::from_millis(500))
            .remote_timeout(REMOTE_TIMEOUT)
            // Which random bits a key gets depends on its shard, and that on a hasher of chance.
            .jitter(0, Duration::ZERO)
            .load_timeout(Duration::from_millis(300))
            .lease_wait(Duration::from_millis(100))
            .not_found_when(is_absence)
            .batch_chunk(self.chunk)
            .load_concurrency([1, 2, 16][self.world.below(3) as usize])
            .loader(move |key: Key| singly.clone().load(key));
        if self.weather.is_calm() {
            // None may be forgotten: it would stand until the end.
            builder = builder.lease(Duration::from_secs(3600));
        }
        if self.world.percent(60) {
            builder = builder.batch_loader(move |keys: Vec<Key>| together.load_many(keys));
        }
        builder.build().unwrap()
    }

    fn user(&self) -> Id {
        let number = self.world.below(self.nodes.len() as u64) as usize;
        let deed = self.deeds[self.world.below(self.deeds.len() as u64) as usize];
        let wait = Duration::from_millis(self.world.below(400));
        let user = User {
            world: self.world.clone(),
            judge: self.judge.clone(),
            node: self.nodes[number].clone(),
            number,
            keys: self.keys,
            chunk: self.chunk,
        };
        let world = self.world.clone();
        self.world.begin(async move {
            world.sleep(wait).await;
            user.act(deed).await;
        })
    }

    fn play(&self) {
        let Self { world, judge, .. } = self;
        let users: Vec<Id> = (0..10 + world.below(40)).map(|_| self.user()).collect();
        let mut silent = Silent::default();
        let end = world.time() + Duration::from_secs(20);
        while self.step(&silent.tasks, end) {
            silent.end(world.time());
            let user = users[world.below(users.len() as u64) as usize];
            match world.below(300) {
                0 if !silent.tasks.contains(&user) && world.cancel(user) => judge.cancelled(),
                1 if !world.is_done(user) && silent.begin(user, world) => judge.fell_silent(user),
                _ => {}
            }
        }

        // The weather clears; everybody but the silent is answered.
        self.net.heal();
        silent.end(Timestamp::from_nanos(u64::MAX));
        self.rest(&silent.tasks);
        for user in users {
            let answered = silent.tasks.contains(&user) || world.is_done(user);
            judge.rule(answered, "P4", || format!("user {user} waits for ever"));
        }
        // Those who fell silent for good are dropped at last, and nothing is left of anybody.
        for user in &silent.tasks {
            world.cancel(*user);
        }
        self.rest(&BTreeSet::new());
        for node in &self.nodes {
            let left = (node.activity(), node.tasks());
            judge.rule(left == Default::default(), "P5", || {
                format!("{left:?} are left")
            });
        }
        let leases = self.net.leases();
        let given_back = leases == 0 || !self.weather.is_calm();
        judge.rule(given_back, "P5", || {
            format!("{leases} leases were not given back")
        });
        let widest = self.net.widest();
        judge.rule(widest <= self.chunk.max(1), "P5", || {
            format!("L2 was asked about {widest} keys at once")
        });
    }

    fn rest(&self, silent: &BTreeSet<Id>) {
        while self.step(silent, self.world.time() + Duration::from_secs(60)) {}
    }

    fn step(&self, silent: &BTreeSet<Id>, end: Timestamp) -> bool {
        self.judge.broken().is_none() && self.world.step(silent, end)
    }

    fn tally(&self) -> Tally {
        let faults = self.nodes.iter().map(|node| node.stats().remote_faults);
        Tally {
            faults: faults.sum(),
            ..self.judge.tally()
        }
    }
}

/// Those who are not polled: for a while, or never again.
#[derive(Default)]
struct Silent {
    tasks: BTreeSet<Id>,
    until: BTreeMap<Id, Timestamp>,
}

impl Silent {
    fn begin(&mut self, user: Id, world: &World) -> bool {
        if world.percent(50) {
            let span = Duration::from_millis(world.below(1_500));
            self.until.insert(user, world.time() + span);
        }
        self.tasks.insert(user)
    }

    fn end(&mut self, now: Timestamp) {
        self.until.retain(|user, until| {
            if *until <= now {
                self.tasks.remove(user);
            }
            *until > now
        });
    }
}

/// What is done in a storm, each as often as it is there.
fn deeds(world: &World) -> Vec<Deed> {
    use Deed::{
        Get, GetMany, GetManyOrLoad, GetOrLoad, Insert, InsertIf, InsertMany, Invalidate,
        InvalidateMany, Load, LoadMany, Peek, SweepLocal,
    };
    let mut deeds = vec![GetOrLoad, GetOrLoad, GetOrLoad, GetOrLoad, Load, Get, Peek];
    let (changes, batches) = (world.percent(70), world.percent(80));
    if changes {
        deeds.extend([Invalidate, SweepLocal, InsertIf, Insert, Insert]);
    }
    if batches {
        deeds.extend([GetManyOrLoad, GetManyOrLoad, GetManyOrLoad, GetManyOrLoad]);
        deeds.extend([LoadMany, LoadMany, GetMany]);
    }
    if changes && batches {
        deeds.extend([InsertMany, InvalidateMany]);
    }
    deeds
}
