//! The in-process L2 keeps the contract.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jetcache_adapters::Memory;

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
