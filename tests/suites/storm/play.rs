//! One storm: who does what, and what must hold.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jetcache_adapters::MessagePack;
use jetcache_core::{Cache, Cached, Call, Error, LoadError, Reach, Runtime, Timestamp};

use crate::net::{Net, Weather};
use crate::world::{Id, World};

type Node = Cache<u8, u64>;
type Place = (usize, u8);

/// What happened in a storm, or in many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) answers: u64,
    pub(crate) loads: u64,
    pub(crate) pending: u64,
    pub(crate) cancelled: u64,
    pub(crate) silent: u64,
    pub(crate) faults: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.answers += more.answers;
        self.loads += more.loads;
        self.pending += more.pending;
        self.cancelled += more.cancelled;
        self.silent += more.silent;
        self.faults += more.faults;
    }
}

/// How a value came to be.
#[derive(Clone, Copy, Debug)]
enum Born {
    /// Its loading began then.
    Loaded(u64),
    /// Its insert returned then, if it did.
    Inserted(Option<u64>),
}

#[derive(Default)]
struct Judge {
    tally: Tally,
    values: Vec<Born>,
    /// No later read there may see what is older.
    floors: BTreeMap<Place, u64>,
    /// Loads that run: since when, where, and in which task.
    loads: BTreeMap<u64, (Place, Id)>,
    /// Tasks that are not polled any more.
    silent: BTreeSet<Id>,
    /// Changes that are under way, and when the last one ended.
    changes: BTreeMap<Place, (usize, Timestamp)>,
}

impl Judge {
    fn is_older(&self, value: u64, floor: u64) -> bool {
        match self.values[usize::try_from(value).unwrap()] {
            Born::Loaded(began) => began < floor,
            Born::Inserted(returned) => returned.is_some_and(|returned| returned < floor),
        }
    }

    fn bear(&mut self, born: Born) -> u64 {
        self.values.push(born);
        self.values.len() as u64 - 1
    }
}

#[derive(Clone)]
struct Stage {
    world: World,
    judge: Arc<Mutex<Judge>>,
    nodes: Arc<Vec<Node>>,
    /// Whether anybody changes anything.
    changes: bool,
}

/// Ends a load's entry among those that run, also when its caller vanishes.
struct Running(Arc<Mutex<Judge>>, u64);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.lock().unwrap().loads.remove(&self.1);
    }
}

async fn load(world: World, judge: Arc<Mutex<Judge>>, at: Place) -> Result<Option<u64>, LoadError> {
    let began = world.tick();
    let value = {
        let mut judge = judge.lock().unwrap();
        let (active, last) = judge.changes.get(&at).copied().unwrap_or_default();
        // What a change overtook may still load, for as long as a flight lasts.
        let quiet = active == 0 && (last == Timestamp::default() || world.time() > last + FLIGHT);
        let live = |(place, task): &(Place, Id)| *place == at && !judge.silent.contains(task);
        let twin = judge.loads.values().find(|load| live(load));
        assert!(!quiet || twin.is_none(), "P1: two loads at once at {at:?}");
        judge.loads.insert(began, (at, world.current()));
        judge.tally.loads += 1;
        judge.bear(Born::Loaded(began))
    };
    let _running = Running(judge, began);
    let takes = if world.percent(10) { 2_000 } else { 40 };
    let takes = Duration::from_millis(world.below(takes));
    world.sleep(takes).await;
    match world.below(20) {
        0 => Err("the database is away".into()),
        1 => panic!("the loader"),
        2 => Ok(None),
        _ => Ok(Some(value)),
    }
}

impl Stage {
    /// One call of a user's.
    async fn act(self) {
        let world = &self.world;
        world.sleep(Duration::from_millis(world.below(400))).await;
        let at = (
            world.below(self.nodes.len() as u64) as usize,
            world.below(2) as u8,
        );
        let (node, key) = (&self.nodes[at.0], at.1);
        match world.below(if self.changes { 12 } else { 7 }) {
            0..=3 => {
                let floor = self.floor(at);
                let load = || load(world.clone(), Arc::clone(&self.judge), at);
                self.judge_answer(floor, node.get_or_load(&key, load).await);
            }
            4 => {
                let floor = self.floor(at);
                self.judge_answer(floor, node.load(&key).await);
            }
            5 => {
                let floor = self.floor(at);
                self.judge_read(floor, node.get(&key).await);
            }
            6 => {
                let floor = self.floor(at);
                self.judge_read(floor, node.peek(&key));
            }
            7 => {
                let called = self.begin_change(at);
                let reach = node.invalidate(&key).await;
                self.end_change(at, called, reach);
            }
            8 => {
                self.begin_change(at);
                if world.percent(50) {
                    node.clear_local();
                } else {
                    node.invalidate_local(&key);
                }
                // Every key of the node may have been touched.
                for key in 0..2 {
                    let mut judge = self.judge.lock().unwrap();
                    judge.changes.entry((at.0, key)).or_default().1 = world.time();
                }
                self.judge.lock().unwrap().changes.entry(at).or_default().0 -= 1;
            }
            9 => {
                let called = self.begin_change(at);
                let value = self.judge.lock().unwrap().bear(Born::Inserted(None));
                let applied = if world.percent(50) {
                    node.insert_if_absent(key, value).await
                } else {
                    node.insert_if_present(key, value).await
                };
                match applied {
                    Ok(true) => {
                        self.returned(value);
                        self.end_change(at, called, Reach::Everywhere);
                    }
                    // Its claim may have been granted and its fill refused: that is an end too. But
                    // it may have changed nothing, so it promises nothing.
                    Ok(false) | Err(Error::Undecided) => {
                        let mut judge = self.judge.lock().unwrap();
                        let change = judge.changes.entry(at).or_default();
                        *change = (change.0 - 1, world.time());
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            _ => {
                let called = self.begin_change(at);
                let value = self.judge.lock().unwrap().bear(Born::Inserted(None));
                let mut call = Call::new();
                if world.percent(20) {
                    call = call.skip_local();
                }
                let reach = node.insert_with(key, value, &call).await.unwrap();
                self.returned(value);
                self.end_change(at, called, reach);
            }
        }
    }

    fn floor(&self, at: Place) -> u64 {
        self.judge
            .lock()
            .unwrap()
            .floors
            .get(&at)
            .copied()
            .unwrap_or_default()
    }

    fn begin_change(&self, at: Place) -> u64 {
        let called = self.world.tick();
        self.judge.lock().unwrap().changes.entry(at).or_default().0 += 1;
        called
    }

    fn returned(&self, value: u64) {
        let tick = self.world.tick();
        let value = usize::try_from(value).unwrap();
        self.judge.lock().unwrap().values[value] = Born::Inserted(Some(tick));
    }

    fn end_change(&self, at: Place, called: u64, reach: Reach) {
        let mut judge = self.judge.lock().unwrap();
        let change = judge.changes.entry(at).or_default();
        *change = (change.0 - 1, self.world.time());
        let floor = judge.floors.entry(at).or_default();
        *floor = (*floor).max(called);
        judge.tally.pending += u64::from(reach == Reach::Pending);
    }

    fn judge_answer(&self, floor: u64, answer: Result<Option<u64>, Error>) {
        match answer {
            Ok(Some(value)) => self.judge_read(floor, Cached::Hit(value)),
            Ok(None) => self.judge_read(floor, Cached::Absent),
            Err(Error::Load(_) | Error::Panicked(_) | Error::Timeout) => {
                self.judge.lock().unwrap().tally.answers += 1;
            }
            Err(error) => panic!("P3: {error}"),
        }
    }

    fn judge_read(&self, floor: u64, read: Cached<u64>) {
        let mut judge = self.judge.lock().unwrap();
        judge.tally.answers += 1;
        if let Cached::Hit(value) = read {
            let born = judge.values[usize::try_from(value).unwrap()];
            assert!(
                !judge.is_older(value, floor),
                "P2: {born:?} seen behind a change at {floor}"
            );
        }
    }
}

fn node(world: &World, judge: &Arc<Mutex<Judge>>, net: &Net, number: usize) -> Node {
    let (loading, judging) = (world.clone(), Arc::clone(judge));
    let builder = Cache::builder("storm", world.clone()).remote(net.clone(), MessagePack);
    let builder = builder
        .ttl(Duration::from_secs(2))
        .local_ttl(Duration::from_secs(1))
        .negative_ttl(Duration::from_millis(500))
        .remote_timeout(Duration::from_millis(50))
        .load_timeout(Duration::from_millis(300))
        .lease_wait(Duration::from_millis(100))
        .loader(move |key: u8| load(loading.clone(), Arc::clone(&judging), (number, key)));
    builder.build().unwrap()
}

/// Plays one storm. Panics if a promise is broken.
pub(crate) fn storm(seed: u64) -> Tally {
    let world = World::new(seed);
    let judge: Arc<Mutex<Judge>> = Arc::default();
    let weather = Weather::of(&world);
    let net = Net::new(&world, weather);
    let nodes = 1 + world.below(2) as usize;
    let nodes = (0..nodes)
        .map(|number| node(&world, &judge, &net, number))
        .collect();
    let stage = Stage {
        world: world.clone(),
        judge: Arc::clone(&judge),
        nodes: Arc::new(nodes),
        changes: world.percent(70),
    };

    let mut silent = BTreeSet::new();
    let mut users: Vec<Id> = Vec::new();
    for _ in 0..10 + world.below(40) {
        users.push(world.begin(stage.clone().act()));
    }
    let end = world.time() + Duration::from_secs(20);
    while world.step(&silent, end) {
        let user = users[world.below(users.len() as u64) as usize];
        match world.below(400) {
            0 if !silent.contains(&user) && world.cancel(user) => {
                judge.lock().unwrap().tally.cancelled += 1;
            }
            1 if !world.is_done(user) && silent.insert(user) => {
                let mut judge = judge.lock().unwrap();
                judge.tally.silent += 1;
                judge.silent.insert(user);
            }
            _ => {}
        }
    }

    // The weather clears; everybody but the silent is answered.
    net.heal();
    while world.step(&silent, world.time() + Duration::from_secs(60)) {}
    for user in users {
        assert!(
            silent.contains(&user) || world.is_done(user),
            "P4: user {user} waits for ever"
        );
    }
    // Those who fell silent are dropped at last, and nothing is left of anybody.
    for user in &silent {
        world.cancel(*user);
    }
    while world.step(&BTreeSet::new(), world.time() + Duration::from_secs(60)) {}
    for node in stage.nodes.iter() {
        let left = (node.activity(), node.tasks());
        assert_eq!(left, Default::default(), "P5: something is left");
    }
    if weather.is_calm() {
        assert_eq!(net.leases(), 0, "R1: a lease was not given back");
    }
    let faults = stage
        .nodes
        .iter()
        .map(|node| node.stats().remote_faults)
        .sum();
    let mut tally = judge.lock().unwrap().tally;
    tally.faults = faults;
    tally
}

/// Longer than any flight lasts: an L2 operation each, the wait for a lease, the load.
const FLIGHT: Duration = Duration::from_secs(2);
