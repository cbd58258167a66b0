//! Attributes in front of ordinary functions: a service whose methods load, write through and remove, and
//! a key of its own type.
//!
//! `macros` needs no server. It ends with exit code 1 if something that it shows did not happen.

#![expect(clippy::print_stdout, reason = "it is here to talk")]

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jetcache_tokio::{Cache, Key, Memory, MessagePack, cached, invalidates, writes_through};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Product {
    name: String,
    cents: u32,
}

/// In L2 it is `products:chairs:7`; a colon in a shop's name is escaped.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Key)]
struct ProductKey {
    shop: String,
    id: u64,
}

/// The service's own error. What goes wrong in the cache becomes one of these, too.
#[derive(Clone, Debug)]
enum ShopError {
    NoSuchProduct(u64),
    Cache(jetcache_tokio::Error),
}

impl fmt::Display for ShopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchProduct(id) => write!(f, "there is no product {id}"),
            Self::Cache(error) => write!(f, "the cache: {error}"),
        }
    }
}

impl std::error::Error for ShopError {}

impl From<jetcache_tokio::Error> for ShopError {
    fn from(error: jetcache_tokio::Error) -> Self {
        Self::Cache(error)
    }
}

struct Shop {
    cache: Cache<ProductKey, Arc<Product>>,
    rows: Mutex<HashMap<ProductKey, Product>>,
    queries: Mutex<u32>,
}

impl Shop {
    /// The body is the loader. An error of its own comes back as it is, to everyone who waited.
    #[cached(cache = self.cache, key = key, ttl = "10m")]
    async fn product(&self, key: &ProductKey) -> Result<Arc<Product>, ShopError> {
        *locked(&self.queries) += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
        let row = locked(&self.rows).get(key).cloned();
        row.map(Arc::new).ok_or(ShopError::NoSuchProduct(key.id))
    }

    /// The body writes the row and answers what it is now.
    #[writes_through(cache = self.cache, key = key)]
    async fn put(&self, key: &ProductKey, product: Product) -> Result<Arc<Product>, ShopError> {
        locked(&self.rows).insert(key.clone(), product.clone());
        Ok(Arc::new(product))
    }

    /// After the body has succeeded the key is removed.
    #[invalidates(cache = self.cache, key = key)]
    async fn delete(&self, key: &ProductKey) -> Result<(), ShopError> {
        let row = locked(&self.rows).remove(key);
        row.map(drop).ok_or(ShopError::NoSuchProduct(key.id))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cache = jetcache_tokio::builder("products")
        .remote(Memory::new(), MessagePack)
        .build()?;
    let shop = Arc::new(Shop {
        cache,
        rows: Mutex::default(),
        queries: Mutex::default(),
    });
    let key = ProductKey {
        shop: "chairs".into(),
        id: 7,
    };
    let chair = |cents| Product {
        name: "Chair".into(),
        cents,
    };

    shop.put(&key, chair(4_900)).await?;
    let found = shop.product(&key).await?;
    let queries = *locked(&shop.queries);
    check(
        "what was written through is a hit",
        found.cents == 4_900 && queries == 0,
    )?;

    shop.cache.invalidate(&key).await;
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let (shop, key) = (Arc::clone(&shop), key.clone());
            tokio::spawn(async move { shop.product(&key).await })
        })
        .collect();
    for caller in callers {
        check("each caller has the chair", caller.await??.name == "Chair")?;
    }
    let queries = *locked(&shop.queries);
    println!("  100 callers of a cold key: {queries} query");
    check("one query for all of them", queries == 1)?;

    shop.delete(&key).await?;
    let gone = shop.product(&key).await;
    let is_gone = matches!(gone, Err(ShopError::NoSuchProduct(7)));
    check("it is gone, and the error is the service's own", is_gone)?;
    shop.cache.close().await;
    Ok(())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn check(what: &str, happened: bool) -> Result<(), String> {
    if !happened {
        return Err(format!("this did not happen: {what}"));
    }
    Ok(())
}
