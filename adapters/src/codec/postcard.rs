//! Postcard: the smallest bytes, for types that do not change.

use jetcache_core::{BoxError, Codec};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Postcard. The bytes carry neither names nor types: entries that an older version of a type
/// wrote may be read as nonsense, so change the cache's name with the type. Nor is there a bound to
/// depth: bytes that a stranger wrote can overflow the stack if the type contains itself.
///
/// # What it cannot carry
/// Types that must see what comes: `#[serde(tag)]`, `#[serde(untagged)]`, `#[serde(flatten)]`,
/// `serde_json::Value`. And types that leave something out, `#[serde(skip_serializing_if)]` or
/// `#[serde(skip_serializing)]`: what follows would be read as another field. They are found out when
/// the cache reads its first values back (`Builder::read_back`).
#[derive(Clone, Copy, Debug, Default)]
pub struct Postcard;

impl<V: Serialize + DeserializeOwned + 'static> Codec<V> for Postcard {
    fn id(&self) -> u8 {
        3
    }

    fn encode(&self, value: &V, out: &mut Vec<u8>) -> Result<(), BoxError> {
        *out = postcard::to_extend(value, core::mem::take(out))?;
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<V, BoxError> {
        match postcard::take_from_bytes(bytes)? {
            (value, []) => Ok(value),
            (_, rest) => Err(format!("{} bytes after the value", rest.len()).into()),
        }
    }
}
