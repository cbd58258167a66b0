//! Nodes of all three runtimes that hear of each other, over pub/sub and over tracking.

use std::thread;
use std::time::{Duration, Instant};

use jetcache_tests::proxy::Proxy;
use jetcache_tests::redis_cluster::RedisNodes;
use jetcache_tests::redis_server::RedisServer;
use serde_json::{Value, json};

use super::fleet::pairs;
use super::process::{Node, PATIENCE, RUNTIMES, STEP, refused};

/// An hour: only the bus makes L1 forget.
pub(crate) const LONG: [&str; 2] = ["--local-ttl-ms", "3600000"];
const BUSES: [[&str; 2]; 2] = [["--bus-channel", "news"], ["--bus", "tracking"]];

pub(crate) fn is(text: &str) -> Value {
    json!({"outcome": "hit", "value": {"Str": text, "Num": 1}})
}

/// Waits until L1 does not have this value.
pub(crate) fn until_forgotten(node: &mut Node, key: &str, old: &str) {
    let deadline = Instant::now() + PATIENCE;
    while node.ask(format!("peek {key}")) == is(old) {
        assert!(Instant::now() < deadline, "{key} is still {old}");
        thread::sleep(STEP);
    }
}

/// Waits until L1 has this value, and keeps it: late words of its own insert may still come.
pub(crate) fn until_kept(node: &mut Node, key: &str, text: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        node.ask(format!("get {key}"));
        thread::sleep(STEP);
        let kept = node.ask(format!("peek {key}"));
        if kept == is(text) {
            return;
        }
        assert!(Instant::now() < deadline, "{key}: {kept}, not {text}");
    }
}

pub(crate) fn until_up(node: &mut Node) {
    let deadline = Instant::now() + PATIENCE;
    while node.ask("stats")["bus"] != "up" {
        assert!(Instant::now() < deadline, "{}", node.ask("stats"));
        thread::sleep(STEP);
    }
}

#[test]
fn what_one_node_changes_the_other_forgets() {
    for bus in BUSES {
        pairs(&[bus, LONG].concat(), |mut here, mut there, _| {
            for change in [
                "set k new 1",
                "setxx k new 1",
                "del k",
                "wt k new 1 5",
                "wt k - 1",
                "wt k ! 1",
                "mset a,k new 1",
                "mdel k,a",
            ] {
                here.ask("set k old 1");
                until_kept(&mut there, "k", "old");
                here.ask(change);
                until_forgotten(&mut there, "k", "old");
                assert_ne!(there.ask("get k"), is("old"), "{change}");
            }
            assert_eq!(
                here.count("remote_faults") + there.count("remote_faults"),
                0
            );
            assert_eq!(here.count("bus_faults") + there.count("bus_faults"), 0);
        });
    }
}

#[test]
fn a_load_is_told_to_nobody_and_own_words_are_ignored() {
    pairs(&[BUSES[0], LONG].concat(), |mut here, mut there, _| {
        here.ask("load k one 1");
        here.ask("mload a,b one 1");
        there.ask("get k");
        here.ask("setnx k two 1");
        assert_eq!(there.ask("events 1 300"), json!({"events": 0}));
        assert_eq!(there.ask("peek k"), is("one"));
        here.ask("set k two 1");
        assert_eq!(there.ask("events 1 10000"), json!({"events": 1}));
        assert_eq!(there.ask("events 1 50"), json!({"events": 0}));
        assert_eq!(here.ask("peek k"), is("two"));
        assert_eq!(here.count("heard"), 0);
    });
}

#[test]
fn tracking_sees_writers_that_tell_nobody() {
    pairs(&[BUSES[1], LONG].concat(), |mut here, mut there, server| {
        here.ask("set k old 1");
        until_kept(&mut there, "k", "old");
        server.cli(&["DEL", "node:k"]);
        until_forgotten(&mut there, "k", "old");
        here.ask("set k old 1");
        until_kept(&mut there, "k", "old");
        let epoch = there.count("epoch");
        server.cli(&["FLUSHALL"]);
        until_forgotten(&mut there, "k", "old");
        there.until_count("epoch", epoch + 1);
    });
}

/// Each life has an id of its own, also under a name, so that what an earlier life said is heard.
#[test]
fn source_ids_are_of_one_life() {
    let server = RedisServer::start();
    let url = server.url();
    let start = |runtime| {
        let arguments = [
            "--runtime",
            runtime,
            "--redis",
            &url,
            "--bus-channel",
            "news",
        ];
        Node::start(&[&arguments[..], &["--source-id", "shop"], &LONG].concat())
    };
    for runtime in RUNTIMES {
        let mut first = start(runtime);
        let old = first.ask("stats")["source"].as_str().unwrap().to_owned();
        first.kill();
        let mut second = start(runtime);
        let new = second.ask("stats")["source"].as_str().unwrap().to_owned();
        assert!(old.starts_with("shop-") && new.starts_with("shop-") && old != new);
        second.ask("load k one 1");
        // A word of the first life comes late.
        let word = |source: &str| {
            json!({"CacheName": "node", "SourceID": source, "EventType": 5, "Keys": ["node:k"]})
                .to_string()
        };
        server.cli(&["PUBLISH", "news", &word(&new)]);
        server.cli(&["PUBLISH", "news", &word(&old)]);
        assert_eq!(second.ask("events 1 10000"), json!({"events": 1}));
        assert_eq!(second.ask("peek k"), json!({"outcome": "miss"}));
        assert_eq!(second.count("heard"), 1);
        second.ask("del k");
    }
}

#[test]
fn what_cannot_be_understood_is_counted_and_survived() {
    let server = RedisServer::start();
    for runtime in RUNTIMES {
        let channel = format!("news-{runtime}");
        let arguments = ["--runtime", runtime, "--bus-channel", &channel];
        let mut node = Node::start(&[&arguments, &["--redis", &server.url()][..]].concat());
        for word in [
            "",
            "{",
            "7",
            r#"{"CacheName":"node","SourceID":"x","EventType":99,"Keys":["node:k"]}"#,
        ] {
            server.cli(&["PUBLISH", &channel, word]);
        }
        server.cli(&["PUBLISH", "another", "{"]);
        let told = r#"{"CacheName":"any","SourceID":"x","EventType":2,"Keys":["node:k"]}"#;
        server.cli(&["PUBLISH", &channel, told]);
        assert_eq!(node.ask("events 1 10000"), json!({"events": 1}));
        assert_eq!(node.count("garbled"), 4);
    }
}

/// Scenario 13.
#[test]
fn what_was_missed_is_not_served_once_the_bus_is_back() {
    for bus in BUSES {
        for (at, runtime) in RUNTIMES.into_iter().enumerate() {
            let server = RedisServer::start();
            let proxy = Proxy::start(server.port());
            let start = |runtime: &str, url: &str| {
                let arguments = ["--runtime", runtime, "--redis", url];
                Node::start(&[&arguments[..], &bus, &LONG].concat())
            };
            let mut here = start(RUNTIMES[(at + 1) % 3], &server.url());
            let mut there = start(runtime, &proxy.url());
            here.ask("set k old 1");
            until_kept(&mut there, "k", "old");
            let epoch = there.count("epoch");
            proxy.cut();
            let deadline = Instant::now() + PATIENCE;
            while there.ask("stats")["bus"] != "down" {
                assert!(Instant::now() < deadline, "the cut is not noticed");
                thread::sleep(STEP);
            }
            assert_eq!(
                here.ask("set k new 1"),
                json!({"everywhere": true, "reach": "everywhere"})
            );
            thread::sleep(Duration::from_millis(200));
            assert_eq!(there.ask("peek k"), is("old"), "it is deaf");
            proxy.mend();
            until_up(&mut there);
            there.until_count("epoch", epoch + 1);
            assert_eq!(there.ask("get k"), is("new"));
        }
    }
}

#[test]
fn the_bus_comes_back_with_redis() {
    for bus in BUSES {
        pairs(&[bus, LONG].concat(), |mut here, mut there, server| {
            // Whoever cuts the subscriptions alone.
            let kind = if bus[1] == "tracking" {
                "normal"
            } else {
                "pubsub"
            };
            here.ask("set k old 1");
            there.until("get k", &is("old"));
            let epoch = there.count("epoch");
            server.cli(&["CLIENT", "KILL", "TYPE", kind]);
            let deadline = Instant::now() + PATIENCE;
            while there.count("epoch") == epoch {
                assert!(Instant::now() < deadline, "{}", there.ask("stats"));
                thread::sleep(STEP);
            }
            until_up(&mut here);
            until_up(&mut there);
            there.until("get k", &is("old"));
            here.ask("set k new 1");
            until_forgotten(&mut there, "k", "old");
        });
    }
}

#[test]
fn while_the_bus_is_down_l1_keeps_less() {
    for runtime in RUNTIMES {
        let server = RedisServer::start();
        let proxy = Proxy::start(server.port());
        let arguments = ["--runtime", runtime, "--redis", &proxy.url()];
        let blind = ["--blind-local-ttl-ms", "300"];
        let mut node = Node::start(&[&arguments[..], &BUSES[0], &LONG, &blind].concat());
        node.ask("load k one 1");
        thread::sleep(Duration::from_millis(600));
        assert_eq!(node.ask("peek k"), is("one"));
        proxy.cut();
        until_forgotten(&mut node, "k", "one");
        node.ask("load k one 1");
        until_forgotten(&mut node, "k", "one");
    }
}

#[test]
fn a_cluster_tells_and_is_not_watched() {
    let cluster = RedisNodes::start();
    let urls = cluster.urls().join(",");
    let start = |runtime: &str| {
        let arguments = ["--runtime", runtime, "--redis-cluster", &urls];
        Node::start(&[&arguments[..], &BUSES[0], &LONG].concat())
    };
    let (mut one, mut two, mut three) = (start("tokio"), start("smol"), start("async-std"));
    for key in ["k", "{k}", "a}b", "{}k", "x{y}z"] {
        one.ask(format!("set {key} old 1"));
        for node in [&mut two, &mut three] {
            until_kept(node, key, "old");
        }
        for change in ["set KEY new 1", "del KEY", "wt KEY new 1"] {
            two.ask(change.replace("KEY", key));
            until_forgotten(&mut one, key, "old");
            until_forgotten(&mut three, key, "old");
        }
        three.ask(format!("del {key}"));
    }
    let (code, error) = refused(&["--redis-cluster", &urls, "--bus", "tracking"]);
    assert!(code == Some(2) && error.contains("cluster"), "{error}");
}

/// What a Go service does: it knows nothing of leases, and tells through its documented handler.
#[test]
fn a_go_service_takes_part() {
    let more = [&BUSES[0][..], &LONG, &["--wire", "jetcache-go"]].concat();
    pairs(&more, |mut here, mut there, server| {
        let word = |kind: u8| {
            json!({"CacheName": "node", "SourceID": "0123456789abcdef", "EventType": kind, "Keys": ["node:k"]})
                .to_string()
        };
        here.ask("load k old 1");
        until_kept(&mut there, "k", "old");
        // Go deletes; somebody who loaded before that fills afterwards; then the word comes.
        let stale = server.cli(&["--no-raw", "DUMP", "node:k"]);
        assert!(!stale.is_empty());
        server.cli(&["RENAME", "node:k", "stale"]);
        server.cli(&["RENAME", "stale", "node:k"]);
        server.cli(&["PUBLISH", "news", &word(5)]);
        until_forgotten(&mut there, "k", "old");
        until_forgotten(&mut here, "k", "old");
        here.until("get k", &json!({"outcome": "miss"}));
        there.until("get k", &json!({"outcome": "miss"}));
        assert_eq!(server.cli(&["EXISTS", "node:k"]), "0");
        for node in [&mut here, &mut there] {
            node.until_count("unconfirmed", 0);
        }
        // What was inserted is later than any load.
        here.ask("set k new 1");
        until_kept(&mut there, "k", "new");
        server.cli(&["PUBLISH", "news", &word(5)]);
        until_forgotten(&mut there, "k", "new");
        until_forgotten(&mut here, "k", "new");
        for node in [&mut here, &mut there] {
            node.until_count("unconfirmed", 0);
            node.until("get k", &is("new"));
        }
        // What we tell, Go reads; and no node's removal was told.
        let told = server.cli(&["PUBSUB", "NUMSUB", "news"]);
        assert!(told.contains('2'), "{told}");
        let heard = (here.count("heard"), there.count("heard"));
        thread::sleep(Duration::from_millis(200));
        assert_eq!((here.count("heard"), there.count("heard")), heard);
    });
}
