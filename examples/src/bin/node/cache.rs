//! The node's cache, as its options want it.

use std::error::Error;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use jetcache_tokio::{Builder, Cache, LruLocal, Memory, MessagePack, Moka, QuickCache, Redis};

use crate::args::{Bound, Local, Options};
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
    let Some(url) = &options.redis else {
        return Ok(builder.remote(Memory::new(), MessagePack));
    };
    let mut redis = Redis::builder(url);
    if let Some(file) = &options.authorities {
        let pem = fs::read(file).map_err(|error| format!("--ca {}: {error}", file.display()))?;
        redis = redis.authorities(pem);
    }
    Ok(builder.remote(redis.open()?, MessagePack))
}

fn with_settings(mut builder: Objects, options: &Options) -> Objects {
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
