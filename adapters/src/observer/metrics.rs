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
/// # mod jetcache_tokio { pub use jetcache_adapters::*; pub use jetcache_core::*; }
/// use jetcache_tokio::Metrics;
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
        self.publish_those(|_| true);
    }

    fn publish_those(&self, wanted: impl Fn(&str) -> bool) {
        describe();
        // Not under the lock: looking at a cache takes locks of its own.
        let caches = self.seen().caches.clone();
        for cache in caches.iter().filter(|cache| wanted(cache.name())) {
            if let Some(snapshot) = cache.snapshot() {
                self.seen().write(cache, &snapshot);
            }
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// Under the lock, so that nothing is written of a cache whose counts are among those
    /// [before](Self::before): they would count twice.
    fn write(&self, cache: &Arc<dyn Watched>, snapshot: &Snapshot) {
        if !self.caches.iter().any(|known| Arc::ptr_eq(known, cache)) {
            return;
        }
        for sample in snapshot.iter() {
            let metric = sample.metric;
            let labels = labels(cache.name(), metric);
            match metric.kind {
                MetricKind::Counter => {
                    let key = (cache.name().to_owned(), metric.field);
                    let before = self.before.get(&key).copied().unwrap_or(0);
                    metrics::counter!(metric.name, labels).absolute(before + sample.value);
                }
                #[expect(clippy::cast_precision_loss, reason = "the facade's gauges are floats")]
                _ => metrics::gauge!(metric.name, labels).set(sample.value as f64),
            }
        }
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

    fn show(&self, cache: &str, _: &Snapshot) {
        // Those that it knows: a task may be late, and show a cache that is gone.
        self.publish_those(|name| name == cache);
    }

    fn gone(&self, name: &str) {
        let mut seen = self.seen();
        let is_gone = |cache: &Arc<dyn Watched>| cache.name() == name;
        // Of several the oldest: a cache may be built anew before the old one is dropped.
        let Some(at) = seen.caches.iter().position(is_gone) else {
            return;
        };
        // First of all: what is written of it from here on would count twice.
        let gone = seen.caches.remove(at);
        let lives_on = seen.caches.iter().any(is_gone);
        drop(seen);
        let last = gone.snapshot().unwrap_or_default();
        let mut seen = self.seen();
        for sample in last.iter() {
            let metric = sample.metric;
            if metric.kind == MetricKind::Counter {
                let key = (name.to_owned(), metric.field);
                *seen.before.entry(key).or_default() += sample.value;
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
