//! The L1 engines keep their contract.

use std::num::NonZeroUsize;

use jetcache_adapters::{Moka, QuickCache, contract};
use jetcache_core::{Entry, Local, LruLocal, Probe, Timestamp};

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
