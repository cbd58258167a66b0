//! What the service answers to which request.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Redirect;
use axum::routing::get;
use axum::{Json, Router};
use jetcache_tokio::Inspection;
use serde::Deserialize;

use crate::error::Error;
use crate::health::{health, ready};
use crate::page::page;
use crate::product::{Change, Product};
use crate::products::Products;
use crate::scrape::{Scrape, metrics};

/// What the routes share. Clones are cheap.
#[derive(Clone, Debug)]
pub(crate) struct Shop {
    pub(crate) products: Products,
    pub(crate) scrape: Scrape,
}

/// All routes.
pub(crate) fn router(shop: Shop) -> Router {
    Router::new()
        .route("/", get(async || Redirect::temporary("/cache")))
        .route("/products", get(many))
        .route("/products/{id}", get(one).put(put).delete(delete))
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/cache", get(page))
        .route("/cache/inspect/{id}", get(inspect))
        .fallback(async || Error::NotFound("page"))
        .with_state(shop)
}

type Id = Result<Path<u32>, PathRejection>;

async fn one(State(shop): State<Shop>, id: Id) -> Result<Json<Arc<Product>>, Error> {
    let Path(id) = id?;
    let product = shop.products.product(id).await?;
    Ok(Json(product.ok_or(Error::NotFound("product"))?))
}

/// What each level has of a product, and why.
async fn inspect(State(shop): State<Shop>, id: Id) -> Result<Json<Inspection>, Error> {
    let Path(id) = id?;
    Ok(Json(shop.products.cache().inspect(&id).await))
}

/// `?ids=1,2,3`
#[derive(Debug, Deserialize)]
struct Ids {
    ids: String,
}

async fn many(
    State(shop): State<Shop>,
    ids: Result<Query<Ids>, QueryRejection>,
) -> Result<Json<Vec<Arc<Product>>>, Error> {
    let Query(Ids { ids }) = ids?;
    let ids = parsed(&ids)?;
    Ok(Json(shop.products.products(&ids).await?))
}

async fn put(
    State(shop): State<Shop>,
    id: Id,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Arc<Product>>, Error> {
    let Path(id) = id?;
    // Whatever its type is said to be: curl calls JSON a form.
    let Json(change) = Json::<Change>::from_bytes(&body?)?;
    let product = change.of(id).map_err(Error::BadRequest)?;
    let put = to_its_end(async move { shop.products.put(product).await });
    Ok(Json(put.await?))
}

async fn delete(State(shop): State<Shop>, id: Id) -> Result<StatusCode, Error> {
    let Path(id) = id?;
    let delete = to_its_end(async move { shop.products.delete(id).await });
    match delete.await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Error::NotFound("product")),
    }
}

/// Runs a change as a task of its own: a client that hangs up drops its handler, and nobody would know
/// whether the row was changed. The cache waits for it when it closes.
async fn to_its_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, jetcache_tokio::Error>> + Send + 'static,
) -> Result<T, Error> {
    let changed = tokio::spawn(change).await;
    Ok(changed.map_err(|_| Error::Panicked)??)
}

fn parsed(ids: &str) -> Result<Vec<u32>, Error> {
    let texts = ids.split(',').filter(|_| !ids.is_empty());
    let ids: Result<Vec<u32>, _> = texts.map(|id| id.trim().parse()).collect();
    let ids = ids.map_err(|_| Error::BadRequest("ids are numbers: ?ids=1,2,3".into()))?;
    if ids.len() > MOST_IDS {
        let why = format!("{} ids are too many: {MOST_IDS} at once", ids.len());
        return Err(Error::BadRequest(why));
    }
    Ok(ids)
}

const MOST_IDS: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_taken_as_they_come() {
        assert_eq!(parsed("3,1, 3").unwrap(), [3, 1, 3]);
        assert_eq!(parsed("").unwrap(), [0_u32; 0]);
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for ids in ["x", "1,,2", "-1", "4294967296", "1;2"] {
            assert!(parsed(ids).is_err(), "{ids}");
        }
        assert!(parsed(&vec!["7"; 1001].join(",")).is_err());
    }
}
