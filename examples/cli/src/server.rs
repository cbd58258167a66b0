//! The Redis that is asked.

use std::future::Future;
use std::time::Duration;

use jetcache_tokio::{Redis, RedisCluster};
use redis::{Client, Connection, RedisError};

use crate::failure::Failure;

/// A server, which nobody has connected to yet.
#[derive(Debug)]
pub(crate) struct Server {
    url: String,
    store: Store,
    pub(crate) timeout: Duration,
}

/// It as an L2.
#[derive(Debug)]
pub(crate) enum Store {
    One(Redis),
    Cluster(RedisCluster),
}

impl Server {
    pub(crate) fn new(url: String, cluster: bool, timeout: Duration) -> Result<Self, Failure> {
        let unusable = |error: &dyn std::fmt::Display| Failure::Usage(format!("--redis: {error}"));
        let store = if cluster {
            let opened = RedisCluster::builder([&*url]).slot_timeout(timeout).open();
            Store::Cluster(opened.map_err(|error| unusable(&error))?)
        } else {
            Store::One(Redis::open(&url).map_err(|error| unusable(&error))?)
        };
        Ok(Self {
            url,
            store,
            timeout,
        })
    }

    /// How long the server may take.
    pub(crate) const fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(crate) const fn store(&self) -> &Store {
        &self.store
    }

    /// A connection of its own, for commands that no cache sends.
    pub(crate) fn connect(&self) -> Result<Connection, Failure> {
        let away = |error: RedisError| {
            let url = self.shown();
            Failure::Failed(match error.is_timeout() {
                true => format!("{url} does not answer within {:?}", self.timeout),
                false => format!("cannot connect to {url}: {error}; is --redis right?"),
            })
        };
        let client = Client::open(&*self.url).map_err(away)?;
        let connection = client.get_connection_with_timeout(self.timeout);
        let connection = connection.map_err(away)?;
        connection.set_write_timeout(Some(self.timeout))?;
        connection.set_read_timeout(Some(self.timeout))?;
        Ok(connection)
    }

    /// Runs what the library does, for as long as the server may take.
    pub(crate) fn wait<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let late = || {
                let url = self.shown();
                Failure::Failed(format!("{url} does not answer within {:?}", self.timeout))
            };
            tokio::time::timeout(self.timeout, work)
                .await
                .unwrap_or_else(|_| Err(late()))
        })
    }

    /// The URL without user and password, which of a Unix socket's stand behind a `?`.
    pub(crate) fn shown(&self) -> String {
        let url = self.url.split('?').next().unwrap_or_default();
        match (url.split_once("://"), url.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
            _ => url.to_owned(),
        }
    }
}
