//! What took time.

use core::time::Duration;

use crate::machine::event::Event;
use crate::machine::stats::metric::Metric;

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
                verb,
                took,
                faults,
                given_up,
                ..
            } => {
                let outcome = match (given_up, faults) {
                    (true, _) => "given_up",
                    (false, 0) => "ok",
                    (false, _) => "fault",
                };
                (remote, Some(verb.name()), Some(outcome), took)
            }
            Event::Loaded { took } => (load, None, Some("found"), took),
            Event::NotFound { took } => (load, None, Some("not_found"), took),
            Event::LoadGivenUp { took } => (load, None, Some("given_up"), took),
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

pub(crate) static HISTOGRAMS: [Metric; 3] = [
    Metric::histogram(
        "remote_duration",
        "jetcache_remote_duration_seconds",
        "How long a round trip to L2 took.",
    ),
    Metric::histogram(
        "load_duration",
        "jetcache_load_duration_seconds",
        "How long the load of a key took, its wait for a turn included; each key of a batch counts.",
    ),
    Metric::histogram(
        "wait_duration",
        "jetcache_wait_duration_seconds",
        "How long a caller waited for what another loads.",
    ),
];
