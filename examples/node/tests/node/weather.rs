//! Three nodes under load while their Redis is stopped, killed, restarted empty, made read-only, out of
//! memory and failed over: what their callers wait, beside the limits that were configured. The times are
//! printed; what is checked is that nobody is ever answered an error, or later than the limits allow.

use std::thread;
use std::time::{Duration, Instant};

use jetcache_tests::redis_sentinels::{GROUP, RedisGroup};
use jetcache_tests::redis_server::RedisServer;

use super::process::Node;

/// How long a loader takes.
const LOAD: Duration = Duration::from_millis(5);
const REMOTE: Duration = Duration::from_millis(200);
/// For a machine that does other things, too.
const SLACK: Duration = Duration::from_secs(2);

/// Loads keys of its own, hits them and changes some; how long each line took, in microseconds.
fn callers(nodes: &mut [Node], phase: &str) -> Vec<u64> {
    let ask = |(at, node): (usize, &mut Node)| {
        let mut spans = Vec::new();
        for n in 0..60 {
            let key = format!("{phase}-{at}-{n}");
            for line in [
                format!("load {key} v {n} {}", LOAD.as_millis()),
                format!("load {key} v {n}"),
                format!("load shared-{phase}-{} v {n} {}", n % 20, LOAD.as_millis()),
            ] {
                let began = Instant::now();
                let answer = node.ask(&line);
                let took = began.elapsed();
                assert_eq!(answer["outcome"], "hit", "{phase}: {line}: {answer}");
                spans.push(u64::try_from(took.as_micros()).unwrap());
            }
            if n % 20 == 0 {
                let answer = node.ask(format!("set {key} changed {n}"));
                assert!(answer["reach"].is_string(), "{phase}: {answer}");
                assert_eq!(
                    node.ask(format!("load {key} v {n}"))["value"]["Str"],
                    "changed"
                );
            }
        }
        spans
    };
    thread::scope(|scope| {
        let nodes = nodes.iter_mut().enumerate();
        let threads: Vec<_> = nodes.map(|one| scope.spawn(|| ask(one))).collect();
        let spans = threads.into_iter().flat_map(|it| it.join().unwrap());
        spans.collect()
    })
}

/// A node on each runtime.
fn three(l2: &[&str]) -> Vec<Node> {
    let remote = REMOTE.as_millis().to_string();
    let node = |runtime: &&str| {
        let settings = [
            "--runtime",
            runtime,
            "--bus",
            "pubsub",
            "--remote-timeout-ms",
            &remote,
            "--stale-ms",
            "60000",
        ];
        Node::start(&[&settings[..], l2].concat())
    };
    ["tokio", "smol", "async-std"].iter().map(node).collect()
}

/// Callers in such weather: prints what they waited, and checks that against the limits.
fn phase(nodes: &mut [Node], name: &str) {
    // A lookup pays one timeout of L2, and its load; it waits for another's load no longer than that
    // takes.
    let limit = REMOTE * 2 + LOAD * 2 + SLACK;
    let mut spans = callers(nodes, &name.replace(' ', "-"));
    spans.sort_unstable();
    let at = |percent: usize| spans[(spans.len() - 1) * percent / 100];
    println!("{name:<18}{:>9}{:>9}{:>9}", at(50), at(99), at(100));
    let worst = Duration::from_micros(at(100));
    assert!(worst <= limit, "{name}: {worst:?}, the limit is {limit:?}");
}

#[test]
fn callers_of_three_nodes_wait_no_longer_than_the_limits() {
    let mut server = RedisServer::start();
    let mut nodes = three(&["--redis", &server.url()]);
    println!("limits: loader {LOAD:?}, remote_timeout {REMOTE:?}");
    println!(
        "{:<18}{:>9}{:>9}{:>9}",
        "Redis", "p50 us", "p99 us", "worst us"
    );
    phase(&mut nodes, "healthy");
    server.pause();
    phase(&mut nodes, "stopped");
    server.resume();
    phase(&mut nodes, "back");
    server.kill();
    phase(&mut nodes, "killed");
    server.restart();
    phase(&mut nodes, "restarted empty");
    server.cli(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    phase(&mut nodes, "out of memory");
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    server.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    phase(&mut nodes, "read-only");
    server.cli(&["REPLICAOF", "NO", "ONE"]);
    phase(&mut nodes, "well again");
    // What was changed meanwhile is removed from L2 once that can be.
    for node in &mut nodes {
        node.until_count("unconfirmed", 0);
    }
}

/// A replica is promoted that lacks the last changes.
#[test]
fn nothing_comes_back_after_a_failover_under_three_nodes() {
    let mut group = RedisGroup::start(1, 1);
    let sentinel = format!("{GROUP}@{}", group.addresses().join(","));
    let mut nodes = three(&["--redis-sentinel", &sentinel]);
    phase(&mut nodes, "healthy");
    for n in 0..60 {
        nodes[n % 3].ask(format!("set row-{n} old {n}"));
    }
    group.settle("the replica has it", |group| {
        group.cli(0, &["DBSIZE"]) == group.cli(1, &["DBSIZE"])
    });
    group.server(1).pause();
    let _ = group.cli(0, &["CLIENT", "KILL", "TYPE", "replica"]);
    for n in 0..60 {
        let answer = nodes[(n + 1) % 3].ask(format!("set row-{n} new {n}"));
        assert_eq!(answer["reach"], "everywhere", "{answer}");
    }
    group.server_mut(0).kill();
    group.server(1).resume();
    phase(&mut nodes, "primary killed");
    group.wait_for_another(0);
    phase(&mut nodes, "replica promoted");
    for node in &mut nodes {
        node.until_count("unconfirmed", 0);
        for n in 0..60 {
            let answer = node.ask(format!("load row-{n} loaded {n}"));
            assert_ne!(answer["value"]["Str"], "old", "row-{n} came back");
        }
    }
    phase(&mut nodes, "well again");
}
