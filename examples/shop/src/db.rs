//! The database: SQLite, in a file that several nodes may share.

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::sqlite::{
    Sqlite, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{Error, QueryBuilder};
use tokio::time::sleep;

use crate::product::{Price, Product};

/// A pool of connections; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Db(SqlitePool);

impl Db {
    /// Opens the database in this file. If there is none it is made, with a thousand products.
    ///
    /// # Errors
    /// If the file is no database of the shop's, or cannot be written.
    pub(crate) async fn open(file: &Path) -> Result<Self, Error> {
        let deadline = Instant::now() + START;
        loop {
            match Self::connect(file).await {
                // SQLite does not wait for another node that turns the write-ahead log on.
                Err(error) if is_busy(&error) && Instant::now() < deadline => sleep(PAUSE).await,
                opened => return opened,
            }
        }
    }

    async fn connect(file: &Path) -> Result<Self, Error> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            // Readers do not wait for the writer.
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(PATIENCE);
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(PATIENCE)
            .connect_with(options)
            .await?;
        fill(&pool).await?;
        Ok(Self(pool))
    }

    /// The product of this id.
    pub(crate) async fn product(&self, id: u32) -> Result<Option<Product>, Error> {
        let row = sqlx::query_as("SELECT id, name, cents FROM products WHERE id = ?")
            .bind(id)
            .fetch_optional(&self.0)
            .await?;
        Ok(row.map(product))
    }

    /// The products of these ids, in any order, in one query.
    pub(crate) async fn products(&self, ids: &[u32]) -> Result<Vec<Product>, Error> {
        let mut query: QueryBuilder<'_, Sqlite> =
            QueryBuilder::new("SELECT id, name, cents FROM products WHERE id IN (");
        let mut list = query.separated(", ");
        for id in ids {
            list.push_bind(id);
        }
        query.push(")");
        let rows = query.build_query_as().fetch_all(&self.0).await?;
        Ok(rows.into_iter().map(product).collect())
    }

    /// Makes or replaces a product.
    pub(crate) async fn put(&self, product: &Product) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO products (id, name, cents) VALUES (?, ?, ?)
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, cents = excluded.cents",
        )
        .bind(product.id)
        .bind(&product.name)
        .bind(product.price.cents())
        .execute(&self.0)
        .await?;
        Ok(())
    }

    /// Deletes a product; whether there was one.
    pub(crate) async fn delete(&self, id: u32) -> Result<bool, Error> {
        let deleted = sqlx::query("DELETE FROM products WHERE id = ?")
            .bind(id)
            .execute(&self.0)
            .await?;
        Ok(deleted.rows_affected() > 0)
    }

    /// Asks it for a sign of life.
    pub(crate) async fn ping(&self) -> Result<(), Error> {
        sqlx::query("SELECT 1").execute(&self.0).await.map(drop)
    }

    /// Waits for the queries that are under way, and closes the connections.
    pub(crate) async fn close(&self) {
        self.0.close().await;
    }
}

/// A product as it stands in a row: its id, its name, its price in cents.
type Row = (u32, String, u32);

fn product((id, name, cents): Row) -> Product {
    let price = Price::from_cents(cents);
    Product { id, name, price }
}

/// Makes the table, full, if there is none. Of nodes that start at once one does it, and the others
/// wait.
async fn fill(pool: &SqlitePool) -> Result<(), Error> {
    let mut change = pool.begin_with("BEGIN IMMEDIATE").await?;
    let tables: u32 =
        sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = 'products'")
            .fetch_one(&mut *change)
            .await?;
    if tables == 0 {
        sqlx::query(
            "CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT NOT NULL, cents INTEGER NOT NULL)",
        )
        .execute(&mut *change)
        .await?;
        sqlx::query(
            "WITH RECURSIVE ids (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM ids WHERE id < ?)
             INSERT INTO products SELECT id, 'Product ' || id, 100 + id * 37 % 9900 FROM ids",
        )
        .bind(PRODUCTS)
        .execute(&mut *change)
        .await?;
    }
    change.commit().await
}

/// Whether another node has the lock.
fn is_busy(error: &Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    let code = code.and_then(|code| code.parse::<u32>().ok());
    // The lowest byte is the kind, the others say more.
    code.is_some_and(|code| code & 0xFF == SQLITE_BUSY)
}

const SQLITE_BUSY: u32 = 5;
const PRODUCTS: u32 = 1000;
const CONNECTIONS: u32 = 8;
/// How long a query waits for a connection, and for another node's write. Less than the cache's
/// `load_timeout`, so that whoever waited in vain hears what for.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a node tries to open the database, and how long it waits in between.
const START: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);
