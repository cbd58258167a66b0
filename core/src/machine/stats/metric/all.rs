//! The one table of names.
//!
#![doc = include_str!("../../../../METRICS.md")]

use crate::machine::stats::COUNTS;
use crate::machine::stats::activity::FIGURES;
use crate::machine::stats::measured::HISTOGRAMS;
use crate::machine::stats::metric::Metric;

impl Metric {
    /// The whole table: counters, gauges, histograms.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        (COUNTS.iter())
            .chain(&FIGURES)
            .chain(&LEVELS)
            .chain(&HISTOGRAMS)
    }
}

/// What a [`Snapshot`](crate::Snapshot) has beside its counts and its activity.
pub(crate) static LEVELS: [Metric; 5] = [
    Metric::gauge("entries", "jetcache_entries", "Entries in L1."),
    Metric::gauge(
        "weight",
        "jetcache_weight",
        "The weight of the entries in L1: their number, or bytes where the engine has a weigher.",
    ),
    Metric::gauge("tasks", "jetcache_tasks", "Tasks that run for the cache."),
    Metric::gauge(
        "bus",
        "jetcache_bus_state",
        "How the bus is: 0 none, 1 idle, 2 up, 3 down.",
    ),
    Metric::gauge(
        "epoch",
        "jetcache_epoch",
        "The epoch of L1, which advances when changes may have been missed.",
    ),
];
