//! What every [`Codec`] must do.

use core::fmt::Debug;

use jetcache_core::Codec;

/// Runs the suite over a codec and some values of your type: empty and full ones, large and odd.
///
/// # Panics
/// At the first rule that is broken.
pub fn run<C: Codec<V>, V: PartialEq + Debug>(codec: &C, values: &[V]) {
    assert!(!values.is_empty(), "the suite needs at least one value");
    for value in values {
        comes_back(codec, value);
        is_appended(codec, value);
        is_not_followed_by_anything(codec, value);
        survives_damage(codec, value);
    }
}

fn encoded<C: Codec<V>, V: Debug>(codec: &C, value: &V) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Err(error) = codec.encode(value, &mut bytes) {
        panic!("{value:?} cannot be encoded: {error}");
    }
    bytes
}

fn comes_back<C: Codec<V>, V: PartialEq + Debug>(codec: &C, value: &V) {
    match codec.decode(&encoded(codec, value)) {
        Ok(read) => assert_eq!(read, *value, "what is decoded must be what was encoded"),
        Err(error) => panic!("{value:?} was encoded and cannot be decoded: {error}"),
    }
}

fn is_appended<C: Codec<V>, V: Debug>(codec: &C, value: &V) {
    let mut bytes = b"header".to_vec();
    assert!(codec.encode(value, &mut bytes).is_ok());
    assert!(
        bytes.starts_with(b"header"),
        "encoding must append to what is there"
    );
    assert_eq!(
        bytes[6..],
        encoded(codec, value),
        "a value must always have the same bytes"
    );
}

fn is_not_followed_by_anything<C: Codec<V>, V: PartialEq + Debug>(codec: &C, value: &V) {
    let mut bytes = encoded(codec, value);
    bytes.push(0xFF);
    if let Ok(read) = codec.decode(&bytes) {
        assert_ne!(read, *value, "bytes after the value must not be overlooked");
    }
}

/// Bytes come from outside: errors and other values are fine, panics are not.
fn survives_damage<C: Codec<V>, V: Debug>(codec: &C, value: &V) {
    let good = encoded(codec, value);
    for len in 0..good.len().min(PLACES) {
        let _ = codec.decode(&good[..len]);
    }
    let mut bytes = good;
    for at in 0..bytes.len().min(PLACES) {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            let _ = codec.decode(&bytes);
            bytes[at] ^= 1 << bit;
        }
    }
}

/// How many bytes of a value are damaged at most: each costs eight decodings.
const PLACES: usize = 2048;
