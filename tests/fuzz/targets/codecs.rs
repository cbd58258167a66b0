//! The codecs. What one can read it can write, and reads that as the same again.

#![no_main]

use std::collections::BTreeMap;
use std::fmt::Debug;

use jetcache_adapters::{Json, MessagePack, Postcard};
use jetcache_core::Codec;
use jetcache_fuzz::row::{Dated, Row};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, bytes)) = bytes.split_first() else {
        return;
    };
    match choice {
        b'm' => {
            every(&MessagePack, bytes);
            read::<Dated>(&MessagePack, bytes);
        }
        b'p' => every(&Postcard, bytes),
        _ => every(&Json, bytes),
    }
});

fn every<C>(codec: &C, bytes: &[u8])
where
    C: Codec<Row> + Codec<String> + Codec<u64> + Codec<Vec<Option<i16>>>,
    C: Codec<BTreeMap<String, f32>> + Codec<(bool, char, Vec<u8>)>,
{
    read::<Row>(codec, bytes);
    read::<String>(codec, bytes);
    read::<u64>(codec, bytes);
    read::<Vec<Option<i16>>>(codec, bytes);
    read::<BTreeMap<String, f32>>(codec, bytes);
    read::<(bool, char, Vec<u8>)>(codec, bytes);
}

fn read<V: Debug>(codec: &impl Codec<V>, bytes: &[u8]) {
    let Ok(value) = codec.decode(bytes) else {
        return;
    };
    let (mut once, mut again) = (Vec::new(), Vec::new());
    if let Err(error) = codec.encode(&value, &mut once) {
        panic!("{value:?} was read and cannot be written: {error}");
    }
    match codec.decode(&once) {
        Ok(value) => {
            let written = codec.encode(&value, &mut again);
            assert!(written.is_ok() && once == again, "{value:?} changes");
        }
        Err(error) => panic!("{value:?} was written and cannot be read: {error}"),
    }
}
