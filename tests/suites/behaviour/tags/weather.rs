//! Three nodes of three runtimes read, raise tags and clear at once, while what they share is stopped,
//! killed, robbed of its log, or replaced by a copy that lacks the last raises. Values are version
//! numbers: after a raise has returned on a node, no later read there shows an older one.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jetcache_adapters::{MessagePack, Redis, RedisCluster};
use jetcache_core::{Builder, Bus, BusState, Cache, Load, LoadError, Reach, Remote};
use jetcache_tests::redis_cluster::RedisNodes;
use jetcache_tests::redis_sentinels::{GROUP, RedisGroup};
use jetcache_tests::redis_server::RedisServer;

use crate::behaviour::stage::{Cases, Host};

pub(crate) const CASES: Cases<fn()> = &[
    ("nothing_raised_is_read_again_in_fair_weather", fair),
    ("nothing_raised_is_read_again_while_redis_hangs", hangs),
    ("nothing_raised_is_read_again_while_redis_dies", dies),
    (
        "nothing_raised_is_read_again_while_the_log_is_evicted",
        evicts,
    ),
    (
        "nothing_raised_is_read_again_from_an_older_snapshot",
        falls_back,
    ),
    (
        "nothing_raised_is_read_again_from_a_replica_that_lags",
        fails_over,
    ),
    ("nothing_raised_is_read_again_in_a_cluster", cluster),
];

type Node = Cache<u64, u64>;

/// The nodes and what they have promised.
struct Fleet<'a> {
    nodes: Vec<Node>,
    judge: Arc<Judge>,
    /// Makes another node.
    make: Box<dyn Fn(Host) -> Node + 'a>,
}

/// The database, and what no node may read any more.
#[derive(Default)]
struct Judge {
    /// The version of every row: the number of the last raise that has begun anywhere.
    version: AtomicU64,
    /// Nobody clears the namespace: a raise that is lost is not made up for by another.
    tags_only: AtomicBool,
    /// By node and tag: no later read may show an older version.
    floors: Mutex<[[u64; TAGS]; 3]>,
    over: AtomicBool,
    at_work: AtomicU64,
    answers: AtomicU64,
    /// Raises that L2 has acknowledged, by node.
    everywhere: [AtomicU64; 3],
    pending: AtomicU64,
    broken: Mutex<Option<String>>,
}

impl Judge {
    fn floors(&self) -> MutexGuard<'_, [[u64; TAGS]; 3]> {
        self.floors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn floor(&self, at: usize, key: u64) -> u64 {
        self.floors()[at][tag_of(key)]
    }

    /// At rest every node has heard of every raise.
    fn floor_of_all(&self, key: u64) -> u64 {
        let floors = *self.floors();
        floors
            .iter()
            .map(|of| of[tag_of(key)])
            .max()
            .unwrap_or_default()
    }

    fn begins(&self) -> u64 {
        self.version.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn returned(&self, at: usize, tag: Option<usize>, version: u64, reach: Reach) {
        let count = match reach {
            Reach::Everywhere => &self.everywhere[at],
            Reach::Pending | Reach::NotStored => &self.pending,
        };
        count.fetch_add(1, Ordering::SeqCst);
        let mut floors = self.floors();
        for (of, floor) in floors[at].iter_mut().enumerate() {
            if tag.is_none_or(|tag| tag == of) {
                *floor = version.max(*floor);
            }
        }
    }

    fn read(&self, at: usize, key: u64, floor: u64, found: u64) {
        self.answers.fetch_add(1, Ordering::SeqCst);
        if found < floor {
            let mut broken = self.broken.lock().unwrap();
            broken.get_or_insert_with(|| {
                format!("node {at} reads version {found} of {key} after a raise at {floor}")
            });
        }
    }

    fn load(self: &Arc<Self>, key: u64) -> Load<u64> {
        let version = self.version.load(Ordering::SeqCst);
        Load::from(version).tags([format!("tag {}", tag_of(key))])
    }
}

fn tag_of(key: u64) -> usize {
    usize::try_from(key).unwrap() % TAGS
}

/// A node's share of the work, until it is over.
struct Worker {
    at: usize,
    host: Host,
    node: Node,
    judge: Arc<Judge>,
}

impl Worker {
    async fn reads(self) {
        while !self.judge.over.load(Ordering::SeqCst) {
            let key = fastrand::u64(..KEYS);
            let floor = self.judge.floor(self.at, key);
            let found = match fastrand::u8(..4) {
                0 => self.node.get(&key).await.hit(),
                1 => self.node.peek(&key).hit(),
                2 => {
                    self.reads_many().await;
                    None
                }
                _ => {
                    let slow = fastrand::u64(..4);
                    let loader = async || {
                        let load = self.judge.load(key);
                        self.host.sleep(Duration::from_millis(slow)).await;
                        Ok::<_, LoadError>(load)
                    };
                    self.node.get_or_load(&key, loader).await.unwrap()
                }
            };
            if let Some(found) = found {
                self.judge.read(self.at, key, floor, found);
            }
            self.host.sleep(Duration::from_micros(200)).await;
        }
        self.judge.at_work.fetch_sub(1, Ordering::SeqCst);
    }

    async fn reads_many(&self) {
        let first = fastrand::u64(..KEYS);
        let keys: Vec<u64> = (first..KEYS.min(first + 5)).collect();
        let floors: Vec<u64> = keys
            .iter()
            .map(|key| self.judge.floor(self.at, *key))
            .collect();
        let loader = async |keys: Vec<u64>| {
            let load = |key| (key, self.judge.load(key));
            Ok::<Vec<_>, LoadError>(keys.into_iter().map(load).collect())
        };
        let answers = self.node.get_many_or_load(&keys, loader).await;
        for ((key, answer), floor) in answers.into_iter().zip(floors) {
            self.judge
                .read(self.at, *key, floor, answer.unwrap().unwrap());
        }
    }

    async fn raises(self) {
        while !self.judge.over.load(Ordering::SeqCst) {
            let version = self.judge.begins();
            let clears = fastrand::u8(..8) == 0 && !self.judge.tags_only.load(Ordering::SeqCst);
            let tag = (!clears).then(|| fastrand::usize(..TAGS));
            let reach = match tag {
                Some(tag) => self.node.invalidate_tag(&format!("tag {tag}")).await,
                None => self.node.clear().await,
            };
            self.judge.returned(self.at, tag, version, reach.unwrap());
            let pause = Duration::from_millis(fastrand::u64(..15));
            self.host.sleep(pause).await;
        }
        self.judge.at_work.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<'a> Fleet<'a> {
    async fn over<R: Remote + Clone, B: Bus>(name: &'a str, l2: impl Fn() -> (R, B) + 'a) -> Self {
        let make = move |host: Host| {
            let builder = host.parent().local_cache(name);
            let (remote, bus) = l2();
            let builder: Builder<u64, u64> = builder.remote(remote, MessagePack).bus(bus);
            let builder = builder.remote_timeout(Duration::from_millis(100));
            builder.build().unwrap()
        };
        let nodes: Vec<Node> = Host::ALL.into_iter().map(&make).collect();
        for node in &nodes {
            node.listen().await;
            until("it listens", async || node.bus() == BusState::Up).await;
        }
        let fleet = Self {
            nodes,
            judge: Arc::default(),
            make: Box::new(make),
        };
        fleet.freezes().await;
        fleet
    }

    /// L2 gets values that only one raise is about, and that nobody loads again.
    async fn freezes(&self) {
        let newcomer = (self.make)(Host::Smol);
        until("they are in L2", async || {
            for key in COLD {
                let loader = async || Ok::<_, LoadError>(Load::from(0).tags(["cold"]));
                self.nodes[0].get_or_load(&key, loader).await.unwrap();
            }
            hits(&newcomer).await == COLD.count()
        })
        .await;
    }

    /// Their tag is raised.
    async fn raises_cold(&self) {
        until("L2 has acknowledged it", async || {
            let reach = self.nodes[1].invalidate_tag("cold").await.unwrap();
            assert_eq!(hits(&self.nodes[1]).await, 0);
            reach == Reach::Everywhere
        })
        .await;
    }

    /// Neither the nodes nor those that begin now read them.
    async fn is_cold(&self) {
        let newcomers = Host::ALL.map(&self.make);
        for node in self.nodes.iter().chain(&newcomers) {
            until("it reads none of them", async || hits(node).await == 0).await;
            assert_eq!(hits(node).await, 0, "they came back");
        }
    }

    /// Works through this weather, and is at rest after it: no node reads what was raised anywhere,
    /// and they read in L2 what others loaded.
    async fn endures(self, weather: impl AsyncFnOnce(&Self)) {
        let Self { nodes, judge, .. } = &self;
        for (at, host) in Host::ALL.into_iter().enumerate() {
            let worker = || Worker {
                at,
                host,
                node: nodes[at].clone(),
                judge: Arc::clone(judge),
            };
            judge.at_work.fetch_add(3, Ordering::SeqCst);
            host.spawn(worker().reads());
            host.spawn(worker().reads());
            host.spawn(worker().raises());
        }
        self.goes_on().await;
        weather(&self).await;
        self.goes_on().await;
        self.is_cold().await;
        judge.over.store(true, Ordering::SeqCst);
        until("all workers have ended", async || {
            judge.at_work.load(Ordering::SeqCst) == 0
        })
        .await;
        self.is_sound();
        for node in nodes {
            until("all raises are confirmed", async || {
                node.activity().pending_scopes == 0
            })
            .await;
        }
        for (at, node) in nodes.iter().enumerate() {
            until("it has heard of all raises", async || {
                let mut fresh = true;
                for key in 0..KEYS {
                    let found = node.get(&key).await.hit();
                    fresh &= found.is_none_or(|found| found >= judge.floor_of_all(key));
                }
                fresh
            })
            .await;
            for key in 0..KEYS {
                if let Some(found) = node.get(&key).await.hit() {
                    judge.read(at, key, judge.floor_of_all(key), found);
                }
            }
        }
        for (at, node) in nodes.iter().enumerate() {
            let other = &nodes[(at + 1) % nodes.len()];
            until("another reads in L2 what it has loaded", async || {
                let before = other.stats().remote_hits;
                for key in 0..KEYS {
                    node.invalidate(&key).await;
                    let loader = async || Ok::<_, LoadError>(judge.load(key));
                    node.get_or_load(&key, loader).await.unwrap();
                    other.invalidate_local(&key);
                    other.get(&key).await;
                }
                other.stats().remote_hits - before == KEYS
            })
            .await;
        }
        self.is_sound();
        for node in nodes {
            node.close().await;
        }
    }

    /// Lets some reads be answered, and some raises return.
    async fn goes_on(&self) {
        let judge = &self.judge;
        let raised = || {
            let acknowledged = judge.everywhere.iter().map(|of| of.load(Ordering::SeqCst));
            acknowledged.sum::<u64>() + judge.pending.load(Ordering::SeqCst)
        };
        let (answers, raises) = (judge.answers.load(Ordering::SeqCst), raised());
        until("the work goes on", async || {
            self.is_sound();
            judge.answers.load(Ordering::SeqCst) > answers + 300 && raised() > raises + 20
        })
        .await;
    }

    /// Until L2 has acknowledged some raises of each node.
    async fn acknowledges(&self) {
        let counts = &self.judge.everywhere;
        let before = counts.each_ref().map(|of| of.load(Ordering::SeqCst));
        for (of, before) in counts.iter().zip(before) {
            until("raises are acknowledged", async || {
                self.is_sound();
                of.load(Ordering::SeqCst) > before + 5
            })
            .await;
        }
    }

    fn has_failed_over(&self) {
        for node in &self.nodes {
            assert!(node.stats().failovers > 0, "{}", node.stats());
        }
    }

    fn is_sound(&self) {
        let broken = self.judge.broken.lock().unwrap().clone();
        assert_eq!(broken, None);
    }
}

/// How many of the cold keys a node reads.
async fn hits(node: &Node) -> usize {
    let keys: Vec<u64> = COLD.collect();
    let found = node.get_many(&keys).await;
    found.into_iter().filter(|(_, read)| read.is_hit()).count()
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds().await {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Three nodes around this server.
fn around(url: &str, name: &str, weather: impl AsyncFnOnce(&Fleet<'_>)) {
    Host::Tokio.block_on(async {
        let l2 = || {
            let redis = Redis::open(url).unwrap();
            let bus = redis.pubsub(name);
            (redis, bus)
        };
        Fleet::over(name, l2).await.endures(weather).await;
    });
}

fn fair() {
    let server = RedisServer::start();
    around(&server.url(), "fair", async |fleet| {
        fleet.raises_cold().await;
        fleet.is_cold().await;
    });
}

fn hangs() {
    let server = RedisServer::start();
    around(&server.url(), "hangs", async |fleet| {
        fleet.raises_cold().await;
        for _ in 0..3 {
            server.pause();
            let before = fleet.judge.pending.load(Ordering::SeqCst);
            until("raises are pending", async || {
                fleet.judge.pending.load(Ordering::SeqCst) > before + 5
            })
            .await;
            server.resume();
            fleet.acknowledges().await;
        }
    });
}

fn dies() {
    let mut server = RedisServer::start();
    around(&server.url(), "dies", async |fleet| {
        fleet.raises_cold().await;
        for _ in 0..2 {
            server.kill();
            fleet.goes_on().await;
            server.restart();
            fleet.acknowledges().await;
        }
    });
}

fn evicts() {
    let server = RedisServer::start();
    let (top, list) = ("{evicts:}#gen", "{evicts:}#raised");
    around(&server.url(), "evicts", async |fleet| {
        fleet.raises_cold().await;
        for gone in [&[top][..], &[list], &[top, list], &[top], &[list]] {
            assert_eq!(
                server.cli(&[&["EXISTS"], gone].concat()),
                gone.len().to_string()
            );
            server.cli(&[&["DEL"], gone].concat());
            fleet.is_cold().await;
            fleet.goes_on().await;
        }
        let lost: u64 = fleet.nodes.iter().map(|node| node.stats().log_lost).sum();
        assert!(lost > 0);
    });
}

fn falls_back() {
    let mut server = RedisServer::start();
    around(&server.url(), "falls-back", async |fleet| {
        for _ in 0..2 {
            fleet.judge.tags_only.store(true, Ordering::SeqCst);
            fleet.freezes().await;
            assert_eq!(server.cli(&["SAVE"]), "OK");
            fleet.raises_cold().await;
            fleet.acknowledges().await;
            server.restart();
            fleet.acknowledges().await;
            fleet.is_cold().await;
        }
        fleet.has_failed_over();
    });
}

fn fails_over() {
    let mut group = RedisGroup::start(1, 1);
    Host::Tokio.block_on(async {
        let addresses = group.addresses();
        let l2 = || {
            let redis = Redis::sentinel(GROUP, addresses.clone()).open().unwrap();
            let bus = redis.pubsub("fails-over");
            (redis, bus)
        };
        let fleet = Fleet::over("fails-over", l2).await;
        let weather = async |fleet: &Fleet<'_>| {
            fleet.judge.tags_only.store(true, Ordering::SeqCst);
            fleet.freezes().await;
            let last = format!("fails-over:{}", COLD.end());
            group.settle("the replica has them", |group| {
                group.cli(1, &["EXISTS", &last]) == "1"
            });
            // What the replica has not taken when its primary is gone never comes.
            group.server(1).pause();
            let _ = group.cli(0, &["CLIENT", "KILL", "TYPE", "replica"]);
            fleet.raises_cold().await;
            fleet.acknowledges().await;
            group.server_mut(0).kill();
            group.server(1).resume();
            fleet.goes_on().await;
            group.wait_for_another(0);
            fleet.acknowledges().await;
            fleet.has_failed_over();
        };
        fleet.endures(weather).await;
    });
}

fn cluster() {
    let mut servers = RedisNodes::start();
    Host::Tokio.block_on(async {
        let urls = servers.urls();
        let l2 = || {
            let cluster = RedisCluster::open(urls.clone()).unwrap();
            let bus = cluster.pubsub("cluster");
            (cluster, bus)
        };
        let log = servers.first_owner(servers.slot("{cluster:}#gen"));
        let fleet = Fleet::over("cluster", l2).await;
        let weather = async |fleet: &Fleet<'_>| {
            fleet.raises_cold().await;
            // The server of the log, and one of keys.
            for at in [log, (log + 1) % 3] {
                servers.node(at).pause();
                fleet.goes_on().await;
                servers.node(at).resume();
                servers.wait();
                fleet.acknowledges().await;
            }
            servers.node_mut(log).kill();
            fleet.goes_on().await;
            servers.node_mut(log).restart();
            servers.wait();
            fleet.acknowledges().await;
        };
        fleet.endures(weather).await;
    });
}

/// How many keys there are.
const KEYS: u64 = 60;
const TAGS: usize = 6;
/// Keys that are loaded once.
const COLD: RangeInclusive<u64> = 1000..=1019;
