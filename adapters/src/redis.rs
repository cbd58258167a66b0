//! L2 on Redis and Valkey.

pub(crate) mod answer;
pub(crate) mod connection;
mod event;
mod lanes;
pub(crate) mod lease_key;
mod look;
pub(crate) mod open;
pub(crate) mod pubsub;
mod script;
mod subscription;
mod tracking;
pub(crate) mod verbs;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jetcache_core::ports::remote::Herald;

use crate::redis::connection::line::Line;
pub use crate::redis::connection::tally::Connectivity;
use crate::redis::lanes::Lanes;
use crate::redis::look::reads::Reads;
pub use crate::redis::open::error::OpenError;
pub use crate::redis::open::{RedisBuilder, RedisSentinelBuilder};
pub use crate::redis::pubsub::RedisPubSub;
use crate::redis::script::calls::Calls;
pub use crate::redis::subscription::RedisSubscription;
pub use crate::redis::tracking::RedisTracking;
use crate::redis::verbs::leases::Leases;

/// L2 on Redis 7.0, Valkey 7.2, or later. Clones share their connections.
///
/// ```
/// # mod jetcache_tokio { pub use jetcache_adapters::*; pub use jetcache_core::*; }
/// use jetcache_tokio::Redis;
///
/// // Neither connects: that happens at the first call, and again whenever it must.
/// let plain = Redis::open("redis://user:password@localhost:6379/0")?;
/// let tuned = Redis::builder("rediss://localhost")
///     .connections(4)
///     .client_name("shop")
///     .open()?;
/// # let _ = (plain, tuned);
/// # Ok::<(), jetcache_tokio::redis::OpenError>(())
/// ```
///
/// Where Sentinels say which server is the primary, [`sentinel`](Self::sentinel) takes their
/// addresses.
///
/// # The runtime
/// Each runtime has connections of its own, made by its first calls: tokio's if the call comes
/// from within tokio and this build has `redis-tokio`, else those of smol's global executor if it
/// has `redis-smol`. So one value can be used from several runtimes, at once or one after the
/// other; their connections end with them.
///
/// # Many calls at once
/// A read goes out at once while fewer reads are on their way than there are
/// [connections](RedisBuilder::connections). What more callers ask for meanwhile gathers, whatever caches
/// they ask, and goes out together as soon as one of those is answered, or when it is some 500 keys or
/// half a megabyte of values. So do leases, and so do changes of all kinds, each by themselves and up to 128 at
/// a time, or 64 KiB. Each caller keeps its own timeout and its own answer, and what is big goes by itself.
///
/// # When the server is away
/// A call that finds no connection tries to make one, or joins the attempt under way; there is no
/// back-off, so the first call after the server is back succeeds. A call whose connection breaks is
/// sent once more on a new one if that does no harm: read, release, remove, unload, raise, news and ensure. The others are
/// never sent twice.
///
/// # When another server takes over
/// A promoted replica may lack the last changes, and so may a server that was restarted from an older
/// snapshot. Either is recognised by its run id when a connection is made, or by being the master of
/// slots of a cluster for the first time; what the cache does then is said at
/// [`failover_window`](jetcache_core::Builder::failover_window). The older connections end.
///
/// # When the server refuses
/// A server that answers an attempt to connect with a refusal (a wrong password, too many clients)
/// is tried again after a pause, which grows from 50 ms to 2 s and is one for all connections to it;
/// calls meanwhile answer at once what the server said. One that turns out to be a replica is
/// connected to anew at once, since its name may lead to the new primary, and then after pauses of
/// the same kind; it goes on answering reads. While the user may not run scripts,
/// [`lease`](jetcache_core::Remote::lease) is refused without asking, but for one try a pause.
///
/// # When the server is silent
/// A connection whose peer takes commands and answers nothing is replaced within seconds, after as
/// many calls as find no answer until then: see [`answer_timeout`](RedisBuilder::answer_timeout).
/// [`connectivity`](Self::connectivity) counts such connections, and what they owe. A server that
/// stands still is dialled by one attempt at a time on each connection.
///
/// # What dropping a call does
/// The waiting stops. A command that was already written to the connection is still carried out,
/// maybe late, and so may be one that waits in the connection's queue. The cache's protocol is made
/// for that.
///
/// # When the server is full
/// A load holds a lease, a small key of a few seconds, while it loads. `maxmemory-policy` should
/// spare it: `allkeys-lru` and `volatile-lru` do. `volatile-ttl` and the LFU policies evict leases
/// first, since they end soonest and are hardly used; then what is loaded is not stored in L2. L1
/// keeps it all the same if there is a bus, and for a second at a time if there is none and most
/// fills are refused ([`Stats::refused_fills`](jetcache_core::Stats::refused_fills)). With
/// `noeviction` an insert answers [`Reach::NotStored`](jetcache_core::Reach::NotStored).
///
/// A cache remembers what was removed by tag, or cleared, in two keys without a TTL. `noeviction` and the
/// `volatile-*` policies never evict them. If another one does, the cache is cleared once: see the
/// [guide to tags](jetcache_core::guide::tags).
///
/// # Rights
/// An ACL user needs these commands, the scripts' among them:
/// `+mget +get +set +del +pttl +time +getrange +setrange +evalsha +script|load`, in the native format
/// `+zadd +zrange +zrem +zscore` for the log of what was removed by tag and cleared (without them nothing
/// in L2 is believed, since nobody could know what was cleared), better with
/// `+pexpire` (without it what is [unchanged](jetcache_core::Load::unchanged) is sent again) and
/// `+pexpiretime` (without it the server logs denials, and the same bytes stored again pass for those
/// before: what Go sets after it deleted a key goes with it if a load stored the same within a
/// minute before) and with `+info` (without it, and with a denial in the server's log at each connection,
/// a server that took over is not recognised, unless Sentinels name another address, and what it has lost
/// stays lost; a cache whose
/// [`failover_window`](jetcache_core::Builder::failover_window) is zero does not need it), `+multi +exec` in the jetcache-go format, `+select` if the URL names a database, and
/// `+client|setname` for the name in `CLIENT LIST` (without it the connection has none). It needs
/// these keys, for a cache named `ns`: `~ns:*` for the values and `~{ns:*` for their leases and
/// marks and for the log of what was raised; values whose keys have a `}` and no hash tag have leases like `{42}ns:...#lease`, for
/// which no narrow pattern exists: `~{*}ns:*`.
///
/// A bus needs more: [`RedisPubSub`] `+publish +subscribe +ping` and `&channel`, and
/// [`RedisTracking`] `+client|tracking +ping`. Without the right to publish there, changes stand
/// and nobody is told of them.
#[derive(Clone, Debug)]
pub struct Redis {
    line: Arc<dyn Line>,
    /// What goes together, if anything does.
    lanes: Option<Arc<Together>>,
    server: u64,
    herald: Option<Herald>,
}

/// The lanes of what callers ask for at once.
#[derive(Debug)]
struct Together {
    reads: Lanes<Reads>,
    leases: Lanes<Leases>,
    calls: Lanes<Calls>,
}

impl Together {
    fn new(line: &Arc<dyn Line>, connections: usize) -> Self {
        Self {
            reads: Lanes::new(line, connections),
            leases: Lanes::new(line, connections),
            calls: Lanes::new(line, connections),
        }
    }
}

impl Redis {
    /// The verbs over a line: to one server, or to one slot of a cluster.
    pub(crate) fn on(line: Arc<dyn Line>, server: u64, herald: Option<Herald>) -> Self {
        Self {
            line,
            lanes: None,
            server,
            herald,
        }
    }

    /// The verbs over so many connections to one server.
    fn over(line: Arc<dyn Line>, connections: usize) -> Self {
        Self {
            lanes: Some(Arc::new(Together::new(&line, connections))),
            ..Self::on(line, number(), None)
        }
    }

    /// How this server's connections are doing.
    #[must_use]
    pub fn connectivity(&self) -> Connectivity {
        self.line.connectivity()
    }

    fn line(&self) -> &dyn Line {
        &*self.line
    }
}

/// A number that no other L2 of this process has. A bus with the same number is on the same server.
pub(crate) fn number() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    COUNT.fetch_add(1, Ordering::Relaxed)
}
