//! A master of a Redis cluster is replaced by another node.

use std::time::Duration;

use jetcache_adapters::{Raw, RedisCluster};
use jetcache_core::ports::remote::{Filled, Hold, Settle, Wire};
use jetcache_core::{Cached, Reach, Remote, Token};
use jetcache_tests::redis_cluster::RedisNodes;
use jetcache_tests::redis_server::RedisServer;

use super::impostors::Rude;
use super::{STALE, until};
use crate::adapters::cluster::{as_str, open};
use crate::adapters::verbs::{T, claim, fill, lease, many, read, stored};

#[test]
fn a_replica_that_took_over_in_order_is_followed() {
    let nodes = RedisNodes::start_with(1);
    let cluster = open(&nodes);
    let keys = nodes.keys_on(0, 20, "ns:#");
    many().block_on(async {
        for key in &keys {
            assert!(lease(&cluster, key, T).await.unwrap().is_granted());
            fill(&cluster, key, T, b"v").await.unwrap();
        }
        nodes.ok(3, &["CLUSTER", "FAILOVER"]);
        nodes.settle(|nodes, at| at != 3 || nodes.node(3).cli(&["ROLE"]).starts_with("master"));
        nodes.settle(|nodes, at| at != 0 || nodes.node(0).cli(&["ROLE"]).starts_with("slave"));
        // The new master knows no script, and this first command is never sent twice.
        assert!(claim(&cluster, &keys[0], T).await.unwrap());
        for found in cluster.read(&as_str(&keys[1..]), Wire::Native).await {
            assert_eq!(found.unwrap().unwrap().bytes, b"v");
        }
    });
}

#[test]
fn a_master_that_died_is_replaced_by_its_replica() {
    let mut nodes = RedisNodes::start_with(1);
    let cluster = open(&nodes);
    let key = nodes.keys_on(0, 1, "ns:#").remove(0);
    many().block_on(async {
        assert!(claim(&cluster, &key, T).await.unwrap());
        nodes.node_mut(0).kill();
        let mut token = 1;
        until("the replica takes over", || {
            token += 1;
            let claimed = claim(&cluster, &key, Token::from_bits(token));
            async { claimed.await.is_ok() }
        })
        .await;
        assert_eq!(nodes.node(3).cli(&["DBSIZE"]), "1");
        // The old master comes back as a replica.
        nodes.node_mut(0).restart();
        nodes.wait();
        assert_eq!(
            fill(&cluster, &key, Token::from_bits(token), b"v")
                .await
                .unwrap(),
            Filled::Stored
        );
        assert!(read(&cluster, &key).await.unwrap().is_some());
    });
}

#[test]
fn changes_that_the_new_master_lacks_are_made_again() {
    let mut nodes = RedisNodes::start_with(1);
    let keys = nodes.keys_on(0, 12, "ns:#");
    many().block_on(async {
        let cache = || {
            let node = jetcache_tokio::node().remote(open(&nodes));
            let cache = node.cache::<String, String>("ns", Raw).no_local();
            // Much shorter than it takes to replace a master.
            cache
                .failover_window(Duration::from_millis(100))
                .build()
                .unwrap()
        };
        // What this one changed is not what the other one changes.
        let [cache, other] = [cache(), cache()];
        let ids: Vec<String> = keys.iter().map(|key| key.replace("ns:", "")).collect();
        for id in &ids {
            let reach = other.insert(id.clone(), "old".into()).await.unwrap();
            assert_eq!(reach, Reach::Everywhere);
        }
        until("the replica has it", async || entries(nodes.node(3)) == 12).await;
        nodes.node(3).pause();
        nodes.node(0).cli(&["CLIENT", "KILL", "TYPE", "replica"]);
        for id in &ids[..10] {
            assert_eq!(cache.invalidate(id).await, Reach::Everywhere);
        }
        nodes.node_mut(0).kill();
        nodes.node(3).resume();
        // The other masters go on answering.
        let others: Vec<String> = (0..20).map(|n| format!("#{n}")).collect();
        until("the replica takes over", async || {
            for id in &others {
                cache.get(id).await;
            }
            nodes.node(3).cli(&["ROLE"]).starts_with("master")
        })
        .await;
        until("the cluster answers", async || {
            for id in &ids[..10] {
                assert_eq!(cache.get(id).await, Cached::Miss, "{id} came back");
            }
            cache.get(&ids[11]).await == Cached::Hit("old".into())
        })
        .await;
        until("it is removed again", async || entries(nodes.node(3)) == 2).await;
        assert!(cache.stats().failovers > 0);
    });
}

/// A server of a cluster that was restarted from an older snapshot.
#[test]
fn a_master_that_was_restarted_is_another_one() {
    let mut nodes = RedisNodes::start();
    let key = nodes.keys_on(0, 1, "ns:#").remove(0);
    let cluster = open(&nodes);
    many().block_on(async {
        let before = cluster.failovers().unwrap();
        assert!(claim(&cluster, &key, T).await.unwrap());
        nodes.node_mut(0).restart();
        until("the cluster answers", async || {
            read(&cluster, &key).await.is_ok()
        })
        .await;
        assert!(cluster.failovers().unwrap() > before);
    });
}

#[test]
fn a_master_that_hangs_is_replaced_by_its_replica() {
    let nodes = RedisNodes::start_with(1);
    let cluster = RedisCluster::builder(nodes.urls())
        .slot_timeout(Duration::from_millis(300))
        .open()
        .unwrap();
    let key = nodes.keys_on(0, 1, "ns:#").remove(0);
    many().block_on(async {
        until("the cluster answers", async || {
            claim(&cluster, &key, T).await.is_ok()
        })
        .await;
        nodes.node(0).pause();
        let replaced = async || read(&cluster, &key).await.is_ok();
        until("the replica takes over", replaced).await;
        nodes.node(0).resume();
    });
}

#[test]
fn only_what_may_be_sent_twice_is() {
    let settle = Settle {
        key: "ns:k",
        token: Some(T),
        value: stored(b"v"),
    };
    let hold = Hold::of("ns:k", T);
    many().block_on(async {
        for verb in [
            "lease", "claim", "fill", "settle", "read", "release", "remove",
        ] {
            let rude = Rude::start();
            let cluster = rude.cluster();
            // The client asks where the slots are.
            ready(&cluster).await;
            let failed = match verb {
                "lease" => lease(&cluster, "ns:k", T).await.is_err(),
                "claim" => claim(&cluster, "ns:k", T).await.is_err(),
                "fill" => fill(&cluster, "ns:k", T, b"v").await.is_err(),
                "settle" => cluster.settle(&[settle], Wire::Native).await[0].is_err(),
                "read" => read(&cluster, "ns:k").await.is_err(),
                "release" => cluster.release(&[hold]).await[0].is_err(),
                _ => cluster.remove(&["ns:k"]).await[0].is_err(),
            };
            assert!(failed, "{verb}");
            let sent = rude.verbs();
            if ["lease", "claim", "fill", "settle"].contains(&verb) {
                assert_eq!(sent, [1, 0], "{verb}");
                // The next command goes to the new master, once.
                until("the new master is found", || {
                    let claimed = claim(&cluster, "ns:k", T);
                    let rude = &rude;
                    async move {
                        let before: usize = rude.verbs().iter().sum();
                        assert!(claimed.await.is_err());
                        assert_eq!(rude.verbs().iter().sum::<usize>(), before + 1);
                        rude.verbs()[1] > 0
                    }
                })
                .await;
            } else {
                assert_eq!(sent[0], 2, "{verb}");
            }
        }
    });
}

/// Learns the map of slots and lets it grow stale, so that a new master would be found.
async fn ready(cluster: &RedisCluster) {
    assert!(cluster.read(&[], Wire::Native).await.is_empty());
    tokio::time::sleep(STALE).await;
}

/// How many entries a node has: the log of raises may lie there as well.
fn entries(node: &RedisServer) -> usize {
    node.cli(&["KEYS", "ns:*"]).lines().count()
}
