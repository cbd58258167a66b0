//! A cache over an L2 and a bus with faults.

use std::time::Duration;

use jetcache_adapters::{Faults, Faulty, FaultyBus, Memory, MessagePack};
use jetcache_core::{Breaker, BreakerState, Builder, BusState, Cache, Cached, LoadError};
use jetcache_tokio::Tokio;

use crate::adapters::faults::waves::Waves;

type Users = Cache<u32, String>;

fn builder() -> Builder<u32, String> {
    let mut breaker = Breaker::default();
    breaker.longest_pause = Duration::from_millis(200);
    jetcache_tokio::builder("users")
        .remote_timeout(Duration::from_millis(50))
        .breaker(breaker)
}

fn over(memory: &Memory) -> (Users, Faults) {
    let faults = Faults::seeded(Tokio::new(), 1);
    let remote = Faulty::new(memory.clone(), faults.clone());
    (
        builder().remote(remote, MessagePack).build().unwrap(),
        faults,
    )
}

/// What a call of a cache answers whose loader brings `value`.
async fn ask(cache: &Users, id: u32, value: &str) -> String {
    let loaded = cache.get_or_load(&id, async || Ok::<_, LoadError>(value.to_owned()));
    loaded.await.unwrap().unwrap()
}

fn state(cache: &Users) -> BreakerState {
    cache.remote().unwrap().state
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let patience = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), patience).await;
    assert!(waited.is_ok(), "{what}");
}

/// Breaks an L2, and sees that callers get what the loader brings, and that L2 is used when it is
/// back.
async fn survives(fault: impl Fn(&Faults)) {
    let memory = Memory::new();
    let (cache, faults) = over(&memory);
    assert_eq!(ask(&cache, 1, "first").await, "first");
    assert_eq!(memory.len(), 1);
    cache.clear_local();

    fault(&faults);
    for id in 0..20 {
        assert_eq!(ask(&cache, id, "loaded").await, "loaded");
    }
    until("it opens", || state(&cache) != BreakerState::Closed).await;
    assert!(cache.stats().remote_faults > 0);

    faults.heal();
    until("it closes", || state(&cache) == BreakerState::Closed).await;
    let hits = cache.stats().remote_hits;
    ask(&cache, 100, "back").await;
    cache.clear_local();
    assert_eq!(ask(&cache, 100, "again").await, "back", "L2 has it");
    assert_eq!(cache.stats().remote_hits, hits + 1);
    cache.close().await;
}

#[tokio::test]
async fn errors_reach_no_caller_and_l2_comes_back() {
    survives(|faults| {
        faults.error_rate(1.0);
    })
    .await;
}

#[tokio::test]
async fn hanging_reaches_no_caller_and_l2_comes_back() {
    survives(|faults| {
        faults.hang();
    })
    .await;
}

#[tokio::test]
async fn answers_that_hang_reach_no_caller_and_l2_comes_back() {
    survives(|faults| {
        faults.hang_answers();
    })
    .await;
}

#[tokio::test]
async fn a_partition_reaches_no_caller_and_l2_comes_back() {
    survives(|faults| {
        faults.partition();
    })
    .await;
}

#[tokio::test]
async fn some_of_everything_reaches_no_caller() {
    let memory = Memory::new();
    let (cache, faults) = over(&memory);
    let span = Duration::from_millis(0)..=Duration::from_millis(2);
    faults.error_rate(0.2).loss_rate(0.2).corrupt_rate(0.2);
    faults.latency(span);
    for round in 0..10 {
        for id in 0..20 {
            let is = ask(&cache, id, &format!("value {id}")).await;
            assert_eq!(is, format!("value {id}"), "in round {round}");
        }
        cache.clear_local();
    }
    let injected = faults.injected();
    assert!(injected.errors > 0 && injected.losses > 0 && injected.delays > 0);
    cache.close().await;
}

#[tokio::test]
async fn corrupt_bytes_are_misses_and_are_counted() {
    let memory = Memory::new();
    let (cache, faults) = over(&memory);
    for id in 0..50 {
        ask(&cache, id, &format!("value {id}")).await;
    }
    cache.clear_local();
    assert_eq!(cache.stats().undecodable, 0);

    faults.corrupt_rate(1.0);
    let mut hits = 0;
    for id in 0..50 {
        match cache.get(&id).await {
            // The bit was in the stamp, the one part without a checksum: a life that is longer
            // than it can be is a miss, and one that is a little shorter a hit.
            Cached::Hit(value) => {
                hits += 1;
                assert_eq!(value, format!("value {id}"));
            }
            other => assert_eq!(other, Cached::Miss),
        }
    }
    let stats = cache.stats();
    assert!(hits < 10, "{hits} of 50");
    assert!(stats.undecodable > 30, "{}", stats.undecodable);
    assert_eq!(faults.injected().corruptions, 50);
    assert_eq!(state(&cache), BreakerState::Closed, "L2 has answered");
    cache.close().await;
}

#[tokio::test]
async fn a_cut_bus_empties_l1_when_it_is_back() {
    let (memory, waves) = (Memory::new(), Waves::default());
    let faults = Faults::new(Tokio::new());
    let node = |bus| {
        let remote = Faulty::new(memory.clone(), faults.clone());
        builder()
            .remote(remote, MessagePack)
            .bus(bus)
            .build()
            .unwrap()
    };
    let here = node(FaultyBus::new(waves.clone(), faults.clone()));
    let there = node(FaultyBus::new(waves, Faults::new(Tokio::new())));
    assert_eq!(here.listen().await, BusState::Up);
    assert_eq!(there.listen().await, BusState::Up);
    ask(&here, 1, "old").await;
    assert_eq!(here.peek(&1), Cached::Hit("old".into()));

    faults.cut_bus();
    until("the cut is noticed", || here.bus() == BusState::Down).await;
    there.insert(1, "new".into()).await.unwrap();
    assert_eq!(here.peek(&1), Cached::Hit("old".into()), "nobody told it");
    faults.heal();
    until("the bus is back", || here.bus() == BusState::Up).await;
    assert_eq!(here.peek(&1), Cached::Miss);
    assert_eq!(here.get(&1).await, Cached::Hit("new".into()));
    here.close().await;
    there.close().await;
}
