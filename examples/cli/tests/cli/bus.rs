//! `watch` and `invalidate`, beside nodes that tell each other of changes.

use std::io::{BufRead, BufReader};

use jetcache_tests::redis_server::RedisServer;
use jetcache_tokio::{Cache, Cached, LoadError, MessagePack, Redis};

use crate::process::{Ended, Value, command, jetcache, until, users, value};

/// A node that hears of the others on the channel `changes`.
async fn node(server: &RedisServer) -> Cache<String, Value> {
    let redis = Redis::open(&server.url()).unwrap();
    let bus = redis.pubsub("changes");
    let cache = jetcache_tokio::builder("users");
    let cache = cache.remote(redis, MessagePack).bus(bus).build().unwrap();
    cache.listen().await;
    cache
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalidation_reaches_redis_and_all_nodes() {
    let server = RedisServer::start();
    let (one, two) = (node(&server).await, node(&server).await);
    one.insert("7".into(), value("old")).await.unwrap();
    one.insert("8".into(), value("old")).await.unwrap();
    for node in [&one, &two] {
        until("L1 has it", async || {
            node.get("7").await.is_hit() && node.peek("7").is_hit()
        })
        .await;
    }
    server.cli(&["SET", "{users:8}#lease", "somebody"]);
    let told = ["--channel", "changes"];
    let keys = [
        "invalidate",
        "--redis",
        &*server.url(),
        "users:7",
        "users:8",
    ];
    let ended = jetcache(&[&keys[..], &told].concat());
    ended.is(
        0,
        &[
            "users:7: removed with its lease, if it was there, and published on `changes`",
            "users:8: removed",
        ],
    );
    assert_eq!(
        server
            .cli(&["EXISTS", "users:7", "users:8", "{users:8}#lease"])
            .trim(),
        "0"
    );
    for node in [&one, &two] {
        until("L1 has dropped it", async || node.peek("7") == Cached::Miss).await;
    }
    // Who asks now loads anew.
    let loaded = two
        .get_or_load("7", async || Ok::<_, LoadError>(value("new")))
        .await;
    assert_eq!(loaded.unwrap(), Some(value("new")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_under_way_does_not_bring_back_what_was_invalidated() {
    let server = RedisServer::start();
    let cache = users(&server.url(), MessagePack).build().unwrap();
    let url = server.url();
    let loader = async || {
        let ended = jetcache(&["invalidate", "--redis", &url, "users:7"]);
        ended.is(0, &["nobody was told"]);
        Ok::<_, LoadError>(value("old"))
    };
    let loaded = cache.get_or_load("7", loader).await.unwrap();
    assert_eq!(loaded, Some(value("old")));
    assert_eq!(server.cli(&["EXISTS", "users:7"]).trim(), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nodes_tell_each_other_is_shown() {
    let server = RedisServer::start();
    let arguments = [
        "watch",
        "changes",
        "--count",
        "5",
        "--redis",
        &*server.url(),
    ];
    let mut child = command(&arguments).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut watching = String::new();
    stderr.read_line(&mut watching).unwrap();
    assert!(
        watching.contains("watching `changes` at redis://"),
        "{watching}"
    );
    let node = node(&server).await;
    node.insert("7".into(), value("text")).await.unwrap();
    node.invalidate("7").await;
    server.cli(&["PUBLISH", "changes", "no event\n"]);
    let go = r#"{"CacheName":"shop","SourceID":"go","EventType":5,"Keys":["shop:1","shop:2"]}"#;
    server.cli(&["PUBLISH", "changes", go]);
    let ended = Ended::of(child.wait_with_output().unwrap());
    let lines: Vec<&str> = ended.out.lines().collect();
    assert_eq!((ended.code, lines.len()), (0, 5), "{}", ended.out);
    let source = node.source_id().unwrap();
    let parts = [
        // The first node of a namespace begins its log.
        format!("raise           users {source} users:0>"),
        format!("set             users {source} users:7"),
        format!("delete          users {source} users:7"),
        "garbled         no event".to_owned(),
        "delete-unfenced shop go shop:1 shop:2".to_owned(),
    ];
    for (line, part) in lines.iter().zip(parts) {
        assert!(line.contains(&part), "no {part:?} in {line}");
    }
}
