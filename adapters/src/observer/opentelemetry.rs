//! Shows an OpenTelemetry meter the figures of caches.

use core::fmt;
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jetcache_core::{Event, Measured, Metric, MetricKind, Observer, Sample, Snapshot, Watched};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Histogram, Meter};

/// An observer that shows an OpenTelemetry [`Meter`] every figure of its caches.
///
/// Counters and gauges are observed when the meter's reader collects, so a hit costs what it costs
/// without it. Histograms of L2's round trips, of loads and of waits for another's load, in seconds,
/// are recorded as they happen. Names are those of [`Metric::all`] in OpenTelemetry's form:
/// `jetcache_lookups_total` is `jetcache.lookups`, `jetcache_load_duration_seconds` is
/// `jetcache.load_duration` with the unit `s`. The labels are its attributes.
///
/// What a cache counted after the last collection is lost when it is gone. Without counting
/// ([`no_stats`](jetcache_core::Builder::no_stats)) the counters stay zero.
///
/// The meter's provider must live as long as there is something to collect. Caches that are shown to
/// one meter need different names.
///
/// ```
/// # mod jetcache_tokio { pub use jetcache_adapters::*; pub use jetcache_core::*; }
/// use jetcache_tokio::OpenTelemetry;
///
/// let metrics = OpenTelemetry::new(&opentelemetry::global::meter("shop"));
/// // jetcache_tokio::builder::<u64, String>("users").observer(metrics.clone())
/// ```
#[derive(Clone)]
pub struct OpenTelemetry(Arc<Instruments>);

struct Instruments {
    caches: Caches,
    histograms: Vec<(&'static Metric, Histogram<f64>)>,
}

type Caches = Arc<Mutex<Seen>>;

#[derive(Default)]
struct Seen {
    caches: Vec<Arc<dyn Watched>>,
    /// How they were a moment ago: one collection asks for each instrument.
    last: Option<(Instant, Figures)>,
}

/// How each cache is.
type Figures = Arc<Vec<(Arc<dyn Watched>, Snapshot)>>;

impl OpenTelemetry {
    /// An observer that has seen no cache yet, and makes its instruments of `meter`. Clones are the
    /// same one: make one for a meter, or it has each instrument twice.
    #[must_use]
    pub fn new(meter: &Meter) -> Self {
        let caches = Caches::default();
        let mut histograms = Vec::new();
        let mut made: Vec<&str> = Vec::new();
        for metric in Metric::all() {
            // Of one name there may be several, which differ in their labels.
            if made.contains(&metric.name) {
                continue;
            }
            made.push(metric.name);
            let name = name_of(metric);
            match metric.kind {
                MetricKind::Counter => {
                    let counter = meter.u64_observable_counter(name);
                    let counter = counter.with_description(metric.family());
                    let _ = counter.with_callback(observed(&caches, metric)).build();
                }
                MetricKind::Histogram => {
                    let histogram = meter.f64_histogram(name).with_unit("s");
                    let histogram = histogram.with_description(metric.family());
                    let histogram = histogram.with_boundaries(Measured::BUCKETS.into()).build();
                    histograms.push((metric, histogram));
                }
                _ => {
                    let gauge = meter.u64_observable_gauge(name);
                    let gauge = gauge.with_description(metric.family());
                    let _ = gauge.with_callback(observed(&caches, metric)).build();
                }
            }
        }
        Self(Arc::new(Instruments { caches, histograms }))
    }
}

impl Observer for OpenTelemetry {
    fn on(&self, cache: &str, event: &Event) {
        let Some(measured) = Measured::of(event) else {
            return;
        };
        let mut histograms = self.0.histograms.iter();
        let Some((_, histogram)) = histograms.find(|(metric, _)| *metric == measured.metric) else {
            return;
        };
        let mut attributes = vec![KeyValue::new("cache", cache.to_owned())];
        attributes.extend(measured.verb.map(|verb| KeyValue::new("verb", verb)));
        attributes.extend(
            measured
                .outcome
                .map(|outcome| KeyValue::new("outcome", outcome)),
        );
        histogram.record(measured.took.as_secs_f64(), &attributes);
    }

    fn wants_hits(&self) -> bool {
        false
    }

    fn watch(&self, cache: Arc<dyn Watched>) {
        let mut seen = lock(&self.0.caches);
        seen.caches.push(cache);
        seen.last = None;
        drop(seen);
        // A program may build caches and drop them before anybody collects.
        figures(&self.0.caches);
        // That was no collection.
        lock(&self.0.caches).last = None;
    }
}

impl fmt::Debug for OpenTelemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = lock(&self.0.caches);
        let names = seen.caches.iter().map(|cache| cache.name());
        let names = Vec::from_iter(names);
        f.debug_tuple("OpenTelemetry").field(&names).finish()
    }
}

/// Observes all that has the name of this metric, of all caches that live.
fn observed(
    caches: &Caches,
    metric: &'static Metric,
) -> impl Fn(&dyn AsyncInstrument<u64>) + Send + Sync + 'static {
    let caches = Arc::clone(caches);
    move |instrument| {
        for (cache, snapshot) in figures(&caches).iter() {
            let named = |sample: &Sample| sample.metric.name == metric.name;
            for sample in snapshot.iter().filter(named) {
                instrument.observe(sample.value, &attributes(cache.name(), sample.metric));
            }
        }
    }
}

/// How all caches that live are, or were a moment ago. Forgets those that are gone.
fn figures(caches: &Caches) -> Figures {
    let seen = lock(caches);
    if let Some((at, last)) = &seen.last
        && at.elapsed() < MOMENT
    {
        return Arc::clone(last);
    }
    // Not under the lock: looking at a cache takes locks of its own.
    let watched = seen.caches.clone();
    let asked = watched.len();
    drop(seen);
    let figures = watched.into_iter().filter_map(|cache| {
        let snapshot = cache.snapshot()?;
        Some((cache, snapshot))
    });
    let figures: Figures = Arc::new(figures.collect());
    let is_known = |cache: &Arc<dyn Watched>| {
        let mut living = figures.iter();
        living.any(|(other, _)| Arc::ptr_eq(other, cache))
    };
    let mut seen = lock(caches);
    // One that was built meanwhile is looked at next time.
    let mut at = 0;
    seen.caches.retain(|cache| {
        at += 1;
        at > asked || is_known(cache)
    });
    seen.last = Some((Instant::now(), Arc::clone(&figures)));
    figures
}

fn attributes(cache: &str, metric: &'static Metric) -> Vec<KeyValue> {
    let mut attributes = vec![KeyValue::new("cache", cache.to_owned())];
    attributes.extend(metric.level.map(|level| KeyValue::new("level", level)));
    attributes.extend(
        metric
            .outcome
            .map(|outcome| KeyValue::new("outcome", outcome)),
    );
    attributes
}

/// `jetcache.lookups` of `jetcache_lookups_total`.
fn name_of(metric: &Metric) -> String {
    let name = metric.name.trim_start_matches("jetcache_");
    let name = name.trim_end_matches("_total").trim_end_matches("_seconds");
    format!("jetcache.{name}")
}

fn lock(caches: &Caches) -> MutexGuard<'_, Seen> {
    caches.lock().unwrap_or_else(PoisonError::into_inner)
}

/// For how long figures are those of one collection.
const MOMENT: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_what_only_prometheus_wants() {
        let names: Vec<String> = Metric::all().map(name_of).collect();
        for name in ["lookups", "entries", "load_duration", "breaker_state"] {
            let name = format!("jetcache.{name}");
            assert!(names.contains(&name), "{names:?}");
        }
        assert!(names.iter().all(|name| !name.ends_with("_total")));
    }
}
