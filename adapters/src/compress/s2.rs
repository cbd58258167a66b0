//! S2: Snappy's heir, and jetcache-go's choice.

use jetcache_core::{BoxError, Compression};
use minlz::s2::{decode_into, decode_len, encode};

/// S2, in blocks: what jetcache-go compresses with. Snappy's blocks are read too.
#[derive(Clone, Copy, Debug, Default)]
pub struct S2;

impl Compression for S2 {
    fn id(&self) -> u8 {
        3
    }

    fn compress(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), BoxError> {
        // A block's length has at most four bytes.
        u32::try_from(bytes.len())?;
        out.extend_from_slice(&encode(bytes));
        Ok(())
    }

    fn decompress(&self, bytes: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), BoxError> {
        // A few bytes may stand for many MiB, so only the limit says what is too much.
        let (size, _) = decode_len(bytes)?;
        if size > limit {
            return Err("longer than it may be".into());
        }
        let start = out.len();
        out.resize(start + size, 0);
        decode_into(&mut out[start..], bytes)?;
        Ok(())
    }
}
