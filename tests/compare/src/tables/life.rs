//! Start-up and close.

use jetcache_core::Cached;

use crate::measure::{Contest, Run};
use crate::remote;
use crate::report::{By, Table};
use crate::stock;
use crate::tables::Stage;

/// From nothing to the first answer and to the end.
pub fn life(stage: &mut Stage<'_>) {
    let (runtime, url) = (stage.runtime, stage.url);
    let mut contest = Contest::default();
    contest.enter("quick_cache: made, asked, dropped", || {
        Run::of_each(1000, |_| drop(stock::bare(10_000).get("no such key")))
    });
    contest.enter("jetcache: built, asked, dropped", || {
        Run::of_each(1000, |_| {
            let cache = stock::ours(10_000);
            assert!(matches!(cache.peek("no such key"), Cached::Miss));
        })
    });
    contest.enter("jetcache: the same and closed", || {
        Run::of_each(1000, |_| {
            let cache = stock::ours(10_000);
            assert!(matches!(cache.peek("no such key"), Cached::Miss));
            runtime.block_on(cache.close());
        })
    });
    contest.enter("moka: built, asked, dropped", || {
        Run::of_each(1000, |_| drop(stock::moka(10_000).get("no such key")))
    });
    contest.enter("foyer: built, asked, dropped", || {
        Run::of_each(100, |_| drop(stock::foyer(10_000).get("no such key")))
    });
    let scores = contest.run(stage.rounds());
    let title = "Start-up and close, L1 only";
    stage.report.table(&Table::race(
        title,
        "Room for 10,000 entries.",
        By::Time,
        &scores,
        &[],
    ));

    let mut contest = Contest::default();
    contest.enter("redis-rs: connect, GET, drop", || {
        Run::of_each(50, |_| {
            let found =
                runtime.block_on(async { remote::get(remote::by_hand(url).await, 1 << 40).await });
            assert!(!found);
        })
    });
    contest.enter("jetcache: built, one get, closed", || {
        Run::of_each(50, |_| {
            runtime.block_on(async {
                let cache = remote::ours(url, remote::NAME);
                assert!(matches!(cache.get(&(1 << 40)).await, Cached::Miss));
                cache.close().await;
            });
        })
    });
    let scores = contest.run(stage.rounds());
    let title = "Start-up and close, with Redis";
    stage.report.table(&Table::race(
        title,
        "To the answer about one key.",
        By::Time,
        &scores,
        &[],
    ));
}
