//! Every command, in every place.

use serde_json::{Value, json};

use super::process::everywhere;

fn hit(text: &str, num: i64) -> Value {
    json!({"outcome": "hit", "value": {"Str": text, "Num": num}})
}

fn loaded(text: &str, num: i64, loaded: bool) -> Value {
    json!({"outcome": "hit", "value": {"Str": text, "Num": num}, "loaded": loaded})
}

fn miss() -> Value {
    json!({"outcome": "miss"})
}

fn absent() -> Value {
    json!({"outcome": "absent"})
}

fn done() -> Value {
    json!({"ok": true})
}

#[test]
fn a_load_brings_an_object_once() {
    everywhere(|place| {
        let mut node = place.node(&[]);
        assert_eq!(node.ask("get k"), miss());
        assert_eq!(node.ask("peek k"), miss());
        assert_eq!(
            node.ask(r#"load k "two \u00e9 words" -7 20"#),
            loaded("two é words", -7, true)
        );
        assert_eq!(node.ask("load k other 8"), loaded("two é words", -7, false));
        assert_eq!(node.ask("get k"), hit("two é words", -7));
        assert_eq!(node.ask("peek k"), hit("two é words", -7));
        assert_eq!(node.ask("dellocal k"), done());
        assert_eq!(node.ask("peek k"), miss());
        assert_eq!(node.ask("load k other 8"), loaded("two é words", -7, false));
        assert_eq!(node.count("loads"), 1);
        assert_eq!(node.count("remote_hits"), 1);
    });
}

#[test]
fn what_does_not_exist_is_remembered() {
    everywhere(|place| {
        let mut node = place.node(&["--negative-ttl-ms", "400"]);
        let answer = json!({"outcome": "absent", "loaded": true});
        assert_eq!(node.ask("load k - 1"), answer);
        assert_eq!(node.ask("get k"), absent());
        assert_eq!(node.ask("peek k"), absent());
        assert_eq!(node.ask("exists k"), json!({"exists": false}));
        assert_eq!(node.ask("clear"), done());
        assert_eq!(node.ask("get k"), absent(), "from L2");
        assert_eq!(node.count("not_found"), 1);
        // It has a time of its own, in both tiers.
        node.until("get k", &miss());
        assert_eq!(node.ask(r#"load k "-" 1"#), loaded("-", 1, true));
        assert_eq!(node.ask("exists k"), json!({"exists": true}));
        assert_eq!(node.ask("load k2 - 1"), answer);
        assert_eq!(
            node.ask("set k2 a 1"),
            json!({"everywhere": true, "reach": "everywhere"})
        );
        assert_eq!(node.ask("get k2"), hit("a", 1));
    });
}

#[test]
fn a_loader_that_fails_or_panics_is_an_error_and_no_more() {
    everywhere(|place| {
        let mut node = place.node(&["--load-timeout-ms", "200"]);
        for (loader, word) in [
            ("! 1", "failed"),
            ("panic 1", "panicked"),
            ("a 1 60000", "longer"),
        ] {
            for command in ["load", "rload"] {
                let answer = node.ask(format!("{command} k {loader}"));
                assert_eq!(answer["outcome"], "error");
                assert_eq!(answer["loaded"], true);
                assert!(answer.get("value").is_none());
                let error = answer["error"].as_str().unwrap();
                assert!(error.contains(word), "{error}");
            }
        }
        assert_eq!(node.ask("get k"), miss());
        assert_eq!(node.ask("load k a 1"), loaded("a", 1, true));
        assert_eq!(node.count("load_failures"), 6);
        node.until_idle();
    });
}

#[test]
fn the_registered_loader_does_what_its_line_says() {
    everywhere(|place| {
        let mut node = place.node(&[]);
        assert_eq!(node.ask("rload k a 1 20"), loaded("a", 1, true));
        assert_eq!(node.ask("rload k b 2"), loaded("a", 1, false));
        assert_eq!(
            node.ask("del k"),
            json!({"everywhere": true, "reach": "everywhere"})
        );
        assert_eq!(node.ask("rload k b 2"), loaded("b", 2, true));
        let answer = json!({"outcome": "absent", "loaded": true});
        assert_eq!(node.ask("rload none - 2"), answer);
        node.until_idle();
    });
}

#[test]
fn changes_are_seen_at_once() {
    everywhere(|place| {
        let mut node = place.node(&[]);
        let applied = |yes: bool| json!({"applied": yes});
        assert_eq!(node.ask("setxx k a 1"), applied(false));
        assert_eq!(node.ask("get k"), miss());
        assert_eq!(node.ask("setnx k a 1"), applied(true));
        assert_eq!(node.ask("get k"), hit("a", 1));
        assert_eq!(node.ask("setnx k b 2"), applied(false));
        assert_eq!(node.ask("get k"), hit("a", 1));
        assert_eq!(node.ask("setxx k b 2"), applied(true));
        assert_eq!(node.ask("get k"), hit("b", 2));
        assert_eq!(
            node.ask("set k c 3"),
            json!({"everywhere": true, "reach": "everywhere"})
        );
        assert_eq!(node.ask("get k"), hit("c", 3));
        assert_eq!(node.ask("clear"), done());
        assert_eq!(node.ask("get k"), hit("c", 3), "from L2");
        assert_eq!(node.ask("exists k"), json!({"exists": true}));
        assert_eq!(
            node.ask("del k"),
            json!({"everywhere": true, "reach": "everywhere"})
        );
        assert_eq!(node.ask("get k"), miss());
        assert_eq!(node.ask("exists k"), json!({"exists": false}));
        assert_eq!(
            node.ask("del k"),
            json!({"everywhere": true, "reach": "everywhere"})
        );
        node.until_idle();
    });
}

#[test]
fn a_value_ends_with_its_ttl() {
    everywhere(|place| {
        let mut node = place.node(&["--jitter", "0"]);
        for line in [
            "set k a 1 300",
            "setnx k a 1 300",
            "with ttl=300 setnx k a 1",
            "with ttl=300 load k a 1",
            "with ttl=300 rload k a 1",
        ] {
            node.ask(line);
            // It may end before this line is read, but it does end.
            node.until("get k", &miss());
            assert_eq!(node.ask("exists k"), json!({"exists": false}), "{line}");
        }
        let mut node = place.node(&["--ttl-ms", "300", "--namespace", "short"]);
        assert_eq!(node.ask("load k a 1"), loaded("a", 1, true));
        node.until("get k", &miss());
    });
}

#[test]
fn l1_has_a_time_of_its_own() {
    everywhere(|place| {
        let mut node = place.node(&["--local-ttl-ms", "300"]);
        node.ask("load k a 1");
        node.until("peek k", &miss());
        assert_eq!(node.ask("get k"), hit("a", 1), "from L2");
        let mut node = place.node(&["--namespace", "wish"]);
        node.ask("with local-ttl=300 load k a 1");
        node.until("peek k", &miss());
        assert_eq!(node.ask("get k"), hit("a", 1), "from L2");
    });
}

#[test]
fn a_call_has_wishes_of_its_own() {
    everywhere(|place| {
        let mut node = place.node(&[]);
        node.ask("with skip-local load one a 1");
        assert_eq!(node.ask("peek one"), miss());
        assert_eq!(node.ask("with skip-local get one"), hit("a", 1));
        assert_eq!(node.ask("peek one"), miss());
        assert_eq!(node.ask("with no-store get one"), hit("a", 1));
        assert_eq!(node.ask("peek one"), miss());

        node.ask("with skip-remote load two a 1");
        assert_eq!(node.ask("peek two"), hit("a", 1));
        assert_eq!(node.ask("with skip-local get two"), miss());
        assert_eq!(
            node.ask("set two b 2"),
            json!({"everywhere": true, "reach": "everywhere"})
        );
        node.ask("with skip-remote set two c 3");
        assert_eq!(node.ask("peek two"), hit("c", 3));
        assert_eq!(node.ask("with skip-local get two"), miss());
        node.ask("with skip-local set two d 4");
        assert_eq!(node.ask("peek two"), miss());
        assert_eq!(node.ask("get two"), hit("d", 4));

        assert_eq!(
            node.ask("with no-store load three a 1"),
            loaded("a", 1, true)
        );
        assert_eq!(node.ask("get three"), miss());
        let callers = node.ask("with no-store par 3 three a 1 50");
        assert_eq!((&callers["ok"], &callers["errors"]), (&json!(3), &json!(0)));
        assert_eq!(node.ask("get three"), miss());
    });
}

#[test]
fn wishes_that_contradict_the_call_are_refused() {
    everywhere(|place| {
        let mut node = place.node(&[]);
        for line in [
            "with no-store set k a 1",
            "with no-store setnx k a 1",
            "with skip-remote setnx k a 1",
            "with skip-remote setxx k a 1",
            "with ttl=0 set k a 1",
            "set k a 1 0",
            "with ttl=0 del k",
            "with ttl=1 peek k",
        ] {
            let answer = node.ask(line);
            assert!(answer["error"].is_string(), "{line}: {answer}");
        }
        assert_eq!(node.ask("get k"), miss());
    });
}

#[test]
fn what_is_to_live_for_no_time_is_answered_and_not_kept() {
    everywhere(|place| {
        let mut node = place.node(&[]);
        for command in ["load", "rload"] {
            let answer = node.ask(format!("with ttl=0 {command} k a 1"));
            assert_eq!(
                (&answer["outcome"], &answer["loaded"]),
                (&json!("hit"), &json!(true))
            );
            assert_eq!(node.ask("get k"), miss());
        }
        assert_eq!(node.ask("with local-ttl=0 set k a 1")["everywhere"], true);
        assert_eq!(node.ask("peek k"), miss());
        assert_eq!(node.ask("get k")["outcome"], "hit");
    });
}

#[test]
fn a_closed_cache_answers_so() {
    everywhere(|place| {
        let mut node = place.node(&[]);
        node.ask("set k a 1");
        for _ in 0..3 {
            assert_eq!(node.ask("close"), done());
        }
        for line in ["load k a 1", "rload k a 1"] {
            let answer = node.ask(line);
            assert_eq!(answer["outcome"], "error");
            assert!(answer["error"].as_str().unwrap().contains("closed"));
        }
        for line in ["set k a 1", "setnx k a 1", "setxx k a 1"] {
            assert!(node.ask(line)["error"].as_str().unwrap().contains("closed"));
        }
        assert_eq!(node.ask("get k"), miss());
        assert_eq!(node.ask("peek k"), miss());
        assert_eq!(node.ask("exists k"), json!({"exists": false}));
        assert_eq!(
            node.ask("del k"),
            json!({"everywhere": true, "reach": "everywhere"})
        );
        let held = node.ask("hold k a 1");
        assert!(held["error"].as_str().unwrap().contains("closed"));
        let callers = node.ask("par 10 k a 1 0");
        assert_eq!(callers, json!({"loads": 0, "ok": 0, "errors": 10}));
        let cancelled = node.ask("cancel k a 1 0 60000");
        assert_eq!(cancelled["cancelled"], false);
        assert_eq!(cancelled["outcome"], "error");
        node.until_idle();
        assert_eq!(node.count("len"), 0);
        assert_eq!(node.ask("quit"), done());
        let (status, rest) = node.end();
        assert!(status.success() && rest.is_empty(), "{status} {rest:?}");
    });
}

#[test]
fn statistics_have_all_their_names() {
    everywhere(|place| {
        let mut node = place.node(&[]);
        let stats = node.ask("stats");
        let names: Vec<&str> = stats
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let mut expected = vec![
            "kind",
            "len",
            "weight",
            "flights",
            "waiters",
            "changes",
            "writes",
            "keys",
            "unconfirmed",
            "bypassed",
            "pending_scopes",
            "tasks",
            "refreshes",
            "bus",
            "epoch",
            "source",
            "untold",
            "hits",
            "misses",
            "local_hits",
            "local_misses",
            "remote_hits",
            "remote_misses",
            "loads",
            "load_failures",
            "overloaded",
            "stale",
            "not_found",
            "coalesced",
            "superseded",
            "deposed",
            "became_unconfirmed",
            "became_bypassed",
            "overflowed",
            "raises",
            "raises_heard",
            "dead",
            "dead_local",
            "dead_remote",
            "log_lost",
            "breaker",
            "recovery",
            "remote_not_asked",
            "remote_faults",
            "refused_fills",
            "undecodable",
            "checked",
            "differences",
            "unencodable",
            "too_large",
            "heard",
            "garbled",
            "bus_faults",
            "refreshed",
            "copied",
            "not_refreshed",
            "evicted",
        ];
        expected.sort_unstable();
        assert_eq!(names, expected);
        assert_eq!(
            (&stats["kind"], &stats["bus"]),
            (&json!("both"), &json!("none"))
        );
    });
}
