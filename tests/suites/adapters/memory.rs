//! The in-process L2 keeps the contract.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jetcache_adapters::{Memory, MessagePack};
use jetcache_core::machine::generations::scope::top_key;
use jetcache_core::ports::remote::{Ensure, Mark, Raise, Scope, Wire};
use jetcache_core::{Cache, Cached, LoadError, PausedClock, Remote};
use jetcache_tokio::Tokio;

use crate::adapters::verbs::{T, contract_on_tokio, fill, lease, read};

#[test]
fn memory_keeps_the_contract() {
    contract_on_tokio(&Memory::new());
}

#[test]
fn clones_share_one_table() {
    smol::block_on(async {
        let one = Memory::new();
        let two = one.clone();
        lease(&one, "k", T).await.unwrap();
        assert_eq!(two.leases(), 1);
        fill(&two, "k", T, b"v").await.unwrap();
        assert_eq!(read(&one, "k").await.unwrap().unwrap().bytes, b"v");
        one.flush();
        assert!(two.is_empty());
    });
}

#[test]
fn time_is_what_the_clock_says() {
    smol::block_on(async {
        let now = Arc::new(AtomicU64::new(1_000));
        let clock = Arc::clone(&now);
        let memory = Memory::with_clock(move || clock.load(Ordering::SeqCst));
        lease(&memory, "k", T).await.unwrap();
        fill(&memory, "k", T, b"v").await.unwrap();
        assert_eq!(memory.len(), 1);
        now.store(61_000, Ordering::SeqCst);
        assert_eq!(memory.len(), 0);
        assert!(read(&memory, "k").await.unwrap().is_none());
    });
}

#[test]
fn the_bound_is_kept() {
    smol::block_on(async {
        let memory = Memory::with_capacity(10);
        for n in 0..100 {
            let key = n.to_string();
            lease(&memory, &key, T).await.unwrap();
            fill(&memory, &key, T, b"v").await.unwrap();
        }
        assert_eq!(memory.len(), 10);
    });
}

#[test]
fn an_evicted_log_is_made_again() {
    smol::block_on(async {
        let memory = Memory::with_clock(|| 5);
        let (namespace, tag) = ("ns:", Scope::Tag(1));
        let raise = Raise {
            namespace,
            clock: Mark::NONE,
            scopes: &[tag],
        };
        let ensure = async |clock, marks: &[(Scope, Mark)]| {
            let ensure = Ensure {
                namespace,
                clock,
                marks,
            };
            memory.ensure(&ensure).await.unwrap().top
        };
        let top = async || read(&memory, &top_key(namespace)).await.unwrap();
        let first = memory.raise(&raise).await.unwrap().number;
        assert_eq!(first, Mark::new(5000), "its clock in microseconds");
        memory.forget_log(namespace, true, false);
        assert_eq!(top().await, None);
        assert_eq!(ensure(first, &[]).await, first, "the list knows it");
        assert_eq!(top().await.unwrap().bytes, b"5000");
        let inspected = memory.inspect(&top_key(namespace), Wire::Native).await;
        let inspected = inspected.unwrap();
        assert_eq!(inspected.found, top().await);
        assert_eq!(inspected.kept, Some(Duration::MAX));
        memory.forget_log(namespace, false, true);
        assert_eq!(memory.news(namespace, Mark::NONE).await.unwrap().marks, []);
        let second = ensure(first, &[(tag, first)]).await;
        assert!(second > first);
        memory.forget_log(namespace, true, true);
        assert!(ensure(second, &[]).await > second);
        memory.flush();
        assert_eq!(top().await, None);
    });
}

/// A cache on a clock that a test moves, over a server whose own clock is told apart.
fn on_a_paused_clock(clock: &PausedClock, memory: &Memory) -> Cache<u32, String> {
    jetcache_tokio::builder_on::<u32, String>("time", Tokio::paused(clock))
        .remote(memory.clone(), MessagePack)
        .jitter(0, Duration::ZERO)
        .ttl(Duration::from_secs(5))
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_server_whose_clock_is_set_back_prolongs_nothing() {
    let clock = PausedClock::new();
    let shown = Arc::new(AtomicU64::new(10_000_000));
    let server = Arc::clone(&shown);
    let memory = Memory::with_clock(move || server.load(Ordering::SeqCst));
    let [one, two] = [(), ()].map(|()| on_a_paused_clock(&clock, &memory));
    one.insert(1, "old".into()).await.unwrap();
    assert!(two.get(&1).await.is_hit());
    two.clear_local();
    shown.fetch_sub(3_600_000, Ordering::SeqCst);
    assert_eq!(
        two.get(&1).await,
        Cached::Miss,
        "nobody knows how old it is"
    );
    assert!(!two.insert_if_present(1, "x".into()).await.unwrap());
    let loaded = two.get_or_load(&1, async || Ok::<_, LoadError>("new".to_owned()));
    assert_eq!(loaded.await.unwrap().as_deref(), Some("new"));
    one.clear_local();
    assert_eq!(
        one.get(&1).await,
        Cached::Hit("new".into()),
        "it is replaced"
    );
}

#[tokio::test]
async fn a_value_that_ended_on_its_way_is_no_hit() {
    let clock = PausedClock::new();
    let slow = Arc::new(AtomicU64::new(0));
    let (hands, delay) = (clock.clone(), Arc::clone(&slow));
    let memory = Memory::with_clock(move || {
        let shown = hands.now().as_nanos() / 1_000_000;
        // The reply takes so long.
        hands.advance(Duration::from_millis(delay.load(Ordering::SeqCst)));
        shown
    });
    let [one, two] = [(), ()].map(|()| on_a_paused_clock(&clock, &memory));
    for (id, delay, is_hit) in [(1, 9, true), (2, 10, false), (3, 230, false)] {
        one.insert(id, "old".into()).await.unwrap();
        clock.advance(Duration::from_millis(4_990));
        slow.store(delay, Ordering::SeqCst);
        assert_eq!(two.get(&id).await.is_hit(), is_hit, "{delay} ms");
        slow.store(0, Ordering::SeqCst);
        two.clear_local();

        one.insert(id, "old".into()).await.unwrap();
        clock.advance(Duration::from_millis(4_990));
        slow.store(delay, Ordering::SeqCst);
        let loaded = two.get_or_load(&id, async || Ok::<_, LoadError>("new".to_owned()));
        let wanted = if is_hit { "old" } else { "new" };
        assert_eq!(loaded.await.unwrap().as_deref(), Some(wanted), "{delay} ms");
        slow.store(0, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn l1_serves_nothing_past_its_end() {
    let ttl = Duration::from_millis(3);
    let cache = jetcache_tokio::builder::<u32, u32>("l1")
        .ttl(ttl)
        .local_ttl(ttl)
        .jitter(0, Duration::ZERO)
        .build()
        .unwrap();
    let mut hits = 0;
    for id in 0..500 {
        cache.insert(id, id).await.unwrap();
        // Its life began before this.
        let end = Instant::now() + ttl;
        loop {
            let asked = Instant::now();
            if !cache.peek(&id).is_hit() {
                break;
            }
            hits += 1;
            assert!(asked < end, "{:?} late", asked - end);
        }
    }
    assert!(hits > 500, "it is served until then");
}
