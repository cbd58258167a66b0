//! The products, read through the cache and written through it: what the rest of the service uses,
//! and the one place that knows that there is a cache.

use std::sync::Arc;
use std::time::Duration;

use jetcache_tokio::{BoxError, Builder, Cache, Error, MessagePack, Observer, Redis};

use crate::db::Db;
use crate::product::Product;

/// A repository. Clones are cheap, and share the cache and the database.
#[derive(Clone, Debug)]
pub(crate) struct Products {
    db: Db,
    cache: Cache<u32, Arc<Product>>,
}

impl Products {
    /// With Redis there are an L2 and a bus, so that all nodes hear what one of them changes. Redis
    /// may be down now, and may go down later.
    ///
    /// # Errors
    /// If the URL is none of Redis.
    pub(crate) fn new(
        db: Db,
        redis: Option<&str>,
        observer: impl Observer,
    ) -> Result<Self, BoxError> {
        let node = jetcache_tokio::node().observer(observer);
        let cache = match redis {
            None => node.local_cache("products"),
            Some(url) => {
                let redis = Redis::builder(url).client_name("shop").open()?;
                let node = node.bus(redis.pubsub("shop")).remote(redis);
                node.cache("products", MessagePack)
            }
        };
        let cache = settings(cache).build()?;
        Ok(Self { db, cache })
    }

    /// The product of this id: from L1, from L2 or from the database. That there is none is
    /// remembered, too.
    pub(crate) async fn product(&self, id: u32) -> Result<Option<Arc<Product>>, Error> {
        let load = async || Ok(self.db.product(id).await?.map(Arc::new));
        self.cache.get_or_load(&id, load).await
    }

    /// The products of these ids, in their order, without those that do not exist. What L1 lacks is
    /// one read of L2, and what that lacks is one query.
    pub(crate) async fn products(&self, ids: &[u32]) -> Result<Vec<Arc<Product>>, Error> {
        let load = async |ids: Vec<u32>| {
            let rows = self.db.products(&ids).await?.into_iter();
            Ok(rows.map(|row| (row.id, Arc::new(row))).collect::<Vec<_>>())
        };
        let products = self.cache.get_many_or_load(ids, load).await;
        Ok(products.into_values()?.into_iter().flatten().collect())
    }

    /// Makes or replaces a product, in the database and in the cache, on all nodes.
    pub(crate) async fn put(&self, product: Product) -> Result<Arc<Product>, Error> {
        let product = Arc::new(product);
        let write = async || {
            self.db.put(&product).await?;
            Ok(Arc::clone(&product))
        };
        self.cache.write_through(&product.id, write).await?;
        Ok(product)
    }

    /// Deletes a product; whether there was one.
    ///
    /// This writes through as well: to the cache a row that is gone is a row that became `None`. The
    /// key is claimed before the row goes, so that what was loaded before is kept nowhere, and a node
    /// that dies between the two leaves nothing old in L2. (`invalidate` after the fact is for rows
    /// that somebody else has changed.)
    pub(crate) async fn delete(&self, id: u32) -> Result<bool, Error> {
        let mut existed = false;
        let write = async || {
            existed = self.db.delete(id).await?;
            Ok(None::<Arc<Product>>)
        };
        self.cache.write_through(&id, write).await?;
        Ok(existed)
    }

    /// For what only looks at the cache.
    pub(crate) const fn cache(&self) -> &Cache<u32, Arc<Product>> {
        &self.cache
    }

    /// For what only looks at the database.
    pub(crate) const fn db(&self) -> &Db {
        &self.db
    }

    /// Closes the cache: see [`Cache::close`].
    pub(crate) async fn close(&self) {
        self.cache.close().await;
    }
}

/// Where the defaults are not what a shop wants.
fn settings(cache: Builder<u32, Arc<Product>>) -> Builder<u32, Arc<Product>> {
    cache
        .ttl(Duration::from_secs(600))
        // When the database is away, a price of ten minutes ago is better than none.
        .stale_for(Duration::from_secs(600))
        .load_timeout(Duration::from_secs(5))
        .write_timeout(Duration::from_secs(5))
        // When Redis is away, the database gets no more at once than it can bear.
        .max_loads(64, Duration::from_secs(1))
        .stats_every(Duration::from_secs(60))
}
