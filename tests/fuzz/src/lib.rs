//! What the targets share: the values that are read, and an L2 that holds whatever it is given.

pub mod row;
pub mod shelf;

use jetcache_core::machine::tier::envelope::{HEADER, seal};
use std::time::Duration;

/// An entry whose checksum fits, so that what stands behind it is reached; its times stay.
#[must_use]
pub fn mended(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let millis = |at: usize| bytes.get(at..at + 8).and_then(|eight| eight.first_chunk());
    if bytes.len() >= HEADER
        && let (Some(life), Some(stale)) = (millis(16), millis(24))
    {
        let [life, stale] = [life, stale].map(|eight| u64::from_be_bytes(*eight));
        let [life, stale] = [life, stale].map(Duration::from_millis);
        seal(&mut bytes, life, stale);
    }
    bytes
}
