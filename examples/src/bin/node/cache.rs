//! The node's cache, as its options want it.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jetcache_tokio::{
    Builder, Cache, Json, LruLocal, Memory, MessagePack, Moka, Postcard, QuickCache, Redis,
    RedisCluster,
};

use crate::args::{Bound, Codec, Local, Options, Remote};
use crate::object::Object;

/// The cache's name.
pub(crate) const NAME: &str = "node";

type Objects = Builder<String, Arc<Object>>;

/// # Errors
/// What in the options cannot work.
pub(crate) fn build(
    builder: Objects,
    options: &Options,
) -> Result<Cache<String, Arc<Object>>, Box<dyn Error>> {
    let builder = with_local(builder, options);
    let builder = with_remote(builder, options)?;
    Ok(with_settings(builder, options).build()?)
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

fn with_remote(builder: Objects, options: &Options) -> Result<Objects, Box<dyn Error>> {
    let read = |file: &PathBuf| {
        fs::read(file).map_err(|error| format!("--ca {}: {error}", file.display()))
    };
    let authorities = options.authorities.as_ref().map(read).transpose()?;
    Ok(match &options.remote {
        Remote::Memory => with_codec(builder, Memory::new(), options.codec),
        Remote::Redis(url) => {
            let mut redis = Redis::builder(url);
            if let Some(pem) = authorities {
                redis = redis.authorities(pem);
            }
            with_codec(builder, redis.open()?, options.codec)
        }
        Remote::Cluster(urls) => {
            let mut cluster = RedisCluster::builder(urls);
            if let Some(pem) = authorities {
                cluster = cluster.authorities(pem);
            }
            if let Some(timeout) = options.remote_timeout {
                cluster = cluster.slot_timeout(within(timeout));
            }
            with_codec(builder, cluster.open()?, options.codec)
        }
    })
}

fn with_codec(builder: Objects, remote: impl jetcache_tokio::Remote, codec: Codec) -> Objects {
    match codec {
        Codec::MessagePack => builder.remote(remote, MessagePack),
        Codec::Json => builder.remote(remote, Json),
        Codec::Postcard => builder.remote(remote, Postcard),
    }
}

/// What slots may take so that those that answer are not lost to those that do not.
fn within(remote_timeout: Duration) -> Duration {
    // Zero is refused by the cache, in its own words.
    (remote_timeout * 4 / 5).max(Duration::from_millis(1))
}

fn with_settings(builder: Objects, options: &Options) -> Objects {
    let mut builder = builder.wire(options.wire);
    if let Some(bytes) = options.max_value {
        builder = builder.max_value_size(bytes);
    }
    if let Some(namespace) = &options.namespace {
        builder = builder.namespace(namespace);
    }
    if let Some(percent) = options.jitter {
        builder = builder.jitter(percent, MOST_JITTER);
    }
    type Setting = fn(Objects, Duration) -> Objects;
    let spans: [(Option<Duration>, Setting); 7] = [
        (options.ttl, Builder::ttl),
        (options.local_ttl, Builder::local_ttl),
        (options.negative_ttl, Builder::negative_ttl),
        (options.remote_timeout, Builder::remote_timeout),
        (options.load_timeout, Builder::load_timeout),
        (options.lease, Builder::lease),
        (options.lease_wait, Builder::lease_wait),
    ];
    for (span, set) in spans {
        if let Some(span) = span {
            builder = set(builder, span);
        }
    }
    builder
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
