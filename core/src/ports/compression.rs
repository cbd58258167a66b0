//! How bytes become fewer bytes, and the same bytes again.

use alloc::vec::Vec;

use crate::machine::error::BoxError;

/// A way to compress what a codec wrote.
pub trait Compression: Send + Sync + 'static {
    /// The method's number in the header of every entry that it compressed; not 0. Numbers below
    /// 128 are this project's; yours start at 128.
    fn id(&self) -> u8;

    /// Appends the compressed bytes to `out`.
    ///
    /// # Errors
    /// Whatever the method says. The value is then stored as it is.
    fn compress(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), BoxError>;

    /// Appends what was compressed to `out`, at most `limit` bytes of it. The bytes come from
    /// outside: no more memory than that may be reserved, whatever they say, and it must not panic
    /// on any of them.
    ///
    /// # Errors
    /// Bytes that this method did not write, or more than `limit`. It counts as a miss.
    fn decompress(&self, bytes: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), BoxError>;
}
