//! Many keys at once.

use jetcache_tests::redis_server::RedisServer;
use serde_json::{Value, json};

use super::fleet::{pairs, until_leased};
use super::process::{Node, everywhere, with_redis};

fn hit(key: &str, text: &str, num: i64) -> Value {
    json!({"key": key, "outcome": "hit", "value": {"Str": text, "Num": num}})
}

fn absent(key: &str) -> Value {
    json!({"key": key, "outcome": "absent"})
}

fn miss(key: &str) -> Value {
    json!({"key": key, "outcome": "miss"})
}

/// A reply's `asked`, sorted: what order keys are asked for in is the cache's business.
pub(crate) fn asked(reply: &Value) -> Vec<String> {
    let keys = reply["asked"].as_array();
    let keys = keys.unwrap_or_else(|| panic!("nothing asked in {reply}"));
    let mut keys: Vec<String> = keys
        .iter()
        .map(|key| key.as_str().unwrap().to_owned())
        .collect();
    keys.sort_unstable();
    keys
}

/// The outcomes of a reply, in their order.
pub(crate) fn outcomes(reply: &Value) -> Vec<&str> {
    let results = reply["results"].as_array();
    let results = results.unwrap_or_else(|| panic!("no results in {reply}"));
    results
        .iter()
        .map(|result| result["outcome"].as_str().unwrap())
        .collect()
}

/// `from` to `to` as `KEY,KEY,..`.
pub(crate) fn keys(from: u32, to: u32) -> String {
    let keys: Vec<String> = (from..=to).map(|key| key.to_string()).collect();
    keys.join(",")
}

#[test]
fn a_batch_is_answered_in_its_order() {
    everywhere(|place| {
        let mut node = place.node(&[]);
        assert_eq!(
            node.ask("mget a,b"),
            json!({"results": [miss("a"), miss("b")]})
        );
        node.ask("set a old 1");
        let answer = node.ask("mload c,a,x1,c new 2 20");
        let results = json!([
            hit("c", "new", 2),
            hit("a", "old", 1),
            absent("x1"),
            hit("c", "new", 2)
        ]);
        assert_eq!(answer["results"], results);
        assert_eq!(asked(&answer), ["c", "x1"]);
        let again = node.ask("mload c,a,x1,c other 3");
        assert_eq!(again, json!({"results": results, "asked": []}));
        let expected =
            json!({"results": [absent("x1"), miss("b"), hit("c", "new", 2), hit("a", "old", 1)]});
        assert_eq!(node.ask("mget x1,b,c,a"), expected);
        node.ask("clear");
        assert_eq!(node.ask("mget x1,b,c,a"), expected, "from L2");
        assert_eq!(
            node.ask("get c"),
            json!({"outcome": "hit", "value": {"Str": "new", "Num": 2}})
        );
        assert_eq!((node.count("loads"), node.count("not_found")), (2, 1));
        node.until_idle();
    });
}

#[test]
fn a_batch_of_any_text_and_of_one() {
    everywhere(|place| {
        let mut node = place.node(&[]);
        let answer = node.ask(r#"mload "a b,{,é,,*" "two words" 1"#);
        let expected: Vec<Value> = ["a b", "{", "é", "", "*"]
            .iter()
            .map(|key| hit(key, "two words", 1))
            .collect();
        assert_eq!(answer["results"], json!(expected));
        assert_eq!(
            node.ask(r#"mget """#),
            json!({"results": [hit("", "two words", 1)]})
        );
        assert_eq!(
            node.ask("mload one - 1"),
            json!({"results": [absent("one")], "asked": ["one"]})
        );
    });
}

#[test]
fn a_batch_of_thousands_goes_in_parts_and_asks_for_all_of_them() {
    everywhere(|place| {
        let mut node = place.node(&["--remote-timeout-ms", "5000"]);
        let batch = keys(1, 2500);
        let answer = node.ask(format!("mload {batch} a 1"));
        assert_eq!(outcomes(&answer), ["hit"; 2500]);
        assert_eq!(asked(&answer).len(), 2500);
        assert_eq!(
            outcomes(&node.ask(format!("with skip-local mget {batch}"))),
            ["hit"; 2500]
        );
        assert_eq!(
            node.ask(format!("mdel {batch}")),
            json!({"everywhere": true, "reach": "everywhere"})
        );
    });
}

#[test]
fn a_loader_of_many_fails_for_those_it_was_asked_for() {
    everywhere(|place| {
        let mut node = place.node(&["--load-timeout-ms", "300"]);
        node.ask("set a here 1");
        for (loader, word) in [
            ("! 1", "failed"),
            ("panic 1", "panicked"),
            ("b 1 60000", "longer"),
        ] {
            let answer = node.ask(format!("mload a,b,c {loader}"));
            assert_eq!(outcomes(&answer), ["hit", "error", "error"], "{answer}");
            assert_eq!(answer["results"][0], hit("a", "here", 1));
            for result in &answer["results"].as_array().unwrap()[1..] {
                assert!(result["error"].as_str().unwrap().contains(word), "{result}");
                assert!(result.get("value").is_none());
            }
            assert_eq!(asked(&answer), ["b", "c"]);
        }
        assert_eq!(
            node.ask("mget b,c"),
            json!({"results": [miss("b"), miss("c")]})
        );
        let quoted = node.ask(r#"mload b,c "!" 1"#);
        assert_eq!(
            quoted["results"],
            json!([hit("b", "!", 1), hit("c", "!", 1)])
        );
        node.until_idle();
    });
}

#[test]
fn many_keys_are_changed_at_once() {
    everywhere(|place| {
        let mut node = place.node(&["--jitter", "0"]);
        assert_eq!(
            node.ask("mset a,b,a two 2"),
            json!({"everywhere": true, "reach": "everywhere"})
        );
        assert_eq!(
            node.ask("mget b,a"),
            json!({"results": [hit("b", "two", 2), hit("a", "two", 2)]})
        );
        assert_eq!(
            node.ask("mdel a,none,a"),
            json!({"everywhere": true, "reach": "everywhere"})
        );
        assert_eq!(
            node.ask("mget a,b"),
            json!({"results": [miss("a"), hit("b", "two", 2)]})
        );
        assert_eq!(
            node.ask("with skip-local mget a,b"),
            json!({"results": [miss("a"), hit("b", "two", 2)]})
        );
        for line in [
            "mset a,b brief 1 300",
            "with ttl=300 mset a,b brief 1",
            "with ttl=300 mload a,b brief 1",
        ] {
            node.ask("mdel a,b");
            node.ask(line);
            // It may end before this line is read, but it does end.
            node.until("mget a,b", &json!({"results": [miss("a"), miss("b")]}));
        }
        node.until_idle();
    });
}

#[test]
fn a_key_that_cannot_be_changed_is_named_and_holds_up_no_other() {
    everywhere(|place| {
        let mut node = place.node(&["--max-value-bytes", "200"]);
        // It would be taken for another key's lease.
        let answer = node.ask("mset a,b#lease,c ok 1");
        assert_eq!(answer["everywhere"], false);
        let refused = answer["refused"].as_array().unwrap();
        assert_eq!((refused.len(), &refused[0]["key"]), (1, &json!("b#lease")));
        assert!(refused[0]["error"].as_str().unwrap().contains("#lease"));
        assert_eq!(
            node.ask("mget a,c"),
            json!({"results": [hit("a", "ok", 1), hit("c", "ok", 1)]})
        );
        let loaded = node.ask("mload a,b#lease,d new 2");
        assert_eq!(outcomes(&loaded), ["hit", "hit", "hit"], "{loaded}");
        assert_eq!(asked(&loaded), ["b#lease", "d"]);
        assert_eq!(
            outcomes(&node.ask("mget a,b#lease,d")),
            ["hit", "hit", "hit"]
        );

        let long = "x".repeat(300);
        let answer = node.ask(format!("mset a,c {long} 1"));
        assert_eq!(answer["refused"].as_array().unwrap().len(), 2, "{answer}");
        assert_eq!(
            node.ask("mget a,c"),
            json!({"results": [hit("a", "ok", 1), hit("c", "ok", 1)]})
        );
    });
}

#[test]
fn what_is_too_long_for_l2_is_refused_or_stays_in_l1() {
    everywhere(|place| {
        let mut node = place.node(&["--max-value-bytes", "200"]);
        let long = "x".repeat(300);
        for line in [format!("set k {long} 1"), format!("setnx k {long} 1")] {
            let answer = node.ask(line);
            let error = answer["error"].as_str().unwrap();
            assert!(error.contains("200"), "{error}");
        }
        assert_eq!(node.ask("get k"), json!({"outcome": "miss"}));
        assert_eq!(node.count("too_large"), 0, "they were told");
        assert_eq!(node.ask(format!("load k {long} 1"))["loaded"], true);
        assert_eq!(
            outcomes(&node.ask(format!("mload a,b,k {long} 1"))),
            ["hit"; 3]
        );
        assert_eq!(node.count("too_large"), 3);
        assert_eq!(node.count("unencodable"), 0);
        assert_eq!(outcomes(&node.ask("mget a,b,k")), ["hit"; 3]);
        assert_eq!(
            outcomes(&node.ask("with skip-local mget a,b,k")),
            ["miss"; 3]
        );
    });
}

#[test]
fn wishes_hold_for_a_batch() {
    everywhere(|place| {
        let mut node = place.node(&[]);
        node.ask("with skip-local mload a,b one 1");
        assert_eq!(node.ask("peek a"), json!({"outcome": "miss"}));
        assert_eq!(
            outcomes(&node.ask("with no-store mget a,b")),
            ["hit", "hit"]
        );
        assert_eq!(node.ask("peek a"), json!({"outcome": "miss"}));
        node.ask("with skip-remote mset a,b two 2");
        assert_eq!(
            outcomes(&node.ask("with skip-local mget a,b")),
            ["miss", "miss"]
        );
        assert_eq!(node.ask("mget a"), json!({"results": [hit("a", "two", 2)]}));
        let refused = node.ask("with no-store mset a,b three 3");
        assert_eq!(refused["refused"].as_array().unwrap().len(), 2, "{refused}");
        // Loaded for this line alone: it is kept nowhere.
        let loaded = node.ask("with ttl=0 mload c,d three 3");
        assert_eq!(outcomes(&loaded), ["hit", "hit"]);
        assert_eq!(loaded["asked"], json!(["c", "d"]));
        assert_eq!(outcomes(&node.ask("mget c,d")), ["miss", "miss"]);
        assert!(node.ask("with ttl=1 mdel a")["error"].is_string());
    });
}

#[test]
fn a_closed_cache_answers_batches_so() {
    everywhere(|place| {
        let mut node = place.node(&[]);
        node.ask("mset a,b one 1");
        node.ask("close");
        let answer = node.ask("mload a,b two 2");
        assert_eq!(outcomes(&answer), ["error", "error"]);
        assert_eq!(answer["asked"], json!([]));
        assert_eq!(outcomes(&node.ask("mget a,b")), ["miss", "miss"]);
        let answer = node.ask("mset a,b two 2");
        assert_eq!(answer["everywhere"], false);
        for refused in answer["refused"].as_array().unwrap() {
            assert!(refused["error"].as_str().unwrap().contains("closed"));
        }
        assert_eq!(
            node.ask("mdel a,b"),
            json!({"everywhere": true, "reach": "everywhere"})
        );
        node.until_idle();
    });
}

#[test]
fn overlapping_batches_and_single_loads_load_each_key_once() {
    everywhere(|place| {
        let mut node = place.node(&[]);
        let first = node.begin("& mload 1 a 1 500");
        let lines = [
            "& mload 1,2,3 b 1 500",
            "& mload 2,3,4 c 1 500",
            "& par 1000 3 d 1 500",
            "& mload 3,4,5 e 1 500",
            "& load 5 f 1 500",
        ];
        let sent: Vec<u64> = lines.iter().map(|line| node.send(line)).collect();
        let replies: Vec<Value> = sent.into_iter().map(|id| node.reply(id)).collect();
        assert_eq!(asked(&node.reply(first)), ["1"]);
        assert_eq!(asked(&replies[0]), ["2", "3"]);
        assert_eq!(asked(&replies[1]), ["4"]);
        assert_eq!(replies[2], json!({"loads": 0, "ok": 1000, "errors": 0}));
        assert_eq!(asked(&replies[3]), ["5"]);
        assert_eq!(replies[4]["loaded"], false);
        let third = |at: usize, place: usize| replies[at]["results"][place]["value"]["Str"].clone();
        assert_eq!(
            (third(0, 2), third(1, 1), third(3, 0)),
            (json!("b"), json!("b"), json!("b"))
        );
        assert_eq!(node.count("loads"), 5);
        node.until_idle();
    });
}

#[test]
fn those_who_follow_a_batch_that_fails_are_told() {
    everywhere(|place| {
        let mut node = place.node(&[]);
        let misses = node.count("misses");
        let failing = node.send("& mload 1,2,3 ! 1 500");
        node.until_count("misses", misses + 3);
        let following = node.send("& mload 2,3,4 fine 1");
        let single = node.send("& load 3 fine 1");
        assert_eq!(outcomes(&node.reply(failing)), ["error"; 3]);
        let reply = node.reply(following);
        assert_eq!(outcomes(&reply), ["error", "error", "hit"], "{reply}");
        assert_eq!(asked(&reply), ["4"]);
        assert_eq!(node.reply(single)["outcome"], "error");
        assert_eq!(outcomes(&node.ask("mload 1,2,3 fine 1")), ["hit"; 3]);
    });
}

#[test]
fn what_one_node_loads_in_a_batch_another_finds() {
    pairs(&[], |mut here, mut there, _| {
        let batch = keys(1, 300);
        assert_eq!(
            asked(&here.ask(format!("mload {batch},x1 here 1"))).len(),
            301
        );
        let found = there.ask(format!("mget {batch},x1"));
        let expected: Vec<Value> = (1..=300)
            .map(|key: u32| hit(&key.to_string(), "here", 1))
            .chain([absent("x1")])
            .collect();
        assert_eq!(found["results"], json!(expected));
        assert_eq!(there.count("remote_hits"), 301);
        assert_eq!(
            there.ask(format!("mdel {batch}")),
            json!({"everywhere": true, "reach": "everywhere"})
        );
        assert_eq!(
            outcomes(&here.ask(format!("with skip-local mget {batch}"))),
            ["miss"; 300]
        );
    });
}

#[test]
fn overlapping_batches_of_two_nodes_load_each_key_once() {
    pairs(
        &["--lease-wait-ms", "20000"],
        |mut here, mut there, server| {
            let first = here.send(format!("& mload {} here 1 700", keys(1, 100)));
            until_leased(server, "{node:1}#lease");
            let second = there.send(format!("& mload {} there 1 200", keys(51, 150)));
            let third = there.send("& load 75 there 1");
            let (first, second) = (here.reply(first), there.reply(second));
            assert_eq!(outcomes(&first), ["hit"; 100]);
            assert_eq!(outcomes(&second), ["hit"; 100]);
            let mut all = [asked(&first), asked(&second)].concat();
            all.sort_unstable();
            let mut once: Vec<String> = (1..=150).map(|key: u32| key.to_string()).collect();
            once.sort_unstable();
            assert_eq!(all, once);
            assert_eq!(there.reply(third)["loaded"], false);
            let batch = keys(1, 150);
            let line = format!("with skip-local mget {batch}");
            assert_eq!(here.ask(&line), there.ask(&line));
            assert_eq!(
                server.cli(&["KEYS", "*#lease"]),
                "",
                "all leases are given back"
            );
            here.until_idle();
            there.until_idle();
        },
    );
}

#[test]
fn junk_among_a_hundred_is_a_miss_and_is_healed() {
    with_redis(|runtime, server| {
        let start = || Node::start(&["--runtime", runtime, "--redis", &server.url()]);
        let (mut here, mut there) = (start(), start());
        let batch = keys(1, 100);
        here.ask(format!("mset {batch} good 1"));
        spoil(&server);
        let wanted: Vec<&str> = (1..=100)
            .map(|key| {
                if key == 50 || key == 60 {
                    "miss"
                } else {
                    "hit"
                }
            })
            .collect();
        assert_eq!(outcomes(&there.ask(format!("mget {batch}"))), wanted);
        assert_eq!(there.count("undecodable"), 1);
        let healed = there.ask(format!("mload {batch} new 2"));
        assert_eq!(outcomes(&healed), ["hit"; 100]);
        assert_eq!(asked(&healed), ["50", "60"]);
        let answer = here.ask("with skip-local mget 49,50,51");
        assert_eq!(
            answer["results"],
            json!([
                hit("49", "good", 1),
                hit("50", "new", 2),
                hit("51", "good", 1)
            ])
        );
    });
}

/// One value becomes junk, another one a list.
fn spoil(server: &RedisServer) {
    assert_eq!(server.cli(&["SET", "node:50", "junk"]), "OK");
    assert_eq!(server.cli(&["DEL", "node:60"]), "1");
    assert_eq!(server.cli(&["RPUSH", "node:60", "one"]), "1");
}
