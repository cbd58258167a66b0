//! Many caches of one node.

use serde_json::{Value, json};

use super::batches::outcomes;
use super::fleet::pairs;
use super::process::{everywhere, with_redis};

fn hit(text: &str, num: i64) -> Value {
    json!({"outcome": "hit", "value": {"Str": text, "Num": num}})
}

fn miss() -> Value {
    json!({"outcome": "miss"})
}

#[test]
fn each_namespace_is_a_cache_of_its_own() {
    everywhere(|place| {
        let mut node = place.node(&[]);
        assert_eq!(
            node.ask("set k own 1"),
            json!({"everywhere": true, "reach": "everywhere"})
        );
        assert_eq!(node.ask("@users get k"), miss());
        assert_eq!(node.ask("@users load k user 2")["loaded"], true);
        assert_eq!(node.ask("@orders rload k order 3")["loaded"], true);
        assert_eq!(
            node.ask("@users mset a,b user 4"),
            json!({"everywhere": true, "reach": "everywhere"})
        );
        assert_eq!(node.ask("get k"), hit("own", 1));
        assert_eq!(
            node.ask("@node get k"),
            hit("own", 1),
            "its own by its name"
        );
        assert_eq!(node.ask("@users get k"), hit("user", 2));
        assert_eq!(node.ask("@orders peek k"), hit("order", 3));
        assert_eq!(
            outcomes(&node.ask("@orders mget a,b,k")),
            ["miss", "miss", "hit"]
        );

        assert_eq!(node.ask("@users clear"), json!({"ok": true}));
        assert_eq!(node.ask("@users peek k"), miss());
        assert_eq!(node.ask("peek k"), hit("own", 1));
        assert_eq!(node.ask("@users get k"), hit("user", 2), "from L2");
        assert_eq!(
            node.ask("@users mdel k,a"),
            json!({"everywhere": true, "reach": "everywhere"})
        );
        assert_eq!(node.ask("@users exists k"), json!({"exists": false}));
        assert_eq!(node.ask("@orders exists k"), json!({"exists": true}));
        assert_eq!(node.ask("exists k"), json!({"exists": true}));
        assert_eq!(node.ask("@users stats")["loads"], 1);
        assert_eq!(node.ask("@orders stats")["loads"], 1);
        assert_eq!(node.count("loads"), 0);
    });
}

#[test]
fn every_command_of_a_cache_goes_with_a_namespace() {
    everywhere(|place| {
        let mut node = place.node(&[]);
        for (line, answer) in [
            ("@a setnx k one 1", json!({"applied": true})),
            ("@a setxx k two 2", json!({"applied": true})),
            ("with skip-local @a get k", hit("two", 2)),
            ("@a with skip-local get k", hit("two", 2)),
            ("@a dellocal k", json!({"ok": true})),
            ("@a peek k", miss()),
            (
                "@a del k",
                json!({"everywhere": true, "reach": "everywhere"}),
            ),
            (
                "@\"b c\" par 100 k one 1 100",
                json!({"loads": 1, "ok": 100, "errors": 0}),
            ),
            ("@\"b c\" get k", hit("one", 1)),
            ("@a cancel k one 1 60000 50", json!({"cancelled": true})),
            ("@a hold k one 1", json!({"ok": true})),
            (
                "@a mload k2,x two 2",
                json!({
                    "results": [
                        {"key": "k2", "outcome": "hit", "value": {"Str": "two", "Num": 2}},
                        {"key": "x", "outcome": "absent"},
                    ],
                    "asked": ["k2", "x"],
                }),
            ),
        ] {
            let mut reply = node.ask(line);
            if let Some(asked) = reply.get_mut("asked").and_then(Value::as_array_mut) {
                asked.sort_by_key(ToString::to_string);
            }
            assert_eq!(reply, answer, "{line}");
        }
        let slow = node.send("& @a load slow one 1 300");
        let same = node.send("& load slow two 2 300");
        assert_eq!(node.reply(slow)["value"]["Str"], "one");
        assert_eq!(node.reply(same)["value"]["Str"], "two");
        for line in [
            "@",
            "@ get k",
            "@a",
            "@a sleep 1",
            "@a quit",
            "@a @b get k",
            "@a & get k",
            "@a fetch k",
        ] {
            let reply = node.ask(line);
            assert!(reply["error"].is_string(), "{line}: {reply}");
        }
    });
}

#[test]
fn a_namespace_that_clashes_is_refused_as_often_as_it_is_asked() {
    everywhere(|place| {
        let mut node = place.node(&["--namespace", "shop"]);
        node.ask("@users:old set k one 1");
        for _ in 0..2 {
            for namespace in ["shop:users", "users", "users:old:er", "{open"] {
                for command in ["get k", "mload a,b one 1", "stats"] {
                    let reply = node.ask(format!("@{namespace} {command}"));
                    let fields = reply.as_object().unwrap();
                    assert!(fields.len() == 1 && fields["error"].is_string(), "{reply}");
                }
            }
        }
        let error = node.ask("@shop:users get k")["error"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(
            error.contains("shop:") && error.contains("namespace"),
            "{error}"
        );
        assert_eq!(node.ask("@users:old get k"), hit("one", 1));
        assert_eq!(
            node.ask("@users:older get k"),
            miss(),
            "its keys are others"
        );
        assert_eq!(node.ask("@node get k"), miss(), "nobody has it");
        assert_eq!(node.ask("get k"), miss());
    });
}

#[test]
fn a_cache_closes_without_the_others_and_a_quit_closes_all() {
    everywhere(|place| {
        let mut node = place.node(&[]);
        node.ask("@a set k one 1");
        node.ask("@b set k one 1");
        assert_eq!(node.ask("@a close"), json!({"ok": true}));
        assert!(
            node.ask("@a set k two 2")["error"]
                .as_str()
                .unwrap()
                .contains("closed")
        );
        assert_eq!(
            node.ask("set k two 2"),
            json!({"everywhere": true, "reach": "everywhere"})
        );
        assert_eq!(node.ask("close"), json!({"ok": true}));
        assert_eq!(node.ask("@b get k"), hit("one", 1));
        node.ask("@b hold k2 one 1");
        node.send("& @b load slow one 1 200");
        assert_eq!(node.ask("quit"), json!({"ok": true}));
        let (status, rest) = node.end();
        assert!(status.success(), "{status}");
        assert!(
            rest.iter().all(|reply| reply["outcome"] == "hit"),
            "{rest:?}"
        );
    });
}

#[test]
fn keys_in_redis_begin_with_their_namespace() {
    with_redis(|runtime, server| {
        let url = server.url();
        for wire in ["native", "jetcache-go"] {
            let own = format!("own-{wire}");
            let mut node = super::process::Node::start(&[
                "--runtime",
                runtime,
                "--redis",
                &url,
                "--wire",
                wire,
                "--namespace",
                &own,
            ]);
            node.ask("set k one 1");
            node.ask(format!("@other-{wire} mset k,l one 1"));
            for key in [
                format!("own-{wire}:k"),
                format!("other-{wire}:k"),
                format!("other-{wire}:l"),
            ] {
                assert_eq!(server.cli(&["EXISTS", &key]), "1", "{key}");
            }
        }
        // And the logs of the two native ones, two keys each.
        assert_eq!(server.cli(&["DBSIZE"]), "10");
    });
}

#[test]
fn namespaces_are_the_fleets() {
    pairs(
        &["--lease-wait-ms", "20000"],
        |mut here, mut there, server| {
            here.ask("@users mload 1,2,x3 one 1");
            assert_eq!(
                outcomes(&there.ask("@users mget 1,2,x3")),
                ["hit", "hit", "absent"]
            );
            assert_eq!(outcomes(&there.ask("@orders mget 1,2,x3")), ["miss"; 3]);
            let first = here.send("& @users par 100 cold here 1 500");
            let second = there.send("& @users par 100 cold there 1 500");
            let (first, second) = (here.reply(first), there.reply(second));
            let loads = first["loads"].as_u64().unwrap() + second["loads"].as_u64().unwrap();
            assert_eq!(loads, 1, "{first} {second}");
            assert_eq!(there.ask("@users get cold"), here.ask("@users get cold"));
            // The caches of a node share its connections: two of them.
            let clients = server.cli(&["CLIENT", "LIST"]);
            let ours = clients
                .lines()
                .filter(|line| line.contains("name=jetcache"))
                .count();
            assert!((2..=4).contains(&ours), "{clients}");
        },
    );
}
