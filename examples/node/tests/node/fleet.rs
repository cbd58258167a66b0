//! Two nodes around one Redis, of different runtimes.

use std::thread;
use std::time::Instant;

use jetcache_tests::redis_server::RedisServer;
use serde_json::{Value, json};

use super::process::{Node, PATIENCE, RUNTIMES, STEP};

/// Tries this with every pair of different runtimes.
pub(crate) fn pairs(more: &[&str], test: impl Fn(Node, Node, &RedisServer)) {
    for (here, there) in [(0, 1), (1, 2), (2, 0)] {
        let (here, there) = (RUNTIMES[here], RUNTIMES[there]);
        println!("on {here} and {there}");
        let server = RedisServer::start();
        let node = |runtime: &str| {
            let url = server.url();
            Node::start(&[&["--runtime", runtime, "--redis", &url], more].concat())
        };
        test(node(here), node(there), &server);
    }
}

/// Waits until a load of this key is under way.
pub(crate) fn until_leased(server: &RedisServer, lease: &str) {
    let deadline = Instant::now() + PATIENCE;
    while server.cli(&["EXISTS", lease]) != "1" {
        assert!(Instant::now() < deadline, "nobody loads");
        thread::sleep(STEP);
    }
}

fn is(text: &str) -> Value {
    json!({"outcome": "hit", "value": {"Str": text, "Num": 1}})
}

#[test]
fn a_cold_key_has_one_load_in_the_fleet() {
    pairs(&["--lease-wait-ms", "20000"], |mut here, mut there, _| {
        let first = here.send("& par 500 k here 1 700");
        let second = there.send("& par 500 k there 1 700");
        let (first, second) = (here.reply(first), there.reply(second));
        assert_eq!((&first["ok"], &second["ok"]), (&json!(500), &json!(500)));
        let loads = first["loads"].as_u64().unwrap() + second["loads"].as_u64().unwrap();
        assert_eq!(loads, 1, "{first} {second}");
        assert_eq!(here.ask("get k"), there.ask("get k"));
        here.until_idle();
        there.until_idle();
    });
}

#[test]
fn a_load_that_fails_lets_the_other_node_load() {
    pairs(
        &["--lease-wait-ms", "20000"],
        |mut here, mut there, server| {
            let failed = here.send("& load k ! 1 500");
            until_leased(server, "{node:k}#lease");
            let loaded = there.ask("load k b 1");
            assert_eq!(
                (&loaded["loaded"], &loaded["value"]["Str"]),
                (&json!(true), &json!("b"))
            );
            assert_eq!(here.reply(failed)["outcome"], "error");
            assert_eq!(here.ask("get k"), is("b"));
            assert_eq!(
                server.cli(&["KEYS", "*#lease"]),
                "",
                "all leases are given back"
            );
        },
    );
}

#[test]
fn what_one_node_removes_the_other_does_not_find_in_l2() {
    pairs(&[], |mut here, mut there, _| {
        here.ask("load k old 1");
        assert_eq!(there.ask("get k"), is("old"));
        assert_eq!(
            here.ask("del k"),
            json!({"everywhere": true, "reach": "everywhere"})
        );
        assert_eq!(here.ask("get k"), json!({"outcome": "miss"}));
        assert_eq!(
            there.ask("with skip-local get k"),
            json!({"outcome": "miss"})
        );
        there.ask("dellocal k");
        assert_eq!(there.ask("load k new 1")["loaded"], true);
        assert_eq!(here.ask("get k"), is("new"));
    });
}

#[test]
fn another_nodes_l1_is_stale_for_its_ttl_at_most() {
    pairs(&["--local-ttl-ms", "500"], |mut here, mut there, _| {
        here.ask("set k old 1");
        there.ask("get k");
        assert_eq!(
            here.ask("set k new 1"),
            json!({"everywhere": true, "reach": "everywhere"})
        );
        there.until("get k", &is("new"));
    });
}

#[test]
fn a_slow_load_does_not_undo_another_nodes_change() {
    pairs(&["--lease-wait-ms", "0"], |mut here, mut there, server| {
        for (change, after) in [
            ("del k", json!({"outcome": "miss"})),
            ("set k new 1", is("new")),
        ] {
            let slow = there.send("& load k old 1 700");
            until_leased(server, "{node:k}#lease");
            assert_eq!(
                here.ask(change),
                json!({"everywhere": true, "reach": "everywhere"})
            );
            assert_eq!(there.reply(slow)["value"]["Str"], "old");
            assert_eq!(there.ask("get k"), after, "after {change}");
            assert_eq!(here.ask("with skip-local get k"), after, "after {change}");
            assert_eq!(
                here.ask("del k"),
                json!({"everywhere": true, "reach": "everywhere"})
            );
            assert_eq!(
                there.ask("del k"),
                json!({"everywhere": true, "reach": "everywhere"})
            );
        }
    });
}

#[test]
fn conditional_inserts_are_judged_for_the_fleet() {
    pairs(&[], |mut here, mut there, _| {
        assert_eq!(here.ask("setnx k here 1"), json!({"applied": true}));
        assert_eq!(there.ask("setnx k there 1"), json!({"applied": false}));
        assert_eq!(there.ask("get k"), is("here"));
        assert_eq!(there.ask("setxx k there 1"), json!({"applied": true}));
        assert_eq!(here.ask("with skip-local get k"), is("there"));
    });
}

#[test]
fn inserts_end_equal_everywhere() {
    pairs(&["--local-ttl-ms", "300"], |mut here, mut there, _| {
        for _ in 0..20 {
            let one = here.send("& set k here 1");
            let two = there.send("& set k there 1");
            assert_eq!(
                here.reply(one),
                json!({"everywhere": true, "reach": "everywhere"})
            );
            assert_eq!(
                there.reply(two),
                json!({"everywhere": true, "reach": "everywhere"})
            );
            let settled = here.ask("with skip-local get k");
            assert_eq!(there.ask("with skip-local get k"), settled);
        }
    });
}

#[test]
fn a_node_that_dies_while_it_loads_holds_the_other_up_for_a_while_only() {
    pairs(
        &["--lease-wait-ms", "300"],
        |mut here, mut there, server| {
            here.send("& load k here 1 60000");
            until_leased(server, "{node:k}#lease");
            here.kill();
            let answer = there.ask("load k there 1");
            assert_eq!(
                (&answer["loaded"], &answer["value"]["Str"]),
                (&json!(true), &json!("there"))
            );
        },
    );
}
