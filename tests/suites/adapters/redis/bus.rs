//! The buses that Redis is: each keeps the contract of a bus.

mod breaks;
mod tracking;
mod words;

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use jetcache_adapters::redis::RedisSubscription;
use jetcache_adapters::{Redis, contract};
use jetcache_core::ports::bus::{Kind, Message, News, Telling};
use jetcache_core::{Bus, Fault, Remote, Subscription};
use jetcache_tests::redis_cluster::RedisNodes;
use jetcache_tests::redis_server::RedisServer;

use crate::adapters::cluster::open;
use crate::adapters::verbs::{many, single, telling};

#[test]
fn pubsub_keeps_the_contract() {
    let server = RedisServer::start();
    everywhere(async || {
        let redis = Redis::open(&server.url()).unwrap();
        let bus = redis.pubsub("shop");
        let announcing = telling(&redis);
        contract::bus::run(&bus, async |key| remove(&announcing, key).await, sleep).await;
        let published = async |key: &str| contract::bus::publish(&bus, key).await;
        contract::bus::run(&bus, published, sleep).await;
        let telling = Telling::WithChange {
            server: redis.server().unwrap(),
            channel: "shop".into(),
        };
        assert_eq!(bus.telling(), telling);
    });
}

#[test]
fn tracking_keeps_the_contract() {
    let server = RedisServer::start();
    everywhere(async || {
        let redis = Redis::open(&server.url()).unwrap();
        let bus = redis.tracking();
        contract::bus::run(&bus, async |key| remove(&redis, key).await, sleep).await;
        let server = redis.server().unwrap();
        assert_eq!(bus.telling(), Telling::Watched { server });
        bus.publish(&[message(Kind::Delete, &["ns:1"])])
            .await
            .unwrap();
    });
}

#[test]
fn pubsub_in_a_cluster_keeps_the_contract() {
    let nodes = RedisNodes::start();
    everywhere(async || {
        let cluster = open(&nodes);
        let bus = cluster.pubsub("shop");
        let announcing = telling(&cluster);
        contract::bus::run(&bus, async |key| remove(&announcing, key).await, sleep).await;
        let published = async |key: &str| contract::bus::publish(&bus, key).await;
        contract::bus::run(&bus, published, sleep).await;
    });
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let builder = Redis::builder("redis://localhost").heartbeat(Duration::ZERO);
    assert!(builder.open().is_err());
}

/// Sleeps on whichever runtime this is.
pub(crate) async fn sleep(span: Duration) {
    if tokio::runtime::Handle::try_current().is_ok() {
        tokio::time::sleep(span).await;
    } else {
        smol::Timer::after(span).await;
    }
}

pub(crate) async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    match select(pin!(work), pin!(sleep(PATIENCE))).await {
        Either::Left((done, _)) => done,
        Either::Right(_) => panic!("{what}"),
    }
}

/// Runs a test on tokio with two threads and with one, and on smol.
pub(crate) fn everywhere<F: Future<Output = ()>>(test: impl Fn() -> F) {
    many().block_on(test());
    single().block_on(test());
    smol::block_on(test());
}

async fn subscribe(bus: &impl Bus<Subscription = RedisSubscription>) -> RedisSubscription {
    let prefixes = ["ns:".into()];
    within("it subscribes", bus.subscribe(&prefixes))
        .await
        .unwrap()
}

async fn next(subscription: &mut RedisSubscription) -> News {
    within("there is news", subscription.next()).await.unwrap()
}

/// Checks that a subscription fails, and goes on failing.
async fn is_over(subscription: &mut RedisSubscription) {
    for _ in 0..2 {
        let fault = within("the break is noticed", async {
            loop {
                if let Err(fault) = subscription.next().await {
                    return fault;
                }
            }
        });
        let fault = fault.await;
        assert!(matches!(fault, Fault::Unreachable(_)), "{fault}");
    }
}

async fn remove(redis: &impl Remote, key: &str) {
    redis.remove(&[key]).await.remove(0).unwrap();
}

fn message(kind: Kind, keys: &[&str]) -> Message {
    Message {
        cache: "any".into(),
        source: "12345678".into(),
        kind,
        keys: keys.iter().map(|&key| key.into()).collect(),
        fenced: false,
    }
}

/// That a node of this library removed a key.
fn removal(key: &str) -> Message {
    Message {
        fenced: true,
        ..message(Kind::Delete, &[key])
    }
}

fn changed(key: &str) -> News {
    News::Changed(vec![key.into()])
}

/// A heartbeat that is later than the end of any test.
fn without_heartbeat(server: &RedisServer) -> Redis {
    let builder = Redis::builder(server.url()).heartbeat(Duration::from_secs(600));
    builder.open().unwrap()
}

const PATIENCE: Duration = Duration::from_secs(20);
