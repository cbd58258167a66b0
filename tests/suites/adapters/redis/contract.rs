//! Redis keeps the contract, and does what only Redis must.

mod gathered;
mod together;

use std::time::Duration;

use jetcache_adapters::{Redis, contract};
use jetcache_core::machine::tier::envelope;
use jetcache_core::ports::bus::Kind;
use jetcache_core::ports::remote::{Fill, Filled, LeaseAsk, Life, Stored, Wire};
use jetcache_core::{Condition, Remote, Token};
use jetcache_tests::redis_server::RedisServer;

use crate::adapters::verbs::{
    MINUTE, T, claim, claim_if, contract_on_tokio, fill, lease, many, read, stored,
};

#[test]
fn redis_keeps_the_contract_on_tokio() {
    let server = RedisServer::start();
    contract_on_tokio(&Redis::open(&server.url()).unwrap());
}

#[test]
fn redis_keeps_the_contract_on_smol() {
    let server = RedisServer::start();
    let redis = Redis::open(&server.url()).unwrap();
    let sleep = async |span| {
        smol::Timer::after(span).await;
    };
    smol::block_on(async {
        contract::remote::run(&redis, sleep).await;
        contract::remote::run_generations(&redis).await;
        contract::remote::run_jetcache_go(&redis, sleep).await;
        contract::remote::run_unload(&redis, sleep).await;
    });
}

#[test]
fn the_keys_are_those_of_the_protocol() {
    let server = RedisServer::start();
    let redis = Redis::open(&server.url()).unwrap();
    many().block_on(async {
        for key in ["ns:1", "ns:{1}", "ns:}"] {
            assert!(claim(&redis, key, T).await.unwrap());
        }
    });
    assert_eq!(server.cli(&["EXISTS", "{ns:1}#lease", "ns:{1}#lease"]), "2");
    let numbered = server.cli(&["KEYS", "{*}ns:}#lease"]);
    let number = &numbered[1..numbered.find('}').unwrap()];
    assert!(number.parse::<u32>().is_ok(), "{numbered}");
    assert_eq!(server.cli(&["GET", "{ns:1}#lease"]), T.to_string());
}

#[test]
fn a_lease_lies_in_its_keys_slot() {
    let server = RedisServer::start();
    let cluster = RedisServer::start_node();
    let redis = Redis::open(&server.url()).unwrap();
    let runtime = many();
    for key in [
        "ns:1",
        "ns:{1}:a",
        "ns:}",
        "ns:{}x",
        "ns:{",
        "ns:}{",
        "ns:{a{b}}",
    ] {
        assert!(runtime.block_on(claim(&redis, key, T)).unwrap());
        let lease = server.cli(&["KEYS", "*"]);
        let slot = |key: &str| cluster.cli(&["CLUSTER", "KEYSLOT", key]);
        assert_eq!(slot(&lease), slot(key), "{key} {lease}");
        server.cli(&["FLUSHALL"]);
    }
}

#[test]
fn scripts_that_the_server_forgot_are_loaded_again() {
    let server = RedisServer::start();
    let redis = Redis::open(&server.url()).unwrap();
    many().block_on(async {
        let keys: Vec<String> = (0..100).map(|n| format!("ns:{n}")).collect();
        for key in &keys {
            server.cli(&["SCRIPT", "FLUSH"]);
            assert!(claim(&redis, key, T).await.unwrap());
            if key.ends_with('7') {
                server.cli(&["SCRIPT", "FLUSH"]);
                assert_eq!(fill(&redis, key, T, b"v").await.unwrap(), Filled::Stored);
            }
        }
        server.cli(&["SCRIPT", "FLUSH"]);
        let fills: Vec<_> = keys
            .iter()
            .map(|key| Fill {
                key,
                token: T,
                value: stored(b"v"),
                kind: Kind::SetByOnce,
            })
            .collect();
        for (key, filled) in keys.iter().zip(redis.fill(&fills, Wire::Native).await) {
            let stored = filled.unwrap() == Filled::Stored;
            assert_eq!(stored, !key.ends_with('7'), "{key}");
        }
    });
}

#[test]
fn a_key_of_another_type_is_a_miss_that_can_be_filled() {
    let server = RedisServer::start();
    let redis = Redis::open(&server.url()).unwrap();
    server.cli(&["HSET", "ns:k", "field", "value"]);
    many().block_on(async {
        assert!(read(&redis, "ns:k").await.unwrap().is_none());
        assert!(
            !claim_if(&redis, "ns:k", T, Some(Condition::Present))
                .await
                .unwrap()
        );
        let leased = lease(&redis, "ns:k", T).await.unwrap();
        assert!(leased.is_granted() && leased.found.is_none());
        assert_eq!(fill(&redis, "ns:k", T, b"v").await.unwrap(), Filled::Stored);
        assert_eq!(read(&redis, "ns:k").await.unwrap().unwrap().bytes, b"v");
    });
    server.cli(&["DEL", "ns:k"]);
    server.cli(&["LPUSH", "ns:k", "element"]);
    let granted = many().block_on(claim_if(&redis, "ns:k", T, Some(Condition::Absent)));
    assert!(granted.unwrap());
}

#[test]
fn one_bad_key_does_not_hurt_the_other_ninety_nine() {
    let server = RedisServer::start();
    let redis = Redis::open(&server.url()).unwrap();
    server.cli(&["HSET", "{ns:42}#lease", "field", "value"]);
    server.cli(&["HSET", "ns:43", "field", "value"]);
    let keys: Vec<String> = (0..100).map(|n| format!("ns:{n}")).collect();
    let keys: Vec<&str> = keys.iter().map(|key| &**key).collect();
    many().block_on(async {
        let asks: Vec<_> = keys
            .iter()
            .map(|key| LeaseAsk {
                key,
                token: T,
                life: MINUTE,
            })
            .collect();
        for (at, leased) in redis
            .lease(&asks, Wire::Native)
            .await
            .into_iter()
            .enumerate()
        {
            assert_eq!(
                leased.is_ok_and(|leased| leased.is_granted()),
                at != 42,
                "{at}"
            );
        }
        let fills: Vec<_> = keys
            .iter()
            .map(|key| Fill {
                key,
                token: T,
                value: stored(b"v"),
                kind: Kind::SetByOnce,
            })
            .collect();
        for (at, filled) in redis
            .fill(&fills, Wire::Native)
            .await
            .into_iter()
            .enumerate()
        {
            assert_eq!(
                filled.is_ok_and(|filled| filled == Filled::Stored),
                at != 42,
                "{at}"
            );
        }
        for (at, found) in redis
            .read(&keys, Wire::Native)
            .await
            .into_iter()
            .enumerate()
        {
            assert_eq!(found.unwrap().is_some(), at != 42, "{at}");
        }
    });
}

#[test]
fn the_end_is_stamped_by_the_servers_clock() {
    let server = RedisServer::start();
    let redis = Redis::open(&server.url()).unwrap();
    let mut bytes = Vec::new();
    envelope::open(&mut bytes, Some(1));
    bytes.extend_from_slice(b"payload");
    envelope::seal(&mut bytes, MINUTE, MINUTE);
    many().block_on(async {
        lease(&redis, "ns:k", T).await.unwrap();
        assert_eq!(
            fill(&redis, "ns:k", T, &bytes).await.unwrap(),
            Filled::Stored
        );
        let found = read(&redis, "ns:k").await.unwrap().unwrap();
        let Life::Clock(clock) = found.life else {
            panic!("{:?}", found.life)
        };
        let read = envelope::parse(&found.bytes).unwrap();
        let micros: Vec<u64> = server
            .cli(&["TIME"])
            .lines()
            .map(|line| line.parse().unwrap())
            .collect();
        assert!(clock <= micros[0] * 1000 + micros[1] / 1000);
        assert!(read.end > clock && read.end <= clock + 60_000);
    });
    let kept: u64 = server.cli(&["PTTL", "ns:k"]).parse().unwrap();
    assert!(kept <= 60_000);
}

#[test]
fn ten_megabytes_go_there_and_back() {
    let server = RedisServer::start();
    let redis = Redis::open(&server.url()).unwrap();
    let big: Vec<u8> = (0..10_u32 << 20).map(|n| (n >> 3) as u8).collect();
    let bytes = big.clone();
    many().block_on(async {
        lease(&redis, "ns:big", T).await.unwrap();
        assert_eq!(
            fill(&redis, "ns:big", T, &bytes).await.unwrap(),
            Filled::Stored
        );
        assert!(read(&redis, "ns:big").await.unwrap().unwrap().bytes == big);
    });
}

#[test]
fn the_longest_spans_are_taken() {
    let server = RedisServer::start();
    let redis = Redis::open(&server.url()).unwrap();
    let max = Duration::MAX;
    many().block_on(async {
        let ask = LeaseAsk {
            key: "ns:k",
            token: T,
            life: max,
        };
        assert!(
            redis
                .lease(&[ask], Wire::Native)
                .await
                .remove(0)
                .unwrap()
                .is_granted()
        );
        let value = Stored {
            replaces: None,
            bytes: b"v",
            life: max,
            stale: max,
            lease: max,
            age: max,
        };
        let filled = redis
            .fill(
                &[Fill {
                    key: "ns:k",
                    token: T,
                    value,
                    kind: Kind::SetByOnce,
                }],
                Wire::Native,
            )
            .await
            .remove(0);
        assert_eq!(filled.unwrap(), Filled::Stored);
        assert!(read(&redis, "ns:k").await.unwrap().is_some());
    });
}

#[test]
fn a_thousand_callers_at_once_share_the_connections() {
    let server = RedisServer::start();
    let redis = Redis::builder(server.url())
        .connections(3)
        .client_name("shop")
        .open()
        .unwrap();
    many().block_on(async {
        let calls: Vec<_> = (0..1000_u128)
            .map(|n| {
                let redis = redis.clone();
                tokio::spawn(
                    async move { claim(&redis, &format!("ns:{n}"), Token::from_bits(n)).await },
                )
            })
            .collect();
        for call in calls {
            assert!(call.await.unwrap().unwrap());
        }
        let clients = server.cli(&["CLIENT", "LIST"]);
        assert_eq!(clients.matches(" name=shop ").count(), 3, "{clients}");
    });
}
