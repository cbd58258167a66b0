//! How many reads L1 answers, engine by engine, beside what a plain LRU and an oracle would.
//!
//! `cargo bench -p jetcache-tests --all-features --bench ratios` reads traces that it makes up by a
//! seed (`SEED`); with `TRACES=folder` those of the folder instead, one number a line, `.xz` or plain.
//! An engine is asked as the driver asks it: a read, and after a miss a second look and an insert.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints, and ends where it cannot go on"
)]

use std::collections::{BTreeSet, HashMap, HashSet};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;

use fastrand::Rng;
use jetcache_adapters::{Moka, QuickCache};
use jetcache_core::machine::tier::lru::Lru;
use jetcache_core::{Entry, Local, LruLocal, Timestamp};

type Trace = (String, Vec<u32>);

/// Sizes, in thousandths of a trace's keys.
const SIZES: [usize; 4] = [2, 10, 50, 200];
const LENGTH: usize = 150_000;

fn main() {
    let traces = std::env::var("TRACES").map_or_else(|_| made_up(), |folder| read(&folder));
    println!(
        "{:16} {:>5} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7}",
        "trace", "size", "entries", "quick", "lru", "moka", "plain", "oracle"
    );
    let mut below = Vec::new();
    for (name, keys) in &traces {
        let all = keys.iter().collect::<HashSet<_>>().len();
        for size in SIZES {
            let entries = (all * size / 1000).max(1);
            let capacity = NonZeroUsize::new(entries).unwrap();
            let quick = ratio(&QuickCache::new(entries), keys);
            let lru = ratio(&LruLocal::new(capacity), keys);
            let moka = ratio(&Moka::new(entries), keys);
            let (plain, oracle) = (plain(capacity, keys), oracle(entries, keys));
            let best = plain.max(moka);
            if quick < best - 0.01 {
                below.push(format!("{name} {size}: {quick:.3} of {best:.3}"));
            }
            println!(
                "{name:16} {size:>4}‰ {entries:>7} {quick:>7.3} {lru:>7.3} {moka:>7.3} {plain:>7.3} {oracle:>7.3}"
            );
        }
    }
    println!("more than a point below the best of moka and a plain LRU: {below:?}");
}

fn share(hits: usize, keys: &[u32]) -> f64 {
    hits as f64 / keys.len() as f64
}

fn entry() -> Entry<()> {
    Entry::new(Some(()), Timestamp::MAX)
}

fn ratio(engine: &impl Local<u32, ()>, keys: &[u32]) -> f64 {
    let is_hit = |key: &&u32| {
        let hit = engine.get(key).is_some();
        if !hit && engine.peek(key).is_none() {
            engine.insert(**key, entry());
        }
        hit
    };
    share(keys.iter().filter(is_hit).count(), keys)
}

/// One list for all keys, where [`LruLocal`] has shards.
fn plain(capacity: NonZeroUsize, keys: &[u32]) -> f64 {
    let mut lru = Lru::new(capacity);
    let mut hits = 0;
    for key in keys {
        if lru.get(key, Timestamp::from_nanos(0)).is_some() {
            hits += 1;
        } else {
            lru.insert(*key, entry());
        }
    }
    share(hits, keys)
}

/// Bélády's: it evicts what is asked for last.
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

fn read(folder: &str) -> Vec<Trace> {
    let mut traces: Vec<Trace> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_none_or(|ending| ending != "md"))
        .map(|path| {
            (
                path.file_stem().unwrap().to_string_lossy().into(),
                lines(&path),
            )
        })
        .collect();
    traces.sort();
    traces
}

fn lines(path: &Path) -> Vec<u32> {
    let bytes = if path.extension().is_some_and(|ending| ending == "xz") {
        Command::new("xz")
            .arg("-dc")
            .arg(path)
            .output()
            .unwrap()
            .stdout
    } else {
        std::fs::read(path).unwrap()
    };
    let text = String::from_utf8(bytes).unwrap();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

fn made_up() -> Vec<Trace> {
    let seed = std::env::var("SEED").map_or(1, |seed| seed.parse().unwrap());
    let mut dice = Rng::with_seed(seed);
    let mut traces: Vec<Trace> = Vec::new();
    for skew in [0.7, 0.99, 1.2] {
        let keys = Zipf::new(20_000, skew);
        let trace = (0..LENGTH).map(|_| keys.draw(&mut dice)).collect();
        traces.push((format!("zipf {skew}"), trace));
    }
    traces.push((
        "loop".into(),
        (0..LENGTH as u32).map(|at| at % 5000).collect(),
    ));
    traces.push(("soon or never".into(), soon_or_never(&mut dice)));
    let keys = Zipf::new(10_000, 0.9);
    let scanned = (0..LENGTH as u32).map(|at| match at % 7000 {
        5000.. => 100_000 + at,
        _ => keys.draw(&mut dice),
    });
    traces.push(("zipf and scans".into(), scanned.collect()));
    let looped = (0..LENGTH as u32).map(|at| match dice.u8(..10) {
        0..4 => 100_000 + at % 4000,
        _ => keys.draw(&mut dice),
    });
    traces.push(("zipf and loop".into(), looped.collect()));
    let moving = (0..LENGTH as u32).map(|at| (keys.draw(&mut dice) + at / 15_000 * 5331) % 30_000);
    traces.push(("moving zipf".into(), moving.collect()));
    traces
}

/// Every other read is of a new key, the others of one of the last hundred.
fn soon_or_never(dice: &mut Rng) -> Vec<u32> {
    let mut newest = 0;
    let mut next = || {
        if dice.bool() {
            newest += 1;
            newest
        } else {
            newest - dice.u32(..newest.clamp(1, 100))
        }
    };
    (0..LENGTH).map(|_| next()).collect()
}

/// Keys as often as Zipf has it, the first most.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(keys: u32, skew: f64) -> Self {
        let mut sum = 0.0;
        let weights = (1..=keys).map(|rank| {
            sum += f64::from(rank).powf(-skew);
            sum
        });
        Self(weights.collect())
    }

    fn draw(&self, dice: &mut Rng) -> u32 {
        let at = dice.f64() * self.0[self.0.len() - 1];
        self.0.partition_point(|sum| *sum < at) as u32
    }
}
