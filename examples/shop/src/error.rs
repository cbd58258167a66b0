//! What goes wrong, as a response: a status, and JSON that says what it was.

use axum::Json;
use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Why a request is not answered as it wished.
///
/// A broken Redis is none of these: the cache survives it.
#[derive(Debug)]
pub(crate) enum Error {
    /// The request makes no sense; the text says why.
    BadRequest(String),
    /// There is no such thing.
    NotFound(&'static str),
    /// The cache has no answer.
    Cache(jetcache_tokio::Error),
    /// A task panicked.
    Panicked,
}

impl Error {
    /// The status, and what the client is told. What only concerns the service is in its log.
    fn answer(&self) -> (StatusCode, String) {
        match self {
            Self::BadRequest(why) => (StatusCode::BAD_REQUEST, why.clone()),
            Self::NotFound(what) => (StatusCode::NOT_FOUND, format!("there is no such {what}")),
            Self::Cache(error) => {
                let (status, told) = of_cache(error);
                (status, told.into())
            }
            Self::Panicked => (StatusCode::INTERNAL_SERVER_ERROR, BROKEN.into()),
        }
    }
}

/// What each error of the cache is to a client.
fn of_cache(error: &jetcache_tokio::Error) -> (StatusCode, &'static str) {
    use jetcache_tokio::Error;
    match error {
        // What the database said, by its own type.
        Error::Load(_) => match error.load_as::<sqlx::Error>() {
            Some(sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed) => {
                (StatusCode::SERVICE_UNAVAILABLE, "the database is busy")
            }
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "the database failed"),
        },
        Error::Timeout(_) => (StatusCode::GATEWAY_TIMEOUT, "the database took too long"),
        Error::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "too many loads at once"),
        Error::Closed => (StatusCode::SERVICE_UNAVAILABLE, "this node is closing"),
        Error::Undecided => (StatusCode::SERVICE_UNAVAILABLE, "the outcome is not known"),
        // The rest is a mistake of the service's own: a loader that panics, a value or a key that
        // cannot be stored.
        _ => (StatusCode::INTERNAL_SERVER_ERROR, BROKEN),
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, told) = self.answer();
        if status.is_server_error() {
            tracing::error!(status = status.as_u16(), "{self:?}");
        }
        let body = Json(json!({ "error": told }));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return (status, [(header::RETRY_AFTER, RETRY_AFTER)], body).into_response();
        }
        (status, body).into_response()
    }
}

impl From<jetcache_tokio::Error> for Error {
    fn from(error: jetcache_tokio::Error) -> Self {
        Self::Cache(error)
    }
}

impl From<PathRejection> for Error {
    fn from(rejection: PathRejection) -> Self {
        Self::BadRequest(rejection.body_text())
    }
}

impl From<QueryRejection> for Error {
    fn from(rejection: QueryRejection) -> Self {
        Self::BadRequest(rejection.body_text())
    }
}

impl From<BytesRejection> for Error {
    fn from(rejection: BytesRejection) -> Self {
        Self::BadRequest(rejection.body_text())
    }
}

impl From<JsonRejection> for Error {
    fn from(rejection: JsonRejection) -> Self {
        Self::BadRequest(rejection.body_text())
    }
}

/// In seconds.
const RETRY_AFTER: &str = "1";
const BROKEN: &str = "the service made a mistake";

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn response(error: jetcache_tokio::Error) -> Response {
        Error::from(error).into_response()
    }

    #[test]
    fn what_may_be_better_in_a_moment_says_when_to_come_back() {
        let busy = jetcache_tokio::Error::Load(Arc::new(sqlx::Error::PoolTimedOut));
        for error in [
            jetcache_tokio::Error::Overloaded,
            jetcache_tokio::Error::Closed,
            busy,
        ] {
            let response = response(error);
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(response.headers()[header::RETRY_AFTER], RETRY_AFTER);
        }
    }

    #[test]
    fn a_loader_that_fails_is_told_from_one_that_is_slow() {
        let limit = jetcache_tokio::Limit::Load(std::time::Duration::from_secs(1));
        let slow = jetcache_tokio::Error::Timeout(limit);
        assert_eq!(response(slow).status(), StatusCode::GATEWAY_TIMEOUT);
        let failed = jetcache_tokio::Error::Load(Arc::new(sqlx::Error::RowNotFound));
        assert_eq!(response(failed).status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
