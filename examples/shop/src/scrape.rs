//! The metrics, as Prometheus reads them.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use jetcache_tokio::{BoxError, Event, Observer};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::routes::Shop;

/// Where the metrics of the process are gathered. Clones share it.
#[derive(Clone)]
pub(crate) struct Scrape {
    prometheus: PrometheusHandle,
}

pub(crate) struct Nothing;
impl Observer for Nothing {
    fn on(&self, _: &str, _: &Event) {}
}

impl std::fmt::Debug for Scrape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scrape").finish_non_exhaustive()
    }
}

impl Scrape {
    pub(crate) fn install() -> Result<Self, BoxError> {
        let prometheus = PrometheusBuilder::new().install_recorder()?;
        Ok(Self { prometheus })
    }

    pub(crate) fn observer(&self) -> Nothing {
        Nothing
    }

    fn text(&self) -> String {
        self.prometheus.render()
    }
}

/// `GET /metrics`
pub(crate) async fn metrics(State(shop): State<Shop>) -> impl IntoResponse {
    let content = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, content)], shop.scrape.text())
}
