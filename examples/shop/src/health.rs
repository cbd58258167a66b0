//! How the service is: `/health` for whoever restarts it, `/ready` for whoever sends it requests.
//!
//! Neither minds a Redis that is away. Without it the service answers from L1 and from the database,
//! which a restart would not better: it would empty L1, on all nodes at once. `/health` shows it, and
//! who wants to be called for it looks at `jetcache_breaker_state` in `/metrics`.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jetcache_tokio::BusState;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::routes::Shop;

/// 200 while the process can answer at all, with what is known of L2's circuit breaker and of the bus.
/// It asks L2 for a sign of life, too, which takes no longer than `remote_timeout` (250 ms).
pub(crate) async fn health(State(shop): State<Shop>) -> Json<Value> {
    let cache = shop.products.cache();
    let ping = match cache.remote() {
        Some(_) => Some(cache.ping().await),
        None => None,
    };
    // After the ping, whose outcome the breaker knows.
    let (breaker, bus) = (cache.remote(), cache.bus_health());
    let l2_is_away = matches!(ping, Some(Err(_)));
    let bus_is_down = bus.as_ref().is_some_and(|bus| bus.state == BusState::Down);
    Json(json!({
        "status": if l2_is_away || bus_is_down { "degraded" } else { "ok" },
        "ping": ping.map(|answer| match answer {
            Ok(took) => json!({ "ok": true, "seconds": took.as_secs_f64() }),
            Err(fault) => json!({ "ok": false, "fault": fault }),
        }),
        // `null` where there is no Redis.
        "breaker": breaker,
        "bus": bus,
    }))
}

/// 200 while the database answers, else 503.
pub(crate) async fn ready(State(shop): State<Shop>) -> (StatusCode, Json<Value>) {
    let db = match timeout(PATIENCE, shop.products.db().ping()).await {
        Ok(Ok(())) => return (StatusCode::OK, Json(json!({ "db": "ok" }))),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {PATIENCE:?}"),
    };
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "db": db })))
}

const PATIENCE: Duration = Duration::from_secs(1);
