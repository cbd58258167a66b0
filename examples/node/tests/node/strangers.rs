//! Nodes on the bus of a Go service that deletes and sets without regard to leases.

use std::thread;
use std::time::{Duration, Instant};

use jetcache_tests::redis_server::RedisServer;
use serde_json::json;

use super::bus::{LONG, is, until_forgotten};
use super::process::{Node, PATIENCE, RUNTIMES, STEP};

const GO: [&str; 4] = ["--wire", "jetcache-go", "--bus-channel", "news"];

fn node(runtime: &str, server: &RedisServer) -> Node {
    let url = server.url();
    let arguments = ["--runtime", runtime, "--redis", &url];
    let mut node = Node::start(&[&arguments[..], &GO, &LONG].concat());
    // What is loaded while it subscribes is superseded.
    node.ask("get nothing");
    let deadline = Instant::now() + PATIENCE;
    while node.ask("stats")["bus"] != "up" {
        assert!(Instant::now() < deadline, "{}", node.ask("stats"));
        thread::sleep(STEP);
    }
    node
}

/// A Go service deletes a key and tells.
fn go_deletes(server: &RedisServer, key: &str) {
    server.cli(&["DEL", key]);
    let event = json!({"CacheName": "node", "SourceID": "go", "EventType": 5, "Keys": [key]});
    server.cli(&["PUBLISH", "news", &event.to_string()]);
}

/// A Go service sets a key to what `node:src` holds.
fn go_sets(server: &RedisServer, key: &str) {
    assert_eq!(server.cli(&["COPY", "node:src", key]), "1", "{key}");
}

/// Until it has heard of a deletion that comes behind all others, and L2 has confirmed them.
fn until_heard(node: &mut Node, server: &RedisServer) {
    node.ask("load last of-all 1");
    go_deletes(server, "node:last");
    until_forgotten(node, "last", "of-all");
    node.until_count("unconfirmed", 0);
}

#[test]
fn a_node_that_stood_still_takes_nothing_newer() {
    for (at, runtime) in RUNTIMES.into_iter().enumerate() {
        println!("on {runtime}");
        let server = RedisServer::start();
        let mut here = node(runtime, &server);
        let mut there = node(RUNTIMES[(at + 1) % 3], &server);
        here.ask("set src new 1");
        let ids: Vec<String> = (0..30).map(|n| format!("k{n}")).collect();
        for id in &ids {
            here.ask(format!("load {id} old 1"));
        }
        there.stop();
        for (n, id) in ids.iter().enumerate() {
            let key = format!("node:{id}");
            go_deletes(&server, &key);
            match n % 3 {
                0 => go_sets(&server, &key),
                1 => drop(here.ask(format!("set {id} new 1"))),
                _ => drop(here.ask(format!("setnx {id} new 1"))),
            }
        }
        until_heard(&mut here, &server);
        thread::sleep(Duration::from_secs(1));
        there.go_on();
        until_heard(&mut there, &server);
        for id in &ids {
            assert_eq!(there.ask(format!("get {id}")), is("new"), "{id}");
            assert_eq!(here.ask(format!("get {id}")), is("new"), "{id}");
        }
    }
}

#[test]
fn what_two_nodes_remove_and_set_in_one_breath_stands() {
    for (at, runtime) in RUNTIMES.into_iter().enumerate() {
        println!("on {runtime}");
        let server = RedisServer::start();
        let mut here = node(runtime, &server);
        let mut there = node(RUNTIMES[(at + 1) % 3], &server);
        for n in 0..200 {
            here.send(format!("del z{n}"));
            here.send(format!("set z{n} new 1"));
        }
        until_heard(&mut here, &server);
        until_heard(&mut there, &server);
        for n in 0..200 {
            assert_eq!(server.cli(&["EXISTS", &format!("node:z{n}")]), "1", "z{n}");
        }
    }
}
