//! Inserts, and reads with inserts and ends between them.

use std::hint::black_box;
use std::time::Duration;

use jetcache_core::{Call, Load, LoadError};

use crate::keys::{texts, zipf};
use crate::measure::{Contest, Run, ready};
use crate::report::{By, Table};
use crate::stock::{self, Clock, Value};
use crate::tables::Stage;

/// New keys in a cache that is full.
pub fn insert(stage: &mut Stage<'_>) {
    const ENTRIES: usize = 10_000;
    let count = stage.hits() / 10;
    let keys = texts(4 * ENTRIES);
    let value = stock::value(100);
    let key = |next: &mut usize| {
        *next += 1;
        keys[*next % keys.len()].clone()
    };
    let (bare, ours, moka, foyer) = (
        stock::bare(ENTRIES),
        stock::ours(ENTRIES),
        stock::moka(ENTRIES),
        stock::foyer(ENTRIES),
    );
    let mut next = [0; 5];
    let [a, b, c, d, e] = &mut next;
    let mut contest = Contest::by_cpu();
    contest.enter("quick_cache", || {
        Run::of_each(count, |_| bare.insert(key(a), (value.clone(), 1)))
    });
    contest.enter("jetcache get_or_load of a new key", || {
        Run::of_each(count, |_| {
            let loaded = stage
                .runtime
                .block_on(ours.get_or_load(&key(b), || stock::loaded(&value)));
            black_box(loaded).ok();
        })
    });
    contest.enter("jetcache insert", || {
        Run::of_each(count, |_| {
            black_box(stage.runtime.block_on(ours.insert(key(c), value.clone()))).ok();
        })
    });
    contest.enter("foyer", || {
        Run::of_each(count, |_| drop(foyer.insert(key(d), value.clone())))
    });
    contest.enter("moka", || {
        Run::of_each(count, |_| moka.insert(key(e), value.clone()))
    });
    let scores = contest.run(stage.rounds());
    let note = "10,000 entries, 40,000 keys one after another. jetcache's two are changes with their promises: \
                they join the key's flight, and supersede what loads it.";
    stage.report.table(&Table::race(
        "Inserts with eviction, no L2",
        note,
        By::Time,
        &scores,
        &[],
    ));
}

/// Of 20 operations 19 are reads; what was inserted ends after 20 ms.
pub fn mixed(stage: &mut Stage<'_>) {
    const KEYS: usize = 20_000;
    const ENTRIES: usize = 10_000;
    const LIFE: Duration = Duration::from_millis(20);
    let count = stage.hits() / 3;
    let keys = texts(KEYS);
    let asked = zipf(KEYS, 0.99, 1 << 20, 2);
    let value = stock::value(100);
    let clock = Clock::start();
    let key = |i: usize| keys[asked[i % asked.len()] as usize].as_str();
    let is_insert = |i: usize| i.is_multiple_of(20);

    let bare = stock::bare(ENTRIES);
    let ours = jetcache_tokio::builder::<String, Value>("mixed")
        .capacity(ENTRIES)
        .ttl(LIFE)
        .build()
        .expect("the settings are valid");
    let moka = moka::sync::Cache::builder()
        .max_capacity(ENTRIES as u64)
        .time_to_live(LIFE)
        .build();
    let call = Call::new();
    let mut contest = Contest::by_cpu();
    contest.enter("quick_cache and a coarse clock", || {
        let until = || clock.nanos() + LIFE.as_nanos() as u64;
        Run::of_each(count, |i| {
            if is_insert(i) {
                bare.insert(key(i).to_owned(), (value.clone(), until()));
                return;
            }
            let found = bare.get(key(i)).filter(|(_, until)| clock.nanos() < *until);
            if black_box(found).is_none() {
                bare.insert(key(i).to_owned(), (value.clone(), until()));
            }
        })
    });
    contest.enter("jetcache", || {
        let load = async || Ok::<_, LoadError>(Load::from(value.clone()));
        Run::of(count, || {
            stage.runtime.block_on(async {
                for i in 0..count {
                    if is_insert(i) {
                        black_box(
                            ours.insert_with(key(i).to_owned(), value.clone(), &call)
                                .await,
                        )
                        .ok();
                    } else {
                        black_box(ours.get_or_load(key(i), load).await).ok();
                    }
                }
            });
        })
    });
    contest.enter("moka", || {
        Run::of_each(count, |i| {
            if is_insert(i) {
                moka.insert(key(i).to_owned(), value.clone());
            } else {
                black_box(moka.get_with_by_ref(key(i), || value.clone()));
            }
        })
    });
    // What is measured is the caches: the runtime's own work is nothing here.
    let _ = ready(ours.get(key(0)));
    let scores = contest.run(stage.rounds());
    let note = "20,000 keys, Zipf 0.99, room for 10,000, entries live 20 ms; a read that misses loads. \
                quick_cache by hand neither joins loads nor promises anything after a change.";
    stage.report.table(&Table::race(
        "95 reads and 5 inserts of a hundred, with ends",
        note,
        By::Time,
        &scores,
        &[],
    ));
}
