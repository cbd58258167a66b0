//! Zstandard: the smallest bytes.

use std::cell::RefCell;
use std::io::Cursor;

use jetcache_core::{BoxError, Compression};
use zstd::bulk::{Decompressor, compress};
use zstd::decompressed_size;

/// Zstandard, in frames that record their plain length: the smallest bytes of the three, and the
/// one with a choice between speed and size.
///
/// ```
/// # mod jetcache_tokio { pub use jetcache_adapters::*; pub use jetcache_core::*; }
/// use jetcache_tokio::{Compressed, Raw, Zstd};
///
/// let codec = Compressed::new(Raw, Zstd::new().level(9));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Zstd {
    level: i32,
}

impl Zstd {
    /// Zstandard at level 3.
    #[must_use]
    pub const fn new() -> Self {
        Self { level: 3 }
    }

    /// How hard to try: 1 is quick, 22 is slow and takes memory, below 0 compresses less and less;
    /// what is beyond the method's own bounds is taken as the bound. Whatever wrote an entry, any
    /// level reads it.
    #[must_use]
    pub const fn level(mut self, level: i32) -> Self {
        self.level = level;
        self
    }
}

impl Default for Zstd {
    fn default() -> Self {
        Self::new()
    }
}

impl Compression for Zstd {
    fn id(&self) -> u8 {
        2
    }

    fn compress(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), BoxError> {
        out.extend_from_slice(&compress(bytes, self.level)?);
        Ok(())
    }

    /// The frame is unpacked straight into `out`. A stream would need the window that the frame
    /// asks for, which may be far larger.
    fn decompress(&self, bytes: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), BoxError> {
        let size = decompressed_size(bytes).ok_or("not a frame that records its length")?;
        let size = usize::try_from(size)?;
        if size > limit.min(bytes.len().saturating_mul(MOST_A_BYTE)) {
            return Err("longer than it can or may be".into());
        }
        let start = out.len();
        out.reserve_exact(size);
        let mut rest = Cursor::new(out);
        rest.set_position(u64::try_from(start)?);
        let unpacked = UNPACKER.with_borrow_mut(|u| u.decompress_to_buffer(bytes, &mut rest))?;
        match unpacked {
            written if written == size => Ok(()),
            written => Err(format!("{written} bytes, {size} were promised").into()),
        }
    }
}

thread_local! {
    /// Kept, since making one takes six times as long as unpacking a small value. It takes 94 KiB,
    /// whatever the frames; a compressor would keep as much as its largest value took, so none is
    /// kept.
    static UNPACKER: RefCell<Decompressor<'static>> = RefCell::default();
}

/// How many plain bytes one byte of a frame can stand for: a block of four bytes stands for at most
/// 128 KiB.
const MOST_A_BYTE: usize = 32 << 10;
