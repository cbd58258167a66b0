//! L2 through Sentinel, and a failover under use.

use std::thread;
use std::time::Instant;

use jetcache_tests::redis_sentinels::{GROUP, RedisGroup};
use serde_json::json;

use super::bus::{LONG, is, until_forgotten, until_kept, until_up};
use super::process::{Node, PATIENCE, RUNTIMES, STEP};

/// A node on each runtime; the primary dies while they are asked, and is not missed for long.
#[test]
fn a_failover_needs_no_restart() {
    for bus in [["--bus", "pubsub"], ["--bus", "tracking"]] {
        println!("{bus:?}");
        let mut group = RedisGroup::start(2, 3);
        let sentinels = format!("{GROUP}@{}", group.addresses().join(","));
        let mut nodes = RUNTIMES.map(|runtime| {
            let arguments = ["--runtime", runtime, "--redis-sentinel", &sentinels];
            Node::start(&[&arguments[..], &bus, &LONG].concat())
        });
        for node in &mut nodes {
            until_up(node);
        }
        assert_eq!(
            nodes[0].ask("set k old 1"),
            json!({"everywhere": true, "reach": "everywhere"})
        );
        for node in &mut nodes {
            until_kept(node, "k", "old");
        }
        group.settle("replicas have it", |group| {
            (1..3).all(|at| group.cli(at, &["EXISTS", "node:k"]) == "1")
        });
        let epochs = nodes.each_mut().map(|node| node.count("epoch"));
        group.server_mut(0).kill();

        // Nobody is refused anything meanwhile.
        let mut round = 0;
        let deadline = Instant::now() + PATIENCE;
        for at in 0..nodes.len() {
            loop {
                round += 1;
                let node = &mut nodes[at];
                // It was changed a moment before, so it is not believed in the new primary.
                let found = node.ask("get k");
                assert!(found == is("old") || found["outcome"] == "miss", "{found}");
                let loaded = node.ask(format!("load l{round} new 1"));
                assert_eq!(loaded["outcome"], "hit");
                let set = node.ask(format!("set s{round} new 1"));
                if set["everywhere"] == true && node.count("epoch") > epochs[at] {
                    break;
                }
                assert!(Instant::now() < deadline, "{}", node.ask("stats"));
                thread::sleep(STEP);
            }
            until_up(&mut nodes[at]);
        }
        let primary = group.wait_for_another(0);
        for at in 0..nodes.len() {
            let key = format!("told{at}");
            // What was changed before the node knew of the new primary is removed there once more.
            loop {
                nodes[at].until(
                    &format!("set {key} old 1"),
                    &json!({"everywhere": true, "reach": "everywhere"}),
                );
                if group.cli(primary, &["EXISTS", &format!("node:{key}")]) == "1" {
                    break;
                }
                assert!(Instant::now() < deadline, "{}", nodes[at].ask("stats"));
                thread::sleep(STEP);
            }
            let other = (at + 1) % nodes.len();
            until_kept(&mut nodes[other], &key, "old");
            nodes[at].ask(format!("del {key}"));
            until_forgotten(&mut nodes[other], &key, "old");
            nodes[at].until_count("unconfirmed", 0);
        }
    }
}
