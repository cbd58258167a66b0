//! `scan`: what a cache has in Redis, counted.

use std::time::Duration;

use jetcache_tests::redis_server::RedisServer;
use jetcache_tokio::{Compressed, LoadError, Lz4, MessagePack};

use crate::process::{Ended, Value, jetcache, users, value};

fn scan(server: &RedisServer, more: &[&str]) -> Ended {
    jetcache(&[&["scan", "--redis", &*server.url()], more].concat())
}

/// The rest of the line that begins with this.
fn line<'a>(ended: &'a Ended, name: &str) -> &'a str {
    let found = ended.out.lines().find_map(|line| line.strip_prefix(name));
    match found {
        Some(rest) => rest.trim(),
        None => panic!("no {name:?} in {}", ended.out),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_real_caches_have_stored_is_counted() {
    let server = RedisServer::start();
    let builder = users(&server.url(), MessagePack);
    let cache = builder.ttl(Duration::from_secs(300)).build().unwrap();
    let rows = (0..2500).map(|id| (id.to_string(), value("short")));
    cache.insert_many(rows).await;
    let nobody = async || Ok::<Option<Value>, LoadError>(None);
    cache.get_or_load("none", nobody).await.unwrap();
    drop(cache);
    let long = users(&server.url(), Compressed::new(MessagePack, Lz4));
    let long = long.build().unwrap();
    let text = value(&"again and again; ".repeat(500));
    long.insert("long".into(), text).await.unwrap();
    for other in ["orders:1", "orders:users:1", "user:1", "{orders:1}#lease"] {
        server.cli(&["SET", other, "x"]);
    }
    server.cli(&["SET", "{users:5}#lease", "x"]);
    server.cli(&["SET", "users:junk", "junk"]);
    server.cli(&["RPUSH", "users:list", "x"]);
    let ended = scan(&server, &["users:"]);
    ended.is(0, &[]);
    assert_eq!(line(&ended, "keys"), "2504 under \"users:\"");
    assert_eq!(line(&ended, "values"), "2501");
    assert_eq!(line(&ended, "not found"), "1 placeholders");
    assert_eq!(line(&ended, "other types"), "1");
    assert_eq!(line(&ended, "leases"), "1");
    assert_eq!(line(&ended, "unreadable"), "1");
    ended.is(0, &["1 as users:junk: it is no entry"]);
    assert_eq!(line(&ended, "codecs"), "MessagePack 2501");
    assert_eq!(line(&ended, "compressions"), "LZ4 1, none 2500");
    assert!(
        line(&ended, "bytes").contains("median 51, largest "),
        "{}",
        ended.out
    );
    assert!(
        line(&ended, "bytes").ends_with("(users:long)"),
        "{}",
        ended.out
    );
    let minutes = line(&ended, "  up to 10 min");
    assert!(minutes.starts_with("2500 ####"), "{}", ended.out);
}

#[test]
fn it_stops_at_its_limit_and_looks_into_a_sample() {
    let server = RedisServer::start();
    let names: Vec<String> = (0..3000).map(|id| format!("users:{id}")).collect();
    let pairs = names.iter().flat_map(|name| [name, "x"]);
    let all: Vec<&str> = ["MSET"].into_iter().chain(pairs).collect();
    server.cli(&all);
    let ended = scan(&server, &["users:", "--limit", "700"]);
    ended.is(0, &["700 under", "stopped at --limit"]);
    let ended = scan(&server, &["users:", "--sample", "10"]);
    assert_eq!(line(&ended, "keys"), "3000 under \"users:\"");
    assert_eq!(line(&ended, "looked into"), "300, one of 10");
    assert_eq!(line(&ended, "unreadable"), "300");
}

#[test]
fn a_prefix_is_taken_literally() {
    let server = RedisServer::start();
    for key in ["a*[x]?:1", "ab[x]c:1", "a\\*:1"] {
        server.cli(&["SET", key, "x"]);
    }
    assert_eq!(
        line(&scan(&server, &["a*[x]?:"]), "keys"),
        "1 under \"a*[x]?:\""
    );
    assert!(line(&scan(&server, &["a\\"]), "keys").starts_with("1 under"));
    assert!(line(&scan(&server, &["a?"]), "keys").starts_with("0 under"));
    assert!(line(&scan(&server, &[""]), "keys").starts_with("3 under"));
}

#[test]
fn the_format_of_jetcache_go_is_counted() {
    let server = RedisServer::start();
    server.cli(&["SET", "shop:1", "*", "PX", "60000"]);
    server.cli(&["SET", "shop:2", "{}"]);
    server.cli(&["SET", "{shop:2}#fill", "x"]);
    server.cli(&["SET", "shop:2_#RL#", "x"]);
    let ended = scan(&server, &["shop:", "--format", "go"]);
    assert_eq!(line(&ended, "keys"), "2 under \"shop:\"");
    assert_eq!(line(&ended, "not found"), "1 placeholders");
    assert_eq!(line(&ended, "values"), "1");
    assert_eq!(line(&ended, "refresh locks"), "1");
    assert_eq!(line(&ended, "fill marks"), "1");
    assert!(line(&ended, "  for ever").starts_with("1 #"));
}
