//! A hit in L1 allocates nothing.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use jetcache_adapters::{Memory, Raw};
use jetcache_core::{Blocking, Builder, Cache, LoadError, LruLocal, Runtime};

fn builder(runtime: impl Runtime) -> Builder<String, Arc<[u8]>> {
    Cache::builder("hits", runtime)
}

/// Runs a future that must be ready at once.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it had to wait"),
    }
}

fn costs_nothing(cache: &Cache<String, Arc<[u8]>>) {
    let value: Arc<[u8]> = Arc::from(&b"value"[..]);
    let load = || async { Ok::<_, LoadError>(Arc::clone(&value)) };
    now(cache.get_or_load("key", load)).unwrap();
    // The first hit of a thread sets some things up.
    now(cache.get_or_load("key", load)).unwrap();
    let mut hits = 0;
    let cost = allocation_counter::measure(|| {
        for _ in 0..1000 {
            hits += u32::from(now(cache.get_or_load("key", load)).unwrap().is_some());
            hits += u32::from(now(cache.get("key")).is_hit());
            hits += u32::from(cache.peek("key").is_hit());
        }
    });
    assert_eq!(hits, 3000);
    assert_eq!(cache.stats().local_hits, 3001);
    assert_eq!((cost.count_total, cost.bytes_total), (0, 0));
    // A check of the measure: a miss does allocate.
    let miss =
        allocation_counter::measure(|| assert!(now(cache.get_or_load("other", load)).is_ok()));
    assert!(miss.count_total > 0);
}

#[test]
fn a_hit_allocates_nothing_on_tokio() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    costs_nothing(&jetcache_tokio::builder("hits").build().unwrap());
}

#[test]
fn a_hit_allocates_nothing_on_smol() {
    costs_nothing(&jetcache_smol::builder("hits").build().unwrap());
}

#[test]
fn a_hit_allocates_nothing_in_any_engine() {
    let smol = jetcache_smol::Smol::new;
    let capacity = 100.try_into().unwrap();
    costs_nothing(
        &builder(smol())
            .local(LruLocal::new(capacity))
            .build()
            .unwrap(),
    );
    costs_nothing(
        &builder(smol())
            .local(jetcache_adapters::QuickCache::new(100))
            .build()
            .unwrap(),
    );
}

#[test]
fn a_hit_allocates_nothing_in_a_cache_of_a_node() {
    let node = jetcache_smol::node().remote(Memory::new());
    costs_nothing(&node.cache("hits", Raw).build().unwrap());
    costs_nothing(&node.local_cache("hits").build().unwrap());
}

#[test]
fn a_hit_allocates_nothing_on_a_thread_that_may_block() {
    let cache = jetcache_tokio::builder("hits").build().unwrap();
    let users: Blocking<String, Arc<[u8]>> = cache.blocking();
    let value: Arc<[u8]> = Arc::from(&b"value"[..]);
    for _ in 0..2 {
        users.get_or_load("key", || Ok(Arc::clone(&value))).unwrap();
    }
    let nobody = || -> Result<Arc<[u8]>, LoadError> { panic!("it is in L1") };
    let cost = allocation_counter::measure(|| {
        for _ in 0..1000 {
            assert!(users.get_or_load("key", nobody).unwrap().is_some());
            assert!(users.get("key").is_hit() && users.peek("key").is_hit());
        }
    });
    assert_eq!((cost.count_total, cost.bytes_total), (0, 0));
}

#[test]
fn the_future_of_a_hit_is_small() {
    let cache: Cache<String, Arc<[u8]>> = jetcache_smol::builder("hits").build().unwrap();
    let load = || async { Ok::<_, LoadError>(None) };
    let size = size_of_val(&cache.get_or_load("key", load));
    assert!(size <= 160, "{size} bytes");
}

fn most_held(work: impl FnOnce()) -> u64 {
    allocation_counter::measure(work).bytes_max
}

#[test]
fn a_load_makes_room_for_its_loader_once() {
    const HELD: u64 = 16 << 10;
    let cache: Cache<String, Arc<[u8]>> = jetcache_smol::builder("hits").build().unwrap();
    let small = || async {
        std::future::ready(()).await;
        Ok::<_, LoadError>(None)
    };
    let large = || async {
        let held = [7_u8; HELD as usize];
        std::future::ready(()).await;
        std::hint::black_box(&held);
        Ok::<_, LoadError>(None)
    };
    // The first load of a cache makes tables.
    now(cache.get_or_load("first", small)).unwrap();
    let without = most_held(|| assert!(now(cache.get_or_load("small", small)).is_ok()));
    let with = most_held(|| assert!(now(cache.get_or_load("large", large)).is_ok()));
    let most = without + HELD * 3 / 2;
    assert!(with >= HELD && with <= most, "{with} bytes, {without}");
}
