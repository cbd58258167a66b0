//! Commands that come late, and nodes that die: a proxy holds what one node sends.

use std::thread;
use std::time::{Duration, Instant};

use jetcache_tests::proxy::Proxy;
use jetcache_tests::redis_server::RedisServer;
use serde_json::json;

use super::bus::{LONG, is, until_forgotten};
use super::fleet::{pairs, until_leased};
use super::process::{Node, PATIENCE, RUNTIMES, STEP};

/// A node whose commands can be held up, another one, and their server.
struct Late {
    server: RedisServer,
    proxy: Proxy,
    here: Node,
    there: Node,
}

fn late(more: &[&str], test: impl Fn(Late)) {
    for (at, runtime) in RUNTIMES.into_iter().enumerate() {
        println!("on {runtime}");
        let server = RedisServer::start();
        let proxy = Proxy::start(server.port());
        let start = |runtime: &str, url: &str| {
            let arguments = [
                "--runtime",
                runtime,
                "--redis",
                url,
                "--bus-channel",
                "news",
            ];
            Node::start(&[&arguments[..], &LONG, more].concat())
        };
        let mut here = start(runtime, &proxy.url());
        // Its connections stand, and the server knows the scripts.
        for _ in 0..4 {
            here.ask("set warm up 1");
            here.ask("del warm");
        }
        let there = start(RUNTIMES[(at + 1) % 3], &server.url());
        test(Late {
            server,
            proxy,
            here,
            there,
        });
    }
}

impl Late {
    /// Waits until the held node has sent something.
    fn until_held(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.proxy.held() == 0 {
            assert!(Instant::now() < deadline, "nothing is held");
            thread::sleep(STEP);
        }
    }
}

/// Scenario 41: what its sender gave up is applied after a newer change.
#[test]
fn what_was_given_up_and_comes_late_does_not_come_back() {
    for (first, answer) in [
        (
            "set k stale 1",
            json!({"everywhere": false, "reach": "pending"}),
        ),
        (
            "wt k stale 1",
            json!({"outcome": "hit", "value": {"Str": "stale", "Num": 1}, "loaded": true}),
        ),
        ("del k", json!({"everywhere": false, "reach": "pending"})),
    ] {
        late(&[], |mut late| {
            late.here.ask("set k old 1");
            late.proxy.hold();
            assert_eq!(late.here.ask(first), answer, "{first}");
            late.until_held();
            assert_eq!(
                late.there.ask("set k new 1"),
                json!({"everywhere": true, "reach": "everywhere"})
            );
            late.proxy.release();
            late.here.until_count("unconfirmed", 0);
            // Removals that were repeated may have taken it away; nothing older has come.
            let standing = late.there.ask("with skip-local get k");
            let fine = [is("new"), json!({"outcome": "miss"})];
            assert!(fine.contains(&standing), "{first}: {standing}");
            assert!(fine.contains(&late.there.ask("get k")));
            assert!(fine.contains(&late.here.ask("get k")));
            late.here.until_count("changes", 0);
        });
    }
}

/// Scenarios 20 and 41: a fill that was on its way for long.
#[test]
fn a_fill_that_comes_late_is_refused() {
    late(&["--lease-wait-ms", "0"], |mut late| {
        let slow = late.here.send("& load k stale 1 400");
        until_leased(&late.server, "{node:k}#lease");
        late.proxy.hold();
        let answer = late.here.reply(slow);
        assert_eq!(answer["value"]["Str"], "stale");
        late.until_held();
        assert_eq!(
            late.there.ask("set k new 1"),
            json!({"everywhere": true, "reach": "everywhere"})
        );
        late.proxy.release();
        late.here.until("get k", &is("new"));
        assert_eq!(late.there.ask("with skip-local get k"), is("new"));
        assert_eq!(late.there.ask("get k"), is("new"));
    });
}

/// Scenario 21.
#[test]
fn who_was_paused_beyond_its_lease_does_not_fill() {
    let short = ["--load-timeout-ms", "400", "--remote-timeout-ms", "250"];
    late(&short, |mut late| {
        late.here.send("& load k stale 1 300");
        until_leased(&late.server, "{node:k}#lease");
        late.proxy.hold();
        late.until_held();
        // The lease ends by itself.
        let deadline = Instant::now() + PATIENCE;
        while late.server.cli(&["EXISTS", "{node:k}#lease"]) == "1" {
            assert!(Instant::now() < deadline, "the lease does not end");
            thread::sleep(STEP);
        }
        assert_eq!(late.there.ask("load k new 1")["loaded"], true);
        late.proxy.release();
        thread::sleep(Duration::from_millis(200));
        assert_eq!(late.there.ask("with skip-local get k"), is("new"));
    });
}

/// Scenario 42.
#[test]
fn of_two_writers_nobody_reads_the_first_row() {
    pairs(
        &[&LONG[..], &["--bus-channel", "news"]].concat(),
        |mut here, mut there, _| {
            // One after the other.
            here.ask("wt k first 1 5");
            there.ask("wt k second 1 5");
            until_forgotten(&mut here, "k", "first");
            for node in [&mut here, &mut there] {
                assert_eq!(node.ask("get k"), is("second"));
            }
            // One within the other, and each way across.
            for (outer, inner) in [(300, 100), (100, 300)] {
                let one = here.send(format!("& wt k first 1 {outer}"));
                thread::sleep(Duration::from_millis(50));
                let two = there.send(format!("& wt k second 1 {inner}"));
                assert_eq!(here.reply(one)["loaded"], true);
                assert_eq!(there.reply(two)["loaded"], true);
                for node in [&mut here, &mut there] {
                    node.until("get k", &json!({"outcome": "miss"}));
                }
            }
        },
    );
}

/// Scenario 43: a node dies between the steps of a change.
#[test]
fn a_change_whose_node_dies_leaves_nothing_older_for_long() {
    let quick = ["--lease-wait-ms", "200", "--local-ttl-ms", "1500"];
    // After its claim, before it wrote: L2 is empty, and L1 of the others ends with its TTL.
    late(&quick, |mut late| {
        late.there.ask("load k old 1");
        late.here.send("& wt k new 1 60000");
        until_leased(&late.server, "{node:k}#lease");
        late.here.kill();
        assert_eq!(late.server.cli(&["EXISTS", "node:k"]), "0");
        until_forgotten(&mut late.there, "k", "old");
        assert_eq!(late.there.ask("load k new 1")["value"]["Str"], "new");
    });
    // After the claim of an insert reached L2, before its fill: the others hear at once.
    late(&["--lease-wait-ms", "200"], |mut late| {
        late.there.ask("load k old 1");
        late.proxy.hold_replies();
        late.here.send("& set k new 1");
        until_forgotten(&mut late.there, "k", "old");
        late.here.kill();
        assert_eq!(late.there.ask("load k row 1")["value"]["Str"], "row");
    });
    // Before anything reached L2.
    late(&quick, |mut late| {
        late.there.ask("load k old 1");
        late.proxy.hold();
        late.here.send("& del k");
        late.until_held();
        late.here.kill();
        until_forgotten(&mut late.there, "k", "old");
    });
}

/// Scenario 28.
#[test]
fn three_nodes_of_a_thousand_callers_load_once() {
    let server = RedisServer::start();
    let url = server.url();
    let mut nodes = RUNTIMES.map(|runtime| {
        Node::start(&[
            "--runtime",
            runtime,
            "--redis",
            &url,
            "--lease-wait-ms",
            "20000",
        ])
    });
    let mut loads = 0;
    let lines: Vec<u64> = (nodes.iter_mut())
        .map(|node| node.send("& par 1000 k one 1 500"))
        .collect();
    for (node, line) in nodes.iter_mut().zip(lines) {
        let reply = node.reply(line);
        assert_eq!(reply["ok"], 1000);
        loads += reply["loads"].as_u64().unwrap();
    }
    assert_eq!(loads, 1);
}
