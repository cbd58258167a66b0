//! What a scan has found, as text.

use std::collections::BTreeMap;
use std::fmt::Write;

use jetcache_core::Wire;

use crate::args::Scan;
use crate::scan::tally::{LIVES, Tally};

pub(crate) fn of(tally: &Tally, options: &Scan) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let mut row = |name: &str, what: String| {
        let _ = writeln!(text, "{name:<14} {what}");
    };
    let cut = if tally.is_cut {
        ", and more: stopped at --limit"
    } else {
        ""
    };
    row(
        "keys",
        format!("{} under {:?}{cut}", tally.entries, options.prefix),
    );
    if options.sample > 1 {
        row(
            "looked into",
            format!("{}, one of {}", tally.looked, options.sample),
        );
    }
    row("values", tally.values.to_string());
    row("not found", format!("{} placeholders", tally.absent));
    let counts = [
        ("stale", tally.stale),
        ("over", tally.over),
        ("other types", tally.other_types),
        ("gone", tally.gone),
        ("refresh locks", tally.locks),
        ("fill marks", tally.marks),
    ];
    for (name, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        row(name, count.to_string());
    }
    if tally.long > 0 {
        row(
            "long",
            format!(
                "{} of more than 256 KiB: only their size was asked for",
                tally.long
            ),
        );
    }
    row("leases", tally.leases.to_string());
    let unreadable: usize = tally.unreadable.values().map(|(count, _)| count).sum();
    row("unreadable", unreadable.to_string());
    for (why, (count, key)) in &tally.unreadable {
        row("", format!("{count} as {key}: {why}"));
    }
    if let Some((largest, key)) = &tally.largest {
        let mut sizes = tally.sizes.clone();
        sizes.sort_unstable();
        let median = sizes[sizes.len() / 2];
        let sum: usize = sizes.iter().sum();
        row(
            "bytes",
            format!("{sum} in all, median {median}, largest {largest} ({key})"),
        );
    }
    if options.wire == Wire::Native {
        row("codecs", counted(&tally.codecs));
        row("compressions", counted(&tally.compressions));
    }
    histogram(&mut text, tally);
    text
}

fn counted(counts: &BTreeMap<String, usize>) -> String {
    let counts: Vec<String> = (counts.iter())
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    if counts.is_empty() {
        return "-".into();
    }
    counts.join(", ")
}

/// How long the entries are fresh yet.
fn histogram(text: &mut String, tally: &Tally) {
    let most = tally.lives.iter().copied().max().unwrap_or(0);
    if most == 0 {
        return;
    }
    let _ = writeln!(text, "life left");
    let names = LIVES.iter().map(|(_, name)| match *name {
        "over" | "longer" => (*name).to_owned(),
        end => format!("up to {end}"),
    });
    let names = names.chain(["for ever".to_owned()]);
    for (name, count) in names.zip(tally.lives) {
        let bar = "#".repeat((count * WIDTH).div_ceil(most));
        let line = format!("  {name:<12} {count:>8} {bar}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

/// How long the longest bar is.
const WIDTH: usize = 40;
