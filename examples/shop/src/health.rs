//! How the service is: `/health` for whoever restarts it, `/ready` for whoever sends it requests.
//!
//! Neither minds a Redis that is away. Without it the service answers from L1 and from the database,
//! which a restart would not better: it would empty L1, on all nodes at once. `/health` shows it, and
//! who wants to be called for it looks at `jetcache_breaker_state` in `/metrics`.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jetcache_tokio::{BreakerState, BusState};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::routes::Shop;

/// 200 while the process can answer at all, with what is known of L2 and of the bus. It asks L2 for a
/// sign of life, which takes no longer than `remote_timeout` (250 ms).
pub(crate) async fn health(State(shop): State<Shop>) -> Json<Value> {
    let (l2, bus) = (l2(&shop).await, bus(&shop));
    let degraded = is_bad(&l2) || is_bad(&bus);
    let status = if degraded { "degraded" } else { "ok" };
    Json(json!({ "status": status, "l2": l2, "bus": bus }))
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

/// `null` without an L2.
async fn l2(shop: &Shop) -> Value {
    let cache = shop.products.cache();
    if cache.remote().is_none() {
        return Value::Null;
    }
    let ping = cache.ping().await;
    // After the ping, whose outcome the breaker knows.
    let health = cache.remote();
    json!({
        "ok": ping.is_ok(),
        "ping_ms": ping.as_ref().ok().map(|took| millis(*took)),
        "fault": ping.err().map(|fault| fault.to_string()),
        "breaker": health.as_ref().map(|health| match health.state {
            BreakerState::Closed => "closed",
            BreakerState::HalfOpen => "half-open",
            BreakerState::Open => "open",
        }),
        "for_seconds": health.map(|health| health.lasts.as_secs()),
    })
}

/// `null` without a bus.
fn bus(shop: &Shop) -> Value {
    let Some(health) = shop.products.cache().bus_health() else {
        return Value::Null;
    };
    json!({
        "ok": health.state != BusState::Down,
        "state": match health.state {
            BusState::Up => "up",
            BusState::Down => "down",
            // The first call that goes further than L1 subscribes.
            _ => "idle",
        },
        "for_seconds": health.lasts.as_secs(),
        "last_fault": health.fault.map(|fault| fault.to_string()),
    })
}

fn is_bad(part: &Value) -> bool {
    part["ok"] == Value::Bool(false)
}

fn millis(span: Duration) -> f64 {
    (span.as_secs_f64() * 1e5).round() / 100.0
}

const PATIENCE: Duration = Duration::from_secs(1);
