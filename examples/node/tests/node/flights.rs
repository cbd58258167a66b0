//! Callers that meet: crowds, cancelled leaders, silent leaders, lines in the background.

use serde_json::json;

use super::process::everywhere;

#[test]
fn a_crowd_has_one_load() {
    everywhere(|place| {
        let mut node = place.node(&[]);
        for callers in [1, 10, 1000] {
            let line = format!("par {callers} k{callers} a 1 300");
            let answer = json!({"loads": 1, "ok": callers, "errors": 0});
            assert_eq!(node.ask(line), answer);
        }
        assert_eq!(node.count("loads"), 3);
        assert!(node.count("coalesced") > 0);
        assert_eq!(
            node.ask("par 0 k a 1 0"),
            json!({"loads": 0, "ok": 0, "errors": 0})
        );
        let failed = node.ask("par 50 broken ! 1 300");
        assert_eq!((&failed["ok"], &failed["errors"]), (&json!(0), &json!(50)));
        let absent = node.ask("par 50 absent - 1 300");
        assert_eq!((&absent["ok"], &absent["errors"]), (&json!(50), &json!(0)));
        node.until_idle();
    });
}

#[test]
fn a_cancelled_leader_hands_over() {
    everywhere(|place| {
        let mut node = place.node(&[]);
        let cancelled = node.begin("& cancel k a 1 60000 500");
        let followed = node.send("& load k b 2");
        assert_eq!(node.reply(cancelled), json!({"cancelled": true}));
        let answer = node.reply(followed);
        assert_eq!(answer["value"], json!({"Str": "b", "Num": 2}));
        assert_eq!(answer["loaded"], true);
        node.until_idle();
    });
}

#[test]
fn a_load_that_is_faster_than_its_cancelling_answers() {
    everywhere(|place| {
        let mut node = place.node(&[]);
        let answer = node.ask("cancel k a 1 10 60000");
        let expected = json!({
            "cancelled": false, "outcome": "hit", "value": {"Str": "a", "Num": 1}, "loaded": true,
        });
        assert_eq!(answer, expected);
        assert_eq!(node.ask("cancel k a 1 10 60000")["loaded"], false);
        let failed = node.ask("cancel other ! 1 10 60000");
        assert_eq!(
            (&failed["cancelled"], &failed["outcome"]),
            (&json!(false), &json!("error"))
        );
    });
}

#[test]
fn a_cancelled_caller_of_a_registered_load_does_not_stop_it() {
    everywhere(|place| {
        let mut node = place.node(&[]);
        let first = node.begin("& rload k a 1 500");
        let cancelled = node.ask("cancel k b 2 60000 1");
        assert_eq!(cancelled, json!({"cancelled": true}));
        assert_eq!(node.reply(first)["loaded"], true);
        assert_eq!(node.ask("get k")["value"]["Str"], "a");
        node.until_idle();
    });
}

#[test]
fn a_leader_that_is_never_polled_again_holds_nobody_up() {
    everywhere(|place| {
        let mut node = place.node(&["--load-timeout-ms", "300", "--remote-timeout-ms", "100"]);
        assert_eq!(node.ask("hold k a 1"), json!({"ok": true}));
        assert_eq!(node.count("flights"), 1);
        let crowd = node.ask("par 100 k b 2 20");
        assert_eq!(crowd, json!({"loads": 1, "ok": 100, "errors": 0}));
        assert_eq!(node.ask("get k")["value"]["Str"], "b");
        assert_eq!(node.count("deposed"), 1);
        // A change does not wait for it either.
        assert_eq!(node.ask("hold other a 1"), json!({"ok": true}));
        assert_eq!(
            node.ask("set other b 2"),
            json!({"everywhere": true, "reach": "everywhere"})
        );
        assert_eq!(node.ask("get other")["value"]["Str"], "b");
        assert_eq!(node.ask("close"), json!({"ok": true}));
        node.until_idle();
    });
}

#[test]
fn several_callers_that_are_never_polled_again_hold_nobody_up() {
    everywhere(|place| {
        let mut node = place.node(&["--load-timeout-ms", "300", "--remote-timeout-ms", "100"]);
        for _ in 0..3 {
            assert_eq!(node.ask("hold k a 1"), json!({"ok": true}));
        }
        let answer = node.ask("load k b 2");
        assert_eq!(answer["value"], json!({"Str": "b", "Num": 2}));
    });
}

#[test]
fn lines_in_the_background_share_a_flight() {
    everywhere(|place| {
        let mut node = place.node(&[]);
        let first = node.begin("& load k a 1 500");
        let second = node.send("& load k b 2");
        node.until_count("waiters", 1);
        assert!(!node.has_replied(first) && !node.has_replied(second));
        assert_eq!(node.ask("peek k"), json!({"outcome": "miss"}));
        for (line, loaded) in [(first, true), (second, false)] {
            let answer = node.reply(line);
            assert_eq!(answer["value"]["Str"], "a");
            assert_eq!(answer["loaded"], loaded);
        }
        node.until_idle();
    });
}

#[test]
fn a_change_makes_a_load_that_began_before_nobodys() {
    everywhere(|place| {
        let mut node = place.node(&[]);
        for (change, after) in [
            ("del k", json!({"outcome": "miss"})),
            (
                "set k new 2",
                json!({"outcome": "hit", "value": {"Str": "new", "Num": 2}}),
            ),
        ] {
            let load = node.begin("& load k old 1 500");
            assert_eq!(
                node.ask(change),
                json!({"everywhere": true, "reach": "everywhere"})
            );
            assert_eq!(node.reply(load)["value"]["Str"], "old");
            assert_eq!(node.ask("get k"), after);
            assert_eq!(node.ask("with skip-local get k"), after);
            assert_eq!(
                node.ask("del k"),
                json!({"everywhere": true, "reach": "everywhere"})
            );
        }
        assert_eq!(node.count("superseded"), 2);
        node.until_idle();
    });
}

#[test]
fn what_is_emptied_during_a_load_stays_empty() {
    everywhere(|place| {
        let mut node = place.node(&[]);
        for empty in ["dellocal k", "clear"] {
            let load = node.begin("& load k old 1 500");
            assert_eq!(node.ask(empty), json!({"ok": true}));
            assert_eq!(node.reply(load)["value"]["Str"], "old");
            assert_eq!(node.ask("peek k"), json!({"outcome": "miss"}));
            assert_eq!(
                node.ask("del k"),
                json!({"everywhere": true, "reach": "everywhere"})
            );
        }
        node.until_idle();
    });
}
