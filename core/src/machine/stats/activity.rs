//! How much is under way.

use core::fmt;
use core::iter::zip;
use core::ops::Add;

use crate::machine::stats::metric::{Metric, Sample, figures};

/// How much is under way in a cache, or in a part of its tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Activity {
    /// Flights.
    pub flights: usize,
    /// Callers that wait for a flight's answer.
    pub waiters: usize,
    /// Changes.
    pub changes: usize,
    /// Announced L1 writes.
    pub writes: usize,
    /// Keys about which L2 is not believed.
    pub unconfirmed: usize,
    /// Keys that are kept fresh.
    pub refreshes: usize,
    /// Changes that the other nodes are still to be told of, from all caches of the node.
    pub untold: usize,
    /// Keys in the table.
    pub keys: usize,
    /// Buckets of keys that do without L2 for the longest life that was written, because a change that
    /// was not acknowledged did not fit, and L2 keeps no log of raises; each shard counts its own.
    pub bypassed: usize,
    /// Raises of tags, namespaces and buckets of keys that L2 has not acknowledged: it is not believed
    /// about their values.
    pub pending_scopes: usize,
}

impl Activity {
    /// Each figure with its name and what it is, for exporters.
    pub fn iter(&self) -> impl Iterator<Item = Sample> + use<> {
        zip(&FIGURES, self.figures()).map(|(metric, figure)| metric.sample(figure as u64))
    }

    /// The fields in order.
    const fn figures(&self) -> [usize; COUNT] {
        // By name, so that a field that is added later cannot be forgotten.
        let Self {
            flights,
            waiters,
            changes,
            writes,
            unconfirmed,
            refreshes,
            untold,
            keys,
            bypassed,
            pending_scopes,
        } = *self;
        [
            flights,
            waiters,
            changes,
            writes,
            unconfirmed,
            refreshes,
            untold,
            keys,
            bypassed,
            pending_scopes,
        ]
    }
}

impl Add for Activity {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            flights: self.flights + more.flights,
            waiters: self.waiters + more.waiters,
            changes: self.changes + more.changes,
            writes: self.writes + more.writes,
            unconfirmed: self.unconfirmed + more.unconfirmed,
            refreshes: self.refreshes + more.refreshes,
            untold: self.untold + more.untold,
            keys: self.keys + more.keys,
            bypassed: self.bypassed + more.bypassed,
            pending_scopes: self.pending_scopes + more.pending_scopes,
        }
    }
}

/// What is under way, without zeros: `flights=2 waiters=7`.
impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        figures(f, self.iter(), "idle")
    }
}

const COUNT: usize = 10;

/// What the fields are to exporters, in order.
pub(crate) static FIGURES: [Metric; COUNT] = [
    Metric::gauge("flights", "jetcache_flights", "Lookups under way."),
    Metric::gauge(
        "waiters",
        "jetcache_waiters",
        "Callers that wait for a flight's answer.",
    ),
    Metric::gauge("changes", "jetcache_changes", "Changes under way."),
    Metric::gauge(
        "writes",
        "jetcache_writes",
        "Writes to L1 that are announced and not done.",
    ),
    Metric::gauge(
        "unconfirmed",
        "jetcache_unconfirmed_keys",
        "Keys about which L2 is not believed.",
    ),
    Metric::gauge(
        "refreshes",
        "jetcache_refreshes",
        "Keys that are kept fresh.",
    ),
    Metric::gauge(
        "untold",
        "jetcache_untold",
        "Changes that the other nodes are still to be told of, from all caches of the node.",
    ),
    Metric::gauge("keys", "jetcache_keys", "Keys in the table."),
    Metric::gauge(
        "bypassed",
        "jetcache_bypassed_buckets",
        "Buckets of keys that do without L2, because a change that was not acknowledged did not fit.",
    ),
    Metric::gauge(
        "pending_scopes",
        "jetcache_pending_scopes",
        "Raises of tags, namespaces and buckets that L2 has not acknowledged.",
    ),
];
