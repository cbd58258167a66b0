//! The metrics, as Prometheus reads them.

use core::fmt;
use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use jetcache_tokio::Metrics;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time::sleep;

use crate::routes::Shop;

/// Where the metrics of this process are gathered. Clones share it.
#[derive(Clone)]
pub(crate) struct Scrape {
    caches: Metrics,
    prometheus: PrometheusHandle,
}

impl Scrape {
    /// Gathers from now on what is told to the `metrics` facade, by caches and by whatever else in
    /// this process speaks to it. To be called within the runtime, once.
    ///
    /// # Errors
    /// If somebody else gathers it already.
    pub(crate) fn install() -> Result<Self, BuildError> {
        let ours = Matcher::Prefix("jetcache_".into());
        let prometheus = PrometheusBuilder::new()
            .set_buckets_for_metric(ours, &Metrics::BUCKETS)?
            .install_recorder()?;
        tokio::spawn(upkeep(prometheus.clone()));
        let caches = Metrics::new();
        Ok(Self { caches, prometheus })
    }

    /// What the caches are to be built with.
    pub(crate) fn observer(&self) -> Metrics {
        self.caches.clone()
    }

    fn text(&self) -> String {
        // As they are now, and not as they were when the caches published last.
        self.caches.publish();
        self.prometheus.render()
    }
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scrape").field(&self.caches).finish()
    }
}

/// `GET /metrics`
pub(crate) async fn metrics(State(shop): State<Shop>) -> impl IntoResponse {
    let content = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, content)], shop.scrape.text())
}

/// Moves what histograms were told into their buckets. A scrape does that as well; but if nobody
/// scrapes, what they were told would be kept for ever.
async fn upkeep(prometheus: PrometheusHandle) {
    loop {
        sleep(UPKEEP).await;
        prometheus.run_upkeep();
    }
}

const UPKEEP: Duration = Duration::from_secs(5);
