//! How values become bytes and bytes become values.

use alloc::vec::Vec;

use super::compression::Compression;
use crate::machine::error::BoxError;

/// Writes and reads values of one type.
///
/// `jetcache_adapters::contract::codec` is a test suite that every implementation should pass.
pub trait Codec<V>: Send + Sync + 'static {
    /// The codec's number in the header of every entry. Bytes written under another number are a
    /// miss. Numbers below 128 are this project's; yours start at 128.
    fn id(&self) -> u8;

    /// Appends the encoded value to `out`.
    ///
    /// # Errors
    /// Whatever the format says. An insert hands it to its caller; a load counts it and keeps the
    /// value in L1 only.
    fn encode(&self, value: &V, out: &mut Vec<u8>) -> Result<(), BoxError>;

    /// The value that these bytes hold. They come from outside: it must not panic on any of them.
    ///
    /// # Errors
    /// Whatever the format says. It counts as a miss.
    fn decode(&self, bytes: &[u8]) -> Result<V, BoxError>;

    /// How the encoded values are compressed, and from how many bytes on; not at all unless said
    /// otherwise. Readers need not know: the entry's header says how it was compressed.
    fn compression(&self) -> Option<(&dyn Compression, usize)> {
        None
    }
}
