//! L2 on a cluster.

use std::thread;
use std::time::Instant;

use jetcache_tests::redis_cluster::RedisNodes;
use serde_json::json;

use super::batches::{asked, keys, outcomes};
use super::process::{Node, PATIENCE, RUNTIMES, STEP, refused};

fn start(runtime: &str, cluster: &RedisNodes, more: &[&str]) -> Node {
    let urls = cluster.urls().join(",");
    let arguments = ["--runtime", runtime, "--redis-cluster", &urls];
    Node::start(&[&arguments, more].concat())
}

#[test]
fn a_batch_over_many_slots_is_one_batch() {
    let cluster = RedisNodes::start();
    for (at, runtime) in RUNTIMES.into_iter().enumerate() {
        println!("on {runtime}");
        let more = ["--namespace", runtime, "--remote-timeout-ms", "5000"];
        let mut here = start(runtime, &cluster, &more);
        let mut there = start(RUNTIMES[(at + 1) % 3], &cluster, &more);
        let batch = keys(1, 300);
        assert_eq!(
            here.ask(format!("mset {batch} one 1")),
            json!({"everywhere": true, "reach": "everywhere"})
        );
        assert_eq!(
            outcomes(&there.ask(format!("mget {batch},none")))[..300],
            ["hit"; 300]
        );
        assert_eq!(there.count("remote_hits"), 300);
        let more = keys(1, 400);
        let loaded = there.ask(format!("mload {more} two 2"));
        assert_eq!(outcomes(&loaded), ["hit"; 400]);
        assert_eq!(asked(&loaded).len(), 100);
        assert_eq!(outcomes(&here.ask(format!("mget {more}"))), ["hit"; 400]);
        assert_eq!(
            here.ask(format!("mdel {more}")),
            json!({"everywhere": true, "reach": "everywhere"})
        );
        assert_eq!(
            outcomes(&there.ask(format!("with skip-local mget {more}"))),
            ["miss"; 400]
        );
        assert_eq!(here.ask("load k a 1")["loaded"], true);
        assert_eq!(there.ask("load k b 2")["loaded"], false);
        assert_eq!(here.ask("setnx k c 3"), json!({"applied": false}));
        for node in [&mut here, &mut there] {
            assert_eq!(node.count("remote_faults"), 0);
            node.until_idle();
        }
        assert_eq!(left_over(&cluster), [0, 0, 0], "no lease is left");
    }
}

/// How many leases each master has.
fn left_over(cluster: &RedisNodes) -> [usize; 3] {
    [0, 1, 2].map(|at| {
        cluster
            .node(at)
            .cli(&["KEYS", "*#lease"])
            .lines()
            .filter(|key| !key.is_empty())
            .count()
    })
}

#[test]
fn a_master_that_dies_takes_only_its_own_keys_with_it() {
    for runtime in RUNTIMES {
        println!("on {runtime}");
        let mut cluster = RedisNodes::start();
        let more = ["--remote-timeout-ms", "2000", "--no-local"];
        let mut node = start(runtime, &cluster, &more);
        let lost = cluster.keys_on(1, 50, "node:#");
        let lost: Vec<&str> = lost.iter().map(|key| &key["node:".len()..]).collect();
        let kept: Vec<String> = [0, 2]
            .iter()
            .flat_map(|&at| cluster.keys_on(at, 25, "node:#"))
            .map(|key| key["node:".len()..].to_owned())
            .collect();
        let all = format!("{},{}", lost.join(","), kept.join(","));
        assert_eq!(
            node.ask(format!("mset {all} one 1")),
            json!({"everywhere": true, "reach": "everywhere"})
        );
        assert_eq!(outcomes(&node.ask(format!("mget {all}"))), ["hit"; 100]);
        cluster.node_mut(1).kill();

        let found = node.ask(format!("mget {all}"));
        assert_eq!(outcomes(&found), [["miss"; 50], ["hit"; 50]].concat());
        let loaded = node.ask(format!("mload {all} two 2"));
        assert_eq!(outcomes(&loaded), ["hit"; 100]);
        let mut wanted: Vec<String> = lost.iter().map(|&key| key.to_owned()).collect();
        wanted.sort_unstable();
        assert_eq!(asked(&loaded), wanted);
        let changed = node.ask(format!("mset {all} three 3"));
        assert_eq!(changed, json!({"everywhere": false, "reach": "pending"}));
        let kept = kept.join(",");
        assert_eq!(
            node.ask(format!("mset {kept} four 4")),
            json!({"everywhere": true, "reach": "everywhere"})
        );
        assert_eq!(
            node.ask(format!("mdel {}", lost.join(","))),
            json!({"everywhere": false, "reach": "pending"})
        );
        let kept = node.ask(format!("mget {kept}"));
        assert_eq!(kept["results"][0]["value"]["Num"], 4);
        assert!(node.count("remote_faults") > 0);
    }
}

#[test]
fn a_node_starts_without_its_cluster() {
    for runtime in RUNTIMES {
        let arguments = [
            "--runtime",
            runtime,
            "--redis-cluster",
            "redis://127.0.0.1:1,redis://127.0.0.1:2",
        ];
        let mut node = Node::start(&arguments);
        assert_eq!(
            outcomes(&node.ask("mload a,b,x Ada 1")),
            ["hit", "hit", "absent"]
        );
        assert_eq!(
            outcomes(&node.ask("mget a,b,x,c")),
            ["hit", "hit", "absent", "miss"]
        );
        assert_eq!(
            node.ask("mset a,b Ada 2"),
            json!({"everywhere": false, "reach": "pending"})
        );
    }
}

#[test]
fn a_short_time_for_l2_is_shorter_for_its_slots() {
    let cluster = RedisNodes::start();
    let lost = cluster.keys_on(1, 1, "node:#");
    let kept = cluster.keys_on(0, 1, "node:#");
    let ids = format!(
        "{},{}",
        &lost[0]["node:".len()..],
        &kept[0]["node:".len()..]
    );
    for runtime in RUNTIMES {
        // What hangs takes the whole time of its slot.
        let mut node = start(
            runtime,
            &cluster,
            &["--remote-timeout-ms", "150", "--no-local"],
        );
        node.until(
            &format!("mset {ids} one 1"),
            &json!({"everywhere": true, "reach": "everywhere"}),
        );
        cluster.node(1).pause();
        let wanted = ["miss", "hit"];
        until(|| outcomes(&node.ask(format!("mget {ids}"))) == wanted);
        cluster.node(1).resume();
        cluster.wait();
    }
}

/// Waits until this is so; a busy machine may be too slow once.
fn until(mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it never is");
        thread::sleep(STEP);
    }
}

#[test]
fn addresses_that_are_none_are_refused() {
    for (urls, word) in [
        ("", "redis://"),
        ("http://localhost", "redis://"),
        ("redis://localhost/1", "database"),
        ("redis://one,redis://:secret@two", "agree"),
        ("redis://one,", "redis://"),
    ] {
        let (code, text) = refused(&["--redis-cluster", urls]);
        assert_eq!(code, Some(2), "{urls}: {text}");
        assert!(
            text.contains(word) && !text.contains("secret"),
            "{urls}: {text}"
        );
    }
}
