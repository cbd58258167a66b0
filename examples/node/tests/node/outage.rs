//! Redis that is down, comes back, or hangs.

use std::thread;
use std::time::{Duration, Instant};

use jetcache_tests::proxy::Proxy;
use jetcache_tests::redis_server::RedisServer;
use serde_json::json;

use super::process::{Node, RUNTIMES, with_redis};

fn start(runtime: &str, server: &RedisServer) -> Node {
    // Busy machines take their time; a hung server costs it once a call.
    Node::start(&[
        "--runtime",
        runtime,
        "--redis",
        &server.url(),
        "--remote-timeout-ms",
        "400",
    ])
}

#[test]
fn a_node_starts_without_redis_and_uses_it_when_it_is_back() {
    with_redis(|runtime, mut server| {
        server.kill();
        let mut node = start(runtime, &server);
        works_alone(&mut node);
        server.restart();
        is_whole_again(&mut node, &server);
    });
}

#[test]
fn a_node_survives_a_redis_that_dies_and_returns() {
    with_redis(|runtime, mut server| {
        let mut node = start(runtime, &server);
        assert_eq!(
            node.ask("set before a 1"),
            json!({"everywhere": true, "reach": "everywhere"})
        );
        server.kill();
        assert_eq!(node.ask("get before")["outcome"], "hit", "L1 has it");
        works_alone(&mut node);
        server.restart();
        is_whole_again(&mut node, &server);
    });
}

/// Nothing is an error while Redis is away, but what only Redis can decide.
fn works_alone(node: &mut Node) {
    assert_eq!(node.ask("load k a 1")["loaded"], true);
    assert_eq!(node.ask("load k b 2")["value"]["Str"], "a");
    assert_eq!(node.ask("load none - 1")["outcome"], "absent");
    assert_eq!(node.ask("rload r a 1")["loaded"], true);
    assert_eq!(node.ask("get other"), json!({"outcome": "miss"}));
    assert_eq!(node.ask("exists other"), json!({"exists": false}));
    assert_eq!(
        node.ask("set s a 1"),
        json!({"everywhere": false, "reach": "pending"})
    );
    assert_eq!(
        node.ask("del k"),
        json!({"everywhere": false, "reach": "pending"})
    );
    assert_eq!(node.ask("get k"), json!({"outcome": "miss"}));
    for line in ["setnx n a 1", "setxx n a 1"] {
        let answer = node.ask(line);
        assert!(
            answer["error"].as_str().unwrap().contains("not known"),
            "{answer}"
        );
    }
    assert_eq!(
        node.ask("par 100 crowd a 1 300"),
        json!({"loads": 1, "ok": 100, "errors": 0})
    );
    // The breaker is open by now, so the conditional inserts were not sent.
    assert_eq!(node.count("unconfirmed"), 2);
    assert_eq!(node.count("became_unconfirmed"), 2);
    let stats = node.ask("stats");
    assert!(
        stats["breaker"] == "open" || stats["breaker"] == "half-open",
        "{stats}"
    );
    assert_eq!(stats["recovery"], 2);
    assert!(node.count("remote_faults") > 0 && node.count("remote_not_asked") > 0);
    assert!(node.ask("ping")["error"].is_string());
}

fn is_whole_again(node: &mut Node, server: &RedisServer) {
    // Once it has been asked, the very next call succeeds, of a key that is not in doubt.
    assert_eq!(node.ask("ping"), json!({"ok": true}));
    assert_eq!(node.ask("stats")["breaker"], "closed");
    assert_eq!(
        node.ask("set first a 1"),
        json!({"everywhere": true, "reach": "everywhere"})
    );
    assert_eq!(server.cli(&["EXISTS", "node:first"]), "1");
    node.until_count("unconfirmed", 0);
    for key in ["k", "s", "n"] {
        assert_eq!(
            server.cli(&["EXISTS", &format!("node:{key}")]),
            "0",
            "{key}"
        );
        assert_eq!(
            node.ask(format!("setnx {key} b 2")),
            json!({"applied": true})
        );
        assert_eq!(
            server.cli(&["EXISTS", &format!("node:{key}")]),
            "1",
            "{key}"
        );
    }
    node.until_idle();
}

/// Nobody asks for a sign of life, and nobody waits for one.
#[test]
fn a_node_finds_out_by_itself_that_redis_is_back() {
    with_redis(|runtime, mut server| {
        let mut node = start(runtime, &server);
        server.kill();
        for n in 0..8 {
            assert_eq!(node.ask(format!("load k{n} a 1"))["loaded"], true);
        }
        let (faults, before) = (node.count("remote_faults"), Instant::now());
        for n in 0..50 {
            assert_eq!(node.ask(format!("load m{n} a 1"))["loaded"], true);
        }
        assert_eq!(
            node.count("remote_faults"),
            faults,
            "in {:?}",
            before.elapsed()
        );
        server.restart();
        node.until_text("breaker", "closed");
        assert_eq!(node.ask("load first a 1")["loaded"], true);
        assert_eq!(server.cli(&["EXISTS", "node:first"]), "1");
        node.until_idle();
    });
}

#[test]
fn the_first_load_after_redis_is_back_fills_it() {
    with_redis(|runtime, mut server| {
        let mut node = start(runtime, &server);
        assert_eq!(
            node.ask("set before a 1"),
            json!({"everywhere": true, "reach": "everywhere"})
        );
        server.kill();
        assert_eq!(node.ask("load away a 1")["loaded"], true);
        server.restart();
        let faults = node.count("remote_faults");
        assert_eq!(node.ask("load first a 1")["loaded"], true);
        assert_eq!(node.count("remote_faults"), faults);
        assert_eq!(server.cli(&["EXISTS", "node:first"]), "1");
    });
}

#[test]
fn a_hung_redis_costs_a_lookup_one_timeout() {
    with_redis(|runtime, server| {
        let mut node = start(runtime, &server);
        assert_eq!(
            node.ask("set k a 1"),
            json!({"everywhere": true, "reach": "everywhere"})
        );
        server.pause();
        for faults in 1..=3 {
            let answer = node.ask(format!("load k{faults} a 1"));
            assert_eq!(
                (&answer["outcome"], &answer["loaded"]),
                (&json!("hit"), &json!(true))
            );
            assert_eq!(node.count("remote_faults"), faults);
        }
        assert_eq!(node.ask("get k")["outcome"], "hit", "L1 has it");
        assert_eq!(
            node.ask("with skip-local get k"),
            json!({"outcome": "miss"})
        );
        server.resume();
        node.until(
            "with skip-local get k",
            &json!({"outcome": "hit", "value": {"Str": "a", "Num": 1}}),
        );
        node.until_idle();
    });
}

#[test]
fn what_a_hung_redis_did_not_confirm_is_confirmed_later() {
    with_redis(|runtime, server| {
        let mut node = start(runtime, &server);
        for key in ["gone", "put", "kept"] {
            assert_eq!(
                node.ask(format!("set {key} old 1")),
                json!({"everywhere": true, "reach": "everywhere"})
            );
        }
        server.pause();
        assert_eq!(
            node.ask("del gone"),
            json!({"everywhere": false, "reach": "pending"})
        );
        assert_eq!(
            node.ask("set put new 2"),
            json!({"everywhere": false, "reach": "pending"})
        );
        assert_eq!(node.ask("get gone"), json!({"outcome": "miss"}));
        assert!(node.ask("setnx other a 1")["error"].is_string());
        assert_eq!(node.count("unconfirmed"), 3);
        // L2 is not believed about them, and not even asked.
        let faults = node.ask("load gone newer 3");
        assert_eq!(
            (&faults["loaded"], &faults["value"]["Str"]),
            (&json!(true), &json!("newer"))
        );
        server.resume();
        node.until_count("unconfirmed", 0);
        for key in ["gone", "put"] {
            let answer = node.ask(format!("with skip-local get {key}"));
            assert_ne!(answer["value"]["Str"], "old", "{key}");
        }
        assert_eq!(node.ask("with skip-local get kept")["value"]["Str"], "old");
        node.until_idle();
    });
}

#[test]
fn junk_in_redis_is_a_miss() {
    with_redis(|runtime, server| {
        let mut node = start(runtime, &server);
        assert_eq!(server.cli(&["SET", "node:junk", "no envelope"]), "OK");
        assert_eq!(server.cli(&["LPUSH", "node:list", "a"]), "1");
        for key in ["junk", "list"] {
            assert_eq!(node.ask(format!("get {key}")), json!({"outcome": "miss"}));
            assert_eq!(node.ask(format!("exists {key}")), json!({"exists": false}));
            assert_eq!(node.ask(format!("load {key} a 1"))["loaded"], true);
            assert_eq!(
                node.ask(format!("with skip-local get {key}"))["outcome"],
                "hit"
            );
        }
        assert_eq!(node.count("remote_faults"), 0);
        assert!(node.count("undecodable") > 0);
        assert_eq!(server.cli(&["FLUSHALL"]), "OK");
        assert_eq!(server.cli(&["SCRIPT", "FLUSH"]), "OK");
        assert_eq!(
            node.ask("with skip-local get junk"),
            json!({"outcome": "miss"})
        );
        assert_eq!(
            node.ask("set junk b 2"),
            json!({"everywhere": true, "reach": "everywhere"})
        );
    });
}

/// A load balancer whose backend is gone takes what is sent and answers nothing. New connections
/// work: L2 is back within seconds, the bus at its next heartbeat but one.
#[test]
fn connections_that_answer_nothing_are_replaced() {
    let server = RedisServer::start();
    thread::scope(|scope| {
        for runtime in RUNTIMES {
            let server = &server;
            scope.spawn(move || {
                let proxy = Proxy::start(server.port());
                let channel = format!("silence-{runtime}");
                let mut node = Node::start(&[
                    "--runtime",
                    runtime,
                    "--redis",
                    &proxy.url(),
                    "--namespace",
                    runtime,
                    "--bus-channel",
                    &channel,
                ]);
                assert_eq!(
                    node.ask("set a a 1"),
                    json!({"everywhere": true, "reach": "everywhere"})
                );
                let (bus, epoch) = (node.ask("stats")["bus"].clone(), node.count("epoch"));
                assert_eq!((bus, epoch), (json!("up"), 1));
                proxy.swallow();
                let deadline = Instant::now() + Duration::from_secs(60);
                let mut row = 0;
                while row < 10 {
                    let stands =
                        node.ask("set a a 2") == json!({"everywhere": true, "reach": "everywhere"});
                    row = if stands { row + 1 } else { 0 };
                    assert!(Instant::now() < deadline, "{runtime}: L2 is not back");
                }
                while node.count("epoch") == epoch || node.ask("stats")["bus"] != "up" {
                    thread::sleep(Duration::from_millis(50));
                    assert!(Instant::now() < deadline, "{runtime}: the bus is not back");
                }
                let faults = node.count("remote_faults");
                for n in 0..10 {
                    assert_eq!(
                        node.ask(format!("set b b {n}")),
                        json!({"everywhere": true, "reach": "everywhere"})
                    );
                }
                assert_eq!(node.count("remote_faults"), faults);
            });
        }
    });
}
