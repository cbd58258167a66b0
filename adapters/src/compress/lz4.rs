//! LZ4: fast, and without unsafe code.

use jetcache_core::{BoxError, Compression};
use lz4_flex::block::{compress_prepend_size, decompress_into, uncompressed_size};

/// LZ4, in blocks after their plain length (four bytes, little-endian), as most LZ4 libraries write
/// and read them: the fastest to read of the three. There is no frame around a block, since the
/// entry's header has a checksum already.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lz4;

impl Compression for Lz4 {
    fn id(&self) -> u8 {
        1
    }

    fn compress(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), BoxError> {
        // The length has four bytes.
        u32::try_from(bytes.len())?;
        out.extend_from_slice(&compress_prepend_size(bytes));
        Ok(())
    }

    fn decompress(&self, bytes: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), BoxError> {
        let (size, block) = uncompressed_size(bytes)?;
        // The length is what the bytes claim: reserve no memory for one that they cannot hold.
        if size > limit.min(block.len().saturating_mul(MOST_A_BYTE)) {
            return Err("longer than it can or may be".into());
        }
        let start = out.len();
        out.resize(start + size, 0);
        match decompress_into(block, &mut out[start..])? {
            written if written == size => Ok(()),
            written => Err(format!("{written} bytes, {size} were promised").into()),
        }
    }
}

/// How many plain bytes one byte of a block can stand for: a length is a sum of bytes, each at most
/// 255.
const MOST_A_BYTE: usize = 255;
