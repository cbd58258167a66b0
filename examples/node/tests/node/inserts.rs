//! What an insert promises: beside it readers see the old value or the new one, and its reply says
//! whether the value stands.

use std::thread;

use jetcache_tests::redis_server::RedisServer;
use serde_json::{Value, json};

use super::bus::{LONG, is};
use super::fleet::pairs;
use super::process::{Node, RUNTIMES};

fn reach(name: &str) -> Value {
    json!({"everywhere": name == "everywhere", "reach": name})
}

/// How often the server has no such key while two nodes overwrite it again and again, or lets
/// through what a Go service sets only if there is none.
fn misses_beside(here: &mut Node, there: &mut Node, server: &RedisServer, rounds: u64) -> usize {
    let mut missed = 0;
    for round in 0..rounds {
        // So many at once that they overtake each other.
        let lines: Vec<(u64, u64)> = (0..40)
            .map(|n| {
                let one = here.send(format!("& set k here {}", round * 40 + n));
                (one, there.send(format!("& set k there {n}")))
            })
            .collect();
        for _ in 0..5 {
            let exists = server.cli(&["EXISTS", "node:k"]) == "1";
            let refused = server.cli(&["SET", "node:k", "go", "NX", "PX", "60000"]) != "OK";
            missed += usize::from(!(exists && refused));
        }
        for (one, two) in lines {
            assert_eq!(here.reply(one), reach("everywhere"));
            assert_eq!(there.reply(two), reach("everywhere"));
        }
    }
    missed
}

#[test]
fn readers_beside_an_insert_see_the_old_value_or_the_new_one() {
    for wire in [&[][..], &["--wire", "jetcache-go"]] {
        let more = [wire, &["--remote-timeout-ms", "5000"]].concat();
        pairs(&more, |mut here, mut there, server| {
            assert_eq!(here.ask("set k here 0"), reach("everywhere"));
            assert_eq!(misses_beside(&mut here, &mut there, server, 40), 0);
            let (one, two) = (
                here.ask("with skip-local get k"),
                there.ask("with skip-local get k"),
            );
            assert_eq!(one["outcome"], "hit");
            assert_eq!(one, two);
        });
    }
}

#[test]
fn a_node_killed_within_an_insert_loses_nothing() {
    for runtime in RUNTIMES {
        println!("on {runtime}");
        let server = RedisServer::start();
        let url = server.url();
        let node = || Node::start(&["--runtime", runtime, "--redis", &url]);
        let mut there = node();
        there.ask("set k old 1");
        for _ in 0..10 {
            let mut here = node();
            let first = here.send("set k new 1");
            for n in 0..300 {
                here.send(format!("& set k new {n}"));
            }
            here.reply(first);
            here.kill();
            for _ in 0..20 {
                let found = there.ask("with skip-local get k");
                assert_eq!(found["outcome"], "hit", "killed in the middle");
            }
        }
    }
}

/// A server that is full, and what makes it so.
fn full(arguments: &[&str]) -> RedisServer {
    let server = RedisServer::start_with(arguments);
    let filler = "x".repeat(100_000);
    for n in 0..200 {
        server.cli(&["SET", &format!("filler:{n}"), &filler, "EX", "3600"]);
    }
    server
}

#[test]
fn a_server_without_room_is_told_apart_from_one_that_stores() {
    for runtime in RUNTIMES {
        println!("on {runtime}");
        let server = full(&[]);
        let url = server.url();
        let node = || Node::start(&["--runtime", runtime, "--redis", &url]);
        let (mut here, mut there) = (node(), node());
        assert_eq!(here.ask("set k old 1"), reach("everywhere"));
        assert_eq!(there.ask("get k"), is("old"));
        server.cli(&["CONFIG", "SET", "maxmemory", "1mb"]);
        assert_eq!(here.ask("set k new 1"), reach("not_stored"));
        assert_eq!(here.ask("peek k"), is("new"), "its own L1 has it");
        let seen = there.ask("with skip-local get k");
        assert_eq!(seen, json!({"outcome": "miss"}), "the older one is gone");
        assert_eq!(here.ask("mset a,b new 1"), reach("not_stored"));
        assert_eq!(here.ask("setnx c new 1"), json!({"applied": false}));
        assert_eq!(here.ask("setxx c new 1"), json!({"applied": false}));
        assert_eq!(here.count("unconfirmed"), 0);
        server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
        assert_eq!(here.ask("setnx c new 1"), json!({"applied": true}));
        assert_eq!(here.ask("set k new 1"), reach("everywhere"));
        assert_eq!(there.ask("with skip-local get k"), is("new"));
    }
}

#[test]
fn what_is_pending_can_be_waited_for() {
    for runtime in RUNTIMES {
        println!("on {runtime}");
        let server = RedisServer::start();
        let url = server.url();
        let more = ["--remote-timeout-ms", "100"];
        let node = || Node::start(&[&["--runtime", runtime, "--redis", &url], &more[..]].concat());
        let (mut here, mut there) = (node(), node());
        here.ask("set k old 1");
        assert_eq!(here.ask("confirm k 0"), json!({"confirmed": true}));
        server.pause();
        assert_eq!(here.ask("set k new 1"), reach("pending"));
        assert_eq!(here.ask("del l"), reach("pending"));
        assert_eq!(here.ask("confirm k 200"), json!({"confirmed": false}));
        server.resume();
        assert_eq!(here.ask("confirm k 10000"), json!({"confirmed": true}));
        assert_eq!(here.ask("confirm l 10000"), json!({"confirmed": true}));
        assert_ne!(there.ask("with skip-local get k"), is("old"));
        assert_eq!(here.ask("set k newer 1"), reach("everywhere"));
        assert_eq!(there.ask("with skip-local get k"), is("newer"));
    }
}

#[test]
fn a_server_that_evicts_leases_does_not_make_every_call_load() {
    // With and without a bus that tells of changes.
    for (bus, most) in [(&["--bus-channel", "news"][..], 5), (&[], 40)] {
        for policy in ["volatile-ttl", "volatile-lfu"] {
            println!("{policy}, {bus:?}");
            let server = full(&["--maxmemory-policy", policy]);
            server.cli(&["CONFIG", "SET", "maxmemory", "1mb"]);
            let url = server.url();
            let arguments = [&["--redis", &url], bus, &LONG].concat();
            let mut node = Node::start(&arguments);
            // What is loaded while it subscribes is superseded.
            node.ask("load first one 1");
            thread::sleep(std::time::Duration::from_millis(200));
            let loads = (0..100)
                .filter(|_| node.ask("load k one 1")["loaded"] == true)
                .count();
            let refused = node.count("refused_fills");
            assert!(
                loads <= most,
                "{loads} of 100 calls loaded, {refused} refused"
            );
            println!("{loads} loads, {refused} fills refused");
        }
    }
}
