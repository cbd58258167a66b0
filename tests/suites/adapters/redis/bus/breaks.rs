//! How a bus notices that it hears nothing more, and what it leaves behind.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::select;
use jetcache_adapters::Redis;
use jetcache_adapters::redis::RedisSubscription;
use jetcache_core::ports::bus::{Kind, News};
use jetcache_core::{Bus, Fault, Subscription};
use jetcache_tests::proxy::Proxy;
use jetcache_tests::redis_cluster::RedisNodes;
use jetcache_tests::redis_server::RedisServer;

use super::{
    changed, everywhere, is_over, message, next, removal, remove, sleep, subscribe, telling,
    within, without_heartbeat,
};
use crate::adapters::cluster::open;

/// A break that the server or the system reports.
async fn a_cut_is_noticed<B: Bus<Subscription = RedisSubscription>>(bus: impl Fn(&Redis) -> B) {
    let mut server = RedisServer::start();
    let redis = without_heartbeat(&server);
    let bus = bus(&redis);
    let announcing = telling(&redis);
    let hears = async |subscription: &mut RedisSubscription| {
        remove(&announcing, "ns:1").await;
        let news = next(subscription).await;
        let told = News::Message(removal("ns:1"));
        assert!(news == told || news == changed("ns:1"), "{news:?}");
    };
    let mut subscription = subscribe(&bus).await;
    hears(&mut subscription).await;
    for kind in ["normal", "pubsub"] {
        server.cli(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]);
    }
    is_over(&mut subscription).await;
    let mut subscription = subscribe(&bus).await;
    hears(&mut subscription).await;
    server.kill();
    is_over(&mut subscription).await;
    let prefixes = ["ns:".into()];
    let refused = bus.subscribe(&prefixes).await;
    assert!(matches!(refused, Err(Fault::Unreachable(_))));
    server.restart();
    let mut subscription = subscribe(&bus).await;
    hears(&mut subscription).await;
}

#[test]
fn a_cut_is_noticed_by_pubsub() {
    everywhere(|| a_cut_is_noticed(|redis| redis.pubsub("shop")));
}

#[test]
fn a_cut_is_noticed_by_tracking() {
    everywhere(|| a_cut_is_noticed(Redis::tracking));
}

#[test]
fn what_was_heard_before_a_cut_comes_before_it() {
    everywhere(async || {
        let mut server = RedisServer::start();
        let bus = without_heartbeat(&server).pubsub("shop");
        let mut subscription = subscribe(&bus).await;
        let messages = ["ns:1", "ns:2", "ns:3"].map(|key| message(Kind::Delete, &[key]));
        bus.publish(&messages).await.unwrap();
        assert_eq!(
            next(&mut subscription).await,
            News::Message(messages[0].clone())
        );
        server.kill();
        for message in &messages[1..] {
            assert_eq!(
                next(&mut subscription).await,
                News::Message(message.clone())
            );
        }
        is_over(&mut subscription).await;
    });
}

/// A server that hangs breaks no connection, nor does a network that swallows everything: only the
/// heartbeat notices.
#[test]
fn a_silent_break_is_noticed() {
    everywhere(async || {
        let server = RedisServer::start();
        let proxy = Proxy::start(server.port());
        let beat = Duration::from_millis(100);
        let at = |url: String| Redis::builder(url).heartbeat(beat).open().unwrap();
        let direct = at(server.url());
        let mut pubsub = subscribe(&direct.pubsub("shop")).await;
        let mut tracking = subscribe(&direct.tracking()).await;
        let mut far = subscribe(&at(proxy.url()).pubsub("shop")).await;
        proxy.hold_replies();
        is_over(&mut far).await;
        server.pause();
        is_over(&mut pubsub).await;
        is_over(&mut tracking).await;
        server.resume();
    });
}

#[test]
fn a_heartbeat_leaves_a_living_connection_alone() {
    everywhere(async || {
        let server = RedisServer::start();
        let redis = Redis::builder(server.url())
            .heartbeat(Duration::from_millis(400))
            .open()
            .unwrap();
        // Any answer will do, even that it may not ask.
        assert_eq!(server.cli(&["ACL", "SETUSER", "default", "-ping"]), "OK");
        let mut pubsub = subscribe(&redis.pubsub("shop")).await;
        let mut tracking = subscribe(&redis.tracking()).await;
        let idle = async {
            let (one, two) = (pin!(pubsub.next()), pin!(tracking.next()));
            let (news, _) = select(one, two).await.factor_first();
            panic!("{news:?}");
        };
        let pings = async {
            let refused = || {
                let stats = server.cli(&["INFO", "commandstats"]);
                let ping = stats.lines().find(|line| line.starts_with("cmdstat_ping:"));
                let count =
                    ping.and_then(|ping| ping.split_once("rejected_calls=")?.1.split(',').next());
                count.map_or(0, |count| count.parse::<usize>().unwrap())
            };
            while refused() < 6 {
                sleep(Duration::from_millis(20)).await;
            }
        };
        within("it asks again and again", select(pin!(idle), pin!(pings))).await;
        remove(&telling(&redis), "ns:1").await;
        assert_eq!(next(&mut pubsub).await, News::Message(removal("ns:1")));
        assert_eq!(next(&mut tracking).await, changed("ns:1"));
    });
}

#[test]
fn a_subscription_that_is_dropped_leaves_no_connection() {
    everywhere(async || {
        let server = RedisServer::start();
        let redis = Redis::builder(server.url())
            .client_name("ears")
            .open()
            .unwrap();
        let pubsub = subscribe(&redis.pubsub("shop")).await;
        let tracking = subscribe(&redis.tracking()).await;
        let count = || {
            server
                .cli(&["CLIENT", "LIST"])
                .matches(" name=ears ")
                .count()
        };
        assert_eq!(count(), 2);
        drop((pubsub, tracking));
        within("they are closed", async {
            while count() > 0 {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    });
}

/// Whichever node it listens to: when that one dies, it finds another.
#[test]
fn a_cluster_is_listened_to_at_another_node_when_one_dies() {
    everywhere(async || {
        let mut nodes = RedisNodes::start();
        let cluster = open(&nodes);
        let bus = cluster.pubsub("shop");
        let mut subscription = subscribe(&bus).await;
        let at = (0..3).find(|at| {
            let list = nodes.node(*at).cli(&["CLIENT", "LIST", "TYPE", "pubsub"]);
            list.contains(" name=jetcache ")
        });
        nodes.node_mut(at.unwrap()).kill();
        is_over(&mut subscription).await;
        // Each attempt begins at another node, and passes over the dead one.
        for _ in 0..4 {
            let mut subscription = subscribe(&bus).await;
            let alive = (at.unwrap() + 1) % 3;
            let event =
                r#"{"CacheName":"any","SourceID":"12345678","EventType":5,"Keys":["ns:1"]}"#;
            nodes.node(alive).cli(&["PUBLISH", "shop", event]);
            assert_eq!(
                next(&mut subscription).await,
                News::Message(message(Kind::Delete, &["ns:1"]))
            );
        }
    });
}
