//! The L1 engines and their bounds.

use serde_json::json;

use super::process::everywhere;

#[test]
fn l1_is_bounded_by_entries() {
    everywhere(|place| {
        for engine in ["quick", "moka", "lru"] {
            let name = ["--namespace", engine, "--local", engine];
            let mut node = place.node(&[&name[..], &["--capacity", "64"]].concat());
            for key in 0..300 {
                node.ask(format!("load {key} a 1"));
            }
            // The LRU rounds up to what its shards hold.
            let len = node.count("len");
            assert!((1..=128).contains(&len), "{engine}: {len}");
            assert!(node.count("evicted") >= 300 - 128, "{engine}");
            assert_eq!(node.ask("clear"), json!({"ok": true}));
            assert_eq!(node.count("len"), 0);
        }
    });
}

#[test]
fn l1_is_bounded_by_bytes() {
    everywhere(|place| {
        for engine in ["quick", "moka"] {
            let name = ["--namespace", engine, "--local", engine];
            let mut node = place.node(&[&name[..], &["--max-bytes", "20000"]].concat());
            let text = "x".repeat(900);
            for key in 0..100 {
                node.ask(format!("load {key} {text} 1"));
            }
            let (len, weight) = (node.count("len"), node.count("weight"));
            assert!((1..=20).contains(&len), "{engine}: {len}");
            assert!((1000..=20_000).contains(&weight), "{engine}: {weight}");
        }
    });
}

#[test]
fn a_node_does_without_l1() {
    everywhere(|place| {
        let mut node = place.node(&["--no-local"]);
        assert_eq!(node.ask("stats")["kind"], "remote");
        assert_eq!(node.ask("load k a 1")["loaded"], true);
        assert_eq!(node.ask("load k b 2")["value"]["Str"], "a");
        assert_eq!(node.ask("peek k"), json!({"outcome": "miss"}));
        assert_eq!(node.ask("get k")["outcome"], "hit");
        assert_eq!(node.ask("setnx k b 2"), json!({"applied": false}));
        assert_eq!(node.ask("setxx k b 2"), json!({"applied": true}));
        assert_eq!(node.ask("dellocal k"), json!({"ok": true}));
        assert_eq!(node.ask("clear"), json!({"ok": true}));
        assert_eq!(
            node.ask("del k"),
            json!({"everywhere": true, "reach": "everywhere"})
        );
        assert_eq!(node.ask("get k"), json!({"outcome": "miss"}));
        assert_eq!(
            node.ask("par 100 crowd a 1 300"),
            json!({"loads": 1, "ok": 100, "errors": 0})
        );
        node.until_idle();
    });
}
