//! A shop: the web service to copy from. Products live in SQLite, and are read through a two-level
//! cache: L1 in this process, L2 in Redis if there is one.
//!
//! ```text
//! cargo run --bin shop -- --listen 127.0.0.1:8080 [--redis redis://127.0.0.1] [--db shop.db]
//! ```
//!
//! | | |
//! |---|---|
//! | `GET /products/7` | the product as JSON, or 404 |
//! | `GET /products?ids=1,2,3` | an array in the order of the request; what does not exist is left out |
//! | `PUT /products/7` | `{"name": "Lamp", "price": 19.99}`, made or replaced; answers the product |
//! | `DELETE /products/7` | 204, or 404 |
//! | `/health`, `/ready` | for whoever restarts it, and for whoever sends it requests |
//! | `/metrics` | for Prometheus |
//! | `/cache` | what the cache does, live, in a browser |
//! | `/cache/inspect/7` | what is known of one product's entry |
//!
//! Each file shows one thing: [`products`] is the cached repository, [`error`] says which status an
//! error of the cache is, [`health`] why a Redis that is away is no reason for a restart, [`serving`]
//! how it ends without losing a request.
//!
//! `/metrics` and `/cache` are open to everyone here. In production they belong on a port of their
//! own, or behind a proxy that keeps strangers out.

mod config;
mod db;
mod error;
mod health;
mod page;
mod product;
mod products;
mod routes;
mod scrape;
mod serving;

use std::process::ExitCode;

use jetcache_tokio::BoxError;
use tokio::net::TcpListener;

use crate::config::Config;
use crate::db::Db;
use crate::products::Products;
use crate::routes::{Shop, router};
use crate::scrape::Scrape;
use crate::serving::serve;

#[tokio::main]
async fn main() -> ExitCode {
    let config = match Config::from_env() {
        Ok(config) => config,
        Err(reply) => return reply.print(),
    };
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    match run(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config) -> Result<(), BoxError> {
    let scrape = Scrape::install()?;
    let db = Db::open(&config.db).await?;
    let products = Products::new(db.clone(), config.redis.as_deref(), scrape.observer())?;
    let listener = TcpListener::bind(config.listen).await?;
    tracing::info!(
        db = %config.db.display(),
        redis = config.redis.is_some(),
        "listening on http://{}, and /cache there shows what the cache does",
        listener.local_addr()?
    );
    let shop = Shop {
        products: products.clone(),
        scrape,
    };
    serve(listener, router(shop)).await?;
    // After the last request: what L2 has not confirmed is sent once more, and the other nodes hear
    // what they have not heard yet.
    products.close().await;
    db.close().await;
    tracing::info!("closed");
    Ok(())
}
