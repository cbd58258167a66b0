//! What tags cost: reads of L2 with and without them against a bare `MGET` of the same keys, a raise of
//! 500 tags against a bare script with as many arguments, and what a node that starts has to read of a
//! full log, against the bare `ZRANGE`s. A hit in L1 is in `hits`.
//!
//! All through the same client, measured in turn, so that a machine whose speed drifts slows each; the
//! ratio is taken pair by pair. It starts a Redis server of its own. Run it with
//! `cargo bench -p jetcache-tests --all-features --bench generations`.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints, and ends where it cannot go on"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jetcache_adapters::{Raw, Redis};
use jetcache_core::{Cache, Call, Reach};
use jetcache_tests::redis_server::RedisServer;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Script};

const PAIRS: usize = 31;
const TAGS: usize = 500;
const MARKS: usize = 65_536;

type Value = Arc<[u8]>;
type Node = Cache<u64, Value>;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    println!("medians of {PAIRS} interleaved pairs (range in brackets):");
    runtime.block_on(async {
        for keys in [1, 100] {
            reads(keys).await;
        }
        raises().await;
        begins().await;
    });
}

fn node(server: &RedisServer) -> Node {
    let redis = Redis::builder(server.url()).connections(1).open().unwrap();
    let builder = jetcache_tokio::builder("tags").no_local();
    // No reading is spoilt by a busy machine.
    let builder = builder.remote_timeout(Duration::from_secs(10));
    builder.remote(redis, Raw).build().unwrap()
}

async fn reads(keys: u64) {
    let server = RedisServer::start();
    let (node, mut bare) = (node(&server), connection(&server).await);
    let [plain, tagged] = [0, keys].map(|from| (from..from + keys).collect::<Vec<u64>>());
    let value = |key: &u64| (*key, Value::from(vec![7; 100]));
    let with_tags = Call::new().tags(["one", "two", "three"]);
    for (keys, call) in [(&plain, Call::new()), (&tagged, with_tags)] {
        let inserted = node.insert_many_with(keys.iter().map(value), &call).await;
        assert!(inserted.iter().all(|(_, reached)| reached.is_ok()));
    }
    assert_eq!(
        node.invalidate_tag("another").await.unwrap(),
        Reach::Everywhere
    );
    let mut ratios = Ratios::new(["untagged values", "values with three tags"]);
    let rounds = if keys == 1 { 2_000 } else { 200 };
    for _ in 0..PAIRS {
        for (at, keys) in [&plain, &tagged].into_iter().enumerate() {
            let texts: Vec<String> = keys.iter().map(|key| format!("tags:{key}")).collect();
            let by_mget = time(rounds, async || {
                let mut mget = redis::cmd("MGET");
                let found: Vec<Option<Vec<u8>>> =
                    mget.arg(&texts).query_async(&mut bare).await.unwrap();
                assert!(found.iter().all(Option::is_some));
                black_box(found);
            });
            let by_mget = by_mget.await;
            let by_node = time(rounds, async || {
                let found = node.get_many(keys).await;
                assert_eq!(found.hits().count(), keys.len());
                black_box(found);
            });
            ratios.add(at, by_node.await, by_mget);
        }
    }
    ratios.print(&format!("{keys} hits in L2, x bare MGET"));
}

async fn raises() {
    let server = RedisServer::start();
    let (node, mut bare) = (node(&server), connection(&server).await);
    let tags: Vec<String> = (0..TAGS).map(|tag| format!("tag {tag}")).collect();
    let script = Script::new("return #ARGV");
    let mut ratios = Ratios::new(["one tag", "500 tags"]);
    let mut served = [0.0; 2];
    for _ in 0..PAIRS {
        for (at, count) in [1, TAGS].into_iter().enumerate() {
            let tags = &tags[..count];
            let by_script = time(50, async || {
                let mut call = script.prepare_invoke();
                for tag in tags {
                    call.arg(tag);
                }
                let counted: usize = call.invoke_async(&mut bare).await.unwrap();
                assert_eq!(counted, count);
            });
            let by_script = by_script.await;
            server.cli(&["CONFIG", "RESETSTAT"]);
            let by_node = time(50, async || {
                let reach = node.invalidate_tags(tags).await.unwrap();
                assert_eq!(reach, Reach::Everywhere);
            });
            ratios.add(at, by_node.await, by_script);
            served[at] += server_micros(&server) / PAIRS as f64;
        }
    }
    ratios.print("a raise, x a bare script with as many arguments");
    println!(
        "    of the server: {:.0} us for one, {:.0} us for {TAGS}",
        served[0], served[1]
    );
}

/// How long the server took for a script, on average.
fn server_micros(server: &RedisServer) -> f64 {
    let stats = server.cli(&["INFO", "commandstats"]);
    let line = stats
        .lines()
        .find(|line| line.starts_with("cmdstat_evalsha:"));
    let (_, rest) = line.unwrap().split_once("usec_per_call=").unwrap();
    rest.split(',').next().unwrap().parse().unwrap()
}

async fn begins() {
    let server = RedisServer::start();
    let mut bare = connection(&server).await;
    let fill = "for at = 0, 65535 do \
         redis.call('ZADD', KEYS[2], 1000 + math.floor(at / 500), string.format('t%04x', at)) end \
         redis.call('SET', KEYS[1], 1000 + math.floor(65535 / 500))";
    server.cli(&["EVAL", fill, "2", LOG[0], LOG[1]]);
    let mut ratios = Ratios::new(["its first read, and the news"]);
    let redis = Redis::builder(server.url()).connections(1).open().unwrap();
    for _ in 0..PAIRS {
        let begin = Instant::now();
        let mut known = std::collections::HashMap::new();
        let mut since = 0;
        loop {
            let mut page = redis::cmd("ZRANGE");
            page.arg(LOG[1]).arg(since).arg("+inf").arg("BYSCORE");
            page.arg("LIMIT").arg(0).arg(1000).arg("WITHSCORES");
            let page: Vec<(String, u64)> = page.query_async(&mut bare).await.unwrap();
            let (count, last) = (page.len(), page.last().map_or(0, |(_, mark)| *mark));
            known.extend(page);
            if count < 1000 {
                break;
            }
            since = last;
        }
        assert_eq!(known.len(), MARKS);
        let by_pages = begin.elapsed().as_secs_f64();
        let builder = jetcache_tokio::builder("tags").no_local();
        // On a busy machine the news takes longer than the default.
        let builder = builder.remote_timeout(Duration::from_secs(10));
        let node: Node = builder.remote(redis.clone(), Raw).build().unwrap();
        // Its connection stands.
        node.ping().await.unwrap();
        let begin = Instant::now();
        assert!(!node.get(&0).await.is_hit());
        ratios.add(0, begin.elapsed().as_secs_f64(), by_pages);
        assert_eq!(node.stats().remote_faults, 0, "{}", node.stats());
    }
    ratios.print(&format!(
        "a node that starts over a log of {MARKS} marks, x bare ZRANGEs"
    ));
}

/// Pairs of times, by what was measured.
struct Ratios {
    names: Vec<&'static str>,
    pairs: Vec<Vec<(f64, f64)>>,
}

impl Ratios {
    fn new<const N: usize>(names: [&'static str; N]) -> Self {
        Self {
            names: names.into(),
            pairs: vec![Vec::new(); N],
        }
    }

    fn add(&mut self, at: usize, ours: f64, theirs: f64) {
        self.pairs[at].push((ours / theirs, ours));
    }

    fn print(&self, what: &str) {
        println!("  {what}");
        for (name, pairs) in self.names.iter().zip(&self.pairs) {
            let mut pairs = pairs.clone();
            pairs.sort_by(|one, other| one.0.total_cmp(&other.0));
            let (ratio, took) = pairs[PAIRS / 2];
            println!(
                "    {name:<30} {ratio:.2} [{:.2} to {:.2}]  ({:.1} us)",
                pairs[0].0,
                pairs[PAIRS - 1].0,
                took * 1e6,
            );
        }
    }
}

/// The client that the adapter uses, set as the adapter sets it.
async fn connection(server: &RedisServer) -> MultiplexedConnection {
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let url = format!("{}?protocol=resp3", server.url());
    let client = Client::open(url).unwrap();
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .unwrap()
}

/// Seconds for one round.
async fn time(rounds: u32, mut round: impl AsyncFnMut()) -> f64 {
    round().await;
    let start = Instant::now();
    for _ in 0..rounds {
        round().await;
    }
    start.elapsed().as_secs_f64() / f64::from(rounds)
}

const LOG: [&str; 2] = ["{tags:}#gen", "{tags:}#raised"];
