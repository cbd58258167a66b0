//! The table of metrics, and the dashboard that shows them.

use std::collections::BTreeSet;
use std::fmt::Write;

use jetcache_adapters::{Memory, Raw};
use jetcache_core::{Metric, MetricKind, Reach};

use crate::behaviour::stage::Cases;

pub(crate) const CASES: Cases<fn()> = &[
    ("the_table_of_metrics_is_that_of_the_code", table),
    ("what_a_cache_shows_can_be_serialized", serialized),
    ("the_dashboard_shows_each_metric_and_no_other", dashboard),
];

fn table() {
    let mut table =
        String::from("| name | kind | labels beside `cache` | what |\n|---|---|---|---|\n");
    for metric in Metric::all() {
        let kind = match metric.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            _ => "histogram",
        };
        let labels = [("level", metric.level), ("outcome", metric.outcome)];
        let labels: Vec<String> = labels
            .iter()
            .filter_map(|(name, value)| Some(format!("`{name}=\"{}\"`", (*value)?)))
            .collect();
        let labels = match (metric.field, metric.kind) {
            ("remote_duration", _) => "`verb`, `outcome`: `ok`, `fault` or `given_up`".to_owned(),
            ("load_duration", _) => {
                "`outcome`: `found`, `not_found`, `failed` or `given_up`".to_owned()
            }
            _ => labels.join(", "),
        };
        let _ = writeln!(
            table,
            "| `{}` | {kind} | {labels} | {} |",
            metric.name, metric.help
        );
    }
    let page = include_str!("../../../../core/METRICS.md");
    assert!(
        page.contains(&table),
        "core/METRICS.md is to have:\n{table}"
    );
}

fn serialized() {
    let cache = jetcache_tokio::builder::<u64, String>("serialized").remote(Memory::new(), Raw);
    let cache = cache.build().unwrap();
    let shown = serde_json::to_value(cache.snapshot()).unwrap();
    // Each sample is a field, of the snapshot or of a part of it.
    for sample in cache.snapshot().iter() {
        let field = sample.metric.field;
        let parts = [&shown, &shown["stats"], &shown["activity"]];
        assert!(
            parts.iter().any(|part| part.get(field).is_some()),
            "{field}: {shown}"
        );
    }
    assert_eq!(shown["stats"]["breaker"], "closed");
    assert_eq!(shown["bus"], "none");
    let health = serde_json::to_value(cache.remote().unwrap()).unwrap();
    assert_eq!(
        (&health["state"], &health["fault"]),
        (&"closed".into(), &().into())
    );
    assert!(health["lasts"].is_f64(), "{health}");
    let reaches = [Reach::Everywhere, Reach::NotStored, Reach::Pending];
    let text = serde_json::to_string(&reaches).unwrap();
    assert_eq!(text, r#"["everywhere","not_stored","pending"]"#);
    assert_eq!(
        reaches.map(|reach| reach.to_string()).join(", "),
        "everywhere, not stored, pending"
    );
}

fn dashboard() {
    let text = include_str!("../../../../examples/grafana.json");
    let dashboard: serde_json::Value = serde_json::from_str(text).unwrap();
    let mut shown = BTreeSet::new();
    expressions(&dashboard["panels"], &mut shown);
    let known: BTreeSet<String> = Metric::all().map(|metric| metric.name.to_owned()).collect();
    assert_eq!(shown, known);
}

/// The names of metrics in the expressions of these panels.
fn expressions(panels: &serde_json::Value, shown: &mut BTreeSet<String>) {
    let targets = panels.as_array().unwrap().iter();
    for target in targets.flat_map(|panel| panel["targets"].as_array().into_iter().flatten()) {
        let expression = target["expr"].as_str().unwrap();
        let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let names = words.filter(|word| word.starts_with("jetcache_"));
        shown.extend(names.map(|name| name.trim_end_matches("_bucket").to_owned()));
    }
}
