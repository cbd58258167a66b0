//! A read of a cache: an entry of L2 in either format, its life, its compression and its codec. A codec's
//! panic would be caught by the cache, so the hook ends the process there.

#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use jetcache_adapters::{Compressed, Json, Lz4, MessagePack, Postcard, Raw, Threads, compressions};
use jetcache_core::ports::remote::{Found, Life, Wire};
use jetcache_core::{Blocking, Cache, Codec};
use jetcache_fuzz::mended;
use jetcache_fuzz::row::Row;
use jetcache_fuzz::shelf::Shelf;
use libfuzzer_sys::fuzz_target;

struct Stage {
    shelf: Shelf,
    compressed: Blocking<u8, Row>,
    postcard: Blocking<u8, Row>,
    json: Blocking<u8, Row>,
    go: Blocking<u8, Row>,
    raw: Blocking<u8, String>,
}

static STAGE: LazyLock<Stage> = LazyLock::new(|| {
    let shelf = Shelf::default();
    Stage {
        compressed: cache(&shelf, Compressed::new(MessagePack, Lz4), Wire::Native),
        postcard: cache(&shelf, Postcard, Wire::Native),
        json: cache(&shelf, Json, Wire::Native),
        go: cache(&shelf, MessagePack, Wire::JetcacheGo),
        raw: cache(&shelf, Raw, Wire::JetcacheGo),
        shelf,
    }
});

fn cache<V>(shelf: &Shelf, codec: impl Codec<V>, wire: Wire) -> Blocking<u8, V>
where
    V: Clone + Send + Sync + 'static,
{
    let mut builder = Cache::builder("fuzz", Threads::new())
        .no_local()
        .remote(shelf.clone(), codec)
        .wire(wire)
        .max_value_size(1 << 16);
    for method in compressions() {
        builder = builder.decompress(method);
    }
    let built = builder.build();
    built.expect("these settings go together").blocking()
}

fuzz_target!(|bytes: &[u8]| {
    let Some(([choice, clock @ ..], bytes)) = bytes.split_first_chunk::<9>() else {
        return;
    };
    let clock = u64::from_be_bytes(*clock);
    let native = match choice {
        b'g' | b'r' => None,
        _ => Some(mended(bytes)),
    };
    let life = match (&native, clock % 2) {
        (Some(_), 0) => Life::Clock(clock),
        _ => Life::Left(Duration::from_millis(clock)),
    };
    let bytes = native.unwrap_or_else(|| bytes.to_vec());
    STAGE.shelf.put(Some(Found { bytes, life }));
    match choice {
        b'g' => look(&STAGE.go),
        b'r' => look(&STAGE.raw),
        b'p' => look(&STAGE.postcard),
        b'j' => look(&STAGE.json),
        _ => look(&STAGE.compressed),
    }
});

fn look<V: Clone + Send + Sync + 'static>(cache: &Blocking<u8, V>) {
    let before = cache.cache().stats();
    let found = cache.get(&1);
    let after = cache.cache().stats();
    let counted = after.remote_hits + after.remote_misses + after.undecodable;
    assert!(counted > before.remote_hits + before.remote_misses + before.undecodable);
    assert!(after.remote_hits > before.remote_hits || !found.is_hit());
}
