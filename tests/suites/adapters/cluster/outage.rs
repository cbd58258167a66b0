//! Nodes of a Redis cluster hang, die and come back.

use std::time::Duration;

use jetcache_adapters::{Raw, RedisCluster};
use jetcache_core::ports::remote::{LeaseAsk, Wire};
use jetcache_core::{BreakerState, Cached, Fault, Reach, Remote, Token};
use jetcache_tests::redis_cluster::RedisNodes;
use jetcache_tests::redis_server::RedisServer;

use super::impostors::Signpost;
use super::{STALE, until};
use crate::adapters::cluster::{as_str, open, some};
use crate::adapters::verbs::{MINUTE, T, claim, many, single};

/// A client that gives up on a slot within a test's patience, but long after a living node answers.
fn impatient(urls: impl IntoIterator<Item = String>) -> RedisCluster {
    RedisCluster::builder(urls)
        .slot_timeout(Duration::from_secs(4))
        .connect_timeout(Duration::from_secs(20))
        .open()
        .unwrap()
}

/// Reads a batch, and checks that only the keys of the node that is away time out.
async fn fare(nodes: &RedisNodes, cluster: &RedisCluster, keys: &[&str], away: usize) {
    for (key, found) in keys.iter().zip(cluster.read(keys, Wire::Native).await) {
        if nodes.first_owner(slot(key)) == away {
            assert!(matches!(found, Err(Fault::Timeout)), "{key}: {found:?}");
        } else {
            assert!(found.is_ok(), "{key}: {found:?}");
        }
    }
}

/// The slot of a key without braces, computed here because a paused node cannot be asked.
fn slot(key: &str) -> usize {
    let crc = key.bytes().fold(0_u16, |sum, byte| {
        (0..8).fold(sum ^ (u16::from(byte) << 8), |sum, _| {
            let carry = if sum & 0x8000 == 0 { 0 } else { 0x1021 };
            (sum << 1) ^ carry
        })
    });
    usize::from(crc) % 16_384
}

/// The paused master has far more slots than a call asks at once; they must not keep others
/// waiting.
async fn a_paused_master_costs_its_own_keys_only() {
    let nodes = RedisNodes::start();
    let cluster = impatient(nodes.urls());
    let keys = some(1000);
    let keys = as_str(&keys);
    for found in cluster.read(&keys, Wire::Native).await {
        found.unwrap();
    }
    nodes.node(1).pause();
    fare(&nodes, &cluster, &keys, 1).await;
    fare(&nodes, &cluster, &keys, 1).await;
    // Nor does it hold up a client that knows nothing yet, and asks the paused node first.
    fare(
        &nodes,
        &impatient(nodes.urls().into_iter().skip(1)),
        &keys,
        1,
    )
    .await;
    nodes.node(1).resume();
    for found in cluster.read(&keys, Wire::Native).await {
        found.unwrap();
    }
}

/// One breaker a node: the keys of the others are asked about as ever.
#[test]
fn a_breaker_opens_for_the_node_that_is_away() {
    many().block_on(async {
        let nodes = RedisNodes::start();
        let cache = jetcache_tokio::builder::<String, String>("breaker")
            .remote(impatient(nodes.urls()), Raw)
            .no_local()
            .remote_timeout(Duration::from_millis(300))
            .build()
            .unwrap();
        let keys: Vec<String> = (0..300).map(|at| at.to_string()).collect();
        let away = |key: &&String| nodes.first_owner(slot(&format!("breaker:{key}"))) == 1;
        let (gone, here): (Vec<&String>, Vec<&String>) = keys.iter().partition(away);
        assert!(gone.len() > 50 && here.len() > 100);
        for (_, reach) in cache
            .insert_many(keys.iter().map(|key| (key.clone(), "old".into())))
            .await
        {
            assert_eq!(reach.unwrap(), Reach::Everywhere);
        }
        assert_eq!(cache.remote().unwrap().servers, 3);
        nodes.node(1).pause();
        let mut asked = 0;
        while cache.stats().breaker == BreakerState::Closed {
            assert_eq!(cache.get(gone[0]).await, Cached::Miss);
            asked += 1;
            assert!(asked < 20);
        }
        let (health, faults) = (cache.remote().unwrap(), cache.stats().remote_faults);
        assert_eq!((health.servers, health.open), (3, 1));
        // In one batch with those that are not.
        for (key, found) in cache.get_many(&keys).await {
            let there = Cached::Hit("old".to_owned());
            assert_eq!(found == there, here.contains(&key), "{key}: {found:?}");
        }
        assert_eq!(cache.invalidate(gone[1]).await, Reach::Pending);
        assert_eq!(cache.invalidate(here[0]).await, Reach::Everywhere);
        let stats = cache.stats();
        assert_eq!(stats.remote_faults, faults, "{stats:?}");
        assert!(stats.remote_not_asked >= gone.len() as u64);
        nodes.node(1).resume();
        until("it has closed, and what was removed is gone", async || {
            let closed = cache.stats().breaker == BreakerState::Closed;
            closed && cache.activity().unconfirmed == 0
        })
        .await;
        assert_eq!(cache.get(gone[1]).await, Cached::Miss);
        assert_eq!(cache.get(gone[2]).await, Cached::Hit("old".to_owned()));
    });
}

#[test]
fn a_paused_master_costs_its_own_keys_only_on_tokio() {
    many().block_on(a_paused_master_costs_its_own_keys_only());
}

#[test]
fn a_paused_master_costs_its_own_keys_only_on_smol() {
    smol::block_on(a_paused_master_costs_its_own_keys_only());
}

#[test]
fn a_lease_that_is_granted_too_late_is_given_back() {
    let nodes = RedisNodes::start();
    let cluster = RedisCluster::builder(nodes.urls())
        .slot_timeout(Duration::from_millis(300))
        .open()
        .unwrap();
    let keys = nodes.keys_on(2, 3, "ns:#");
    let keys = as_str(&keys);
    many().block_on(async {
        until("the cluster answers", async || {
            let removed = cluster.remove(&keys).await;
            removed.iter().all(Result::is_ok)
        })
        .await;
        // A removal sets the key, too.
        nodes.ok(2, &["CONFIG", "RESETSTAT"]);
        nodes.node(2).pause();
        let asks: Vec<_> = keys
            .iter()
            .map(|key| LeaseAsk {
                key,
                token: T,
                life: MINUTE,
            })
            .collect();
        for leased in cluster.lease(&asks, Wire::Native).await {
            assert!(matches!(leased, Err(Fault::Timeout)), "{leased:?}");
        }
        nodes.node(2).resume();
        let told = || {
            let stats = nodes.node(2).cli(&["INFO", "commandstats"]);
            let granted = stats.contains("cmdstat_set:calls=3");
            let released = nodes.node(2).cli(&["DBSIZE"]) == "0";
            async move { granted && released }
        };
        until("the leases are given back", told).await;
    });
}

/// One master dies and comes back while the others' keys are asked for all the time.
async fn a_killed_master_costs_its_own_keys_only() {
    let mut nodes = RedisNodes::start();
    let cluster = open(&nodes);
    let keys = some(100);
    let keys = as_str(&keys);
    let healthy = async |may_fail: bool| {
        let mut failed = 0;
        for (key, removed) in keys.iter().zip(cluster.remove(&keys).await) {
            if let Err(fault) = removed {
                assert_eq!(slot(key) * 3 / 16_384, 0, "{key}: {fault}");
                assert!(!matches!(fault, Fault::Timeout));
                failed += 1;
            }
        }
        assert!(may_fail || failed == 0);
        failed
    };
    assert_eq!(healthy(false).await, 0);
    nodes.node_mut(0).kill();
    for _ in 0..20 {
        assert!(healthy(true).await > 10);
    }
    nodes.node_mut(0).restart();
    until("the master is back", async || healthy(true).await == 0).await;
    assert!(claim(&cluster, keys[0], T).await.unwrap());
}

#[test]
fn a_killed_master_costs_its_own_keys_only_on_tokio() {
    many().block_on(a_killed_master_costs_its_own_keys_only());
}

#[test]
fn a_killed_master_costs_its_own_keys_only_on_smol() {
    smol::block_on(a_killed_master_costs_its_own_keys_only());
}

#[test]
fn a_connection_that_is_closed_costs_nothing() {
    let nodes = RedisNodes::start();
    let cluster = open(&nodes);
    let key = nodes.keys_on(1, 1, "ns:#").remove(0);
    single().block_on(async {
        for n in 2..10_u128 {
            assert!(claim(&cluster, &key, Token::from_bits(n)).await.unwrap());
            let kill = ["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"];
            nodes.node(1).cli(&kill);
        }
    });
}

#[test]
fn a_cluster_that_is_not_there_yet_is_found_when_it_is() {
    let mut nodes = RedisNodes::start();
    let cluster = open(&nodes);
    for at in 0..3 {
        nodes.node_mut(at).kill();
    }
    many().block_on(async {
        for _ in 0..3 {
            let fault = claim(&cluster, "ns:k", T).await.unwrap_err();
            assert!(matches!(fault, Fault::Unreachable(_)), "{fault}");
        }
        for at in 0..3 {
            nodes.node_mut(at).restart();
        }
        nodes.wait();
        assert!(claim(&cluster, "ns:k", T).await.unwrap());
    });
}

/// Everything that the client knows has gone, as when every node gets a new address, but the name
/// that it was given leads to the new ones. Any first call finds them, even one that is never sent
/// twice.
#[test]
fn the_given_nodes_are_asked_when_all_others_are_gone() {
    let mut old = RedisNodes::start();
    let new = RedisNodes::start();
    let signpost = Signpost::start(old.node(0).port());
    let cluster = signpost.cluster();
    let keys = (old.keys_on(0, 2, "ns:#"), old.keys_on(1, 1, "ns:#"));
    many().block_on(async {
        assert!(claim(&cluster, &keys.0[0], T).await.unwrap());
        assert!(claim(&cluster, &keys.1[0], T).await.unwrap());
        for at in 0..3 {
            old.node_mut(at).kill();
        }
        signpost.turn(new.node(0).port());
        tokio::time::sleep(STALE).await;
        assert!(claim(&cluster, &keys.0[1], T).await.unwrap());
    });
    assert_eq!(new.node(0).cli(&["DBSIZE"]), "1");
}

/// A node says so that was cut off from the others, which have replaced it.
#[test]
fn a_node_that_says_that_the_cluster_is_down_is_left() {
    let lost = RedisServer::start_node();
    let nodes = RedisNodes::start();
    let signpost = Signpost::start(lost.port());
    let cluster = signpost.cluster();
    let key = nodes.keys_on(0, 1, "ns:#").remove(0);
    many().block_on(async {
        let fault = claim(&cluster, &key, T).await.unwrap_err();
        assert!(matches!(fault, Fault::Refused(_)), "{fault}");
        signpost.turn(nodes.node(0).port());
        let found = async || claim(&cluster, &key, T).await.is_ok();
        until("the cluster is found", found).await;
    });
}
