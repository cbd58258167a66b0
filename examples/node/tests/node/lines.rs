//! Lines that say nothing sensible, or too much.

use serde_json::json;

use super::process::{Node, RUNTIMES, everywhere};

#[test]
fn bad_lines_are_answered_and_survived() {
    everywhere(|place| {
        let mut node = place.node(&[]);
        let long = "9".repeat(1000);
        let lines: Vec<Vec<u8>> = vec![
            b"".into(),
            b"&".into(),
            b"& ".into(),
            b"& & get k".into(),
            b"fetch k".into(),
            b"get".into(),
            b"get a b".into(),
            b"set k a".into(),
            b"set k a one".into(),
            b"set k a 1.5".into(),
            b"set k a 1 -1".into(),
            b"load k".into(),
            b"load k a 1 1 1".into(),
            b"par k a 1 1 1".into(),
            b"par 100001 k a 1 1".into(),
            b"par 18446744073709551615 k a 1 1".into(),
            b"cancel k a 1 1".into(),
            b"hold k a 1 1".into(),
            b"with get k".into(),
            b"with ttl=x get k".into(),
            b"with skip-local stats".into(),
            b"get \"k".into(),
            b"get \"k\"x".into(),
            b"get \"\\ud800\"".into(),
            b"get \xff\xfe".into(),
            b"\0\x01\x02".into(),
            b"sleep forever".into(),
            format!("set k a {long}").into(),
            format!("sleep {long}").into(),
            format!("par {long} k a 1 1").into(),
            format!("with ttl={long} get k").into(),
        ];
        for line in lines {
            let answer = node.ask(&line);
            let fields = answer.as_object().unwrap();
            let text = String::from_utf8_lossy(&line);
            assert!(
                fields.len() == 1 && fields["error"].is_string(),
                "{text}: {answer}"
            );
        }
        assert_eq!(node.ask("get k"), json!({"outcome": "miss"}));
    });
}

#[test]
fn numbers_at_their_ends_are_numbers() {
    everywhere(|place| {
        let mut node = place.node(&[]);
        let most = u64::MAX;
        let forever = node.send(format!("& sleep {most}"));
        for line in [
            format!("set k a {} {most}", i64::MAX),
            format!("with ttl={most},local-ttl={most} load long a {}", i64::MIN),
            format!("with ttl={most},local-ttl={most} set long a 1"),
            format!("with ttl={most} setnx longer a 1"),
            format!("with local-ttl={most} get k"),
            format!("cancel slow a 1 {most} 0"),
            "with ttl=1,local-ttl=1 load brief a 1 0".into(),
            "par 2 both a 1 0".into(),
        ] {
            let answer = node.ask(&line);
            assert!(answer.get("error").is_none(), "{line}: {answer}");
        }
        assert_eq!(node.ask("peek k")["value"]["Num"], i64::MAX);
        assert_eq!(node.ask("get long")["value"]["Num"], 1);
        assert!(!node.has_replied(forever));
    });
}

#[test]
fn any_text_can_be_a_key_and_a_value() {
    everywhere(|place| {
        let mut node = place.node(&[]);
        for text in [
            "", " ", "*", "{", "}", "{}", "a}b{c}", "\0", "é\n\"\\", "-", "#lease ",
        ] {
            let quoted = serde_json::to_string(text).unwrap();
            let answer = node.ask(format!("set {quoted} {quoted} 1"));
            assert_eq!(
                answer,
                json!({"everywhere": true, "reach": "everywhere"}),
                "{quoted}"
            );
            let answer = node.ask(format!("with skip-local get {quoted}"));
            assert_eq!(answer["value"]["Str"], text);
        }
        // It would be taken for another key's lease.
        let answer = node.ask("set k#lease a 1");
        assert!(answer["error"].as_str().unwrap().contains("#lease"));
        assert_eq!(node.ask("get k#lease"), json!({"outcome": "miss"}));
        // It can be loaded all the same.
        assert_eq!(node.ask("load k#lease a 1")["loaded"], true);
        assert_eq!(node.ask("rload k#lease b 1")["loaded"], false);
        assert_eq!(node.ask("get k#lease")["value"]["Str"], "a");
        assert_eq!(node.ask("del k#lease")["everywhere"], true);
        assert_eq!(node.ask("get k#lease"), json!({"outcome": "miss"}));
    });
}

#[test]
fn a_long_value_goes_all_the_way() {
    everywhere(|place| {
        let mut node = place.node(&["--remote-timeout-ms", "20000"]);
        let long = "x".repeat(4 << 20);
        assert_eq!(
            node.ask(format!("set k {long} 1")),
            json!({"everywhere": true, "reach": "everywhere"})
        );
        let answer = node.ask("with skip-local get k");
        assert!(answer["value"]["Str"] == *long);
    });
}

#[test]
fn the_end_of_the_input_is_a_quit() {
    everywhere(|place| {
        let mut node = place.node(&[]);
        node.send_raw(b"& load k a 1 300\nhold held a 1\r\nget other");
        let (status, mut said) = node.end();
        assert!(status.success(), "{status}");
        said.sort_by_key(|reply| reply["id"].as_u64());
        let ids: Vec<_> = said.iter().map(|reply| reply["id"].as_u64()).collect();
        assert_eq!(ids, [Some(1), Some(2), Some(3)], "{said:?}");
        assert_eq!(said[0]["loaded"], true);
        assert_eq!(said[2]["outcome"], "miss");
    });
}

#[test]
fn a_quit_does_not_wait_for_ever() {
    for runtime in RUNTIMES {
        let mut node = Node::start(&["--runtime", runtime]);
        node.ask("hold k a 1");
        node.send("& sleep 1000000000");
        assert_eq!(node.ask("quit"), json!({"ok": true}));
        assert!(node.end().0.success());
    }
}
