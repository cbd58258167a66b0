//! Stale values: a failing or slow loader, one node or three, Redis up or down.

use std::thread::sleep;
use std::time::{Duration, Instant};

use jetcache_tests::redis_server::RedisServer;
use serde_json::json;

use super::process::{Node, RUNTIMES, with_redis};

fn start(runtime: &str, server: &RedisServer, more: &[&str]) -> Node {
    let url = server.url();
    let plain = [
        "--runtime",
        runtime,
        "--redis",
        &url,
        "--ttl-ms",
        "100",
        "--jitter",
        "0",
        "--stale-ms",
        "600000",
    ];
    Node::start(&[&plain[..], more].concat())
}

fn outlived(node: &mut Node, key: &str) {
    node.ask(format!("set {key} old 1"));
    sleep(Duration::from_millis(200));
}

#[test]
fn a_stale_answer_says_so() {
    with_redis(|runtime, server| {
        let mut node = start(runtime, &server, &["--stale-retry-ms", "600000"]);
        outlived(&mut node, "k");
        let answer = node.ask("load k ! 0");
        assert_eq!(
            answer,
            json!({
                "outcome": "hit", "value": {"Str": "old", "Num": 1}, "stale": true, "loaded": true
            })
        );
        // One attempt a period: nobody loads now, and all who read are told.
        let answer = node.ask("load k ! 0");
        assert_eq!(
            (&answer["stale"], &answer["loaded"]),
            (&json!(true), &json!(false))
        );
        for line in ["get k", "peek k"] {
            assert_eq!(node.ask(line)["stale"], true, "{line}");
        }
        for line in ["mget k", "mload k new 2"] {
            assert_eq!(node.ask(line)["results"][0]["stale"], true, "{line}");
        }
        assert_eq!(node.ask("stats")["stale"], 6);
        // What a change brings is fresh.
        node.ask("set k new 2");
        assert_eq!(
            node.ask("get k"),
            json!({"outcome": "hit", "value": {"Str": "new", "Num": 2}})
        );
    });
}

#[test]
fn with_a_soft_timeout_nobody_waits_and_the_load_is_kept() {
    with_redis(|runtime, server| {
        let mut node = start(runtime, &server, &["--soft-timeout-ms", "50"]);
        for line in [
            "load k new 2 1000",
            "rload k new 2 1000",
            "mload k new 2 1000",
        ] {
            outlived(&mut node, "k");
            let began = Instant::now();
            let mut answer = node.ask(line);
            let took = began.elapsed();
            if line.starts_with('m') {
                answer = answer["results"][0].take();
            }
            assert_eq!(
                (&answer["stale"], &answer["value"]["Str"]),
                (&json!(true), &json!("old"))
            );
            assert!(took < Duration::from_millis(900), "{line}: {took:?}");
            let mut seen = false;
            for _ in 0..100 {
                seen |= node.ask("get k")["value"]["Str"] == "new";
                sleep(Duration::from_millis(20));
            }
            assert!(seen, "{line}: the load goes on, and what it brings is kept");
        }
    });
}

#[test]
fn a_fleet_tries_a_failing_source_once_a_period() {
    with_redis(|runtime, server| {
        let options = ["--stale-retry-ms", "600000", "--bus", "pubsub"];
        let mut nodes: Vec<Node> = (0..3).map(|_| start(runtime, &server, &options)).collect();
        outlived(&mut nodes[0], "k");
        assert_eq!(nodes[0].ask("load k ! 0")["loaded"], true);
        sleep(Duration::from_millis(300));
        for node in &mut nodes {
            let answer = node.ask("load k ! 0");
            assert_eq!(
                (&answer["stale"], &answer["loaded"]),
                (&json!(true), &json!(false))
            );
        }
        nodes[1].ask("del k");
        sleep(Duration::from_millis(300));
        assert_eq!(nodes[2].ask("load k ! 0")["outcome"], "error");
    });
}

#[test]
fn without_redis_the_stale_value_of_l1_answers() {
    for runtime in RUNTIMES {
        let server = RedisServer::start();
        let mut node = start(runtime, &server, &["--remote-timeout-ms", "100"]);
        outlived(&mut node, "k");
        server.pause();
        let answer = node.ask("load k ! 0");
        assert_eq!(
            (&answer["stale"], &answer["value"]["Str"]),
            (&json!(true), &json!("old"))
        );
        server.resume();
    }
}
