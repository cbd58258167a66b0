//! How long entries that Go wrote are kept here.

use std::time::Duration;

use jetcache_adapters::Raw;
use jetcache_core::ports::remote::{LeaseAsk, Life, Wire};
use jetcache_core::{Cached, Fault, LoadError, Remote, Token};

use super::stage::Stage;

#[tokio::test]
async fn an_absence_found_in_l2_is_kept_in_l1() {
    let stage = Stage::new();
    let cache = stage.builder(Raw).build().unwrap();
    stage.go().set("shop:k", b"*");
    for _ in 0..50 {
        assert_eq!(cache.get("k").await, Cached::<String>::Absent);
        let loaded = cache
            .get_or_load("k", async || Err::<String, _>(LoadError::from("nobody")))
            .await;
        assert_eq!(loaded.unwrap(), None);
    }
    // The value and its life are read in one transaction.
    let calls = ["mget", "pttl", "exec"].map(|command| stage.calls(command));
    assert_eq!(calls, [1, 1, 1]);
}

#[tokio::test]
async fn l1_keeps_a_value_no_longer_than_l2() {
    let stage = Stage::new();
    let cache = stage.builder(Raw).build().unwrap();
    stage.go().set_for("shop:k", b"v", 300);
    assert_eq!(cache.get("k").await, Cached::Hit("v".to_owned()));
    while stage.go().get("shop:k").is_some() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(cache.get("k").await, Cached::Miss);
}

#[tokio::test]
async fn a_value_without_an_end_is_kept_for_the_time_of_l1() {
    let stage = Stage::new();
    let local_ttl = Duration::from_millis(50);
    let cache = stage.builder(Raw).local_ttl(local_ttl).build().unwrap();
    let () = stage.go().run("SET", &["shop:k", "v"]);
    assert_eq!(cache.get("k").await, Cached::Hit("v".to_owned()));
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while cache.peek("k") != Cached::Miss {
        assert!(std::time::Instant::now() < deadline, "it does not go");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(cache.get("k").await, Cached::Hit("v".to_owned()));
}

#[tokio::test]
async fn a_read_says_what_is_left() {
    let stage = Stage::new();
    let (go, redis) = (stage.go(), stage.redis());
    go.set_for("minute", b"v", 60_000);
    let () = go.run("SET", &["endless", "v"]);
    let _: u64 = go.run("LPUSH", &["list", "element"]);
    let keys = ["list", "minute", "nothing", "endless"];
    let asks = keys.map(|key| LeaseAsk {
        key,
        token: Token::from_bits(1),
        life: Duration::from_secs(1),
    });
    let leased = redis.lease(&asks, Wire::JetcacheGo).await;
    let looks = [
        redis.read(&keys, Wire::JetcacheGo).await,
        leased
            .into_iter()
            .map(|leased| leased.map(|leased| leased.found))
            .collect(),
    ];
    for look in looks {
        let lives: Vec<_> = look
            .into_iter()
            .map(|found: Result<_, Fault>| found.unwrap().map(|found| found.life))
            .collect();
        let [
            None,
            Some(Life::Left(minute)),
            None,
            Some(Life::Left(endless)),
        ] = lives[..]
        else {
            panic!("{lives:?}");
        };
        assert!(minute > Duration::from_secs(50) && minute <= Duration::from_secs(60));
        assert_eq!(endless, Duration::MAX);
    }
}
