//! What can be measured of a cache: the one table of names.
//!
#![doc = include_str!("../../../METRICS.md")]

use core::fmt;
use core::time::Duration;

use crate::machine::event::Event;
use crate::machine::stats::{COUNTS, activity};

/// What is measured under one name, or under one name and its labels.
///
/// Names follow the rules of Prometheus: `jetcache_` before them, `_total` behind what only grows,
/// units in full. Every exporter adds the label `cache`. [`Metric::all`] has the whole table.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// The field of [`Stats`](crate::Stats), [`Activity`](crate::Activity) or [`Snapshot`](crate::Snapshot) that
    /// holds it; of a histogram, its name without prefix and unit.
    pub field: &'static str,
    /// The name, such as `jetcache_lookups_total`.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub help: &'static str,
    /// Whether it only grows.
    pub kind: MetricKind,
    /// The label `level`, `l1` or `l2`, if it has one.
    pub level: Option<&'static str>,
    /// The label `outcome`, if it has one that is always the same. A histogram has several:
    /// [`Measured`].
    pub outcome: Option<&'static str>,
}

/// What a metric does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MetricKind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It counts seconds in buckets.
    Histogram,
}

/// One value of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sample {
    /// Of what.
    pub metric: &'static Metric,
    /// How much. A state is its number: of a breaker 0 closed, 1 half-open, 2 open; of a bus 0 none,
    /// 1 idle, 2 up, 3 down.
    pub value: u64,
}

impl Metric {
    /// The whole table: counters, gauges, histograms.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        (COUNTS.iter())
            .chain(&activity::METRICS)
            .chain(&LEVELS)
            .chain(&HISTOGRAMS)
    }

    /// What all metrics of this name are, for exporters that explain a name once.
    #[must_use]
    pub fn family(&self) -> &'static str {
        match self.name {
            "jetcache_lookups_total" => {
                "Lookups, by the level that was asked and whether it had an answer."
            }
            "jetcache_loads_total" => "Loads, by what came of them.",
            _ => self.help,
        }
    }

    /// A counter without labels.
    pub(crate) const fn counter(
        field: &'static str,
        name: &'static str,
        help: &'static str,
    ) -> Self {
        Self {
            field,
            name,
            help,
            kind: MetricKind::Counter,
            level: None,
            outcome: None,
        }
    }

    pub(crate) const fn gauge(field: &'static str, name: &'static str, help: &'static str) -> Self {
        Self {
            kind: MetricKind::Gauge,
            ..Self::counter(field, name, help)
        }
    }

    const fn histogram(field: &'static str, name: &'static str, help: &'static str) -> Self {
        Self {
            kind: MetricKind::Histogram,
            ..Self::counter(field, name, help)
        }
    }

    /// With these labels; an empty one is none.
    pub(crate) const fn labelled(self, level: &'static str, outcome: &'static str) -> Self {
        Self {
            level: if level.is_empty() { None } else { Some(level) },
            outcome: if outcome.is_empty() {
                None
            } else {
                Some(outcome)
            },
            ..self
        }
    }

    /// This much of it.
    pub(crate) const fn sample(&'static self, value: u64) -> Sample {
        Sample {
            metric: self,
            value,
        }
    }
}

impl Sample {
    /// What a state is called, if this is one: the breaker's or the bus's.
    #[must_use]
    pub fn state(&self) -> Option<&'static str> {
        let states: &[&str] = match self.metric.field {
            "breaker" => &["closed", "half-open", "open"],
            "bus" => &["none", "idle", "up", "down"],
            _ => return None,
        };
        states.get(usize::try_from(self.value).ok()?).copied()
    }
}

/// `name{level="l1",outcome="hit"} 5`, as Prometheus writes it.
impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Metric {
            name,
            level,
            outcome,
            ..
        } = self.metric;
        write!(f, "{name}")?;
        match (level, outcome) {
            (None, None) => {}
            (Some(level), None) => write!(f, "{{level=\"{level}\"}}")?,
            (None, Some(outcome)) => write!(f, "{{outcome=\"{outcome}\"}}")?,
            (Some(level), Some(outcome)) => {
                write!(f, "{{level=\"{level}\",outcome=\"{outcome}\"}}")?;
            }
        }
        write!(f, " {}", self.value)
    }
}

/// Something that took time: what a histogram counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Measured {
    /// Which histogram.
    pub metric: &'static Metric,
    /// The label `verb`, if it has one.
    pub verb: Option<&'static str>,
    /// The label `outcome`, if it has one.
    pub outcome: Option<&'static str>,
    /// How long it took.
    pub took: Duration,
}

impl Measured {
    /// What this event measured, if it did.
    #[must_use]
    pub fn of(event: &Event) -> Option<Self> {
        let [remote, load, wait] = &HISTOGRAMS;
        let (metric, verb, outcome, took) = match event {
            Event::RemoteAsked {
                verb, took, faults, ..
            } => {
                let outcome = if *faults == 0 { "ok" } else { "fault" };
                (remote, Some(verb.name()), Some(outcome), took)
            }
            Event::Loaded { took } => (load, None, Some("found"), took),
            Event::NotFound { took } => (load, None, Some("not_found"), took),
            Event::LoadFailed { took } => (load, None, Some("failed"), took),
            Event::Waited { took } => (wait, None, None, took),
            _ => return None,
        };
        Some(Self {
            metric,
            verb,
            outcome,
            took: *took,
        })
    }

    /// Upper bounds of buckets for these histograms, in seconds: from a tenth of a millisecond to ten
    /// seconds.
    pub const BUCKETS: [f64; 16] = [
        0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
        5.0, 10.0,
    ];
}

static HISTOGRAMS: [Metric; 3] = [
    Metric::histogram(
        "remote_duration",
        "jetcache_remote_duration_seconds",
        "How long a round trip to L2 took.",
    ),
    Metric::histogram(
        "load_duration",
        "jetcache_load_duration_seconds",
        "How long a loader took.",
    ),
    Metric::histogram(
        "wait_duration",
        "jetcache_wait_duration_seconds",
        "How long a caller waited for what another loads.",
    ),
];

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
