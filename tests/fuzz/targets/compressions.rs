//! What was compressed: no more comes out than may.

#![no_main]

use jetcache_adapters::{Lz4, S2, Zstd};
use jetcache_core::Compression;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, bytes)) = bytes.split_first() else {
        return;
    };
    match choice {
        b'4' => unpack(&Lz4, bytes),
        b'z' => unpack(&Zstd::new(), bytes),
        _ => unpack(&S2, bytes),
    }
});

fn unpack(method: &impl Compression, bytes: &[u8]) {
    for limit in [0, 100, 1 << 16] {
        let mut plain = Vec::new();
        if method.decompress(bytes, limit, &mut plain).is_ok() {
            assert!(plain.len() <= limit, "{} of {limit}", plain.len());
        }
        assert!(plain.capacity() <= limit.max(64) * 2);
    }
    let (mut packed, mut plain) = (Vec::new(), Vec::new());
    let done = method.compress(bytes, &mut packed);
    assert!(done.is_ok(), "{bytes:?} cannot be compressed");
    let done = method.decompress(&packed, bytes.len(), &mut plain);
    assert!(
        done.is_ok() && plain == bytes,
        "{bytes:?} does not come back"
    );
}
