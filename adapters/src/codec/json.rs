//! JSON: for humans, and for programs in other languages.

use jetcache_core::{BoxError, Codec};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// JSON. Bigger and slower than MessagePack; pick it to read entries with your own eyes.
///
/// Floats that are not finite become `null`, as JSON has no word for them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl<V: Serialize + DeserializeOwned + 'static> Codec<V> for Json {
    fn id(&self) -> u8 {
        2
    }

    fn encode(&self, value: &V, out: &mut Vec<u8>) -> Result<(), BoxError> {
        serde_json::to_writer(out, value)?;
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<V, BoxError> {
        Ok(serde_json::from_slice(bytes)?)
    }
}
