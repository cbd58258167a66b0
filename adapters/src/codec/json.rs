//! JSON: for humans, and for programs in other languages.

use jetcache_core::{BoxError, Codec};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::survey::Survey;

/// JSON. Bigger and slower than MessagePack; pick it to read entries with your own eyes.
///
/// # What it cannot carry
/// These are an error when they are written: an insert says so, a loaded value stays in L1 only.
/// - Floats that are not finite: JSON has no word for them. All others come back bit for bit.
/// - `Some(None)`, `Some(())` and the like, which would come back as `None`.
/// - What is nested more than 127 deep.
///
/// Types that serde does not read back as they were written (128-bit numbers below
/// `#[serde(flatten)]` or `#[serde(untagged)]`, fields with `#[serde(skip_serializing)]` and no
/// default) are found out when the cache
/// reads its first values back (`Builder::read_back`).
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl<V: Serialize + DeserializeOwned + 'static> Codec<V> for Json {
    fn id(&self) -> u8 {
        2
    }

    fn encode(&self, value: &V, out: &mut Vec<u8>) -> Result<(), BoxError> {
        Survey::new(true).check(value)?;
        serde_json::to_writer(out, value)?;
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<V, BoxError> {
        Ok(serde_json::from_slice(bytes)?)
    }
}
