//! Hits in L1.

use std::hint::black_box;

use jetcache_adapters::QuickCache;
use jetcache_core::{Entry, Local, Timestamp};
use jetcache_tokio::{Cache, Raw, Redis};

use crate::keys::{texts, zipf};
use crate::measure::{Contest, Run, on_threads, ready};
use crate::report::{By, Goal, Table};
use crate::stock::{self, Bare, Clock, HOUR, Value, loaded};
use crate::tables::Stage;

/// One thread, 1000 hot keys; then 100,000 as Zipf has them.
pub fn one_thread(stage: &mut Stage<'_>) {
    for (title, keys, asked) in [
        ("L1 hits, 1000 hot keys, one thread", 1000, in_turn(1000)),
        (
            "L1 hits, 100,000 keys, Zipf 0.99, one thread",
            100_000,
            skewed(),
        ),
    ] {
        let room = Room::new(keys);
        let mut contest = Contest::by_cpu();
        let (texts, asked) = (&room.keys, &asked);
        let key = move |i: usize| texts[asked[i % asked.len()] as usize].as_str();
        let count = stage.hits();
        let (bare, clock) = (&room.bare, room.clock);
        contest.enter("quick_cache and a coarse clock", move || {
            Run::of_each(count, |i| {
                let found = bare.get(key(i));
                black_box(found.filter(|(_, until)| clock.nanos() < *until));
            })
        });
        contest.enter("quick_cache alone", move || {
            Run::of_each(count, |i| drop(black_box(bare.get(key(i)))))
        });
        contest.enter("jetcache get_or_load", || {
            Run::of_each_hit(count, async |i| {
                let hit = room.ours.get_or_load(key(i), || loaded(&room.value)).await;
                black_box(hit).ok();
            })
        });
        contest.enter("jetcache get", || {
            Run::of_each_hit(count, async |i| {
                drop(black_box(room.ours.get(key(i)).await))
            })
        });
        contest.enter("jetcache peek", || {
            Run::of_each(count, |i| drop(black_box(room.ours.peek(key(i)))))
        });
        contest.enter("jetcache's engine alone, and a coarse clock", || {
            Run::of_each(count, |i| {
                let found = Local::get(&room.port, &key(i));
                let now = Timestamp::from_nanos(clock.nanos());
                black_box(found.filter(|entry| entry.is_fresh(now)));
            })
        });
        contest.enter("foyer", || {
            Run::of_each(count, |i| {
                black_box(room.foyer.get(key(i)).map(|entry| entry.value().clone()));
            })
        });
        contest.enter("moka", || {
            Run::of_each(count, |i| drop(black_box(room.moka.get(key(i)))))
        });
        contest.enter("multi-tier-cache", || {
            Run::of_each_hit(count / 10, async |i| {
                let tiers = stage.tiers.cache_manager();
                black_box(tiers.get(&texts[i % 1000]).await).ok();
            })
        });
        let scores = contest.run(stage.rounds());
        let goals = [("jetcache get_or_load", Goal::AtMost(1.25))];
        let note = "Values behind an Arc. multi-tier-cache is asked for 1000 keys only, which its L1 holds.";
        stage
            .report
            .table(&Table::race(title, note, By::Time, &scores, &goals));
    }
}

/// Two threads at once.
pub fn two_threads(stage: &mut Stage<'_>) {
    for (title, keys, asked) in [
        ("L1 hits, 1000 hot keys, two threads", 1000, in_turn(1000)),
        (
            "L1 hits, 100,000 keys, Zipf 0.99, two threads",
            100_000,
            skewed(),
        ),
    ] {
        let room = Room::new(keys);
        let behind = before_redis(stage.url, &room);
        let count = stage.hits();
        let key = |i: usize| room.keys[asked[i % asked.len()] as usize].as_str();
        let awaited = |cache: &Cache<String, Value>| {
            let on = |thread| {
                ready(async {
                    for i in 0..count {
                        let key = key(i + thread * APART);
                        let hit = cache.get_or_load(key, || loaded(&room.value)).await;
                        black_box(hit).ok();
                    }
                });
            };
            Run::of(2 * count, || on_threads(2, on))
        };
        let mut contest = Contest::default();
        contest.enter("quick_cache and a coarse clock", || {
            on_two(count, |i| {
                let found = room.bare.get(key(i));
                black_box(found.filter(|(_, until)| room.clock.nanos() < *until));
            })
        });
        contest.enter("jetcache get_or_load", || awaited(&room.ours));
        contest.enter("jetcache get_or_load, with an L2 behind", || {
            awaited(&behind)
        });
        contest.enter("jetcache's engine alone, and a coarse clock", || {
            on_two(count, |i| {
                let found = Local::get(&room.port, &key(i));
                let now = Timestamp::from_nanos(room.clock.nanos());
                black_box(found.filter(|entry| entry.is_fresh(now)));
            })
        });
        contest.enter("foyer", || {
            on_two(count, |i| {
                black_box(room.foyer.get(key(i)).map(|entry| entry.value().clone()));
            })
        });
        contest.enter("moka", || {
            on_two(count, |i| drop(black_box(room.moka.get(key(i)))))
        });
        let scores = contest.run(stage.rounds());
        let goals = [("jetcache get_or_load", Goal::AtLeast(0.8))];
        stage
            .report
            .table(&Table::race(title, "", By::Speed, &scores, &goals));
    }
}

/// Two threads that ask at different places.
fn on_two(count: usize, hit: impl Fn(usize) + Sync) -> Run {
    let on = |thread| (0..count).for_each(|i| hit(i + thread * APART));
    Run::of(2 * count, || on_threads(2, on))
}

const APART: usize = 7919;

/// A hundred keys by one call.
pub fn batch(stage: &mut Stage<'_>) {
    let room = Room::new(1000);
    let batches: Vec<Vec<&str>> = room
        .keys
        .chunks(100)
        .map(|keys| keys.iter().map(String::as_str).collect())
        .collect();
    let count = stage.hits() / 200;
    let batch = |i: usize| &batches[i % batches.len()];
    let mut contest = Contest::by_cpu();
    contest.enter("a loop over quick_cache and a coarse clock", || {
        Run::of_each(count, |i| {
            let of = |key: &&str| {
                room.bare
                    .get(*key)
                    .filter(|(_, until)| room.clock.nanos() < *until)
            };
            black_box(batch(i).iter().map(of).collect::<Vec<_>>());
        })
    });
    contest.enter("jetcache get_many", || {
        Run::of_each(count, |i| {
            let found = ready(room.ours.get_many(batch(i).iter().copied()));
            black_box(found.hits().count());
        })
    });
    contest.enter("a loop over jetcache peek", || {
        Run::of_each(count, |i| {
            let of = |key: &&str| room.ours.peek(*key);
            black_box(batch(i).iter().map(of).collect::<Vec<_>>());
        })
    });
    contest.enter("a loop over foyer", || {
        Run::of_each(count, |i| {
            let of = |key: &&str| room.foyer.get(*key).map(|entry| entry.value().clone());
            black_box(batch(i).iter().map(of).collect::<Vec<_>>());
        })
    });
    contest.enter("a loop over moka", || {
        Run::of_each(count, |i| {
            black_box(
                batch(i)
                    .iter()
                    .map(|key| room.moka.get(*key))
                    .collect::<Vec<_>>(),
            );
        })
    });
    let scores = contest.run(stage.rounds());
    let title = "A batch of 100 from L1";
    stage.report.table(&Table::race(
        title,
        "All answers are kept until the batch is complete.",
        By::Time,
        &scores,
        &[],
    ));
}

/// Caches that hold the same.
struct Room {
    keys: Vec<String>,
    value: Value,
    clock: Clock,
    bare: Bare,
    ours: Cache<String, Value>,
    port: QuickCache<String, Value>,
    foyer: foyer_memory::Cache<String, Value>,
    moka: moka::sync::Cache<String, Value>,
}

impl Room {
    fn new(count: usize) -> Self {
        let entries = 2 * count;
        let room = Self {
            keys: texts(count),
            value: stock::value(100),
            clock: Clock::start(),
            bare: stock::bare(entries),
            ours: stock::ours(entries),
            port: QuickCache::new(entries),
            foyer: stock::foyer(entries),
            moka: stock::moka(entries),
        };
        for key in &room.keys {
            // Each has a value of its own, as in life.
            let value: Value = room.value.to_vec().into();
            room.bare.insert(key.clone(), (value.clone(), u64::MAX));
            room.port
                .insert(key.clone(), Entry::new(Some(value.clone()), Timestamp::MAX));
            room.foyer.insert(key.clone(), value.clone());
            room.moka.insert(key.clone(), value.clone());
            ready(room.ours.get_or_load(key, || loaded(&value))).expect("the loader answers");
        }
        room
    }
}

/// One whose misses would go to Redis.
fn before_redis(url: &str, room: &Room) -> Cache<String, Value> {
    let cache = jetcache_tokio::builder("behind")
        .capacity(2 * room.keys.len())
        .ttl(HOUR)
        .local_ttl(HOUR)
        .remote(Redis::open(url).expect("the URL is valid"), Raw)
        .build()
        .expect("the settings are valid");
    let call = jetcache_core::Call::new().skip_remote();
    let fill = async || {
        for key in &room.keys {
            let loaded = cache
                .get_or_load_with(key, &call, || loaded(&room.value))
                .await;
            loaded.expect("the loader answers");
        }
    };
    tokio::runtime::Handle::current().block_on(fill());
    cache
}

/// Far apart in memory, as keys of requests are.
fn in_turn(keys: u32) -> Vec<u32> {
    (0..keys).map(|at| at * 31 % keys).collect()
}

fn skewed() -> Vec<u32> {
    let ranks = zipf(100_000, 0.99, 1 << 20, 1);
    ranks
        .into_iter()
        .map(|rank| (u64::from(rank) * 7919 % 100_000) as u32)
        .collect()
}
