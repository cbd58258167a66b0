//! Very many keys at once, on three nodes of three runtimes around one Redis.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join;
use jetcache_adapters::{MessagePack, Redis};
use jetcache_core::{Builder, BusState, Cache, Cached, LoadError, Reach};
use jetcache_tests::redis_server::RedisServer;

use crate::behaviour::stage::{Cases, Host, Log};

pub(crate) const CASES: Cases<fn()> = &[
    (
        "of_100_000_removals_in_a_hang_nothing_comes_back_on_any_node",
        removals_in_a_hang,
    ),
    (
        "a_million_keys_are_cleared_at_once_and_loaded_once",
        clear_of_a_million,
    ),
];

/// Values are version numbers.
type Node = Cache<u32, u32>;

fn node(host: Host, server: &RedisServer, name: &str) -> Builder<u32, u32> {
    let redis = Redis::open(&server.url()).unwrap();
    let builder = host.parent().local_cache(name);
    let bus = redis.pubsub(name);
    // Room for all keys, however the engine divides them.
    let builder = builder.remote(redis, MessagePack).bus(bus);
    builder
        .capacity(4 * KEYS as usize)
        .jitter(0, Duration::ZERO)
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds().await {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn all_listen(nodes: &[Node]) {
    for node in nodes {
        node.listen().await;
        until("it listens", async || node.bus() == BusState::Up).await;
    }
}

/// The keys whose old value this node reads.
async fn old_on(node: &Node, keys: &[u32]) -> Vec<u32> {
    let found = node.get_many(keys).await;
    let old = found
        .into_iter()
        .filter(|(_, read)| *read == Cached::Hit(OLD));
    old.map(|(key, _)| *key).collect()
}

async fn load_all(node: &Node, keys: &[u32]) {
    let loader = async |keys: Vec<u32>| {
        let new = keys.into_iter().map(|key| (key, NEW));
        Ok::<Vec<_>, LoadError>(new.collect())
    };
    for (key, answer) in node.get_many_or_load(keys, loader).await {
        assert_eq!(answer.unwrap(), Some(NEW), "{key}");
    }
}

fn removals_in_a_hang() {
    let log = Log::capture();
    let server = RedisServer::start();
    let name = "removals-in-a-hang";
    Host::Tokio.block_on(async {
        let node = |host| node(host, &server, name).unconfirmed_capacity(20_000);
        // Only the first one gives up what hangs, and so has nothing else to do meanwhile.
        let patient = |host| node(host).remote_timeout(PATIENCE);
        let [one, two, three] = Host::ALL;
        let builders = [node(one), patient(two), patient(three)];
        let nodes = builders.map(|builder| builder.build().unwrap());
        all_listen(&nodes).await;
        let keys: Vec<u32> = (0..KEYS).collect();
        let [raiser, others @ ..] = &nodes;
        others[0].insert(0, OLD).await.unwrap();
        multiply(&server, name, KEYS);
        // The others have all of them in L1.
        for node in others {
            until("the words of the inserts have been heard", async || {
                node.get_many(&keys).await;
                keys.iter().all(|key| node.peek(key) == Cached::Hit(OLD))
            })
            .await;
        }

        server.pause();
        let removing = async {
            let reached = raiser.invalidate_many(&keys).await;
            let pending = |(_, reach): &(&u32, Reach)| *reach == Reach::Pending;
            assert!(reached.into_iter().any(|reached| pending(&reached)));
            assert_eq!(old_on(raiser, &keys).await.len(), 0);
        };
        let hanging = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            until("there are too many", async || raiser.stats().overflowed > 0).await;
            server.resume();
        };
        join(removing, hanging).await;
        until("the removals are made up for", async || {
            let left = raiser.activity();
            (left.pending_scopes, left.unconfirmed) == (0, 0)
        })
        .await;
        for node in others {
            until("it has heard of them", async || {
                old_on(node, &keys).await.is_empty()
            })
            .await;
        }
        // None comes back, and L2 is used again.
        let some: Vec<u32> = (0..KEYS).step_by(20).collect();
        for node in others {
            until("L2 is read for all of them", async || {
                load_all(&others[0], &some).await;
                node.clear_local();
                let before = node.stats().remote_hits;
                for (key, read) in node.get_many(&some).await {
                    assert_ne!(read, Cached::Hit(OLD), "{key}");
                }
                node.stats().remote_hits - before == some.len() as u64
            })
            .await;
            assert_eq!(old_on(node, &keys).await.len(), 0);
        }
        let stats = raiser.stats();
        assert!(stats.raises_confirmed > 0, "{stats}");
        for text in [
            "more changes are unconfirmed than there is room to remember",
            "has acknowledged all raises",
        ] {
            let line = |line: &String| line.contains(text) && line.contains(name);
            assert!(
                log.lines(text).iter().any(line),
                "the log does not say: {text}"
            );
        }
        for node in &nodes {
            node.close().await;
        }
    });
}

/// The rows, and how often each was loaded as it was before and after the clear.
struct Rows {
    version: AtomicU32,
    loads: Vec<[AtomicU32; 2]>,
}

impl Rows {
    fn load(&self, key: u32) -> u32 {
        let version = self.version.load(Ordering::SeqCst);
        let loads = &self.loads[key as usize][(version - OLD) as usize];
        loads.fetch_add(1, Ordering::SeqCst);
        version
    }

    fn loads(&self, version: u32) -> Vec<u32> {
        let loads = self.loads.iter();
        loads
            .map(|of| of[(version - OLD) as usize].load(Ordering::SeqCst))
            .collect()
    }
}

/// Reads hot keys until it is over; `cleared`: an old value is wrong from then on.
async fn reads_on(
    host: Host,
    node: Node,
    rows: Arc<Rows>,
    cleared: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
) {
    let mut newest = vec![OLD; HOT as usize];
    while !over.load(Ordering::SeqCst) {
        for key in 0..HOT {
            let is_cleared = cleared.load(Ordering::SeqCst);
            let loader = async || Ok::<_, LoadError>(rows.load(key));
            let found = node.get_or_load(&key, loader).await.unwrap().unwrap();
            assert!(!is_cleared || found == NEW, "{key} is old after the clear");
            let newest = &mut newest[key as usize];
            assert!(found >= *newest, "{key} became old again");
            *newest = found;
        }
        host.sleep(Duration::from_millis(1)).await;
    }
}

/// Gives so many keys the value of the first one, as quickly as the server can.
fn multiply(server: &RedisServer, name: &str, keys: u32) {
    for first in (0..keys).step_by(50_000) {
        let script = "local value = redis.call('GET', ARGV[1]..'0') \
             for at = ARGV[2], ARGV[2] + 49999 do \
             redis.call('SET', ARGV[1]..string.format('%d', at), value, 'EX', 3600) end";
        let prefix = format!("{name}:");
        server.cli(&["EVAL", script, "0", &prefix, &first.to_string()]);
    }
    assert_eq!(
        server.cli(&["EXISTS", &format!("{name}:{}", keys - 1)]),
        "1"
    );
}

fn clear_of_a_million() {
    let server = RedisServer::start();
    let name = "clear-of-a-million";
    Host::Tokio.block_on(async {
        let node = |host| {
            let builder = node(host, &server, name).remote_timeout(PATIENCE).ttl(HOUR);
            builder.lease(4 * PATIENCE).lease_wait(4 * PATIENCE).build()
        };
        let [clearing, other, last] = Host::ALL.map(|host| node(host).unwrap());
        last.insert(0, OLD).await.unwrap();
        multiply(&server, name, MILLION);
        let nodes = [clearing, other];
        all_listen(&nodes).await;
        let rows = Arc::new(Rows {
            version: AtomicU32::new(OLD),
            loads: (0..HOT).map(|_| Default::default()).collect(),
        });
        let over = Arc::<AtomicBool>::default();
        let cleared = [(); 2].map(|()| Arc::<AtomicBool>::default());
        let mut readers = Vec::new();
        for (node, (host, cleared)) in nodes.iter().zip(Host::ALL.into_iter().zip(&cleared)) {
            for _ in 0..2 {
                let reading = reads_on(
                    host,
                    node.clone(),
                    Arc::clone(&rows),
                    Arc::clone(cleared),
                    Arc::clone(&over),
                );
                readers.push(tokio::spawn(reading));
            }
            until("the hot keys are in L1", async || {
                (0..HOT).all(|key| node.peek(&key) == Cached::Hit(OLD))
            })
            .await;
        }
        assert_eq!(rows.loads(OLD), vec![0; HOT as usize], "all is in L2");

        let [clearing, other] = &nodes;
        rows.version.store(NEW, Ordering::SeqCst);
        assert_eq!(clearing.clear().await.unwrap(), Reach::Everywhere);
        cleared[0].store(true, Ordering::SeqCst);
        assert!((0..HOT).all(|key| clearing.peek(&key) != Cached::Hit(OLD)));
        until("the other has heard of it", async || {
            (0..HOT).all(|key| other.peek(&key) != Cached::Hit(OLD))
        })
        .await;
        cleared[1].store(true, Ordering::SeqCst);
        for node in &nodes {
            until("the hot keys are back in L1", async || {
                (0..HOT).all(|key| node.peek(&key) == Cached::Hit(NEW))
            })
            .await;
            let cold = (HOT..MILLION).step_by(997);
            let cold: Vec<u32> = cold.chain([MILLION - 1]).collect();
            assert_eq!(old_on(node, &cold).await.len(), 0);
        }
        over.store(true, Ordering::SeqCst);
        for reader in readers {
            reader.await.unwrap();
        }
        let loads = rows.loads(NEW);
        assert!(
            loads.iter().all(|loads| (1..=2).contains(loads)),
            "{loads:?}"
        );
        // Only what was under way when the news came may be loaded again, once by each of four readers
        // for the answer and for the word.
        let again = loads.iter().filter(|loads| **loads > 1).count();
        assert!(again <= 8, "{again} keys were loaded twice");
        assert_eq!(rows.loads(OLD), vec![0; HOT as usize]);
        for node in [clearing, other, &last] {
            node.close().await;
        }
    });
}

const KEYS: u32 = 100_000;
const MILLION: u32 = 1_000_000;
const HOT: u32 = 500;
const OLD: u32 = 1;
const NEW: u32 = 2;
/// Longer than a busy machine takes for anything.
const PATIENCE: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);
