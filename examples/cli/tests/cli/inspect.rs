//! `inspect`: entries that real caches have written, and what is none.

use std::time::Duration;

use jetcache_tests::redis_server::RedisServer;
use jetcache_tokio::{Compressed, Load, LoadError, Lz4, MessagePack};

use crate::process::{Value, jetcache, users, value};

fn inspect(server: &RedisServer, more: &[&str]) -> crate::process::Ended {
    jetcache(&[&["inspect", "--redis", &*server.url()], more].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_of_a_real_cache_is_shown() {
    let server = RedisServer::start();
    let builder = users(&server.url(), Compressed::new(MessagePack, Lz4));
    let builder = builder.stale_for(Duration::from_secs(90));
    let cache = builder.ttl(Duration::from_secs(600)).build().unwrap();
    let loader = async || Ok::<_, LoadError>(Load::from(value("text")).mark("v7"));
    cache.get_or_load("7", loader).await.unwrap();
    let long = value(&"again and again; ".repeat(500));
    cache.insert("8".into(), long).await.unwrap();
    let nobody = async || Ok::<Option<Value>, LoadError>(None);
    cache.get_or_load("9", nobody).await.unwrap();
    inspect(&server, &["users:7"]).is(
        0,
        &[
            "users:7\n  L2     a value in the native format, ",
            "bytes, MessagePack, not compressed\n",
            "fresh for ",
            ", then stale for 90 s; ",
            "marked \"v7\"",
            "the server keeps it for ",
            "lease  none",
        ],
    );
    let parts = ["MessagePack, LZ4\n", "8503 bytes decompressed"];
    inspect(&server, &["users:8"]).is(0, &parts);
    inspect(&server, &["users:9"]).is(0, &["\"does not exist\" in the native format"]);
    let ended = inspect(&server, &["users:7", "--json"]);
    ended.is(0, &[]);
    let json: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(json["key"], "users:7");
    assert_eq!(json["entry"]["codec"], 1);
    assert_eq!(json["entry"]["mark"], "v7");
    assert_eq!(json["lease"]["holder"], "nobody");
}

#[test]
fn nothing_and_a_lease_are_shown() {
    let server = RedisServer::start();
    let ended = inspect(&server, &["users:7"]);
    ended.is(3, &["L2     nothing\n", "lease  none\n"]);
    server.cli(&["SET", "{users:7}#lease", "0123", "PX", "60000"]);
    let ended = inspect(&server, &["users:7"]);
    ended.is(
        3,
        &[
            "L2     nothing\n",
            "lease  held by a load or a write-through, ",
            " s left\n",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_says_why() {
    let server = RedisServer::start();
    server.cli(&["SET", "users:1", "something else"]);
    let parts = [
        "something in no format of ours, 14 bytes",
        "cannot be read: ",
        "--format go",
    ];
    inspect(&server, &["users:1"]).is(0, &parts);
    server.cli(&["RPUSH", "users:2", "a"]);
    inspect(&server, &["users:2"]).is(0, &["a list, which is no entry"]);
    let cache = users(&server.url(), MessagePack).build().unwrap();
    cache.insert("3".into(), value("text")).await.unwrap();
    server.cli(&["SETRANGE", "users:3", "40", "x"]);
    inspect(&server, &["users:3"]).is(0, &["in the native format", "it is damaged"]);
    server.cli(&["SETRANGE", "users:3", "2", "9"]);
    inspect(&server, &["users:3"]).is(0, &["version 57 of the format", "update this node"]);
}

#[test]
fn the_format_of_jetcache_go_is_shown() {
    let server = RedisServer::start();
    server.cli(&["SET", "shop:1", "*", "PX", "60000"]);
    server.cli(&["SET", "shop:2", "{\"Num\":1}"]);
    let go = |key| inspect(&server, &[key, "--format", "go"]);
    go("shop:1").is(
        0,
        &["\"does not exist\" in the format of jetcache-go, 1 bytes"],
    );
    go("shop:2").is(
        0,
        &["a value in the format of jetcache-go, 9 bytes", "for ever"],
    );
}
