//! What `CLIENT TRACKING` shows of the keys of a server.

use std::time::Duration;

use jetcache_adapters::redis::RedisSubscription;
use jetcache_adapters::{Raw, Redis};
use jetcache_core::machine::generations::scope::top_key;
use jetcache_core::ports::bus::News;
use jetcache_core::ports::remote::{Hold, Mark, Raise, Scope, Settle, Wire};
use jetcache_core::{Bus, BusState, Fault, Remote, Subscription, Token};
use jetcache_tests::redis_server::RedisServer;

use super::{changed, everywhere, next, remove, sleep, subscribe, within};
use crate::adapters::verbs::{T, claim, fill, lease, many, stored};

/// Removes a key to mark the end, and returns the keys that were heard of before it.
async fn until(subscription: &mut RedisSubscription, redis: &Redis, mark: &str) -> Vec<String> {
    remove(redis, mark).await;
    let mut heard = Vec::new();
    loop {
        match next(subscription).await {
            News::Changed(keys) => heard.extend(keys),
            news => panic!("{news:?}"),
        }
        if heard.last().is_some_and(|last| last == mark) || heard.contains(&mark.to_owned()) {
            heard.retain(|key| key != mark);
            return heard;
        }
    }
}

/// Whatever may remove a key is shown, even if nothing was there.
#[test]
fn tracking_shows_every_change_of_an_absent_key() {
    let server = RedisServer::start();
    everywhere(async || {
        let redis = Redis::open(&server.url()).unwrap();
        let mut subscription = subscribe(&redis.tracking()).await;
        let key = "ns:{1}";
        let settle = async |token: Option<Token>| {
            let value = stored(b"v");
            let settles = [Settle { key, token, value }];
            redis
                .settle(&settles, Wire::Native)
                .await
                .remove(0)
                .unwrap();
        };
        let mut shows = async |what: &str| {
            let heard = until(&mut subscription, &redis, "ns:mark").await;
            assert_eq!(heard, [key], "{what}");
        };
        remove(&redis, key).await;
        shows("a removal").await;
        assert!(claim(&redis, key, T).await.unwrap());
        shows("a claim").await;
        remove(&redis, key).await;
        shows("a removal").await;
        settle(Some(T)).await;
        shows("a settlement that is refused").await;
        settle(None).await;
        shows("a settlement without a token").await;
        lease(&redis, key, T).await.unwrap();
        fill(&redis, key, T, b"v").await.unwrap();
        shows("its own fill").await;
        server.cli(&["SET", key, "foreign"]);
        shows("a stranger's change").await;
        remove(&redis, key).await;
        shows("a removal of what was there").await;
    });
}

#[test]
fn tracking_leaves_leases_and_other_prefixes_out() {
    let server = RedisServer::start();
    everywhere(async || {
        let redis = Redis::open(&server.url()).unwrap();
        let mut subscription = subscribe(&redis.tracking()).await;
        for key in ["ns:{1}", "ns:2", "ns:}"] {
            lease(&redis, key, T).await.unwrap();
            let hold = Hold::of(key, T);
            redis.release(&[hold]).await.remove(0).unwrap();
        }
        remove(&redis, "other:1").await;
        let heard = until(&mut subscription, &redis, "ns:mark").await;
        assert!(heard.is_empty(), "{heard:?}");
    });
}

/// By the highest number alone, whoever raised.
#[test]
fn a_raise_is_shown() {
    let server = RedisServer::start();
    everywhere(async || {
        let redis = Redis::open(&server.url()).unwrap();
        let tracking = redis.tracking();
        let mut subscription = subscribe(&tracking).await;
        let more = ["other:".into(), "{a}:".into()];
        assert!(subscription.extend(&more).await.unwrap());
        for namespace in ["ns:", "other:", "{a}:", "third:"] {
            let raise = Raise {
                namespace,
                clock: Mark::NONE,
                scopes: &[Scope::All, Scope::Tag(1)],
            };
            redis.raise(&raise).await.unwrap();
            let heard = until(&mut subscription, &redis, "ns:mark").await;
            let top = (namespace != "third:").then(|| top_key(namespace));
            assert_eq!(heard, Vec::from_iter(top), "{namespace}");
        }
        // A raise of any key's log is shown to who watches all keys.
        let mut all = tracking.subscribe(&[]).await.unwrap();
        let raise = Raise {
            namespace: "third:",
            clock: Mark::NONE,
            scopes: &[],
        };
        redis.raise(&raise).await.unwrap();
        assert_eq!(next(&mut all).await, changed("{third:}#gen"));
    });
}

#[test]
fn no_prefix_or_an_empty_one_stands_for_all_keys() {
    let server = RedisServer::start();
    everywhere(async || {
        let redis = Redis::open(&server.url()).unwrap();
        for prefixes in [vec![], vec!["ns:".into(), String::new()]] {
            let bus = redis.tracking();
            let mut subscription = bus.subscribe(&prefixes).await.unwrap();
            remove(&redis, "other:1").await;
            assert_eq!(next(&mut subscription).await, changed("other:1"));
        }
        let two = ["ns:".into(), "other:".into()];
        let mut subscription = redis.tracking().subscribe(&two).await.unwrap();
        remove(&redis, "third:1").await;
        remove(&redis, "other:1").await;
        assert_eq!(next(&mut subscription).await, changed("other:1"));
        remove(&redis, "ns:1").await;
        assert_eq!(next(&mut subscription).await, changed("ns:1"));
        // One prefix begins with the other.
        let twice = ["ns:".into(), "ns:1".into()];
        let refused = redis.tracking().subscribe(&twice).await;
        assert!(matches!(refused, Err(Fault::Refused(_))));
    });
}

#[test]
fn an_emptied_server_is_everything() {
    let server = RedisServer::start();
    everywhere(async || {
        let redis = Redis::open(&server.url()).unwrap();
        let mut subscription = subscribe(&redis.tracking()).await;
        for command in ["FLUSHALL", "FLUSHDB"] {
            server.cli(&[command]);
            assert_eq!(next(&mut subscription).await, News::Everything);
        }
        assert!(until(&mut subscription, &redis, "ns:mark").await.is_empty());
    });
}

#[test]
fn a_key_that_is_no_text_is_left_out() {
    let server = RedisServer::start();
    let redis = Redis::open(&server.url()).unwrap();
    many().block_on(async {
        let mut subscription = subscribe(&redis.tracking()).await;
        server.cli(&["EVAL", r"return redis.call('SET', 'ns:\255', 'v')", "0"]);
        let heard = until(&mut subscription, &redis, "ns:mark").await;
        assert!(heard.is_empty(), "{heard:?}");
    });
}

#[test]
fn what_cannot_be_watched_beside_the_rest_leaves_it_as_it_was() {
    let server = RedisServer::start();
    everywhere(async || {
        let redis = Redis::open(&server.url()).unwrap();
        let mut subscription = subscribe(&redis.tracking()).await;
        assert!(subscription.extend(&["other:".into()]).await.unwrap());
        for prefix in ["ns:1:", "oth", "other:"] {
            assert!(
                !subscription.extend(&[prefix.into()]).await.unwrap(),
                "{prefix}"
            );
        }
        for key in ["other:1", "ns:1"] {
            remove(&redis, key).await;
            assert_eq!(next(&mut subscription).await, changed(key));
        }
    });
}

/// How many prefixes the server watches for its clients: two a cache, its keys and its log.
fn watched(server: &RedisServer) -> usize {
    let stats = server.cli(&["INFO", "stats"]);
    let line = stats
        .lines()
        .find_map(|line| line.strip_prefix("tracking_total_prefixes:"));
    line.unwrap().trim().parse().unwrap()
}

type Cache = jetcache_tokio::Cache<u64, String>;

async fn forgets(cache: &Cache, server: &RedisServer) {
    let name = cache.name().to_owned();
    cache.insert(1, "old".into()).await.unwrap();
    within("it has the value in L1", async {
        // It hears of its own insert as well.
        while !cache.peek(&1).is_hit() {
            assert!(cache.get(&1).await.is_hit(), "{name}");
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    server.cli(&["SET", &format!("{name}:1"), "foreign"]);
    within("it hears of a stranger's change", async {
        while cache.peek(&1).is_hit() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[test]
fn two_thousand_caches_come_to_a_node_without_an_epoch_for_those_that_stand() {
    let server = RedisServer::start();
    many().block_on(async {
        let redis = Redis::open(&server.url()).unwrap();
        let node = jetcache_tokio::node()
            .remote(redis.clone())
            .bus(redis.tracking());
        let cache = |name: &str| -> Cache { node.cache(name, Raw).capacity(8).build().unwrap() };
        let first = cache("first");
        assert_eq!(first.listen().await, BusState::Up);
        let epoch = first.epoch();
        first.insert(7, "kept".into()).await.unwrap();
        within("its L1 has settled", async {
            let mut calm = 0;
            while calm < 50 {
                calm = if first.peek(&7).is_hit() { calm + 1 } else { 0 };
                assert!(first.get(&7).await.is_hit());
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;

        let mut others = Vec::new();
        for round in 0..20 {
            let some: Vec<Cache> = (0..100).map(|n| cache(&format!("c{round}-{n}"))).collect();
            let listening = futures_util::future::join_all(some.iter().map(|cache| cache.listen()));
            let states = within("they listen", listening).await;
            assert!(states.iter().all(|state| *state == BusState::Up));
            others.extend(some);
        }
        assert_eq!((first.epoch(), watched(&server)), (epoch, 4002));
        assert!(first.peek(&7).is_hit(), "its L1 was left alone");
        let clients = server.cli(&["INFO", "clients"]);
        assert!(clients.contains("tracking_clients:1\r"), "{clients}");
        for cache in [&first, &others[0], &others[1000], &others[1999]] {
            forgets(cache, &server).await;
        }

        // One that is begun by one which is gone needs a new start: beside its keys it has a log.
        others.pop().unwrap().close().await;
        let within_last = cache("c19-99:part");
        assert_eq!(within_last.listen().await, BusState::Up);
        assert_eq!((first.epoch(), watched(&server)), (epoch + 1, 4002));
        forgets(&within_last, &server).await;
        within_last.close().await;

        // What belongs to caches that are gone does not pile up.
        for cache in others.drain(..) {
            cache.close().await;
        }
        let next = cache("next");
        assert_eq!(next.listen().await, BusState::Up);
        assert_eq!((first.epoch(), watched(&server)), (epoch + 2, 4));
        for n in 0..600 {
            let short = cache(&format!("short{n}"));
            assert_eq!(short.listen().await, BusState::Up);
            assert!(watched(&server) < 600);
            short.close().await;
        }
        assert!(first.epoch() <= epoch + 5, "{} of {epoch}", first.epoch());
        for cache in [&first, &next] {
            forgets(cache, &server).await;
        }
    });
}

/// Caches that come at once, from several tasks, while others change their keys: none is deaf.
#[test]
fn caches_that_come_at_once_all_hear() {
    let server = RedisServer::start();
    many().block_on(async {
        let redis = Redis::open(&server.url()).unwrap();
        let node = jetcache_tokio::node()
            .remote(redis.clone())
            .bus(redis.tracking());
        let first: Cache = node.cache("first", Raw).build().unwrap();
        assert_eq!(first.listen().await, BusState::Up);
        let epoch = first.epoch();
        let node = std::sync::Arc::new(node);
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let node = std::sync::Arc::clone(&node);
                tokio::spawn(async move {
                    let mut caches = Vec::new();
                    for n in 0..20 {
                        let name = format!("t{task}-{n}");
                        let cache: Cache = node.cache(&name, Raw).build().unwrap();
                        // Not waited for: its first call beyond L1 begins to listen.
                        cache.insert(1, "one".into()).await.unwrap();
                        if n % 3 == 2 {
                            cache.close().await;
                        } else {
                            caches.push(cache);
                        }
                    }
                    caches
                })
            })
            .collect();
        for task in tasks {
            for cache in task.await.unwrap() {
                assert_eq!(cache.listen().await, BusState::Up);
                forgets(&cache, &server).await;
            }
        }
        assert_eq!(first.epoch(), epoch);
    });
}
