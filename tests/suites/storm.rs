//! The real `Cache`, driver and all, on a runtime of virtual time: seeded storms of callers over an
//! L2 that is slow, loses commands and applies them late. Callers ask for one key or many, vanish
//! and fall silent. In half of the storms there is a bus that is late, breaks and comes back, and
//! in some of those whole nodes die and begin another life.
//!
//! The simulation of the machine (`simulation.rs`) interleaves finer and knows more rules. This one
//! runs the code that ships: only the clock, the executor and the network are replaced. Both use
//! the same words:
//!
//! | word | meaning |
//! |---|---|
//! | plan | what the nodes are asked, and what their world is like; drawn from a seed |
//! | caller | somebody who makes one call; **loading** and **writing** are what its code does |
//! | world | virtual time: who goes on next |
//! | net, weather | the commands on their way to L2 and back; how bad that way is |
//! | bus, air, ear | how nodes hear of changes; what carries the words; who listens |
//! | life | a node from its birth to its death |
//! | failover | L2 falls back to what it was a while ago, and all connections to it break |
//! | judge, promise | who checks P1 to P7 at every event |
//! | circuits | which breakers are open, and what is sent meanwhile |
//! | ledger | what L2 took, and what follows from it |
//! | kept case | what a seed once found, as a list of steps |
//!
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
    pub(crate) mod circuits;
    pub(crate) mod judge;
    pub(crate) mod ledger;
    pub(crate) mod plan;
    pub(crate) mod promise;
    pub(crate) mod run;
    pub(crate) mod tags;
    pub(crate) mod tally;
}
#[path = "storm/kept.rs"]
mod kept;
#[path = "storm/world"]
mod world {
    pub(crate) mod bus;
    pub(crate) mod codec;
    pub(crate) mod failover;
    pub(crate) mod gap;
    pub(crate) mod lives;
    pub(crate) mod net;
    pub(crate) mod raising;
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
    assert!(tally.raised > 0 && tally.raises_heard > 0, "{tally:?}");
    assert!(tally.dead > 0 && tally.overflowed > 0, "{tally:?}");
    assert!(
        tally.opened > 0
            && tally.written > 0
            && tally.heard > 0
            && tally.epochs > 0
            && tally.died > 0
            && tally.failovers > 0,
        "{tally:?}"
    );
}

/// But for how its keys fall into shards, which each cache draws anew: of the few ways to play a seed each
/// comes again soon.
#[test]
fn a_seed_plays_the_same_again() {
    for seed in 0..20 {
        let first = run(seed);
        assert!(
            (0..40).any(|_| run(seed) == first),
            "seed {seed}: {first:?}"
        );
    }
}
