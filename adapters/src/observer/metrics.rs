//! Publishes to the `metrics` facade, and so to whatever exporter the program has installed.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jetcache_core::{Event, Measured, Metric, MetricKind, Observer, Snapshot, Watched};
use metrics::{Label, Unit};

/// An observer that publishes every figure of its caches to the [`metrics`] facade. Names and labels
/// are those of [`Metric::all`].
///
/// Counters and gauges are taken from the caches every 5 s, so a hit costs what it costs without it,
/// and whenever [`publish`](Self::publish) is called: do that before a scrape is rendered.
/// Histograms of L2's round trips, of loads and of waits for another's load are recorded as they
/// happen. An exporter may be installed before or after the caches are built; what happened before
/// is missing in its histograms only.
///
/// Caches that live at the same time and are shown to one recorder need different names. When a cache
/// is gone its gauges are set to zero; one that is built later under its name counts on where it
/// stopped. Without counting ([`no_stats`](jetcache_core::Builder::no_stats)) the counters stay zero.
///
/// ```
/// use jetcache_adapters::Metrics;
///
/// let metrics = Metrics::new();
/// // jetcache_tokio::builder::<u64, String>("users").observer(metrics.clone())
///
/// // In the handler of /metrics, before metrics-exporter-prometheus renders:
/// metrics.publish();
/// ```
#[derive(Clone, Default)]
pub struct Metrics(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    caches: Vec<Arc<dyn Watched>>,
    /// What caches that are gone have counted, by their name and the counter's.
    before: HashMap<(String, &'static str), u64>,
}

impl Metrics {
    /// Upper bounds of buckets for the histograms, in seconds, for exporters that want them:
    /// `PrometheusBuilder::set_buckets_for_metric(Matcher::Prefix("jetcache_".into()), &Metrics::BUCKETS)`.
    pub const BUCKETS: [f64; 16] = Measured::BUCKETS;

    /// An observer that has seen no cache yet. Clones are the same one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Publishes counters and gauges of all its caches as they are now.
    pub fn publish(&self) {
        // Not under the lock: looking at a cache takes locks of its own.
        let caches = self.seen().caches.clone();
        for cache in caches {
            if let Some(snapshot) = cache.snapshot() {
                self.write(cache.name(), &snapshot);
            }
        }
    }

    fn write(&self, cache: &str, snapshot: &Snapshot) {
        describe();
        for sample in snapshot.iter() {
            let (name, labels) = (sample.metric.name, labels(cache, sample.metric));
            match sample.metric.kind {
                MetricKind::Counter => {
                    let before = self.seen().before(cache, sample.metric);
                    metrics::counter!(name, labels).absolute(before + sample.value);
                }
                #[expect(clippy::cast_precision_loss, reason = "the facade's gauges are floats")]
                _ => metrics::gauge!(name, labels).set(sample.value as f64),
            }
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn before(&self, cache: &str, metric: &Metric) -> u64 {
        let key = (cache.to_owned(), metric.field);
        self.before.get(&key).copied().unwrap_or(0)
    }
}

impl Observer for Metrics {
    fn on(&self, cache: &str, event: &Event) {
        let Some(measured) = Measured::of(event) else {
            return;
        };
        let mut labels = labels(cache, measured.metric);
        labels.extend(
            measured
                .verb
                .map(|verb| Label::from_static_parts("verb", verb)),
        );
        let outcome = measured.outcome;
        labels.extend(outcome.map(|outcome| Label::from_static_parts("outcome", outcome)));
        metrics::histogram!(measured.metric.name, labels).record(measured.took.as_secs_f64());
    }

    fn wants_hits(&self) -> bool {
        false
    }

    fn watch(&self, cache: Arc<dyn Watched>) {
        self.seen().caches.push(cache);
    }

    fn every(&self) -> Option<Duration> {
        Some(EVERY)
    }

    fn show(&self, cache: &str, snapshot: &Snapshot) {
        self.write(cache, snapshot);
    }

    fn gone(&self, name: &str) {
        let mut seen = self.seen();
        // Of several the oldest: a cache may be built anew before the old one is dropped.
        let Some(at) = seen.caches.iter().position(|cache| cache.name() == name) else {
            return;
        };
        let gone = seen.caches.remove(at);
        let lives_on = seen.caches.iter().any(|cache| cache.name() == name);
        drop(seen);
        for sample in gone.snapshot().unwrap_or_default().iter() {
            let metric = sample.metric;
            if metric.kind == MetricKind::Counter {
                let key = (name.to_owned(), metric.field);
                *self.seen().before.entry(key).or_default() += sample.value;
            } else if !lives_on {
                metrics::gauge!(metric.name, labels(name, metric)).set(0.0);
            }
        }
    }
}

impl core::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let seen = self.seen();
        let names = seen.caches.iter().map(|cache| cache.name());
        f.debug_tuple("Metrics")
            .field(&Vec::from_iter(names))
            .finish()
    }
}

/// Each time, since a recorder may be installed at any time.
fn describe() {
    for metric in Metric::all() {
        let (name, help) = (metric.name, metric.family());
        match metric.kind {
            MetricKind::Counter => metrics::describe_counter!(name, help),
            MetricKind::Histogram => metrics::describe_histogram!(name, Unit::Seconds, help),
            _ => metrics::describe_gauge!(name, help),
        }
    }
}

fn labels(cache: &str, metric: &'static Metric) -> Vec<Label> {
    let mut labels = vec![Label::new("cache", cache.to_owned())];
    labels.extend(
        metric
            .level
            .map(|level| Label::from_static_parts("level", level)),
    );
    let outcome = metric.outcome;
    labels.extend(outcome.map(|outcome| Label::from_static_parts("outcome", outcome)));
    labels
}

const EVERY: Duration = Duration::from_secs(5);
