//! Connections whose peer takes what is sent and answers nothing, and servers that are only slow.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use jetcache_adapters::{Raw, Redis};
use jetcache_core::{BusState, Fault, Remote, Token};
use jetcache_tests::proxy::Proxy;
use jetcache_tests::redis_server::RedisServer;

use super::bus::{everywhere, sleep, within};
use crate::adapters::verbs::{T, claim, lease, many, read, single};

/// A call that is dropped after some milliseconds, as the cache's timeout does.
pub(crate) async fn briefly<T>(call: impl Future<Output = T>) -> Option<T> {
    match select(pin!(call), pin!(sleep(Duration::from_millis(40)))).await {
        Either::Left((answer, _)) => Some(answer),
        Either::Right(_) => None,
    }
}

/// Calls until some calls in a row succeed, and returns how many did not.
pub(crate) async fn recovered(remote: &impl Remote) -> usize {
    let (mut failed, mut row) = (0, 0);
    let recovery = async {
        while row < 8 {
            if let Some(Ok(_)) = briefly(read(remote, "ns:k")).await {
                row += 1;
            } else {
                (failed, row) = (failed + 1, 0);
            }
        }
    };
    within("calls succeed again", recovery).await;
    failed
}

/// A proxy, and a client of it whose connections are warm.
async fn warm(server: &RedisServer, patience: u64) -> (Proxy, Redis) {
    let proxy = Proxy::start(server.port());
    let redis = Redis::builder(proxy.url())
        .connections(2)
        .answer_timeout(Duration::from_millis(patience))
        .connect_timeout(Duration::from_secs(10))
        .open()
        .unwrap();
    for n in 0..4 {
        claim(&redis, "ns:k", Token::from_bits(n + 1))
            .await
            .unwrap();
    }
    assert_eq!(proxy.connections(), 2);
    (proxy, redis)
}

#[test]
fn a_connection_that_answers_nothing_is_replaced() {
    let server = RedisServer::start();
    everywhere(async || {
        let (proxy, redis) = warm(&server, 300).await;
        for round in 1..3 {
            proxy.swallow();
            assert!(recovered(&redis).await > 0);
            let seen = redis.connectivity();
            assert_eq!((seen.buried, seen.unanswered), (2 * round, 0));
            assert_eq!(proxy.connections(), 2 + 2 * round, "each is dialled once");
            // What must not be sent twice finds a living connection.
            let token = Token::from_bits(u128::from(10 + round));
            assert!(claim(&redis, "ns:k", token).await.unwrap());
        }
    });
}

/// A burst of callers dials once a connection.
#[test]
fn callers_at_once_bury_a_connection_once() {
    let server = RedisServer::start();
    everywhere(async || {
        let (proxy, redis) = warm(&server, 200).await;
        proxy.swallow();
        for _ in 0..4 {
            assert!(briefly(read(&redis, "ns:k")).await.is_none());
        }
        sleep(Duration::from_millis(300)).await;
        let calls = (0..50).map(|_| read(&redis, "ns:k"));
        let answers = within("all are answered", futures_util::future::join_all(calls)).await;
        assert!(answers.iter().all(Result::is_ok));
        assert_eq!((redis.connectivity().buried, proxy.connections()), (2, 4));
    });
}

/// With one call in a while, too, each connection costs one call.
#[test]
fn a_connection_that_fell_silent_while_idle_costs_one_call() {
    let server = RedisServer::start();
    everywhere(async || {
        let (proxy, redis) = warm(&server, 100).await;
        proxy.swallow();
        let mut failed = 0;
        for _ in 0..6 {
            failed += usize::from(briefly(read(&redis, "ns:k")).await.is_none());
            sleep(Duration::from_millis(150)).await;
        }
        assert_eq!(failed, 2);
    });
}

#[test]
fn who_waits_on_a_connection_that_is_buried_is_told() {
    let server = RedisServer::start();
    everywhere(async || {
        let (proxy, redis) = warm(&server, 200).await;
        proxy.swallow();
        // The lease is waited for without a limit, as the cache does.
        let waiting = [lease(&redis, "ns:l", T), lease(&redis, "ns:m", T)];
        let waiting = futures_util::future::join_all(waiting);
        let (leases, _) = within(
            "they are told",
            futures_util::future::join(waiting, recovered(&redis)),
        )
        .await;
        for lease in leases {
            assert!(matches!(lease, Err(Fault::Unreachable(_))), "{lease:?}");
        }
    });
}

/// Every answer comes too late for its call, and the server is well.
#[test]
fn a_server_that_is_slower_than_every_call_keeps_its_connections() {
    let server = RedisServer::start();
    everywhere(async || {
        let (proxy, redis) = warm(&server, 1000).await;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(3) {
            proxy.hold_replies();
            assert!(briefly(read(&redis, "ns:k")).await.is_none());
            proxy.release();
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!((redis.connectivity().buried, proxy.connections()), (0, 2));
        within("nothing is owed", async {
            while redis.connectivity().unanswered > 0 {
                read(&redis, "ns:k").await.unwrap();
            }
        })
        .await;
    });
}

#[test]
fn a_server_that_stood_still_for_a_second_keeps_its_connections() {
    everywhere(async || {
        let server = RedisServer::start();
        let redis = Redis::builder(server.url())
            .answer_timeout(Duration::from_secs(10))
            .open()
            .unwrap();
        for _ in 0..4 {
            read(&redis, "ns:k").await.unwrap();
        }
        server.pause();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(1) {
            assert!(briefly(read(&redis, "ns:k")).await.is_none());
        }
        server.resume();
        recovered(&redis).await;
        assert_eq!(redis.connectivity().buried, 0);
    });
}

/// Nobody polls the connection's driver meanwhile, so nobody knows that the answers are there.
#[test]
fn a_runtime_that_stood_still_keeps_its_connections() {
    let server = RedisServer::start();
    let runtime = single();
    let (proxy, redis) = runtime.block_on(warm(&server, 200));
    runtime.block_on(async {
        proxy.hold_replies();
        for _ in 0..4 {
            assert!(briefly(read(&redis, "ns:k")).await.is_none());
        }
        proxy.release();
    });
    thread::sleep(Duration::from_millis(500));
    runtime.block_on(async {
        for _ in 0..4 {
            read(&redis, "ns:k").await.unwrap();
        }
    });
    assert_eq!((redis.connectivity().buried, proxy.connections()), (0, 2));
}

/// A server that is silent on new connections as well is dialled by one attempt at a time.
#[test]
fn a_silent_server_is_not_dialled_by_each_call() {
    let server = RedisServer::start();
    everywhere(async || {
        let proxy = Proxy::start(server.port());
        let redis = Redis::builder(proxy.url())
            .connections(2)
            .answer_timeout(Duration::from_millis(100))
            .connect_timeout(Duration::from_millis(500))
            .open()
            .unwrap();
        for _ in 0..4 {
            read(&redis, "ns:k").await.unwrap();
        }
        proxy.hold();
        let begun = Instant::now();
        let mut calls = 0;
        while begun.elapsed() < Duration::from_secs(3) {
            briefly(read(&redis, "ns:k")).await;
            calls += 1;
        }
        // Two connections, each dialled anew every half second at most.
        let most = 2 * (2 + begun.elapsed().as_millis() / 500);
        let dials = proxy.connections() - 2;
        assert!(u128::from(dials) <= most, "{dials} dials for {calls} calls");
        proxy.release();
        recovered(&redis).await;
    });
}

#[test]
fn what_may_be_owed_is_bounded_and_counted() {
    let server = RedisServer::start();
    everywhere(async || {
        let proxy = Proxy::start(server.port());
        let redis = Redis::builder(proxy.url())
            .connections(1)
            .answer_timeout(Duration::from_secs(600))
            .open()
            .unwrap();
        read(&redis, "ns:k").await.unwrap();
        proxy.hold_replies();
        let refused = within("a call is refused", async {
            loop {
                for _ in 0..100 {
                    let mut call = pin!(read(&redis, "ns:k"));
                    let mut context = Context::from_waker(Waker::noop());
                    if let std::task::Poll::Ready(answer) = call.as_mut().poll(&mut context) {
                        return answer.unwrap_err();
                    }
                }
                // They are written.
                sleep(Duration::from_millis(1)).await;
            }
        });
        let refused = refused.await.to_string();
        assert!(refused.contains("8192 calls"), "{refused}");
        assert_eq!(redis.connectivity().unanswered, 8192);
        proxy.release();
        within("they are answered, and calls go on", async {
            while read(&redis, "ns:k").await.is_err() {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        assert_eq!((redis.connectivity().buried, proxy.connections()), (0, 1));
    });
}

/// The whole of it: L2 and bus over connections that fall silent, and a cache that gets over it.
#[test]
fn a_cache_and_its_bus_get_over_connections_that_answer_nothing() {
    for tracking in [false, true] {
        many().block_on(async {
            let server = RedisServer::start();
            let proxy = Proxy::start(server.port());
            let redis = Redis::builder(proxy.url())
                .answer_timeout(Duration::from_millis(300))
                .heartbeat(Duration::from_millis(300))
                .open()
                .unwrap();
            let node = jetcache_tokio::node().remote(redis.clone());
            let node = if tracking {
                node.bus(redis.tracking())
            } else {
                node.bus(redis.pubsub("shop"))
            };
            let cache = node.cache::<u64, String>("ns", Raw).build().unwrap();
            assert_eq!(cache.listen().await, BusState::Up);
            let epoch = cache.epoch();
            proxy.swallow();
            within("the bus is back, and changes reach everywhere", async {
                let mut round = 0;
                while cache.bus() != BusState::Up
                    || cache.epoch() == epoch
                    || cache.insert(round, "v".into()).await.unwrap()
                        != jetcache_core::Reach::Everywhere
                {
                    round += 1;
                    sleep(Duration::from_millis(20)).await;
                }
            })
            .await;
            within("removals are made up for", async {
                while cache.activity().unconfirmed > 0 {
                    sleep(Duration::from_millis(20)).await;
                }
            })
            .await;
            cache.close().await;
        });
    }
}
