//! How many reads L1 answers, engine by engine.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroUsize;

use jetcache_adapters::{Moka, QuickCache};
use jetcache_core::machine::tier::lru::Lru;
use jetcache_core::{Entry, LoadError, Local, LruLocal, Timestamp};
use tokio::runtime::Runtime;

use crate::plot::{Panel, draw};
use crate::report::{Goal, Table};
use crate::stock::HOUR;
use crate::tables::Stage;
use crate::traces::{Trace, made_up, recorded};

/// Hit ratios at some sizes, beside a plain LRU's and Bélády's.
pub fn ratios(stage: &mut Stage<'_>) {
    let note = "Percent of the reads. The engines are asked through `get_or_load`. Plain LRU is one list; \
                Bélády's oracle evicts what is asked for last. The goal of the default engine (quick_cache) is \
                the best of it, plain LRU and moka, less one point.";
    let mut traces = made_up();
    match &stage.traces {
        Some(folder) => traces.splice(0..0, recorded(folder)).for_each(drop),
        None => eprintln!("no folder of traces was named: only those that are made up are read"),
    }
    let head = [
        "trace",
        "size",
        "entries",
        "quick_cache",
        "jetcache's LRU",
        "moka",
        "plain LRU",
        "Bélády",
        "below the best",
        "met",
    ];
    let mut table = Table::new("Hit ratio in L1", note, &head);
    let mut panels = Vec::new();
    for trace in &traces {
        let mut lines: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
        let distinct = trace.distinct();
        for size in SIZES {
            let Some(entries) = NonZeroUsize::new(distinct * size / 1000) else {
                continue;
            };
            let found = Found::of(stage.runtime, trace, entries);
            for (name, ratio) in found.named() {
                let at = (entries.get() as f64, ratio);
                match lines.iter_mut().find(|(line, _)| line == name) {
                    Some((_, points)) => points.push(at),
                    None => lines.push((name.into(), vec![at])),
                }
            }
            if IN_TABLE.contains(&size) {
                let percent = |ratio: f64| format!("{:.1}", ratio * 100.0);
                let below = found.plain.max(found.moka).max(found.quick) - found.quick;
                let ratios = [
                    found.quick,
                    found.lru,
                    found.moka,
                    found.plain,
                    found.oracle,
                ];
                let start = [
                    trace.name.clone(),
                    percent(size as f64 / 1000.0),
                    entries.to_string(),
                ];
                let end = [percent(below), Goal::AtMost(1.0).says(below * 100.0)];
                table.row(start.into_iter().chain(ratios.map(percent)).chain(end));
            }
        }
        panels.push(Panel {
            title: trace.name.clone(),
            x: "entries",
            y: "hits, percent",
            lines: percent(lines),
        });
    }
    stage.report.table(&table);
    draw(&stage.report.plot("hit-ratio"), &panels[..4]);
}

fn percent(lines: Vec<(String, Vec<(f64, f64)>)>) -> Vec<(String, Vec<(f64, f64)>)> {
    let scaled =
        |points: Vec<(f64, f64)>| points.into_iter().map(|(x, y)| (x, y * 100.0)).collect();
    lines
        .into_iter()
        .map(|(name, points)| (name, scaled(points)))
        .collect()
}

struct Found {
    quick: f64,
    lru: f64,
    moka: f64,
    plain: f64,
    oracle: f64,
}

impl Found {
    fn of(runtime: &Runtime, trace: &Trace, entries: NonZeroUsize) -> Self {
        let keys = &trace.keys;
        Self {
            quick: through(runtime, QuickCache::new(entries.get()), keys),
            lru: through(runtime, LruLocal::new(entries), keys),
            moka: through(runtime, Moka::new(entries.get()), keys),
            plain: plain(entries, keys),
            oracle: oracle(entries.get(), keys),
        }
    }

    fn named(&self) -> [(&'static str, f64); 4] {
        [
            ("quick_cache (default)", self.quick),
            ("moka", self.moka),
            ("plain LRU", self.plain),
            ("Bélády", self.oracle),
        ]
    }
}

/// A cache on this engine.
fn through(runtime: &Runtime, engine: impl Local<u32, ()> + 'static, keys: &[u32]) -> f64 {
    let cache = jetcache_tokio::builder::<u32, ()>("trace")
        .local(engine)
        .ttl(HOUR)
        .local_ttl(HOUR)
        .build()
        .expect("the settings are valid");
    let mut misses = 0;
    runtime.block_on(async {
        for key in keys {
            let load = async || {
                misses += 1;
                Ok::<(), LoadError>(())
            };
            cache
                .get_or_load(key, load)
                .await
                .expect("the loader answers");
        }
    });
    share(keys.len() - misses, keys)
}

fn plain(entries: NonZeroUsize, keys: &[u32]) -> f64 {
    let mut lru = Lru::new(entries);
    let mut hits = 0;
    for key in keys {
        if lru.get(key, Timestamp::default()).is_some() {
            hits += 1;
        } else {
            lru.insert(*key, Entry::new(Some(()), Timestamp::MAX));
        }
    }
    share(hits, keys)
}

fn oracle(entries: usize, keys: &[u32]) -> f64 {
    let mut next = vec![usize::MAX; keys.len()];
    let mut later = HashMap::new();
    for at in (0..keys.len()).rev() {
        next[at] = later.insert(keys[at], at).unwrap_or(keys.len() + at);
    }
    let (mut held, mut order, mut hits) = (HashMap::new(), BTreeSet::new(), 0);
    for (at, key) in keys.iter().enumerate() {
        if let Some(now) = held.insert(*key, next[at]) {
            hits += 1;
            order.remove(&(now, *key));
        } else if held.len() > entries
            && let Some((_, last)) = order.pop_last()
        {
            held.remove(&last);
        }
        order.insert((next[at], *key));
    }
    share(hits, keys)
}

fn share(hits: usize, keys: &[u32]) -> f64 {
    hits as f64 / keys.len() as f64
}

/// In thousandths of a trace's keys.
const SIZES: [usize; 9] = [2, 5, 10, 20, 50, 100, 200, 350, 500];
const IN_TABLE: [usize; 3] = [10, 50, 200];
