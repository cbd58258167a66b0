//! Redis renews the life of a value where it stands: the value is not sent again.

use std::sync::Arc;
use std::time::Duration;

use jetcache_adapters::{MessagePack, Redis, RedisCluster};
use jetcache_core::machine::tier::envelope::{open as open_envelope, seal};
use jetcache_core::ports::bus::Kind;
use jetcache_core::ports::remote::{Extend, Extended, Filled, Header, Herald, Stored};
use jetcache_core::{Cached, Call, Load, LoadError, Remote, Standing};
use jetcache_tests::redis_cluster::RedisNodes;
use jetcache_tests::redis_server::RedisServer;

use crate::adapters::cluster::open;
use crate::adapters::redis::ear::Ear;
use crate::adapters::verbs::{MINUTE, T, claim, fill, lease, many, read, stored};

type Page = Arc<String>;

const BIG: usize = 1 << 20;

/// A number of `INFO`.
fn info(server: &RedisServer, section: &str, name: &str) -> u64 {
    let text = server.cli(&["INFO", section]);
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|number| number.trim().parse().ok());
    number.unwrap_or_else(|| panic!("{name} is not in {text}"))
}

/// How often a command was carried out.
fn calls(server: &RedisServer, command: &str) -> u64 {
    let text = server.cli(&["INFO", "commandstats"]);
    let prefix = format!("cmdstat_{command}:calls=");
    let line = text.lines().find_map(|line| line.strip_prefix(&prefix));
    let number = line.and_then(|line| line.split(',').next()?.parse().ok());
    number.unwrap_or_default()
}

/// A megabyte is loaded, stays after its life, and is unchanged: a few hundred bytes are sent.
#[test]
fn a_big_value_that_is_unchanged_is_not_sent_again() {
    let server = RedisServer::start();
    // Long enough for the looks at the server between a stamp and who reads it.
    let ttl = Duration::from_millis(800);
    let redis = Redis::open(&server.url()).unwrap();
    let node = || {
        let node = jetcache_tokio::node().remote(redis.clone());
        node.cache::<u64, Page>("pages", MessagePack)
            .ttl(ttl)
            .stale_for(MINUTE)
            .build()
            .unwrap()
    };
    let sent = || info(&server, "stats", "total_net_input_bytes");
    many().block_on(async {
        let (one, two) = (node(), node());
        let load = async |standing: Option<Standing<Page>>| {
            let page = || Load::from(Page::new("x".repeat(BIG))).mark("v1");
            Ok::<_, LoadError>(match standing.as_ref().and_then(Standing::mark_text) {
                Some("v1") => Load::unchanged(),
                _ => page(),
            })
        };
        let ask = async || {
            let answer = one.get_or_load_if_changed(&7, &Call::new(), load).await;
            assert!(matches!(answer, Ok(Cached::Hit(page)) if page.len() == BIG));
        };
        let before = sent();
        ask().await;
        let full = sent() - before;
        assert!(full > BIG as u64, "{full} bytes were sent at first");
        for round in 1..=3 {
            tokio::time::sleep(ttl * 2).await;
            assert_eq!(two.get(&7).await, Cached::Miss, "its life is over");
            let before = (sent(), calls(&server, "set"));
            ask().await;
            let after = (sent(), calls(&server, "set"));
            let again = after.0 - before.0;
            assert!(again < 10_000, "{again} bytes were sent in round {round}");
            assert_eq!(after.1 - before.1, 1, "the lease, and nothing else, is set");
            assert!(two.get(&7).await.is_hit(), "and the other node sees it");
        }
        assert_eq!(one.stats().unchanged, 3);
        assert_eq!(
            calls(&server, "setrange"),
            4,
            "a stamp of the fill, and three"
        );
    });
}

/// An entry as the cache writes it, with an hour to be served stale after a minute.
fn entry() -> Vec<u8> {
    let mut bytes = Vec::new();
    open_envelope(&mut bytes, Some(200));
    bytes.extend_from_slice(b"value");
    seal(&mut bytes, MINUTE, 60 * MINUTE);
    bytes
}

async fn stands(remote: &impl Remote, key: &str) -> Header {
    assert!(claim(remote, key, T).await.unwrap());
    assert_eq!(
        fill(remote, key, T, &entry()).await.unwrap(),
        Filled::Stored
    );
    Header::of(&read(remote, key).await.unwrap().unwrap().bytes).unwrap()
}

async fn extend(remote: &impl Remote, key: &str, header: &Header, kind: Kind) -> Extended {
    let Stored {
        life, lease, age, ..
    } = stored(b"");
    let extend = Extend {
        key,
        token: T,
        header,
        life,
        lease,
        age,
        kind,
    };
    remote.extend(&[extend]).await.remove(0).unwrap()
}

#[test]
fn the_key_lives_as_long_as_its_value_and_window() {
    let server = RedisServer::start();
    let redis = Redis::open(&server.url()).unwrap();
    many().block_on(async {
        let header = stands(&redis, "ns:k").await;
        assert!(lease(&redis, "ns:k", T).await.unwrap().is_granted());
        assert_eq!(server.cli(&["PEXPIRE", "ns:k", "5000"]), "1");
        let extended = extend(&redis, "ns:k", &header, Kind::SetByOnce).await;
        assert_eq!(extended, Extended::Stored);
    });
    let left: u64 = server.cli(&["PTTL", "ns:k"]).parse().unwrap();
    let whole = 61 * 60_000;
    assert!((whole - 20_000..=whole).contains(&left), "{left} ms");
    assert_eq!(server.cli(&["STRLEN", "ns:k"]), "50", "nothing was added");
}

/// What stands there grows by nothing.
#[test]
fn a_server_without_memory_extends() {
    let server = RedisServer::start();
    let redis = Redis::open(&server.url()).unwrap();
    many().block_on(async {
        let header = stands(&redis, "ns:k").await;
        assert!(lease(&redis, "ns:k", T).await.unwrap().is_granted());
        assert_eq!(server.cli(&["CONFIG", "SET", "maxmemory", "1"]), "OK");
        assert!(server.cli(&["SET", "ns:other", "v"]).contains("OOM"));
        let extended = extend(&redis, "ns:k", &header, Kind::SetByOnce).await;
        assert_eq!(extended, Extended::Stored);
    });
}

/// Without `PEXPIRE`, or where a list stands, the value is to be sent: the lease is there for it.
#[test]
fn what_cannot_be_extended_can_be_filled() {
    let server = RedisServer::start();
    let user = [
        "ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-pexpire",
    ];
    assert_eq!(server.cli(&user), "OK");
    let all = Redis::open(&server.url()).unwrap();
    let app = Redis::open(&server.url().replace("//", "//app:pw@")).unwrap();
    many().block_on(async {
        for (redis, spoil) in [(&app, false), (&all, true)] {
            let header = stands(redis, "ns:k").await;
            assert!(lease(redis, "ns:k", T).await.unwrap().is_granted());
            if spoil {
                server.cli(&["DEL", "ns:k"]);
                server.cli(&["RPUSH", "ns:k", "a list"]);
            }
            let bytes = async || {
                let found = read(redis, "ns:k").await.unwrap();
                found.map(|found| found.bytes)
            };
            let before = bytes().await;
            let extended = extend(redis, "ns:k", &header, Kind::SetByOnce).await;
            assert_eq!(extended, Extended::Unlike);
            assert_eq!(bytes().await, before);
            let filled = fill(redis, "ns:k", T, &entry()).await.unwrap();
            assert_eq!(filled, Filled::Stored);
        }
    });
}

async fn tells(remote: &impl Remote, ear: &mut Ear) {
    let herald = Herald {
        channel: "shop".into(),
        cache: "any".into(),
        source: "12345678".into(),
    };
    let header = stands(remote, "any:1").await;
    let telling = remote.announcing(herald).unwrap();
    for (kind, number) in [(Kind::SetByOnce, 2), (Kind::SetByRefresh, 3)] {
        assert!(lease(remote, "any:1", T).await.unwrap().is_granted());
        let header = match number {
            2 => header.clone(),
            _ => Header::of(&read(remote, "any:1").await.unwrap().unwrap().bytes).unwrap(),
        };
        assert_eq!(
            extend(&telling, "any:1", &header, kind).await,
            Extended::Stored
        );
        let event = format!(
            r#"{{"CacheName":"any","SourceID":"12345678","EventType":{number},"Keys":["any:1"]}}"#
        );
        ear.awaits("an extension", &[&event]);
    }
    let extended = extend(&telling, "any:1", &header, Kind::SetByRefresh).await;
    assert_eq!(extended, Extended::Refused);
    assert!(lease(remote, "any:1", T).await.unwrap().is_granted());
    remote.remove(&["any:1"]).await.remove(0).unwrap();
    assert!(lease(remote, "any:1", T).await.unwrap().is_granted());
    let extended = extend(&telling, "any:1", &header, Kind::SetByRefresh).await;
    assert_eq!(extended, Extended::Unlike);
    ear.hears("what was not extended", &[]);
}

#[test]
fn an_extension_is_told_as_a_fill_is() {
    let server = RedisServer::start();
    let mut ear = Ear::at(server.port(), "shop");
    many().block_on(tells(&Redis::open(&server.url()).unwrap(), &mut ear));
}

#[test]
fn an_extension_is_told_in_a_cluster() {
    let nodes = RedisNodes::start();
    let mut ear = Ear::at(nodes.node(1).port(), "shop");
    let cluster: RedisCluster = open(&nodes);
    many().block_on(tells(&cluster, &mut ear));
}
