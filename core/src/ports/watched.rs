//! A cache as those see it who watch it from outside: exporters of metrics, pages, tests.

use core::fmt;
use core::iter::zip;

use crate::machine::stats::activity::Activity;
use crate::machine::stats::metric::{LEVELS, Sample};
use crate::machine::stats::{Stats, figures};
use crate::ports::bus::BusState;

/// A cache that is watched. It does not keep the cache alive.
pub trait Watched: Send + Sync {
    /// The cache's name.
    fn name(&self) -> &str;

    /// How it is now; `None` once the last of its handles is gone.
    fn snapshot(&self) -> Option<Snapshot>;
}

/// How a cache is at one moment: all that exporters show, histograms excepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Snapshot {
    /// What was counted since the cache was built; how the breaker is.
    pub stats: Stats,
    /// What is under way.
    pub activity: Activity,
    /// Entries in L1.
    pub entries: usize,
    /// The weight of the entries in L1: their number, or bytes where the engine has a weigher.
    pub weight: u64,
    /// Tasks that run for the cache.
    pub tasks: usize,
    /// How the bus is.
    pub bus: BusState,
    /// The epoch of L1, which advances when changes may have been missed.
    pub epoch: u64,
}

impl Snapshot {
    /// Each figure with its name and what it is, for exporters.
    pub fn iter(&self) -> impl Iterator<Item = Sample> + use<> {
        // By name, so that a field that is added later cannot be forgotten.
        let Self {
            stats,
            activity,
            entries,
            weight,
            tasks,
            bus,
            epoch,
        } = *self;
        let levels = [entries as u64, weight, tasks as u64, bus as u64, epoch];
        let levels = zip(&LEVELS, levels).map(|(metric, value)| metric.sample(value));
        stats.iter().chain(activity.iter()).chain(levels)
    }
}

/// What is not zero: `local_hits=50 entries=12 bus=up`.
impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        figures(f, self.iter(), "nothing counted")
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use alloc::string::ToString;

    use super::*;
    use crate::machine::stats::metric::{Metric, MetricKind};

    #[test]
    fn a_snapshot_has_every_metric_but_histograms() {
        let snapshot = Snapshot {
            stats: Stats {
                evicted: Some(0),
                ..Stats::default()
            },
            ..Snapshot::default()
        };
        let key = |metric: &Metric| (metric.name, metric.level, metric.outcome);
        let has: BTreeSet<_> = snapshot.iter().map(|sample| key(sample.metric)).collect();
        let all = Metric::all().filter(|metric| metric.kind != MetricKind::Histogram);
        assert_eq!(has, all.map(key).collect());
    }

    #[test]
    fn states_are_named_and_zeros_left_out() {
        let snapshot = Snapshot {
            entries: 12,
            bus: BusState::Down,
            ..Snapshot::default()
        };
        assert_eq!(snapshot.to_string(), "entries=12 bus=down");
    }
}
