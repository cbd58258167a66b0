//! The L1 engines keep their contract.

use std::hash::RandomState;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use jetcache_adapters::{EngineHasher, EngineKey, Moka, QuickCache, contract};
use jetcache_core::{Entry, Local, LruLocal, Probe, Timestamp};
use quick_cache::UnitWeighter;
use quick_cache::sync::{Cache, DefaultLifecycle};

#[expect(clippy::ptr_arg, reason = "the closure's type")]
fn weight(key: &String, value: Option<&Vec<u8>>) -> u64 {
    (key.len() + value.map_or(0, Vec::len)) as u64
}

#[test]
fn quick_cache_keeps_the_contract() {
    contract::local::run(QuickCache::new);
    contract::local::run_weighing(|bytes| QuickCache::weighing(bytes, weight));
}

#[test]
fn moka_keeps_the_contract() {
    contract::local::run(Moka::new);
    contract::local::run_weighing(|bytes| Moka::weighing(bytes, weight));
}

#[test]
fn engines_of_ones_own_keep_the_contract() {
    contract::local::run(|entries| {
        let engine = moka::sync::Cache::builder().max_capacity(entries as u64);
        Moka::of(engine.build_with_hasher(RandomState::new()))
    });
    contract::local::run(|entries| {
        let options = quick_cache::OptionsBuilder::new()
            .estimated_items_capacity(entries)
            .weight_capacity(entries as u64)
            .shards(1)
            .build()
            .unwrap();
        let lifecycle = DefaultLifecycle::default();
        let engine = Cache::with_options(options, UnitWeighter, RandomState::new(), lifecycle);
        QuickCache::of(engine)
    });
}

#[test]
fn a_listener_of_ones_own_sees_the_keys() {
    let gone = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&gone);
    let engine = moka::sync::Cache::builder()
        .eviction_listener(move |key: Arc<EngineKey<String>>, _, _| {
            seen.lock().unwrap().push(key.key().clone());
        })
        .build_with_hasher(EngineHasher);
    let engine = Moka::<String, u32>::of(engine);
    engine.insert("k".into(), Entry::new(Some(1), Timestamp::MAX));
    engine.remove(&"k" as &dyn Probe<String>);
    assert_eq!(engine.len(), 0);
    assert_eq!(*gone.lock().unwrap(), ["k"]);
}

#[test]
fn evictions_are_counted_and_replacements_are_not() {
    let engine = QuickCache::<u32, u32>::new(32);
    let entry = Entry::new(Some(1), Timestamp::MAX);
    for _ in 0..10 {
        (0..32).for_each(|key| engine.insert(key, entry.clone()));
    }
    assert_eq!(engine.evicted(), Some(0));
    (100..110).for_each(|key| engine.insert(key, entry.clone()));
    assert_eq!(engine.evicted(), Some(10));
}

#[test]
fn a_big_entry_finds_room_in_a_big_engine() {
    let engine = QuickCache::weighing(1 << 30, weight);
    engine.insert(
        "k".into(),
        Entry::new(Some(vec![0; 10 << 20]), Timestamp::MAX),
    );
    assert!(engine.get(&"k" as &dyn Probe<String>).is_some());
}

#[test]
fn the_lru_keeps_the_contract() {
    contract::local::run(|entries| LruLocal::new(NonZeroUsize::new(entries).unwrap()));
}
