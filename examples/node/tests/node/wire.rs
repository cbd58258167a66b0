//! What stands in Redis in jetcache-go's format, and what a Go service left there.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use jetcache_tests::redis_server::RedisServer;
use serde::Deserialize;
use serde_json::{Value, json};

use super::batches::outcomes;
use super::fleet::pairs;
use super::process::{Node, refused, with_redis};

fn go(runtime: &str, server: &RedisServer, more: &[&str]) -> Node {
    let url = server.url();
    let arguments = [
        "--runtime",
        runtime,
        "--redis",
        &url,
        "--wire",
        "jetcache-go",
    ];
    Node::start(&[&arguments, more].concat())
}

/// What redis-cli would print of one command, in bytes: it has no way to say some of them.
fn raw(server: &RedisServer, command: &[&[u8]]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
    for word in command {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    stream.write_all(&bytes).unwrap();
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    reader.read_line(&mut head).unwrap();
    let (kind, text) = head.trim_end().split_at(1);
    match (kind, text.parse::<usize>()) {
        ("$", Ok(length)) => {
            let mut answer = vec![0; length];
            reader.read_exact(&mut answer).unwrap();
            answer
        }
        ("+", _) => text.into(),
        _ => panic!("{command:?}: {head}"),
    }
}

/// `{"Str":..,"Num":42}` as MessagePack, as Go writes it.
fn msgpack(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap();
    let head: &[u8] = match length {
        0..32 => &[0xa0 | length],
        _ => &[0xd9, length],
    };
    [b"\x82\xa3Str", head, text.as_bytes(), b"\xa3Num\x2a"].concat()
}

#[test]
fn messagepack_is_compressed_from_64_bytes_on() {
    with_redis(|runtime, server| {
        let mut node = go(runtime, &server, &["--namespace", "v"]);
        for (key, length, size) in [("small", 8, 19), ("plain63", 51, 63)] {
            let text = "a".repeat(length);
            assert_eq!(
                node.ask(format!("set {key} {text} 42")),
                json!({"everywhere": true, "reach": "everywhere"})
            );
            let mut expected = msgpack(&text);
            assert_eq!(expected.len(), size);
            expected.push(0);
            assert_eq!(
                raw(&server, &[b"GET", format!("v:{key}").as_bytes()]),
                expected
            );
        }
        for (key, text) in [
            ("plain64", "a".repeat(52)),
            ("noise64", noise(52)),
            ("long", "ab".repeat(9999)),
        ] {
            assert_eq!(
                node.ask(format!("set {key} {text} 42")),
                json!({"everywhere": true, "reach": "everywhere"})
            );
            let stored = raw(&server, &[b"GET", format!("v:{key}").as_bytes()]);
            let (last, block) = stored.split_last().unwrap();
            assert_eq!(*last, 1, "{key}");
            assert!(
                key != "long" || stored.len() < 1000,
                "{key}: {}",
                stored.len()
            );
            // A block begins with the length of what it holds.
            assert!(key == "long" || block[0] == 64, "{key}: {block:?}");
            let found = node.ask(format!("with skip-local get {key}"));
            assert_eq!(found["value"]["Str"], text, "{key}");
        }
        let mut keys: Vec<String> = server
            .cli(&["KEYS", "*"])
            .lines()
            .map(ToOwned::to_owned)
            .collect();
        keys.sort_unstable();
        assert_eq!(
            keys,
            ["v:long", "v:noise64", "v:plain63", "v:plain64", "v:small"]
        );
        assert_eq!(node.count("undecodable"), 0);
    });
}

/// Letters that do not repeat themselves.
fn noise(length: usize) -> String {
    let mut state = 7_u32;
    let letter = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'A' + u8::try_from(state >> 27).unwrap())
    };
    (0..length)
        .map(letter)
        .map(|c| if c.is_alphabetic() { c } else { '_' })
        .collect()
}

#[test]
fn json_stands_there_as_it_is() {
    with_redis(|runtime, server| {
        let mut node = go(runtime, &server, &["--codec", "json"]);
        for text in ["mystring".to_owned(), "a".repeat(500)] {
            node.ask(format!("mset k,l {text} 42"));
            let expected = format!("{{\"Str\":\"{text}\",\"Num\":42}}");
            assert_eq!(server.cli(&["GET", "node:k"]), expected);
            assert_eq!(
                outcomes(&node.ask("with skip-local mget k,l")),
                ["hit", "hit"]
            );
        }
    });
}

#[test]
fn what_does_not_exist_is_an_asterisk() {
    with_redis(|runtime, server| {
        for codec in ["msgpack", "json"] {
            let more = [
                "--codec",
                codec,
                "--namespace",
                codec,
                "--negative-ttl-ms",
                "60000",
                "--jitter",
                "0",
            ];
            let mut node = go(runtime, &server, &more);
            let key = |id: &str| format!("{codec}:{id}");
            node.ask("load k - 1");
            node.ask("mload x1,l Ada 1");
            for id in ["k", "x1"] {
                assert_eq!(server.cli(&["GET", &key(id)]), "*", "{id}");
                let left: u64 = server.cli(&["PTTL", &key(id)]).parse().unwrap();
                assert!((30_000..=60_000).contains(&left), "{left}");
            }
            assert_eq!(server.cli(&["SET", &key("go"), "*", "PX", "60000"]), "OK");
            let found = node.ask("with skip-local mget k,x1,go,l,none");
            assert_eq!(
                outcomes(&found),
                ["absent", "absent", "absent", "hit", "miss"]
            );
            assert_eq!(
                node.ask("set go \"*\" 1"),
                json!({"everywhere": true, "reach": "everywhere"})
            );
            assert_eq!(node.ask("with skip-local get go")["value"]["Str"], "*");
        }
    });
}

#[test]
fn nodes_of_different_runtimes_speak_it_with_each_other() {
    pairs(
        &["--wire", "jetcache-go", "--lease-wait-ms", "20000"],
        |mut here, mut there, _| {
            let long = "long ".repeat(100);
            assert_eq!(here.ask(format!("load k \"{long}\" 1"))["loaded"], true);
            assert_eq!(there.ask("load k other 2")["value"]["Str"], long);
            here.ask("mload a,x1,b brief 1");
            assert_eq!(
                outcomes(&there.ask("mget a,x1,b,c")),
                ["hit", "absent", "hit", "miss"]
            );
            let first = here.send("& par 100 cold here 1 500");
            let second = there.send("& par 100 cold there 1 500");
            let (first, second) = (here.reply(first), there.reply(second));
            let loads = first["loads"].as_u64().unwrap() + second["loads"].as_u64().unwrap();
            assert_eq!(loads, 1, "{first} {second}");
            assert_eq!(
                here.ask("del k"),
                json!({"everywhere": true, "reach": "everywhere"})
            );
            assert_eq!(
                there.ask("with skip-local get k"),
                json!({"outcome": "miss"})
            );
            assert_eq!(there.count("undecodable"), 0);
            assert_eq!(there.count("remote_faults"), 0);
        },
    );
}

/// A row of what jetcache-go wrote.
#[derive(Deserialize)]
struct Row {
    codec: String,
    go_type: String,
    value_json: Value,
    key: String,
    stored_hex: String,
    form: String,
}

#[test]
fn what_go_wrote_is_read() {
    let rows: Vec<Row> = VECTORS
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|row: &Row| {
            matches!(&*row.go_type, "Object" | "*Object") && row.value_json.is_object()
        })
        .collect();
    for form in ["raw", "plain00", "s2_01"] {
        assert!(
            rows.iter().filter(|row| row.form == form).count() > 5,
            "{form}"
        );
    }
    with_redis(|runtime, server| {
        for codec in ["msgpack", "json"] {
            let namespace = format!("go-{codec}");
            let mut node = go(
                runtime,
                &server,
                &["--codec", codec, "--namespace", &namespace],
            );
            let rows: Vec<&Row> = rows.iter().filter(|row| row.codec == codec).collect();
            let mut ids = Vec::new();
            for row in &rows {
                let id = row.key.replace(',', " ");
                let key = format!("{namespace}:{id}");
                let bytes = unhex(&row.stored_hex);
                raw(&server, &[b"SET", key.as_bytes(), &bytes, b"PX", b"600000"]);
                let found = node.ask(format!("get {}", serde_json::to_string(&id).unwrap()));
                assert_eq!(
                    found,
                    json!({"outcome": "hit", "value": row.value_json}),
                    "{key}"
                );
                ids.push(id);
            }
            let ids = serde_json::to_string(&ids.join(",")).unwrap();
            let found = node.ask(format!("with skip-local mget {ids}"));
            for (row, found) in rows.iter().zip(found["results"].as_array().unwrap()) {
                assert_eq!(found["value"], row.value_json, "{}", row.key);
            }
            assert_eq!(node.count("undecodable"), 0);
        }
    });
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn codecs_are_chosen_and_do_not_read_each_other() {
    with_redis(|runtime, server| {
        let start = |codec: &str| {
            Node::start(&[
                "--runtime",
                runtime,
                "--redis",
                &server.url(),
                "--codec",
                codec,
            ])
        };
        for (codec, other) in [
            ("msgpack", "json"),
            ("json", "postcard"),
            ("postcard", "msgpack"),
        ] {
            let (mut node, mut other) = (start(codec), start(other));
            assert_eq!(
                node.ask("mset a,b Ada 36"),
                json!({"everywhere": true, "reach": "everywhere"})
            );
            assert_eq!(
                outcomes(&node.ask("with skip-local mget a,b")),
                ["hit", "hit"]
            );
            assert_eq!(outcomes(&other.ask("mget a,b")), ["miss", "miss"]);
            assert_eq!(
                other.ask("load a Ada 37")["value"]["Num"],
                37,
                "and is healed"
            );
            assert_eq!(
                node.ask("mdel a,b"),
                json!({"everywhere": true, "reach": "everywhere"})
            );
        }
    });
}

#[test]
fn jetcache_go_and_postcard_do_not_go_together() {
    let (code, text) = refused(&["--wire", "jetcache-go", "--codec", "postcard"]);
    assert_eq!(code, Some(2));
    for word in ["postcard", "jetcache-go", "msgpack", "json"] {
        assert!(text.contains(word), "{text}");
    }
}

const VECTORS: &str = include_str!("../../../../tests/data/jetcache-go/vectors.jsonl");
