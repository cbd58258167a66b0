//! A Redis cluster keeps the contract, and does what only a cluster must.

mod failover;
mod impostors;
mod outage;
mod slots;

use std::fs;
use std::future::Future;
use std::thread;
use std::time::{Duration, Instant};

use jetcache_adapters::{RedisCluster, contract};
use jetcache_core::ports::bus::Kind;
use jetcache_core::ports::remote::{Claim, Claimed, Fill, Filled, Hold, LeaseAsk, Settle, Wire};
use jetcache_core::{Fault, Remote};
use jetcache_tests::redis_cluster::RedisNodes;
use jetcache_tests::redis_server::RedisServer;

use crate::adapters::redis::access::Pki;
use crate::adapters::verbs::{
    MINUTE, T, claim, contract_on_tokio, fill, lease, many, read, single, stored,
};

pub(crate) fn open(nodes: &RedisNodes) -> RedisCluster {
    patient(nodes.urls())
}

/// A client with patience for a busy machine.
pub(crate) fn patient<U: Into<String>>(urls: impl IntoIterator<Item = U>) -> RedisCluster {
    RedisCluster::builder(urls)
        .slot_timeout(Duration::from_secs(20))
        .connect_timeout(Duration::from_secs(20))
        .open()
        .unwrap()
}

pub(crate) fn some(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("ns:{n}")).collect()
}

pub(crate) fn as_str(keys: &[String]) -> Vec<&str> {
    keys.iter().map(|key| &**key).collect()
}

#[test]
fn a_cluster_keeps_the_contract_on_tokio() {
    let nodes = RedisNodes::start();
    contract_on_tokio(&open(&nodes));
}

#[test]
fn a_cluster_keeps_the_contract_on_smol() {
    let nodes = RedisNodes::start();
    let cluster = open(&nodes);
    smol::block_on(contract::remote::run(&cluster, async |span| {
        smol::Timer::after(span).await;
    }));
}

#[test]
fn a_batch_over_all_masters_is_answered_in_order() {
    let nodes = RedisNodes::start();
    let cluster = open(&nodes);
    // Some keys share slots by their tags; the others lie in far more slots than are asked at once.
    let mut keys = some(1000);
    keys.extend((0..1000).map(|n| format!("ns:{{{}}}:{n}", n % 300)));
    let keys = as_str(&keys);
    many().block_on(async {
        let asks: Vec<_> = keys
            .iter()
            .map(|key| LeaseAsk {
                key,
                token: T,
                life: MINUTE,
            })
            .collect();
        for leased in cluster.lease(&asks, Wire::Native).await {
            let leased = leased.unwrap();
            assert!(leased.is_granted() && leased.found.is_none());
        }
        let fills: Vec<_> = keys
            .iter()
            .map(|key| Fill {
                key,
                token: T,
                value: stored(key.as_bytes()),
                kind: Kind::SetByOnce,
            })
            .collect();
        for filled in cluster.fill(&fills, Wire::Native).await {
            assert_eq!(filled.unwrap(), Filled::Stored);
        }
        for (key, found) in keys.iter().zip(cluster.read(&keys, Wire::Native).await) {
            assert_eq!(found.unwrap().unwrap().bytes, key.as_bytes());
        }
        let claims: Vec<_> = keys
            .iter()
            .map(|key| Claim {
                key,
                token: T,
                life: MINUTE,
                condition: None,
                dead: None,
                spares: false,
            })
            .collect();
        assert!(
            cluster
                .claim(&claims, Wire::Native)
                .await
                .into_iter()
                .all(|claimed| claimed.unwrap() == Claimed::Granted(None, None))
        );
        let settles: Vec<_> = keys
            .iter()
            .map(|key| Settle {
                key,
                token: Some(T),
                value: stored(key.as_bytes()),
            })
            .collect();
        for settled in cluster.settle(&settles, Wire::Native).await {
            assert_eq!(settled.unwrap(), Filled::Stored);
        }
    });
    let sizes: Vec<usize> = (0..3)
        .map(|at| nodes.node(at).cli(&["DBSIZE"]).parse().unwrap())
        .collect();
    assert_eq!(sizes.iter().sum::<usize>(), 2000);
    assert!(sizes.iter().all(|size| *size > 300), "{sizes:?}");
    many().block_on(async {
        for removed in cluster.remove(&keys).await {
            removed.unwrap();
        }
        let holds: Vec<_> = keys.iter().map(|key| Hold::of(key, T)).collect();
        for released in cluster.release(&holds).await {
            released.unwrap();
        }
    });
    assert!((0..3).all(|at| nodes.node(at).cli(&["DBSIZE"]) == "0"));
}

#[test]
fn one_bad_key_does_not_hurt_the_other_ninety_nine() {
    let nodes = RedisNodes::start();
    let cluster = open(&nodes);
    let keys = some(100);
    let bad = nodes.node(nodes.first_owner(nodes.slot("ns:42")));
    bad.cli(&["HSET", "{ns:42}#lease", "field", "value"]);
    let keys = as_str(&keys);
    many().block_on(async {
        let asks: Vec<_> = keys
            .iter()
            .map(|key| LeaseAsk {
                key,
                token: T,
                life: MINUTE,
            })
            .collect();
        let leased = cluster.lease(&asks, Wire::Native).await;
        for (at, leased) in leased.into_iter().enumerate() {
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
        let filled = cluster.fill(&fills, Wire::Native).await;
        for (at, filled) in filled.into_iter().enumerate() {
            let stored = filled.is_ok_and(|filled| filled == Filled::Stored);
            assert_eq!(stored, at != 42, "{at}");
        }
        let found = cluster.read(&keys, Wire::Native).await;
        for (at, found) in found.into_iter().enumerate() {
            assert_eq!(found.unwrap().is_some(), at != 42, "{at}");
        }
    });
}

#[test]
fn keys_with_braces_of_all_kinds_lie_with_their_leases() {
    let nodes = RedisNodes::start();
    let cluster = open(&nodes);
    many().block_on(async {
        for key in [
            "ns:a",
            "ns:{",
            "ns:}",
            "ns:{}",
            "ns:{}x",
            "ns:{a}",
            "ns:{a}b",
            "ns:a}b",
            "ns:a{b",
            "ns:}{",
            "ns:{a{b}}",
            "ns:{}{a}",
            "ns:ü}",
            "ns:{ü}",
            "{",
            "}",
            "{}",
            "",
        ] {
            assert!(lease(&cluster, key, T).await.unwrap().is_granted(), "{key}");
            let filled = fill(&cluster, key, T, b"v").await.unwrap();
            assert_eq!(filled, Filled::Stored, "{key}");
            assert!(claim(&cluster, key, T).await.unwrap(), "{key}");
            cluster.remove(&[key]).await.remove(0).unwrap();
            assert!(read(&cluster, key).await.unwrap().is_none(), "{key}");
        }
    });
}

#[test]
fn scripts_that_a_master_forgot_are_loaded_again() {
    let nodes = RedisNodes::start();
    let cluster = open(&nodes);
    let keys = some(60);
    many().block_on(async {
        for (at, key) in keys.iter().enumerate() {
            nodes.node(at % 3).cli(&["SCRIPT", "FLUSH"]);
            assert!(claim(&cluster, key, T).await.unwrap(), "{key}");
        }
        nodes.node(0).cli(&["SCRIPT", "FLUSH"]);
        nodes.node(2).cli(&["SCRIPT", "FLUSH"]);
        let fills: Vec<_> = keys
            .iter()
            .map(|key| Fill {
                key,
                token: T,
                value: stored(b"v"),
                kind: Kind::SetByOnce,
            })
            .collect();
        for filled in cluster.fill(&fills, Wire::Native).await {
            assert_eq!(filled.unwrap(), Filled::Stored);
        }
    });
}

#[test]
fn one_node_given_is_enough() {
    let nodes = RedisNodes::start();
    for url in nodes.urls() {
        let cluster = patient([url]);
        let keys = some(50);
        many().block_on(async {
            for removed in cluster.remove(&as_str(&keys)).await {
                removed.unwrap();
            }
        });
    }
}

#[test]
fn what_cannot_be_a_cluster_is_refused_in_words() {
    let none: [&str; 0] = [];
    assert!(RedisCluster::open(none).is_err());
    let words = |urls: &[&str]| {
        let error = RedisCluster::open(urls.iter().copied()).unwrap_err();
        let error = error.to_string();
        assert!(!error.contains("secret"), "{error}");
        error
    };
    assert!(words(&["localhost"]).contains("redis://user:password@host:6379/0"));
    assert!(words(&["redis://localhost/3"]).contains("no other database"));
    assert!(words(&["redis+unix:///socket"]).contains("Unix"));
    let logins = ["redis://a:secret@one", "redis://b:secret@two"];
    assert!(words(&logins).contains("agree"));
    assert!(words(&["redis://one", "rediss://two"]).contains("agree"));
    let builder = || RedisCluster::builder(["redis://localhost"]);
    assert!(builder().connections(0).open().is_err());
    assert!(builder().concurrency(0).open().is_err());
    assert!(builder().slot_timeout(Duration::ZERO).open().is_err());
    assert!(builder().connect_timeout(Duration::ZERO).open().is_err());
    assert!(builder().client_name("two words").open().is_err());
    assert!(builder().authorities("x").open().is_err());
}

#[test]
fn nothing_shows_the_password() {
    let builder = RedisCluster::builder(["redis://user:secret@localhost"]);
    assert!(!format!("{builder:?}").contains("secret"));
    assert!(!format!("{:?}", builder.open().unwrap()).contains("secret"));
}

#[test]
fn a_server_that_is_no_cluster_is_a_fault_that_says_so() {
    let server = RedisServer::start();
    let cluster = patient([server.url()]);
    let fault = many().block_on(read(&cluster, "ns:k")).unwrap_err();
    let Fault::Refused(why) = fault else {
        panic!("{fault}")
    };
    assert!(why.contains("cluster support disabled"), "{why}");
}

#[test]
fn each_runtime_has_connections_of_its_own() {
    let nodes = RedisNodes::start();
    let cluster = open(&nodes);
    let still = single();
    let keys = some(100);
    let keys = as_str(&keys);
    let all_answer = async || {
        for removed in cluster.remove(&keys).await {
            removed.unwrap();
        }
    };
    still.block_on(all_answer());
    for _ in 0..3 {
        single().block_on(all_answer());
        smol::block_on(all_answer());
    }
    still.block_on(all_answer());
    // A runtime that ends while the client asks where the slots are.
    let cluster = open(&nodes);
    let left = single();
    left.block_on(async {
        let mut call = Box::pin(read(&cluster, "ns:k"));
        let waker = std::task::Waker::noop();
        let mut context = std::task::Context::from_waker(waker);
        assert!(call.as_mut().poll(&mut context).is_pending());
    });
    assert!(single().block_on(claim(&cluster, "ns:k", T)).unwrap());
    assert!(smol::block_on(claim(&cluster, "ns:k", T)).unwrap());
}

#[test]
fn the_connections_are_as_many_as_wanted_and_named() {
    let nodes = RedisNodes::start();
    let cluster = RedisCluster::builder(nodes.urls())
        .slot_timeout(Duration::from_secs(20))
        .connections(3)
        .client_name("shop")
        .open()
        .unwrap();
    let keys = some(300);
    many().block_on(async {
        for removed in cluster.remove(&as_str(&keys)).await {
            removed.unwrap();
        }
        for at in 0..3 {
            let clients = nodes.node(at).cli(&["CLIENT", "LIST"]);
            assert_eq!(clients.matches(" name=shop ").count(), 3, "{clients}");
        }
    });
}

#[test]
fn tls_is_spoken_with_every_node() {
    let pki = Pki::new();
    // It is only there for its directory, which goes with it.
    let shelf = RedisServer::start();
    let folder = shelf.folder();
    fs::write(folder.join("ca.pem"), &pki.authority).unwrap();
    fs::write(folder.join("cert.pem"), &pki.server.0).unwrap();
    fs::write(folder.join("key.pem"), &pki.server.1).unwrap();
    let (nodes, urls) = RedisNodes::start_tls(folder);
    let cluster = RedisCluster::builder(&urls[..1])
        .authorities(pki.authority.clone())
        .slot_timeout(Duration::from_secs(20))
        .open()
        .unwrap();
    contract_on_tokio(&cluster);
    smol::block_on(contract::remote::run(&cluster, async |span| {
        smol::Timer::after(span).await;
    }));
    for at in 0..3 {
        assert_ne!(nodes.node(at).cli(&["DBSIZE"]), "0");
        let clients = nodes.node(at).cli(&["CLIENT", "LIST"]);
        let own = clients
            .lines()
            .filter(|line| line.contains("name=jetcache"));
        let plain = format!("laddr=127.0.0.1:{} ", nodes.node(at).port());
        assert!(own.clone().count() > 0);
        assert!(own.clone().all(|line| !line.contains(&plain)), "{clients}");
    }
    let stranger = patient(urls);
    let fault = many().block_on(read(&stranger, "ns:k")).unwrap_err();
    assert!(matches!(fault, Fault::Unreachable(_)), "{fault}");
}

/// The rights are exactly those that the docs name.
#[test]
fn the_documented_rights_are_enough() {
    let nodes = RedisNodes::start();
    let rights = "on >pw resetkeys ~contract:* ~{contract:* ~{*}contract:* resetchannels -@all \
                  +mget +get +set +del +pttl +time +getrange +setrange +evalsha +zadd +zrange +zrem +zscore \
                  +multi +exec +pexpiretime +pexpire +script|load +client|setname +cluster|slots";
    let mut command = vec!["ACL", "SETUSER", "app"];
    command.extend(rights.split_whitespace());
    for at in 0..3 {
        nodes.ok(at, &command);
    }
    let urls = || {
        nodes
            .urls()
            .into_iter()
            .map(|url| url.replace("//", "//app:pw@"))
    };
    contract_on_tokio(&patient(urls()));
    for at in 0..3 {
        let log = nodes.node(at).cli(&["ACL", "LOG", "1"]);
        assert_eq!(log, "", "nothing was denied");
        nodes.ok(at, &["ACL", "SETUSER", "app", "-cluster|slots"]);
    }
    let cluster = patient(urls());
    let fault = many().block_on(read(&cluster, "contract:k")).unwrap_err();
    assert!(matches!(fault, Fault::Refused(_)), "{fault}");
}

async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A map of slots that is older than this is asked for again.
const STALE: Duration = Duration::from_millis(150);
