//! Which keys are asked for, one after another: recorded traces, and some made up.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;

use fastrand::Rng;

use crate::keys::zipf;

pub struct Trace {
    pub name: String,
    pub keys: Vec<u32>,
}

impl Trace {
    /// How many different keys it asks for.
    pub fn distinct(&self) -> usize {
        self.keys.iter().collect::<HashSet<_>>().len()
    }
}

/// The traces of a folder: one number a line, plain or `.xz`.
pub fn recorded(folder: &Path) -> Vec<Trace> {
    let files = std::fs::read_dir(folder).expect("the folder of the traces can be read");
    let files = files.map(|file| file.expect("the folder can be read").path());
    let files = files.filter(|path| path.extension().is_none_or(|ending| ending != "md"));
    let mut traces: Vec<Trace> = files
        .map(|path| Trace {
            name: path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into(),
            keys: lines(&path),
        })
        .collect();
    traces.sort_by(|a, b| a.name.cmp(&b.name));
    traces
}

fn lines(path: &Path) -> Vec<u32> {
    let bytes = if path.extension().is_some_and(|ending| ending == "xz") {
        let output = Command::new("xz").arg("-dc").arg(path).output();
        output.expect("xz is installed").stdout
    } else {
        std::fs::read(path).expect("the trace can be read")
    };
    let text = String::from_utf8(bytes).expect("a trace is text");
    let number = |line: &str| line.parse().expect("a line is a number");
    text.lines().map(number).collect()
}

/// The kinds of asking that break one cache or another.
pub fn made_up() -> Vec<Trace> {
    const LENGTH: usize = 200_000;
    let mut dice = Rng::with_seed(1);
    let trace = |name: &str, keys: Vec<u32>| Trace {
        name: name.into(),
        keys,
    };
    let skewed = zipf(10_000, 0.9, LENGTH, 3);
    let at = |at: usize| at as u32;
    let looped = (0..LENGTH).map(at).map(|at| at % 5000).collect();
    let scanned = (0..LENGTH).map(|i| match i % 7000 {
        5000.. => 100_000 + at(i),
        _ => skewed[i],
    });
    let mixed = (0..LENGTH).map(|i| match dice.u8(..10) {
        0..4 => 100_000 + at(i) % 4000,
        _ => skewed[i],
    });
    let mixed = mixed.collect();
    let moving = (0..LENGTH).map(|i| (skewed[i] + at(i) / 20_000 * 5331) % 30_000);
    let mut newest = 0;
    let soon = (0..LENGTH).map(|_| {
        if dice.bool() {
            newest += 1;
            newest
        } else {
            newest - dice.u32(..newest.clamp(1, 100))
        }
    });
    vec![
        trace("zipf 0.7", zipf(20_000, 0.7, LENGTH, 4)),
        trace("zipf 0.99", zipf(20_000, 0.99, LENGTH, 5)),
        trace("a loop", looped),
        trace("zipf and scans", scanned.collect()),
        trace("zipf and a loop", mixed),
        trace("a zipf that moves", moving.collect()),
        trace("soon or never", soon.collect()),
    ]
}
