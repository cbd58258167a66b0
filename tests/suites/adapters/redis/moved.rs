//! The address of a server leads to another one, and the old one lives on.

use std::time::Duration;

use jetcache_adapters::{Raw, Redis};
use jetcache_core::{BusState, Cached, Reach};
use jetcache_tests::proxy::Proxy;
use jetcache_tests::redis_server::RedisServer;
use jetcache_tokio::Cache;

use super::bus::{sleep, within};
use crate::adapters::verbs::many;

/// A cache whose server may be another one any time, over this bus.
async fn cached(proxy: &Proxy, tracking: bool) -> Cache<u64, String> {
    let redis = Redis::builder(proxy.url())
        .connections(1)
        .heartbeat(Duration::from_secs(600))
        .open()
        .unwrap();
    let node = jetcache_tokio::node().remote(redis.clone());
    let node = match tracking {
        true => node.bus(redis.tracking()),
        false => node.bus(redis.pubsub("shop")),
    };
    let cache = node.cache::<u64, String>("ns", Raw).build().unwrap();
    assert_eq!(cache.listen().await, BusState::Up);
    cache
}

/// The subscription stands at the old server, which gives signs of life, and nothing is ever heard
/// there.
async fn the_bus_moves_along(tracking: bool) {
    let (old, new) = (RedisServer::start(), RedisServer::start());
    let proxy = Proxy::start(old.port());
    let (one, two) = (
        cached(&proxy, tracking).await,
        cached(&proxy, tracking).await,
    );
    assert_eq!(
        one.insert(7, "old".into()).await.unwrap(),
        Reach::Everywhere
    );
    assert_eq!(two.get(&7).await, Cached::Hit("old".into()));
    proxy.lead_to(new.port());
    kill_all_but_subscriptions(&old);
    within("both speak to the new one", async {
        for cache in [&one, &two] {
            while cache.stats().failovers == 0 || cache.bus() != BusState::Up {
                let _ = cache.get(&1000).await;
                sleep(Duration::from_millis(10)).await;
            }
        }
        // A subscription that was up a moment ago may still be the old one.
        while one.epoch() < 2 || two.epoch() < 2 {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    within("changes are heard of there", async {
        while one.insert(7, "new".into()).await.unwrap() != Reach::Everywhere {
            sleep(Duration::from_millis(10)).await;
        }
        while two.get(&7).await != Cached::Hit("new".into()) {
            sleep(Duration::from_millis(10)).await;
        }
        one.invalidate(&7).await;
        while two.peek(&7) != Cached::Miss {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// Only the connections of calls: those that listen stay, and are answered.
fn kill_all_but_subscriptions(server: &RedisServer) {
    let clients = server.cli(&["CLIENT", "LIST"]);
    let field = |client: &str, name: &str| {
        let mut fields = client.split(' ').filter_map(|field| field.split_once('='));
        let found = fields.find(|(known, _)| *known == name);
        found.map(|(_, value)| value.to_owned()).unwrap()
    };
    for client in clients.lines() {
        let listens = field(client, "sub") != "0" || field(client, "flags").contains('t');
        if !listens {
            server.cli(&["CLIENT", "KILL", "ID", &field(client, "id")]);
        }
    }
}

#[test]
fn a_subscription_moves_along_with_its_address() {
    many().block_on(the_bus_moves_along(false));
}

#[test]
fn so_does_one_that_watches() {
    many().block_on(the_bus_moves_along(true));
}

/// It becomes a replica of another one and a primary again, with what the other one had, while its
/// process goes on.
#[test]
fn a_server_that_was_a_replica_meanwhile_is_another_one() {
    let (one, other) = (RedisServer::start(), RedisServer::start());
    many().block_on(async {
        let redis = Redis::builder(one.url()).connections(1).open().unwrap();
        let node = jetcache_tokio::node().remote(redis);
        let cache = node.cache::<u64, String>("ns", Raw).no_local();
        let cache = cache.build().unwrap();
        cache.insert(7, "old".into()).await.unwrap();
        // The other one has the old value.
        other.cli(&["REPLICAOF", "127.0.0.1", &one.port().to_string()]);
        within("it has a copy", async {
            while other.cli(&["EXISTS", "ns:7"]) != "1" {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        other.cli(&["REPLICAOF", "NO", "ONE"]);
        assert_eq!(cache.invalidate(&7).await, Reach::Everywhere);
        one.cli(&["REPLICAOF", "127.0.0.1", &other.port().to_string()]);
        within("it has the old value again", async {
            while one.cli(&["EXISTS", "ns:7"]) != "1" {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        one.cli(&["REPLICAOF", "NO", "ONE"]);
        one.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
        let found = cache.get(&7).await;
        assert_eq!(found, Cached::Miss, "it came back");
        assert!(cache.stats().failovers > 0);
    });
}
