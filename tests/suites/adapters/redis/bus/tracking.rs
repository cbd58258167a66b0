//! What `CLIENT TRACKING` shows of the keys of a server.

use jetcache_adapters::Redis;
use jetcache_adapters::redis::RedisSubscription;
use jetcache_core::ports::bus::News;
use jetcache_core::ports::remote::{Hold, Settle, Wire};
use jetcache_core::{Bus, Fault, Remote, Token};
use jetcache_tests::redis_server::RedisServer;

use super::{changed, everywhere, next, remove, subscribe};
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
            let hold = Hold { key, token: T };
            redis.release(&[hold]).await.remove(0).unwrap();
        }
        remove(&redis, "other:1").await;
        let heard = until(&mut subscription, &redis, "ns:mark").await;
        assert!(heard.is_empty(), "{heard:?}");
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
