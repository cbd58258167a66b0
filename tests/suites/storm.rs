//! The real `Cache`, driver and all, on a runtime of virtual time: seeded storms of callers, of one
//! key and of many, that vanish or fall silent, over an L2 that is slow, loses commands and applies
//! them late; in half of the storms on a bus that is late, breaks and comes back, and in some of them
//! whole nodes die and begin another life.
//!
//! The simulation of the machine (`simulation.rs`) interleaves finer and knows more rules; this one
//! runs the code that ships, with nothing in its place but the clock, the executor and the network.
//! `JETCACHE_SEEDS` says how many seeds, `JETCACHE_FROM` the first one, `JETCACHE_SEED` plays one.
//! `mutants/run` shows that it finds what it should find in the driver.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "storm/actors"]
mod actors {
    pub(crate) mod caller;
    pub(crate) mod loading;
    pub(crate) mod writing;
}
#[path = "storm/fate"]
mod fate {
    pub(crate) mod judge;
    pub(crate) mod ledger;
    pub(crate) mod plan;
    pub(crate) mod promise;
    pub(crate) mod run;
    pub(crate) mod tally;
}
#[path = "storm/kept.rs"]
mod kept;
#[path = "storm/world"]
mod world {
    pub(crate) mod bus;
    pub(crate) mod codec;
    pub(crate) mod gap;
    pub(crate) mod lives;
    pub(crate) mod net;
    pub(crate) mod time;
    pub(crate) mod weather;
}

use self::fate::run::run;
use self::fate::tally::Tally;

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().expect("a number"))
}

#[test]
fn storms_break_no_promise() {
    if let Some(seed) = number("JETCACHE_SEED") {
        run(seed).unwrap_or_else(|broken| panic!("{broken}"));
        return;
    }
    let from = number("JETCACHE_FROM").unwrap_or_default();
    let seeds = number("JETCACHE_SEEDS").unwrap_or(3_000);
    let mut tally = Tally::default();
    for seed in from..from + seeds {
        tally += run(seed).unwrap_or_else(|broken| panic!("{broken}"));
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
    assert!(tally.batched > 0 && tally.again > 0, "{tally:?}");
    assert!(
        tally.written > 0 && tally.heard > 0 && tally.epochs > 0 && tally.died > 0,
        "{tally:?}"
    );
}

#[test]
fn a_seed_always_plays_the_same() {
    for seed in 0..20 {
        assert_eq!(run(seed), run(seed));
    }
}
