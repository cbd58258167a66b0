//! What exporters get: every figure, as the cache itself says.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use futures_util::future::join;
use jetcache_adapters::{Metrics, OpenTelemetry};
use jetcache_core::{Entry, LoadError, Local, Metric, MetricKind, Probe, Sample};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};

use crate::behaviour::stage::face::Faced;
use crate::behaviour::stage::{
    Case, Cases, Node, Stage, Value, brings, expected_panic, nobody, value,
};

pub(crate) const ALONE: Cases<fn()> = &[(
    "an_engine_that_panics_where_a_handle_is_dropped_harms_nobody",
    panicking,
)];

pub(crate) const CASES: Cases<Case> = &[
    ("a_scrape_has_every_figure", |s| Box::pin(scraped(s))),
    ("opentelemetry_has_every_figure", |s| Box::pin(collected(s))),
    ("a_cache_that_is_built_anew_counts_on", |s| {
        Box::pin(rebuilt(s))
    }),
    ("only_waits_for_others_count_and_all_of_them", |s| {
        Box::pin(waits(s))
    }),
    ("what_is_given_up_is_counted", |s| Box::pin(given_up(s))),
    ("each_key_of_a_batch_is_missed_once", |s| {
        Box::pin(missed(s))
    }),
    ("a_cache_that_is_gone_is_shown_no_more", |s| {
        Box::pin(gone(s))
    }),
];

/// The recorder of this process: there can be one.
static PROMETHEUS: LazyLock<PrometheusHandle> = LazyLock::new(|| {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Prefix("jetcache_".into()), &Metrics::BUCKETS)
        .unwrap()
        .install_recorder()
        .unwrap()
});

/// The name of a series with its labels in order, and its value.
type Series = BTreeMap<(String, BTreeMap<String, String>), f64>;

/// Something of everything: hits, misses, loads of each outcome, a change, a batch.
async fn lives(stage: &Stage, node: &Node) {
    node.get_or_load("key", brings("one")).await.unwrap();
    for _ in 0..5 {
        node.get_or_load("key", nobody).await.unwrap();
    }
    node.get_or_load("nothing", || async { Ok(None::<Value>) })
        .await
        .unwrap();
    let fails = || async { Err::<Value, _>("the database is away".into()) };
    node.get_or_load("broken", fails).await.unwrap_err();
    node.get_many(["key", "other", "third"]).await;
    let slow = || async {
        stage.host().sleep(Duration::from_millis(20)).await;
        Ok(value("slow"))
    };
    let both = join(
        node.get_or_load("slow", slow),
        node.get_or_load("slow", nobody),
    );
    assert_eq!(both.await.1.unwrap(), Some(value("slow")));
    node.invalidate("key").await;
    node.get_or_load("key", brings("two")).await.unwrap();
}

async fn scraped(stage: &Stage) {
    let prometheus = &*PROMETHEUS;
    let metrics = Metrics::new();
    let (builder, name) = stage.builder_alone();
    let node = builder.observer(metrics.clone()).build().unwrap().faced();
    lives(stage, &node).await;
    metrics.publish();
    let text = prometheus.render();
    let all = parse(&text);
    let snapshot = node.snapshot();
    assert!(
        snapshot.stats.loads == 4 && snapshot.stats.local_hits >= 6,
        "{snapshot}"
    );
    for sample in snapshot.iter() {
        let series = (sample.metric.name.to_owned(), labels(&name, &sample));
        #[expect(clippy::cast_precision_loss, reason = "small counts")]
        let value = sample.value as f64;
        // What is under way may have ended meanwhile.
        if sample.metric.kind == MetricKind::Counter {
            assert_eq!(all.get(&series), Some(&value), "{series:?}\n{text}");
        } else {
            assert!(all.contains_key(&series), "{series:?}\n{text}");
        }
    }
    for metric in Metric::all() {
        assert!(
            text.contains(&format!("# HELP {} ", metric.name)),
            "{}",
            metric.name
        );
    }
    let of = |metric: &str, outcome: &str| {
        let of = |(labels, value): (&BTreeMap<String, String>, f64)| {
            let it = labels.get("cache") == Some(&name)
                && labels.get("outcome").map(String::as_str) == Some(outcome);
            it.then_some(value)
        };
        let counts = all
            .iter()
            .filter(|((name, _), _)| *name == format!("{metric}_count"));
        counts
            .filter_map(|((_, labels), value)| of((labels, *value)))
            .sum::<f64>()
    };
    assert_eq!(of("jetcache_load_duration_seconds", "found"), 3.0);
    assert_eq!(of("jetcache_load_duration_seconds", "not_found"), 1.0);
    assert_eq!(of("jetcache_load_duration_seconds", "failed"), 1.0);
    let waits = (
        "jetcache_wait_duration_seconds_count".to_owned(),
        own_label(&name),
    );
    assert_eq!(all.get(&waits), Some(&1.0), "{text}");
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    let calls = node.stats().remote_calls as f64;
    assert!(calls > 0.0, "{text}");
    // A lease may be given back after the scrape.
    assert!(of("jetcache_remote_duration_seconds", "ok") <= calls);
    assert!(of("jetcache_remote_duration_seconds", "ok") > 0.0);
    node.close().await;
}

async fn collected(stage: &Stage) {
    let exporter = InMemoryMetricExporter::default();
    let reader = PeriodicReader::builder(exporter.clone()).build();
    let provider = SdkMeterProvider::builder().with_reader(reader).build();
    let observer = OpenTelemetry::new(&provider.meter("jetcache"));
    let (builder, name) = stage.builder_alone();
    let node = builder.observer(observer).build().unwrap().faced();
    lives(stage, &node).await;
    provider.force_flush().unwrap();
    let mut all = Series::new();
    let mut histograms = BTreeMap::new();
    for resource in exporter.get_finished_metrics().unwrap() {
        let metrics = resource.scope_metrics().flat_map(|scope| scope.metrics());
        for metric in metrics {
            let name = metric.name().to_owned();
            assert!(!metric.description().is_empty(), "{name}");
            let mut put = |attributes: BTreeMap<String, String>, value: u64| {
                #[expect(clippy::cast_precision_loss, reason = "small counts")]
                all.insert((name.clone(), attributes), value as f64);
            };
            match metric.data() {
                AggregatedMetrics::U64(MetricData::Sum(sum)) => {
                    assert!(sum.is_monotonic());
                    sum.data_points().for_each(|point| {
                        put(attributes(point.attributes()), point.value());
                    });
                }
                AggregatedMetrics::U64(MetricData::Gauge(gauge)) => {
                    gauge.data_points().for_each(|point| {
                        put(attributes(point.attributes()), point.value());
                    });
                }
                AggregatedMetrics::F64(MetricData::Histogram(histogram)) => {
                    assert_eq!(metric.unit(), "s");
                    for point in histogram.data_points() {
                        *histograms.entry(name.clone()).or_insert(0) += point.count();
                    }
                }
                other => panic!("{name}: {other:?}"),
            }
        }
    }
    for sample in node.snapshot().iter() {
        let plain = sample.metric.name.trim_start_matches("jetcache_");
        let series = format!("jetcache.{}", plain.trim_end_matches("_total"));
        let series = (series, labels(&name, &sample));
        #[expect(clippy::cast_precision_loss, reason = "small counts")]
        let value = sample.value as f64;
        if sample.metric.kind == MetricKind::Counter {
            assert_eq!(all.get(&series), Some(&value), "{series:?}");
        } else {
            assert!(all.contains_key(&series), "{series:?}");
        }
    }
    assert_eq!(histograms.get("jetcache.load_duration"), Some(&5));
    assert_eq!(histograms.get("jetcache.wait_duration"), Some(&1));
    assert!(histograms["jetcache.remote_duration"] > 0);
    node.close().await;
}

async fn gone(stage: &Stage) {
    let prometheus = &*PROMETHEUS;
    let metrics = Metrics::new();
    let (builder, name) = stage.builder_alone();
    let node = builder.observer(metrics.clone()).build().unwrap().faced();
    node.get_or_load("key", brings("one")).await.unwrap();
    metrics.publish();
    let entries = |all: &Series| {
        all.get(&("jetcache_entries".to_owned(), own_label(&name)))
            .copied()
    };
    assert_eq!(entries(&parse(&prometheus.render())), Some(1.0));
    node.close().await;
    assert_eq!(format!("{metrics:?}"), format!("Metrics([{name:?}])"));
    drop(node);
    assert_eq!(format!("{metrics:?}"), "Metrics([])");
    assert_eq!(entries(&parse(&prometheus.render())), Some(0.0));
}

/// Nobody publishes: what is counted last is shown when the cache closes.
async fn rebuilt(stage: &Stage) {
    let prometheus = &*PROMETHEUS;
    let metrics = Metrics::new();
    let (first, name) = stage.builder_alone();
    let hits = || {
        let mut labels = own_label(&name);
        labels.extend([("level", "l1"), ("outcome", "hit")].map(|(k, v)| (k.into(), v.into())));
        let all = parse(&prometheus.render());
        all.get(&("jetcache_lookups_total".to_owned(), labels))
            .copied()
    };
    let hit = async |node: &Node, times: usize| {
        node.get_or_load("key", brings("one")).await.unwrap();
        for _ in 0..times {
            node.get_or_load("key", nobody).await.unwrap();
        }
    };
    let node = first.observer(metrics.clone()).build().unwrap().faced();
    hit(&node, 100).await;
    node.close().await;
    assert_eq!(hits(), Some(100.0));
    drop(node);
    let second = stage.host().builder(&name).observer(metrics.clone());
    let node = second.build().unwrap().faced();
    hit(&node, 60).await;
    drop(node);
    assert_eq!(hits(), Some(160.0));
}

async fn waits(stage: &Stage) {
    let host = stage.host();
    let builder = stage.builder().loader(move |_: String| async move {
        host.sleep(Duration::from_millis(20)).await;
        Ok::<_, LoadError>(value("loaded"))
    });
    let node = builder.build().unwrap().faced();
    node.load("alone").await.unwrap();
    assert_eq!(node.stats().waits, 0, "it waited for its own loader");
    join(node.load("both"), node.load("both")).await.0.unwrap();
    assert_eq!((node.stats().waits, node.stats().coalesced), (1, 1));
    // A leader that leaves hands over to who waits.
    let hangs = || async {
        host.sleep(Duration::from_secs(100)).await;
        Ok(value("never"))
    };
    let mut leader = Box::pin(node.get_or_load("left", hangs));
    let loads = Box::pin(stage.until("it loads", async || node.stats().misses == 3));
    drop(futures_util::future::select(&mut leader, loads).await);
    let follower = async { node.get_or_load("left", brings("own")).await };
    let leaves = async {
        host.sleep(Duration::from_millis(20)).await;
        drop(leader);
    };
    let (answer, ()) = join(follower, leaves).await;
    assert_eq!(answer.unwrap(), Some(value("own")));
    assert_eq!(node.stats().waits, 2);
    node.close().await;
}

async fn given_up(stage: &Stage) {
    let node = stage.node();
    let hangs = || async {
        stage.host().sleep(Duration::from_secs(100)).await;
        Ok(value("never"))
    };
    {
        let mut load = Box::pin(node.get_or_load("key", hangs));
        let loads = async {
            let loads = async || node.stats().misses == 1;
            stage.until("it loads", loads).await;
        };
        let loads = Box::pin(loads);
        futures_util::future::select(&mut load, loads).await;
    }
    assert_eq!(node.stats().loads_given_up, 1, "{}", node.stats());
    assert_eq!(node.stats().load_failures, 0);
    node.close().await;
}

async fn missed(stage: &Stage) {
    let loader = |key: String| async move { Ok::<_, LoadError>(value(&key)) };
    let node = stage.builder().loader(loader).build().unwrap().faced();
    let keys = ["a", "b", "c"];
    stage
        .node()
        .insert("c".into(), value("theirs"))
        .await
        .unwrap();
    let loaded = node.load_many(keys).await;
    assert!(loaded.into_iter().all(|(_, one)| one.unwrap().is_some()));
    let stats = node.stats();
    let counted = (stats.local_misses, stats.remote_misses, stats.misses);
    assert_eq!((counted, stats.remote_hits), ((3, 2, 2), 1), "{stats}");
    node.close().await;
}

/// An L1 that cannot say how much it has.
struct Mute;

impl Local<u64, u64> for Mute {
    fn get(&self, _: &dyn Probe<u64>) -> Option<Entry<u64>> {
        None
    }

    fn insert(&self, _: u64, _: Entry<u64>) {}

    fn remove(&self, _: &dyn Probe<u64>) {}

    fn clear(&self) {}

    fn len(&self) -> usize {
        expected_panic("nobody knows");
    }

    fn weight(&self) -> u64 {
        expected_panic("nobody knows");
    }
}

fn panicking() {
    let metrics = Metrics::new();
    let builder = jetcache_tokio::builder::<u64, u64>("mute").local(Mute);
    let cache = builder.observer(metrics.clone()).build().unwrap().faced();
    drop(cache);
    // Its figures are not known, and it is gone all the same.
    assert_eq!(format!("{metrics:?}"), "Metrics([])");
}

fn own_label(cache: &str) -> BTreeMap<String, String> {
    [("cache".to_owned(), cache.to_owned())].into()
}

fn labels(cache: &str, sample: &Sample) -> BTreeMap<String, String> {
    let all = [
        ("cache", Some(cache)),
        ("level", sample.metric.level),
        ("outcome", sample.metric.outcome),
    ];
    let all = all.into_iter();
    all.filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect()
}

fn attributes<'a>(
    all: impl Iterator<Item = &'a opentelemetry::KeyValue>,
) -> BTreeMap<String, String> {
    all.map(|one| (one.key.to_string(), one.value.to_string()))
        .collect()
}

/// Reads Prometheus' text, and bears no line that is not of that.
fn parse(text: &str) -> Series {
    let lines = text.lines().filter(|line| !line.is_empty());
    let series = lines.filter(|line| !line.starts_with("# HELP ") && !line.starts_with("# TYPE "));
    series.map(series_of).collect()
}

fn series_of(line: &str) -> ((String, BTreeMap<String, String>), f64) {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}').unwrap()),
        None => (series, ""),
    };
    // No label here has a comma or a quotation mark in its value.
    let labels = labels.split(',').filter(|label| !label.is_empty());
    let labels = labels.map(|label| {
        let (name, value) = label.split_once('=').unwrap();
        let value = value.strip_prefix('"').unwrap().strip_suffix('"').unwrap();
        (name.to_owned(), value.to_owned())
    });
    ((name.to_owned(), labels.collect()), value.parse().unwrap())
}
