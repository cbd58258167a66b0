//! The real `Cache`, driver and all, on a runtime of virtual time: seeded storms of callers that
//! vanish or fall silent, over an L2 that is slow, loses commands and applies them late.
//!
//! The simulation of the machine (`simulation.rs`) interleaves finer and knows more rules; this one
//! runs the code that ships, with nothing in its place but the clock, the executor and the network.
//! `JETCACHE_SEEDS` says how many seeds, `JETCACHE_SEED` plays one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "storm/net.rs"]
mod net;
#[path = "storm/play.rs"]
mod play;
#[path = "storm/world.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().expect("a number"))
}

#[test]
fn storms_break_no_promise() {
    let seeds = match number("JETCACHE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("JETCACHE_SEEDS").unwrap_or(3_000),
    };
    let mut tally = play::Tally::default();
    for seed in seeds {
        match catch_unwind(AssertUnwindSafe(|| play::storm(seed))) {
            Ok(played) => tally += played,
            Err(_) => panic!("seed {seed} broke a promise"),
        }
    }
    // A storm that nothing happens in would find nothing.
    assert!(
        tally.answers > 0 && tally.cancelled > 0 && tally.silent > 0,
        "{tally:?}"
    );
    assert!(
        tally.loads > 0 && tally.pending > 0 && tally.faults > 0,
        "{tally:?}"
    );
}

#[test]
fn a_seed_always_plays_the_same() {
    assert_eq!(play::storm(7), play::storm(7));
}
