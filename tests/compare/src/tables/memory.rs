//! Memory an entry.

use std::process::Command;

use jetcache_adapters::QuickCache;
use jetcache_core::{Entry, Local, Timestamp};

use crate::keys::texts;
use crate::measure::ready;
use crate::report::{Goal, Table};
use crate::stock::{self, Value};
use crate::tables::Stage;

/// Each cache is filled in a process of its own, whose memory is read before and after.
pub fn memory(stage: &mut Stage<'_>) {
    let entries = if stage.full { 1_000_000 } else { 200_000 };
    let head = ["", "bytes an entry", "over quick_cache", "goal", "met"];
    let note = format!(
        "{entries} entries: a String of 20 bytes, a value of 64 behind an Arc; resident memory of a process that \
         fills one cache."
    );
    let mut table = Table::new("Memory an entry", &note, &head);
    let of = |name: &str| {
        let me = std::env::current_exe().expect("a program knows its file");
        let output = Command::new(me)
            .args(["fill", name, &entries.to_string()])
            .output();
        let text = String::from_utf8(output.expect("it starts again").stdout);
        text.expect("a number is text")
            .trim()
            .parse::<f64>()
            .expect("it prints a number")
    };
    let base = of(CACHES[0]);
    for name in CACHES {
        let bytes = of(name);
        let ratio = bytes / base;
        let goal = (name == "jetcache").then_some(Goal::AtMost(1.1));
        table.row([
            name.to_owned(),
            format!("{bytes:.0}"),
            format!("**{ratio:.2}**"),
            goal.map_or_else(String::new, |goal| goal.to_string()),
            goal.map_or_else(String::new, |goal| goal.says(ratio)),
        ]);
    }
    stage.report.table(&table);
}

/// What the process for one cache does: prints bytes an entry.
pub fn fill_one(name: &str, entries: usize) {
    let keys = texts(entries);
    let before = resident();
    // Kept until the memory has been read.
    let held: Box<dyn Send> = match name {
        "quick_cache" => {
            let cache = quick_cache::sync::Cache::<String, Value>::new(entries);
            keys.iter()
                .for_each(|key| cache.insert(key.clone(), stock::value(64)));
            Box::new(cache)
        }
        "quick_cache and the end of each entry" => {
            let cache = stock::bare(entries);
            keys.iter()
                .for_each(|key| cache.insert(key.clone(), (stock::value(64), 1)));
            Box::new(cache)
        }
        "jetcache's engine alone" => {
            let cache = QuickCache::<String, Value>::new(entries);
            let entry = || Entry::new(Some(stock::value(64)), Timestamp::MAX);
            keys.iter()
                .for_each(|key| cache.insert(key.clone(), entry()));
            Box::new(cache)
        }
        "jetcache" => {
            let cache = stock::ours(entries);
            for key in &keys {
                let value = stock::value(64);
                ready(cache.get_or_load(key, || stock::loaded(&value)))
                    .expect("the loader answers");
            }
            Box::new(cache)
        }
        "foyer" => {
            let cache = stock::foyer(entries);
            keys.iter()
                .for_each(|key| drop(cache.insert(key.clone(), stock::value(64))));
            Box::new(cache)
        }
        "moka" => {
            let cache = stock::moka(entries);
            keys.iter()
                .for_each(|key| cache.insert(key.clone(), stock::value(64)));
            cache.run_pending_tasks();
            Box::new(cache)
        }
        _ => panic!("there is no cache {name}"),
    };
    println!("{}", (resident() - before) as f64 / entries as f64);
    drop(held);
}

/// Bytes of this process in memory.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").expect("Linux has this file");
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB"));
    let kilobytes: usize = kilobytes
        .expect("a line says it")
        .trim()
        .parse()
        .expect("a number");
    kilobytes * 1024
}

const CACHES: [&str; 6] = [
    "quick_cache",
    "quick_cache and the end of each entry",
    "jetcache's engine alone",
    "jetcache",
    "foyer",
    "moka",
];
