//! How cost grows: with entries, tasks, caches on a node, and the size of values.

use std::hint::black_box;

use jetcache_tokio::{Cache, Raw, Redis};

use crate::keys::texts;
use crate::measure::{Contest, Run, Score, ready};
use crate::plot::{Panel, draw};
use crate::remote::{self, KEYS, NAME, many};
use crate::report::Table;
use crate::stock::{self, Clock, HOUR, Value, loaded, value};
use crate::tables::Stage;

/// Hits in L1 with more and more entries, asked for by chance.
pub fn entries(stage: &mut Stage<'_>) {
    let sizes: &[usize] = if stage.full {
        &[1000, 10_000, 100_000, 1_000_000, 3_000_000, 10_000_000]
    } else {
        &[1000, 10_000, 100_000, 1_000_000]
    };
    let head = [
        "entries",
        "quick_cache and a clock, ns",
        "jetcache get_or_load, ns",
        "ratio",
        "range",
    ];
    let note = "Hits by chance, every key as often. Values of 100 bytes behind an Arc.";
    let mut table = Table::new("Growth: entries in L1", note, &head);
    let mut lines = two_lines();
    for &size in sizes {
        let keys = texts(size);
        let (bare, ours, clock) = (
            stock::bare(size * 5 / 4),
            stock::ours(size * 5 / 4),
            Clock::start(),
        );
        for key in &keys {
            let value = value(100);
            bare.insert(key.clone(), (value.clone(), u64::MAX));
            ready(ours.get_or_load(key, || loaded(&value))).expect("the loader answers");
        }
        let count = stage.hits();
        let mut dice = fastrand::Rng::with_seed(7);
        let asked: Vec<u32> = (0..count).map(|_| dice.u32(..size as u32)).collect();
        let key = |i: usize| keys[asked[i] as usize].as_str();
        let other = value(100);
        let mut contest = Contest::by_cpu();
        contest.enter("quick_cache", || {
            Run::of_each(count, |i| {
                let found = bare.get(key(i));
                black_box(found.filter(|(_, until)| clock.nanos() < *until));
            })
        });
        contest.enter("jetcache", || {
            Run::of_each_hit(count, async |i| {
                black_box(ours.get_or_load(key(i), || loaded(&other)).await).ok();
            })
        });
        let scores = contest.run(stage.rounds());
        push(&mut lines, size, &scores, |score| score.cpu.median * 1e9);
        table.row(row(
            size.to_string(),
            &scores,
            |score| score.cpu.median * 1e9,
            false,
        ));
    }
    stage.report.table(&table);
    draw(
        &stage.report.plot("entries"),
        &[panel("Hits in L1", "entries", "ns a hit", lines)],
    );
}

/// Hits in L2 by more and more tasks.
pub fn tasks(stage: &mut Stage<'_>) {
    let (runtime, url) = (stage.runtime, stage.url);
    runtime.block_on(remote::fill(url, KEYS, 220));
    let bare = runtime.block_on(remote::by_hand(url));
    let ours = remote::ours(url, NAME);
    let head = [
        "tasks",
        "GET by redis-rs, thousand a second",
        "jetcache",
        "ratio",
        "range",
        "CPU by hand, us",
        "CPU jetcache, us",
    ];
    let mut table = Table::new("Growth: tasks that read L2", "Values of 220 bytes.", &head);
    let (mut speeds, mut cpus) = (two_lines(), two_lines());
    for tasks in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000] {
        let count = (1500 * tasks).min(if stage.full { 60_000 } else { 20_000 });
        let scores = hand_and_ours(stage, tasks, count, &bare, &ours);
        push(&mut speeds, tasks, &scores, |score| {
            1e-3 / score.time.median
        });
        push(&mut cpus, tasks, &scores, |score| score.cpu.median * 1e6);
        table.row(with_cpu(
            row(
                tasks.to_string(),
                &scores,
                |score| 1e-3 / score.time.median,
                true,
            ),
            &scores,
        ));
    }
    stage.report.table(&table);
    let panels = [
        panel("Hits in L2", "tasks", "thousand a second", speeds),
        panel("CPU of this process", "tasks", "us a hit", cpus),
    ];
    draw(&stage.report.plot("l2-by-tasks"), &panels);
}

/// Hits in L2 by 64 tasks of more and more caches, which share a node and so a connection.
pub fn caches(stage: &mut Stage<'_>) {
    let (runtime, url) = (stage.runtime, stage.url);
    runtime.block_on(remote::fill(url, KEYS, 220));
    let bare = runtime.block_on(remote::by_hand(url));
    let head = [
        "caches",
        "GET by redis-rs, thousand a second",
        "jetcache",
        "ratio",
        "range",
        "CPU by hand, us",
        "CPU jetcache, us",
    ];
    let mut table = Table::new(
        "Growth: caches of one node",
        "64 tasks, values of 220 bytes.",
        &head,
    );
    for count in [1, 2, 4, 8, 16, 32, 64] {
        let node = jetcache_tokio::node().remote(Redis::open(url).expect("the URL is valid"));
        let caches: Vec<Cache<u64, Value>> = (0..count)
            .map(|at| {
                let cache = node.cache(&format!("c{at}"), Raw).no_local().ttl(HOUR);
                cache.build().expect("the settings are valid")
            })
            .collect();
        runtime.block_on(async {
            for (key, cache) in (0..KEYS).zip(caches.iter().cycle()) {
                cache.insert(key, value(220)).await.expect("Redis answers");
            }
        });
        let operations = if stage.full { 60_000 } else { 20_000 };
        let mut contest = Contest::default();
        contest.enter("GET", || {
            let bare = bare.clone();
            many(runtime, 64, operations, move |key| {
                remote::get(bare.clone(), key)
            })
        });
        contest.enter("jetcache", || {
            let caches = caches.clone();
            let ask = move |key: u64| {
                let cache = caches[key as usize % caches.len()].clone();
                async move { cache.get(&key).await.is_hit() }
            };
            many(runtime, 64, operations, ask)
        });
        let scores = contest.run(stage.rounds());
        table.row(with_cpu(
            row(
                count.to_string(),
                &scores,
                |score| 1e-3 / score.time.median,
                true,
            ),
            &scores,
        ));
    }
    stage.report.table(&table);
}

/// Hits in L2 whose values are larger and larger.
pub fn values(stage: &mut Stage<'_>) {
    let (runtime, url) = (stage.runtime, stage.url);
    let mut bare = runtime.block_on(remote::by_hand(url));
    let ours = remote::ours(url, NAME);
    let head = [
        "bytes",
        "GET by redis-rs, thousand a second",
        "jetcache",
        "ratio",
        "range",
        "CPU by hand, us",
        "CPU jetcache, us",
    ];
    let mut table = Table::new(
        "Growth: values in L2",
        "16 tasks. All keys have the same value.",
        &head,
    );
    for bytes in [100, 1000, 10_000, 100_000, 1_000_000] {
        runtime.block_on(async {
            // One is written by the cache, the rest are its copies in the server.
            ours.insert(0, value(bytes)).await.expect("Redis answers");
            for key in 1..KEYS.min(100) {
                let mut copy = redis::cmd("COPY");
                let copy = copy
                    .arg(remote::text(0))
                    .arg(remote::text(key))
                    .arg("REPLACE");
                copy.query_async::<()>(&mut bare)
                    .await
                    .expect("Redis answers");
            }
        });
        let operations =
            (if stage.full { 16_000 } else { 8_000 } * 1000 / (1000 + bytes / 4)).max(160);
        let mut contest = Contest::default();
        contest.enter("GET", || {
            let bare = bare.clone();
            many(runtime, 16, operations, move |key| {
                remote::get(bare.clone(), key % 100)
            })
        });
        contest.enter("jetcache", || {
            let ours = ours.clone();
            let ask = move |key: u64| {
                let ours = ours.clone();
                async move { ours.get(&(key % 100)).await.is_hit() }
            };
            many(runtime, 16, operations, ask)
        });
        let scores = contest.run(stage.rounds());
        table.row(with_cpu(
            row(
                bytes.to_string(),
                &scores,
                |score| 1e-3 / score.time.median,
                true,
            ),
            &scores,
        ));
    }
    stage.report.table(&table);
}

fn hand_and_ours(
    stage: &Stage<'_>,
    tasks: usize,
    count: usize,
    bare: &redis::aio::MultiplexedConnection,
    ours: &Cache<u64, Value>,
) -> Vec<Score> {
    let mut contest = Contest::default();
    contest.enter("by hand", || {
        let bare = bare.clone();
        many(stage.runtime, tasks, count, move |key| {
            remote::get(bare.clone(), key)
        })
    });
    contest.enter("jetcache", || {
        let ours = ours.clone();
        let ask = move |key| {
            let ours = ours.clone();
            async move { ours.get(&key).await.is_hit() }
        };
        many(stage.runtime, tasks, count, ask)
    });
    contest.run(stage.rounds())
}

/// The figures of the first contestant and of the second, and their ratio.
fn row(
    at: String,
    scores: &[Score],
    figure: impl Fn(&Score) -> f64,
    is_speed: bool,
) -> Vec<String> {
    let ratio = if is_speed {
        scores[1].ratio.inverse()
    } else {
        scores[1].ratio
    };
    let digits = |figure: f64| {
        if figure < 10.0 {
            format!("{figure:.2}")
        } else {
            format!("{figure:.0}")
        }
    };
    vec![
        at,
        digits(figure(&scores[0])),
        digits(figure(&scores[1])),
        format!("**{:.2}**", ratio.median),
        crate::report::range(ratio),
    ]
}

fn with_cpu(mut row: Vec<String>, scores: &[Score]) -> Vec<String> {
    row.extend(
        scores
            .iter()
            .map(|score| format!("{:.2}", score.cpu.median * 1e6)),
    );
    row
}

type Lines = [Vec<(f64, f64)>; 2];

fn two_lines() -> Lines {
    Default::default()
}

fn push(lines: &mut Lines, x: usize, scores: &[Score], figure: impl Fn(&Score) -> f64) {
    for (line, score) in lines.iter_mut().zip(scores) {
        line.push((x as f64, figure(score)));
    }
}

fn panel(title: &str, x: &'static str, y: &'static str, [bare, ours]: Lines) -> Panel {
    let name = if x == "entries" {
        "quick_cache and a clock"
    } else {
        "GET by redis-rs"
    };
    Panel {
        title: title.into(),
        x,
        y,
        lines: vec![(name.into(), bare), ("jetcache".into(), ours)],
    }
}
