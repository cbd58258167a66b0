//! From URLs and settings to a cluster that nobody has connected to yet.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::redis::number;
use crate::redis::open::RedisBuilder;
use crate::redis::open::error::OpenError;
use crate::redis_cluster::address::Address;
use crate::redis_cluster::dialer::Dialer;
use crate::redis_cluster::nodes::Nodes;
use crate::redis_cluster::{Limits, RedisCluster};

impl RedisCluster {
    /// The cluster to which these nodes belong: one is enough, more are tried while it is away.
    /// Each is a URL, `redis://[user][:password@]host[:port]`, or `rediss://` for TLS; all with the
    /// same login, which is used for the nodes that they name, too. It does not connect, and needs
    /// no running runtime.
    ///
    /// # Errors
    /// If there is no URL, or one that is not like this.
    pub fn open<U: Into<String>>(urls: impl IntoIterator<Item = U>) -> Result<Self, OpenError> {
        Self::builder(urls).open()
    }

    /// A cluster by its nodes' URLs (see [`open`](Self::open)), with settings.
    #[must_use]
    pub fn builder<U: Into<String>>(urls: impl IntoIterator<Item = U>) -> RedisClusterBuilder {
        RedisClusterBuilder::new(urls.into_iter().map(Into::into).collect())
    }
}

/// Settings for [`RedisCluster`], made by [`RedisCluster::builder`].
#[derive(Clone)]
pub struct RedisClusterBuilder {
    urls: Vec<String>,
    // The settings that all nodes share. Its URL is replaced by each of those above.
    node: RedisBuilder,
    limits: Limits,
}

impl RedisClusterBuilder {
    pub(super) fn new(urls: Vec<String>) -> Self {
        Self {
            urls,
            node: RedisBuilder::new(String::new()),
            limits: Limits {
                span: SLOT_TIMEOUT,
                at_once: AT_ONCE,
            },
        }
    }

    /// How many connections a runtime has to each master, used in turn; 2 unless said otherwise.
    /// Each is made when it is first needed.
    #[must_use]
    pub fn connections(mut self, count: usize) -> Self {
        self.node = self.node.connections(count);
        self
    }

    /// The name that `CLIENT LIST` shows on each node, `jetcache` unless said otherwise; an empty
    /// one is not set.
    #[must_use]
    pub fn client_name(mut self, name: impl Into<String>) -> Self {
        self.node = self.node.client_name(name);
        self
    }

    /// How long one attempt to connect to a node may take, TLS and login included, and how long a
    /// node may take to say where the slots are; 1 s unless said otherwise. Calls do not wait that
    /// long, and the attempt goes on for those that follow.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.node = self.node.connect_timeout(timeout);
        self
    }

    /// How long a connection may answer nothing before it is buried and replaced, 2 s unless said
    /// otherwise. See [`RedisBuilder::answer_timeout`].
    #[must_use]
    pub fn answer_timeout(mut self, span: Duration) -> Self {
        self.node = self.node.answer_timeout(span);
        self
    }

    /// How often a subscription asks its node for a sign of life, and how long it then waits for
    /// one; 5 s unless said otherwise. See [`pubsub`](RedisCluster::pubsub).
    #[must_use]
    pub fn heartbeat(mut self, span: Duration) -> Self {
        self.node = self.node.heartbeat(span);
        self
    }

    /// How long a call waits for its slots, 200 ms unless said otherwise. Keys whose slots have not
    /// answered by then are [`Fault::Timeout`](jetcache_core::Fault::Timeout), and the others have
    /// their answers. That works only if it is less than the cache's `remote_timeout` (250 ms
    /// unless said otherwise), which ends the call for all of its keys.
    #[must_use]
    pub fn slot_timeout(mut self, timeout: Duration) -> Self {
        self.limits.span = timeout;
        self
    }

    /// How many slots of one master a call asks at once, 64 unless said otherwise. A batch over
    /// more of them sends the rest as answers come.
    #[must_use]
    pub fn concurrency(mut self, slots: usize) -> Self {
        self.limits.at_once = slots;
        self
    }

    /// The authorities to trust for `rediss://`, as PEM, in place of the public ones (Mozilla's
    /// list, built in).
    #[must_use]
    pub fn authorities(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.node = self.node.authorities(pem);
        self
    }

    /// The certificate chain and private key that this client shows to `rediss://` servers that
    /// ask for them, as PEM.
    #[must_use]
    pub fn identity(mut self, chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.node = self.node.identity(chain, key);
        self
    }

    /// Checks the settings. It does not connect, and needs no running runtime.
    ///
    /// # Errors
    /// What is wrong with the settings, in words that say what to change.
    pub fn open(self) -> Result<RedisCluster, OpenError> {
        if self.limits.at_once == 0 {
            return Err(OpenError::new("concurrency must be at least 1"));
        }
        if self.limits.span.is_zero() {
            return Err(OpenError::new("slot_timeout must be above zero"));
        }
        let mut seeds = Vec::with_capacity(self.urls.len());
        let mut first: Option<Dialer> = None;
        for url in self.urls {
            let (dial, count) = self.node.clone().at(url).dial()?;
            let target = dial.target.info().clone();
            if target.redis_settings().db() != 0 {
                return Err(OpenError::new("a cluster has no other database than 0"));
            }
            let seed = Address::of(target.addr())
                .ok_or_else(|| OpenError::new("a cluster has no Unix sockets"))?;
            seeds.push(seed);
            let dialer = first.get_or_insert(Dialer { dial, count });
            if !dialer.suits(&target) {
                return Err(OpenError::new(
                    "the nodes' URLs must agree in scheme, user and password",
                ));
            }
        }
        let dialer = first.ok_or_else(|| OpenError::new("a cluster needs the URL of a node"))?;
        Ok(RedisCluster {
            nodes: Arc::new(Nodes::new(dialer, seeds)),
            limits: self.limits,
            late: Arc::default(),
            server: number(),
            herald: None,
        })
    }
}

impl fmt::Debug for RedisClusterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URLs may hold passwords.
        f.debug_struct("RedisClusterBuilder")
            .field("nodes", &self.urls.len())
            .field("node", &self.node)
            .field("limits", &self.limits)
            .finish()
    }
}

const SLOT_TIMEOUT: Duration = Duration::from_millis(200);
const AT_ONCE: usize = 64;
