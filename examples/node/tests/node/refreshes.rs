//! Keys that are kept fresh.

use std::thread;
use std::time::{Duration, Instant};

use jetcache_tests::redis_server::RedisServer;
use serde_json::json;

use super::bus::LONG;
use super::process::{Node, PATIENCE, RUNTIMES, STEP, everywhere};

#[test]
fn a_key_that_is_asked_for_stays_fresh_and_stops_when_nobody_asks() {
    everywhere(|place| {
        let mut node = place.node(&["--refresh-ms", "100", "--stop-refresh-ms", "800"]);
        let first = node.ask("refresh k a 10");
        assert_eq!(
            first,
            json!({"outcome": "hit", "value": {"Str": "a", "Num": 10}, "loaded": true})
        );
        assert_eq!(node.count("refreshes"), 1);
        // The task of the load ends a moment after its answer.
        node.until_count("tasks", 1);
        let deadline = Instant::now() + PATIENCE;
        while node.ask("get k")["value"]["Num"].as_i64() < Some(12) {
            assert!(Instant::now() < deadline, "{}", node.ask("stats"));
            thread::sleep(STEP);
        }
        // A `get` asks for nothing to be kept fresh.
        node.until_count("refreshes", 0);
        node.until_count("tasks", 0);
        let loads = node.count("loads");
        thread::sleep(Duration::from_millis(300));
        assert_eq!(node.count("loads"), loads);
        node.until_idle();
    });
}

#[test]
fn a_refresh_that_fails_keeps_what_there_is() {
    everywhere(|place| {
        let mut node = place.node(&["--refresh-ms", "50", "--stop-refresh-ms", "60000"]);
        node.ask("load k a 1");
        assert_eq!(node.ask("refresh k ! 1")["outcome"], "hit");
        let deadline = Instant::now() + PATIENCE;
        while node.count("load_failures") < 2 {
            assert!(Instant::now() < deadline, "{}", node.ask("stats"));
            thread::sleep(STEP);
        }
        assert_eq!(node.ask("get k")["value"]["Str"], "a");
        // A change wins.
        node.ask("set k b 1");
        thread::sleep(Duration::from_millis(300));
        assert_eq!(node.ask("get k")["value"]["Str"], "b");
    });
}

/// What one node refreshes, the others do not go on serving from L1.
#[test]
fn a_refresh_is_heard_of() {
    for wire in ["native", "jetcache-go"] {
        for (at, runtime) in RUNTIMES.into_iter().enumerate() {
            println!("on {runtime}, {wire}");
            let server = RedisServer::start();
            let url = server.url();
            let start = |runtime: &str, more: &[&str]| {
                let arguments = ["--runtime", runtime, "--redis", &url, "--wire", wire];
                let bus = ["--bus-channel", "news"];
                Node::start(&[&arguments[..], &bus, &LONG, more].concat())
            };
            let refreshes = ["--refresh-ms", "1000", "--stop-refresh-ms", "60000"];
            let mut here = start(runtime, &refreshes);
            let mut there = start(RUNTIMES[(at + 1) % 3], &[]);
            there.ask("get nothing");
            here.ask("refresh k a 1");
            let deadline = Instant::now() + PATIENCE;
            // It asks nobody to keep the key fresh, and L1 would keep it for an hour.
            while there.ask("get k")["value"]["Num"].as_i64() < Some(4) {
                assert!(Instant::now() < deadline, "{}", there.ask("stats"));
                thread::sleep(STEP);
            }
        }
    }
}

#[test]
fn refresh_without_a_period_is_refused() {
    everywhere(|place| {
        let mut node = place.node(&[]);
        let reply = node.ask("refresh k a 1");
        let text = reply["error"].as_str().unwrap();
        assert!(text.contains("refresh_every"), "{reply}");
    });
}

/// Scenario 31: one node of the fleet loads in a period, the others copy.
#[test]
fn one_node_of_the_fleet_refreshes() {
    let server = RedisServer::start();
    let url = server.url();
    let mut nodes = RUNTIMES.map(|runtime| {
        let arguments = ["--runtime", runtime, "--redis", &url, "--refresh-ms", "300"];
        let patient = ["--stop-refresh-ms", "60000", "--lease-wait-ms", "5000"];
        Node::start(&[&arguments[..], &patient, &LONG].concat())
    });
    for node in &mut nodes {
        node.ask("refresh k a 1");
    }
    let begun = Instant::now();
    let (mut refreshed, mut copied) = (0, 0);
    while refreshed < 6 || copied < 6 {
        assert!(begun.elapsed() < PATIENCE, "{refreshed} {copied}");
        thread::sleep(STEP);
        refreshed = nodes.iter_mut().map(|node| node.count("refreshed")).sum();
        copied = nodes.iter_mut().map(|node| node.count("copied")).sum();
    }
    let periods = begun.elapsed().as_millis() / 300;
    assert!(
        u128::from(refreshed) <= periods + 2,
        "{refreshed} loads in {periods} periods"
    );
}
