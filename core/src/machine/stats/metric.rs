//! Something that can be measured of a cache, and a value of it.

pub mod all;

use core::fmt;

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
    /// [`Measured`](crate::Measured).
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
    /// What all metrics of this name are, for exporters that explain a name once.
    #[must_use]
    pub fn family(&self) -> &'static str {
        match self.name {
            "jetcache_lookups_total" => {
                "Lookups, by the level that was asked and whether it had an answer."
            }
            "jetcache_loads_total" => "Loads, by what came of them.",
            "jetcache_dead_total" => {
                "Values that were dead, since they had been removed by tag or cleared, by their level."
            }
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

    pub(crate) const fn histogram(
        field: &'static str,
        name: &'static str,
        help: &'static str,
    ) -> Self {
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

/// Writes what is not zero, `field=value` each, or else what nothing is called.
pub(crate) fn figures(
    f: &mut fmt::Formatter<'_>,
    samples: impl Iterator<Item = Sample>,
    nothing: &str,
) -> fmt::Result {
    let mut between = "";
    for sample in samples.filter(|sample| sample.value > 0) {
        write!(f, "{between}{}=", sample.metric.field)?;
        match sample.state() {
            Some(state) => f.write_str(state)?,
            None => write!(f, "{}", sample.value)?,
        }
        between = " ";
    }
    if between.is_empty() {
        f.write_str(nothing)?;
    }
    Ok(())
}
