//! The node's caches, as its options want them.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jetcache_tokio::{
    Builder, Json, LruLocal, Memory, MessagePack, Moka, Node, Postcard, QuickCache, Redis,
    RedisCluster,
};

use crate::args::{Bound, Bus, Codec, Local, Options, Remote};
use crate::object::Object;

/// The namespace of the node's own cache, unless an option says otherwise.
pub(crate) const NAMESPACE: &str = "node";

type Objects = Builder<String, Arc<Object>>;

/// Gives the node its L2 and its bus.
///
/// # Errors
/// What in the options cannot work.
pub(crate) fn connect(node: Node, options: &Options) -> Result<Node, Box<dyn Error>> {
    let read = |file: &PathBuf| {
        fs::read(file).map_err(|error| format!("--ca {}: {error}", file.display()))
    };
    let authorities = options.authorities.as_ref().map(read).transpose()?;
    let node = match &options.source_id {
        None => node,
        Some(name) => node.source_id(name),
    };
    Ok(match &options.remote {
        Remote::Memory => node.remote(Memory::new()),
        Remote::Redis(url) => {
            let mut redis = Redis::builder(url);
            if let Some(pem) = authorities {
                redis = redis.authorities(pem);
            }
            with_redis(node, redis.open()?, options)
        }
        Remote::Sentinel(group, sentinels) => {
            let mut redis = Redis::sentinel(group.as_str(), sentinels);
            if let Some(pem) = authorities {
                redis = redis.tls().authorities(pem);
            }
            with_redis(node, redis.open()?, options)
        }
        Remote::Cluster(urls) => {
            let mut cluster = RedisCluster::builder(urls);
            if let Some(pem) = authorities {
                cluster = cluster.authorities(pem);
            }
            if let Some(timeout) = options.remote_timeout {
                cluster = cluster.slot_timeout(within(timeout));
            }
            let cluster = cluster.open()?;
            let node = match &options.bus {
                None => node,
                Some(Bus::PubSub(channel)) => node.bus(cluster.pubsub(channel.as_str())),
                // A single server of it cannot see them all: the cache says so.
                Some(Bus::Tracking) => {
                    let url = urls.first().map_or("", String::as_str);
                    node.bus(Redis::open(url)?.tracking())
                }
            };
            node.remote(cluster)
        }
    })
}

fn with_redis(node: Node, redis: Redis, options: &Options) -> Node {
    let node = match &options.bus {
        None => node,
        Some(Bus::PubSub(channel)) => node.bus(redis.pubsub(channel.as_str())),
        Some(Bus::Tracking) => node.bus(redis.tracking()),
    };
    node.remote(redis)
}

/// A cache of the node, still without its loader.
pub(crate) fn builder(node: &Node, namespace: &str, options: &Options) -> Objects {
    let builder = match options.codec {
        Codec::MessagePack => node.cache(namespace, MessagePack),
        Codec::Json => node.cache(namespace, Json),
        Codec::Postcard => node.cache(namespace, Postcard),
    };
    with_settings(with_local(builder, options), options)
}

fn with_local(builder: Objects, options: &Options) -> Objects {
    let builder = match (options.local, options.bound) {
        (Local::Off, _) => return builder.no_local(),
        (Local::Moka, Bound::Bytes(bytes)) => return builder.local(Moka::weighing(bytes, weigh)),
        (_, Bound::Bytes(bytes)) => return builder.local(QuickCache::weighing(bytes, weigh)),
        (Local::Quick, _) => {
            builder.default_engine(|capacity| Arc::new(QuickCache::new(capacity.get())))
        }
        (Local::Moka, _) => builder.default_engine(|capacity| Arc::new(Moka::new(capacity.get()))),
        (Local::Lru, _) => builder.default_engine(|capacity| Arc::new(LruLocal::new(capacity))),
    };
    match options.bound {
        Bound::Entries(entries) => builder.capacity(entries),
        Bound::Usual | Bound::Bytes(_) => builder,
    }
}

fn with_settings(builder: Objects, options: &Options) -> Objects {
    let mut builder = builder.wire(options.wire);
    if let Some(bytes) = options.max_value {
        builder = builder.max_value_size(bytes);
    }
    if let Some(loads) = options.max_loads {
        builder = builder.max_loads(loads, Duration::from_secs(1));
    }
    if let Some(hits) = options.check_one_in {
        builder = builder.check_one_in(hits);
    }
    if options.eager {
        builder = builder.eager();
    }
    if let Some(percent) = options.jitter {
        builder = builder.jitter(percent, MOST_JITTER);
    }
    type Setting = fn(Objects, Duration) -> Objects;
    let spans: [(Option<Duration>, Setting); 13] = [
        (options.stale, Builder::stale_for),
        (options.stale_retry, Builder::stale_retry),
        (options.soft_timeout, Builder::soft_timeout),
        (options.ttl, Builder::ttl),
        (options.local_ttl, Builder::local_ttl),
        (options.negative_ttl, Builder::negative_ttl),
        (options.remote_timeout, Builder::remote_timeout),
        (options.load_timeout, Builder::load_timeout),
        (options.lease, Builder::lease),
        (options.lease_wait, Builder::lease_wait),
        (options.blind_local_ttl, Builder::blind_local_ttl),
        (options.refresh, Builder::refresh_every),
        (options.stop_refresh, Builder::stop_refresh_after),
    ];
    for (span, set) in spans {
        if let Some(span) = span {
            builder = set(builder, span);
        }
    }
    builder
}

/// What slots may take so that those that answer are not lost to those that do not.
fn within(remote_timeout: Duration) -> Duration {
    // Zero is refused by the cache, in its own words.
    (remote_timeout * 4 / 5).max(Duration::from_millis(1))
}

/// About what an entry takes: its texts, and what surrounds them.
#[expect(
    clippy::ptr_arg,
    reason = "an engine hands its weigher the key as it is"
)]
fn weigh(key: &String, object: Option<&Arc<Object>>) -> u64 {
    let texts = key.len() + object.map_or(0, |object| object.str.len());
    texts as u64 + AROUND
}

/// What an entry takes beside its texts, in bytes.
const AROUND: u64 = 100;
const MOST_JITTER: Duration = Duration::from_secs(10);
