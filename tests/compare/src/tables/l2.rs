//! Hits and misses in L2.

use std::cell::Cell;
use std::hint::black_box;
use std::sync::Arc;

use cached::ConcurrentCachedAsync;
use jetcache_core::LoadError;
use jetcache_tokio::{Cache, Raw, Redis};
use redis::AsyncCommands;

use crate::measure::{Contest, Run};
use crate::remote::{self, KEYS, NAME, many};
use crate::report::{By, Goal, Table};
use crate::stock::{HOUR, Value, value};
use crate::tables::Stage;

/// Hits of one, 64 and 512 tasks.
pub fn tasks(stage: &mut Stage<'_>) {
    let (runtime, url) = (stage.runtime, stage.url);
    runtime.block_on(remote::fill(url, KEYS, 220));
    let bare = runtime.block_on(remote::by_hand(url));
    let ours = remote::ours(url, NAME);
    let cached = Arc::new(runtime.block_on(remote::cached(url)));
    let tiers = runtime.block_on(remote::tiers(url, 1));
    for (tasks, goal) in [(1, 0.9), (64, 1.0), (512, 1.4)] {
        let count = if tasks == 1 { 2000 } else { 32_000 } * if stage.full { 3 } else { 1 };
        let mut contest = Contest::default();
        contest.enter("GET by redis-rs", || {
            let bare = bare.clone();
            many(runtime, tasks, count, move |key| {
                remote::get(bare.clone(), key)
            })
        });
        contest.enter("jetcache", || {
            let ours = ours.clone();
            let ask = move |key| {
                let ours = ours.clone();
                async move { ours.get(&key).await.is_hit() }
            };
            many(runtime, tasks, count, ask)
        });
        contest.enter("cached (JSON)", || {
            let cached = cached.clone();
            let ask = move |key| {
                let cached = cached.clone();
                async move {
                    let found = cached.async_cache_get(&key).await;
                    found.expect("Redis answers").is_some()
                }
            };
            many(runtime, tasks, count, ask)
        });
        contest.enter("multi-tier-cache, room for one in L1", || {
            let tiers = tiers.cache_manager().clone();
            let ask = move |key| {
                let tiers = tiers.clone();
                async move {
                    let found = tiers.get(&remote::tiers_key(key)).await;
                    found.expect("Redis answers").is_some()
                }
            };
            many(runtime, tasks, count, ask)
        });
        let scores = contest.run(stage.rounds());
        let title = format!("L2 hits, {tasks} task{}", if tasks == 1 { "" } else { "s" });
        let note = "Values of 220 bytes, two worker threads, the server on the same processors.";
        let goals = [("jetcache", Goal::AtLeast(goal))];
        stage
            .report
            .table(&Table::race(&title, note, By::Speed, &scores, &goals));
    }
}

/// A hundred keys by one call.
pub fn batch(stage: &mut Stage<'_>) {
    let (runtime, url) = (stage.runtime, stage.url);
    runtime.block_on(remote::fill(url, 100, 220));
    let bare = runtime.block_on(remote::by_hand(url));
    let ours = remote::ours(url, NAME);
    let both: Cache<u64, Value> = jetcache_tokio::builder(NAME)
        .remote(Redis::open(url).expect("the URL is valid"), Raw)
        .build()
        .expect("the settings are valid");
    let ids: Vec<u64> = (0..100).collect();
    let texts: Vec<String> = ids.iter().map(|id| remote::text(*id)).collect();
    let count = 200;
    let run = |work: &dyn Fn()| Run::of_each(count, |_| work());
    let mut contest = Contest::default();
    contest.enter("MGET by redis-rs", || {
        run(&|| {
            let mut bare = bare.clone();
            let found =
                runtime.block_on(async { bare.mget::<_, Vec<Option<Vec<u8>>>>(&texts).await });
            assert!(found.expect("Redis answers").iter().all(Option::is_some));
        })
    });
    contest.enter("a pipeline of GETs by redis-rs", || {
        run(&|| {
            let mut bare = bare.clone();
            let mut pipeline = redis::pipe();
            for text in &texts {
                pipeline.get(text);
            }
            let found = runtime.block_on(async {
                pipeline
                    .query_async::<Vec<Option<Vec<u8>>>>(&mut bare)
                    .await
            });
            assert!(found.expect("Redis answers").iter().all(Option::is_some));
        })
    });
    contest.enter("jetcache, no L1", || {
        run(&|| assert_eq!(runtime.block_on(ours.get_many(&ids)).hits().count(), 100))
    });
    contest.enter("jetcache, L1 emptied and filled", || {
        run(&|| {
            both.clear_local();
            assert_eq!(runtime.block_on(both.get_many(&ids)).hits().count(), 100);
        })
    });
    let scores = contest.run(2 * stage.rounds());
    let goals = [
        ("jetcache, no", Goal::AtMost(1.15)),
        ("jetcache, L1", Goal::AtMost(1.3)),
    ];
    let title = "A batch of 100 from L2";
    stage.report.table(&Table::race(
        title,
        "Values of 220 bytes.",
        By::Time,
        &scores,
        &goals,
    ));
}

/// Ten thousand keys that nobody has, each by a task of its own.
pub fn cold(stage: &mut Stage<'_>) {
    let (runtime, url) = (stage.runtime, stage.url);
    let keys = if stage.full { 10_000 } else { 5_000 };
    let next = Cell::new(1_000_000);
    let bare = runtime.block_on(remote::by_hand(url));
    let cached = Arc::new(runtime.block_on(remote::cached(url)));
    let tiers = runtime.block_on(remote::tiers(url, 100_000));
    let ours: Cache<u64, Value> = jetcache_tokio::builder("cold")
        .remote(Redis::open(url).expect("the URL is valid"), Raw)
        .ttl(HOUR)
        .build()
        .expect("the settings are valid");
    let from = || {
        next.set(next.get() + keys);
        next.get()
    };
    let mut contest = Contest::default();
    contest.enter("GET and SET by hand", || {
        all(stage, keys, from(), |key| {
            let mut bare = bare.clone();
            async move {
                let key = format!("hand:{key}");
                let found: Option<Vec<u8>> = bare.get(&key).await.expect("Redis answers");
                assert!(found.is_none());
                let set = bare.set_ex::<_, _, ()>(&key, vec![b'x'; 220], 60);
                set.await.expect("Redis answers");
            }
        })
    });
    contest.enter("jetcache", || {
        all(stage, keys, from(), |key| {
            let ours = ours.clone();
            async move {
                let load = async || Ok::<_, LoadError>(value(220));
                black_box(
                    ours.get_or_load(&key, load)
                        .await
                        .expect("the loader answers"),
                );
            }
        })
    });
    contest.enter("cached (JSON)", || {
        all(stage, keys, from(), |key| {
            let cached = cached.clone();
            async move {
                let found = cached.async_cache_get(&key).await.expect("Redis answers");
                assert!(found.is_none());
                let set = cached.async_cache_set(key, "x".repeat(220));
                set.await.expect("Redis answers");
            }
        })
    });
    contest.enter("multi-tier-cache", || {
        all(stage, keys, from(), |key| {
            let tiers = tiers.cache_manager().clone();
            async move {
                let strategy = multi_tier_cache::CacheStrategy::ShortTerm;
                let load = || async { Ok(multi_tier_cache::Bytes::from(vec![b'x'; 220])) };
                let key = remote::tiers_key(key);
                let loaded = tiers.get_or_compute_with(&key, strategy, load);
                loaded.await.expect("the loader answers");
            }
        })
    });
    let scores = contest.run(stage.rounds());
    let goals = [("jetcache", Goal::AtMost(1.5))];
    let title = format!("{keys} cold keys at once, with Redis");
    let note = "Values of 220 bytes. By hand and `cached` neither join loads nor keep an old value from being \
                written late; jetcache takes a lease for each key.";
    stage
        .report
        .table(&Table::race(&title, note, By::Time, &scores, &goals));
}

fn all<F>(stage: &Stage<'_>, keys: u64, from: u64, ask: impl Fn(u64) -> F) -> Run
where
    F: Future<Output = ()> + Send + 'static,
{
    Run::of(keys as usize, || {
        stage.runtime.block_on(async {
            let tasks: Vec<_> = (from..from + keys)
                .map(|key| tokio::spawn(ask(key)))
                .collect();
            for task in tasks {
                task.await.expect("no task panics");
            }
        });
    })
}
