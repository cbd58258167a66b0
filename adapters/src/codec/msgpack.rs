//! MessagePack with named fields: compact, and readable after fields were added.

use jetcache_core::{BoxError, Codec};
use rmp_serde::Serializer;
use rmp_serde::decode::Deserializer;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::survey::{DEPTH, Survey};

/// The default codec: MessagePack with the fields' names, so that a struct may gain fields
/// (`#[serde(default)]`) and lose them without its old entries becoming misses.
///
/// ```
/// # mod jetcache_tokio { pub use jetcache_adapters::*; pub use jetcache_core::*; }
/// use jetcache_tokio::{Codec, MessagePack};
///
/// let mut bytes = Vec::new();
/// MessagePack.encode(&(7, "seven".to_string()), &mut bytes)?;
/// let pair: (u32, String) = MessagePack.decode(&bytes)?;
/// assert_eq!(pair, (7, "seven".to_string()));
/// # Ok::<(), jetcache_tokio::BoxError>(())
/// ```
///
/// Bytes in a field are read from MessagePack's binary and from arrays of numbers. serde writes a
/// `Vec<u8>` as the latter, which is longer and which Go does not read into a `[]byte`; with
/// `#[serde(with = "serde_bytes")]` it is binary. For times, see
/// [`msgpack_time`](crate::msgpack_time).
///
/// # What it cannot carry
/// These are an error when they are written: an insert says so, a loaded value stays in L1 only.
/// - `Some(None)`, `Some(())` and the like, which would come back as `None`.
/// - What is nested more than 127 deep.
///
/// Types that serde does not read back as they were written (`IpAddr` and 128-bit numbers below
/// `#[serde(flatten)]`, `#[serde(tag)]` or `#[serde(untagged)]`, fields with
/// `#[serde(skip_serializing)]` and no default) are found out when the cache
/// reads its first values back (`Builder::read_back`).
#[derive(Clone, Copy, Debug, Default)]
pub struct MessagePack;

impl<V: Serialize + DeserializeOwned + 'static> Codec<V> for MessagePack {
    fn id(&self) -> u8 {
        1
    }

    fn encode(&self, value: &V, out: &mut Vec<u8>) -> Result<(), BoxError> {
        Survey::new(false).check(value)?;
        value.serialize(&mut Serializer::new(out).with_struct_map())?;
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<V, BoxError> {
        // The reader that borrows does not say where it stopped; this one's slice is what is left.
        let mut reader = Deserializer::new(bytes);
        // A deep value needs much of the stack: bytes from outside must not overflow it.
        reader.set_max_depth(READ_DEPTH);
        let value = V::deserialize(&mut reader)?;
        match reader.get_ref() {
            [] => Ok(value),
            rest => Err(format!("{} bytes after the value", rest.len()).into()),
        }
    }
}

/// The reader counts some levels twice: a variant is a map and what stands in it.
const READ_DEPTH: usize = DEPTH as usize * 2 + 2;
