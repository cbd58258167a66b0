//! Publishes to the `metrics` facade, and so to whatever exporter the program has installed.

use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

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
/// Caches that are shown to one recorder need different names. When a cache is gone its gauges are
/// set to zero.
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
pub struct Metrics(Arc<Mutex<Vec<Arc<dyn Watched>>>>);

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
        let caches = self.caches().clone();
        for cache in caches {
            match cache.snapshot() {
                Some(snapshot) => write(cache.name(), &snapshot),
                None => self.forget(&cache),
            }
        }
    }

    /// The cache is gone: nothing of it is under way any more.
    fn forget(&self, gone: &Arc<dyn Watched>) {
        self.caches().retain(|cache| !Arc::ptr_eq(cache, gone));
        let samples = Snapshot::default();
        let gauges = samples.iter().map(|sample| sample.metric);
        for metric in gauges.filter(|metric| metric.kind == MetricKind::Gauge) {
            metrics::gauge!(metric.name, labels(gone.name(), metric)).set(0.0);
        }
    }

    fn caches(&self) -> std::sync::MutexGuard<'_, Vec<Arc<dyn Watched>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.caches().push(cache);
    }

    fn every(&self) -> Option<Duration> {
        Some(EVERY)
    }

    fn show(&self, cache: &str, snapshot: &Snapshot) {
        write(cache, snapshot);
    }
}

impl core::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let caches = self.caches();
        let names = caches.iter().map(|cache| cache.name());
        f.debug_tuple("Metrics")
            .field(&Vec::from_iter(names))
            .finish()
    }
}

fn write(cache: &str, snapshot: &Snapshot) {
    describe();
    for sample in snapshot.iter() {
        let (name, labels) = (sample.metric.name, labels(cache, sample.metric));
        match sample.metric.kind {
            MetricKind::Counter => metrics::counter!(name, labels).absolute(sample.value),
            #[expect(clippy::cast_precision_loss, reason = "the facade's gauges are floats")]
            _ => metrics::gauge!(name, labels).set(sample.value as f64),
        }
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
