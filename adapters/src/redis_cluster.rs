//! L2 on a Redis or Valkey cluster.

mod address;
mod course;
mod dialer;
mod lane;
mod late;
mod map;
mod nodes;
mod open;
mod redirect;
mod scatter;
mod verbs;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use jetcache_core::ports::remote::Herald;

use crate::redis::Redis;
use crate::redis::connection::tally::Connectivity;
use crate::redis::lease_key::slot;
pub use crate::redis::open::error::OpenError;
use crate::redis::pubsub::RedisPubSub;
use crate::redis_cluster::lane::Lane;
use crate::redis_cluster::nodes::Nodes;
pub use crate::redis_cluster::open::RedisClusterBuilder;

/// L2 on a cluster of Redis 7.0, Valkey 7.2, or later. Clones share their connections.
///
/// ```
/// # mod jetcache_tokio { pub use jetcache_adapters::*; pub use jetcache_core::*; }
/// use std::time::Duration;
///
/// use jetcache_tokio::RedisCluster;
///
/// // Neither connects: that happens at the first call, and again whenever it must.
/// let plain = RedisCluster::open(["redis://node1:7000", "redis://node2:7000"])?;
/// let tuned = RedisCluster::builder(["rediss://user:password@nodes.example"])
///     .connections(1)
///     .client_name("shop")
///     .slot_timeout(Duration::from_millis(80)) // with a remote_timeout of 100 ms
///     .open()?;
/// # let _ = (plain, tuned);
/// # Ok::<(), jetcache_tokio::redis::OpenError>(())
/// ```
///
/// # Keys
/// A call's keys are grouped by slot and each slot's are sent in one pipeline to its master, never
/// to a replica, at most [`concurrency`](RedisClusterBuilder::concurrency) slots of a master at
/// once. What befalls a slot befalls its keys only: the others get their answers. So that a master
/// that hangs does not keep theirs, a call answers after
/// [`slot_timeout`](RedisClusterBuilder::slot_timeout), and what is missing then is a
/// [`Fault::Timeout`](jetcache_core::Fault::Timeout).
///
/// # Where the slots are
/// The first call asks one of the given nodes (`CLUSTER SLOTS`), and each later change of the
/// cluster is noticed by a node that redirects, breaks off or does not answer; then any node that
/// is known is asked again, at most ten times a second. A redirected command (`MOVED`, `ASK`) was
/// not carried out and is sent on, each by itself; one that must wait for a slot on the move
/// (`TRYAGAIN`: it names several keys, of which some have gone) is tried again for a tenth of a
/// second and is a fault then. In such a slot a value with its lease, and several keys that share a
/// hash tag, are several keys.
///
/// # The runtime, and when a node is away
/// As with [`Redis`]: each runtime has connections of its own; there is no back-off;
/// only read, release, remove, unload, raise, news and ensure may be sent again when nobody can tell whether they were
/// carried out. A master that nobody can connect to was not sent anything, so any command goes to its
/// successor if there is one.
///
/// # What dropping a call does
/// The waiting stops. A command that was already written to a connection is carried out
/// nevertheless, maybe late; so may one that waits in the connection's queue. A lease that is
/// granted after `slot_timeout` is given back by a task that listens for it, as long as the lease
/// lives, and for 1024 leases at most.
///
/// # Rights
/// An ACL user needs, on every node, those of [`Redis`] without `+select`, and
/// `+cluster|slots +asking`. The keys are the same.
#[derive(Clone, Debug)]
pub struct RedisCluster {
    nodes: Arc<Nodes>,
    limits: Limits,
    late: Arc<AtomicUsize>,
    server: u64,
    herald: Option<Herald>,
}

/// How far a call may go.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// How long it waits.
    span: Duration,
    /// How many slots of one master it asks at once.
    at_once: usize,
}

impl RedisCluster {
    /// A bus on a channel of this cluster's pub/sub. Caches whose L2 this is tell there of each
    /// change in the same atomic step.
    #[must_use]
    pub fn pubsub(&self, channel: impl Into<Arc<str>>) -> RedisPubSub {
        let channel = channel.into();
        let nodes = Arc::clone(&self.nodes);
        // Any node takes what is published, and the lane of any slot leads to a node that is there.
        let slot = slot(&channel);
        RedisPubSub::on(Arc::new(Lane { nodes, slot }), self.server, channel)
    }

    /// How this cluster's connections are doing.
    #[must_use]
    pub fn connectivity(&self) -> Connectivity {
        self.nodes.connectivity()
    }

    /// The verbs for the keys of one slot.
    fn lane(&self, slot: usize) -> Redis {
        let nodes = Arc::clone(&self.nodes);
        let lane = Arc::new(Lane { nodes, slot });
        Redis::on(lane, self.server, self.herald.clone())
    }
}
