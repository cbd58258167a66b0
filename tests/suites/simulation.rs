//! Nodes and an L2 that fail in every way, in virtual time, against the promises P1 to P7.
//!
//! The words are explained in `src/sim.rs`; the storms (`storm.rs`) use the same ones for the
//! driver. `JETCACHE_SEED=7` replays one seed and prints its events; `JETCACHE_SEEDS=1000000` tries
//! so many. `mutants/run` shows that it finds what it should find.

#[path = "simulation/kept.rs"]
mod kept;

use std::env;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use jetcache_tests::sim::{Plan, Report, run, run_alone};

#[test]
fn ten_thousand_seeds_keep_the_promises() {
    if let Some(seed) = number("JETCACHE_SEED") {
        return replay(seed);
    }
    if let Some(broken) = first_broken(|seed| run(Plan::seeded(seed), false)) {
        replay(broken);
        panic!("seed {broken} broke a promise in one run of two: it is not deterministic");
    }
}

/// The same asks, put to the cache of one thread.
#[test]
fn ten_thousand_seeds_keep_the_promises_on_one_thread() {
    let seed = number("JETCACHE_SEED").or_else(|| first_broken(run_alone));
    let report = seed.map(|seed| (seed, run_alone(seed)));
    if let Some((seed, report)) = report
        && let Some(broken) = report.broken
    {
        panic!("seed {seed}, step {}: {broken}", report.steps);
    }
}

/// The first of ten thousand seeds that breaks a promise.
fn first_broken(run: impl Fn(u64) -> Report + Sync) -> Option<u64> {
    let seeds = number("JETCACHE_SEEDS").unwrap_or(10_000);
    let next = AtomicU64::new(0);
    let first_broken = AtomicU64::new(u64::MAX);
    let try_seeds = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.min(first_broken.load(Ordering::Relaxed)) {
                return;
            }
            if run(seed).broken.is_some() {
                first_broken.fetch_min(seed, Ordering::Relaxed);
            }
        }
    };
    thread::scope(|threads| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            threads.spawn(try_seeds);
        }
    });
    let first = first_broken.into_inner();
    (first < u64::MAX).then_some(first)
}

#[test]
fn a_seed_always_gives_the_same_events() {
    for seed in 0..200 {
        let (one, two) = (run(Plan::seeded(seed), true), run(Plan::seeded(seed), true));
        assert!(one.steps > 0 && !one.trace.is_empty());
        assert_eq!(one.trace, two.trace, "seed {seed}");
    }
}

/// Or what the judge says of them would mean nothing.
#[test]
fn the_dice_draw_every_outcome_of_an_extension() {
    let mut drawn = [0; 4];
    for seed in 0..6_000 {
        for line in run(Plan::seeded(seed), true).trace {
            let outcomes = ["Stored", "Refused", "Unlike"].map(|said| format!("Extended({said})"));
            let outcomes = outcomes
                .iter()
                .map(|said| line.contains("L2 applies") && line.contains(said));
            let lost = line.contains("Extended(Err(Timeout))");
            let outcomes = outcomes.chain([lost]);
            (drawn.iter_mut().zip(outcomes)).for_each(|(drawn, so)| *drawn += i32::from(so));
        }
    }
    assert!(
        !drawn.contains(&0),
        "stored, refused, unlike, lost: {drawn:?}"
    );
}

/// Or what the judge says of one of them would mean nothing.
#[test]
fn the_dice_draw_both_ways_to_look_into_l2() {
    let looks = [
        "Begin: Ask(Read)",
        "Local(None): Ask(Read)",
        "Local(None): Ask(Lease",
        "Leased(Ok((Yes, None))): Ask(Load)",
        "Leased(Ok((Yes, Some(",
        "Leased(Ok((No, Some(",
        "Leased(Err(Refused(\"L2 is full\"))): Ask(Read)",
    ];
    let mut drawn = [0; 7];
    for seed in 0..3_000 {
        for line in run(Plan::seeded(seed), true).trace {
            let said = looks.map(|look| line.contains(look));
            (drawn.iter_mut().zip(said)).for_each(|(drawn, so)| *drawn += i32::from(so));
        }
    }
    assert!(drawn.iter().all(|drawn| *drawn > 20), "{drawn:?}");
}

/// Prints what happens, and panics if a promise is broken. `mutants/run` reads the last line.
fn replay(seed: u64) {
    let report = run(Plan::seeded(seed), true);
    for line in &report.trace {
        eprintln!("{line}");
    }
    if let Some(broken) = report.broken {
        panic!("seed {seed}, step {}: {broken}", report.steps);
    }
}

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name} must be a number, it is {text}")))
}
