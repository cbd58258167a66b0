//! Defects of jetcache-go that concern a fleet, by their number in the list that this project keeps:
//! each was reproduced there, and must not be met here. (2, 3: `flights`, `fleet`; 10: `refreshes`,
//! and with all its parts the suite `behaviour`.)

use std::thread;
use std::time::{Duration, Instant};

use jetcache_tests::redis_server::RedisServer;
use serde_json::json;

use super::bus::{LONG, is};
use super::fleet::pairs;
use super::process::{Node, PATIENCE, RUNTIMES, STEP};

/// Cancelling the first caller fails every follower.
#[test]
fn defect_2_followers_outlive_who_came_first() {
    pairs(&[], |mut here, _, _| {
        let first = here.send("& cancel k lost 1 5000 300");
        here.until_count("flights", 1);
        let follower = here.send("& load k own 1 10");
        assert_eq!(here.reply(first)["cancelled"], true);
        assert_eq!(here.reply(follower)["value"]["Str"], "own");
    });
}

/// A delete or set during a load is overwritten by the load's older value, on the other node too.
#[test]
fn defect_3_no_load_overwrites_a_change() {
    let bus = ["--bus-channel", "news", "--lease-wait-ms", "0"];
    pairs(&[&bus[..], &LONG].concat(), |mut here, mut there, _| {
        for change in ["del k", "set k new 1", "wt k new 1"] {
            let slow = there.begin("& load k old 1 400");
            here.ask(change);
            assert_eq!(there.reply(slow)["value"]["Str"], "old");
            for node in [&mut here, &mut there] {
                for line in ["peek k", "get k", "with skip-local get k"] {
                    assert_ne!(node.ask(line), is("old"), "{change}, {line}");
                }
            }
            here.ask("del k");
            there.ask("del k");
        }
    });
}

/// Two concurrent sets leave L1 and L2 different; L1 outlives L2.
#[test]
fn defect_5_l1_and_l2_end_equal() {
    let bus = ["--bus-channel", "news"];
    pairs(&[&bus[..], &LONG].concat(), |mut here, mut there, _| {
        for round in 0..30 {
            let one = here.send(format!("& set k here{round} 1"));
            let two = there.send(format!("& set k there{round} 1"));
            here.reply(one);
            there.reply(two);
            let deadline = Instant::now() + PATIENCE;
            loop {
                let far = here.ask("with skip-local get k");
                let near = [here.ask("get k"), there.ask("get k")];
                if near == [far.clone(), far.clone()] {
                    break;
                }
                assert!(Instant::now() < deadline, "{far} in L2, {near:?}");
                thread::sleep(STEP);
            }
        }
        here.ask("set k brief 1 300");
        there.ask("get k");
        thread::sleep(Duration::from_millis(320));
        for node in [&mut here, &mut there] {
            assert_eq!(node.ask("peek k"), json!({"outcome": "miss"}));
        }
    });
}

/// What is queued at close is dropped; closing twice panics.
#[test]
fn defect_11_close_tells_what_is_left_and_may_be_repeated() {
    let bus = ["--bus-channel", "news"];
    pairs(&[&bus[..], &LONG].concat(), |mut here, mut there, _| {
        here.ask("set k old 1");
        there.until("get k", &is("old"));
        let deleted = here.send("& del k");
        let closed = here.send("close");
        assert_eq!(
            here.reply(deleted),
            json!({"everywhere": true, "reach": "everywhere"})
        );
        assert_eq!(here.reply(closed), json!({"ok": true}));
        assert_eq!(here.ask("close"), json!({"ok": true}));
        there.until("peek k", &json!({"outcome": "miss"}));
        there.until("get k", &json!({"outcome": "miss"}));
    });
}

/// Cold key, four instances: four loads.
#[test]
fn defect_12_four_instances_load_a_cold_key_once() {
    let server = RedisServer::start();
    let url = server.url();
    let mut nodes: Vec<Node> = (0..4)
        .map(|at| {
            let runtime = RUNTIMES[at % 3];
            let patient = ["--lease-wait-ms", "20000"];
            Node::start(&[&["--runtime", runtime, "--redis", &url][..], &patient].concat())
        })
        .collect();
    let lines: Vec<u64> = (nodes.iter_mut())
        .map(|node| node.send("& load k one 1 300"))
        .collect();
    let mut loaded = 0;
    for (node, line) in nodes.iter_mut().zip(lines) {
        let reply = node.reply(line);
        assert_eq!(reply["outcome"], "hit");
        loaded += usize::from(reply["loaded"] == true);
    }
    assert_eq!(loaded, 1);
}
