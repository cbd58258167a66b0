//! A codec whose bytes are compressed.

use jetcache_core::{BoxError, Codec, Compression};

/// What another codec writes, compressed: `Compressed::new(MessagePack, Lz4)`.
///
/// Only the writer chooses. Each entry says how it was compressed, so readers need the method's
/// feature and no configuration: a node with another method, or with none, reads it all the same,
/// and the codec's number stays what it was. What would not become shorter is stored as it is.
///
/// ```
/// # mod jetcache_tokio { pub use jetcache_adapters::*; pub use jetcache_core::*; }
/// # #[cfg(feature = "lz4")]
/// # {
/// use jetcache_tokio::{Codec, Compressed, Lz4, Raw};
///
/// let codec = Compressed::new(Raw, Lz4).above(4096);
/// assert_eq!(Codec::<String>::id(&codec), Codec::<String>::id(&Raw));
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Compressed<C, M> {
    codec: C,
    method: M,
    above: usize,
}

impl<C, M> Compressed<C, M> {
    /// What `codec` writes, compressed by `method` above 1024 bytes.
    #[must_use]
    pub const fn new(codec: C, method: M) -> Self {
        Self {
            codec,
            method,
            above: DEFAULT_ABOVE,
        }
    }

    /// Compresses what is longer than `bytes`. Default: 1024; shorter values gain little, and each
    /// costs a compression and, at every read from L2, a decompression.
    #[must_use]
    pub const fn above(mut self, bytes: usize) -> Self {
        self.above = bytes;
        self
    }
}

impl<V, C: Codec<V>, M: Compression> Codec<V> for Compressed<C, M> {
    fn id(&self) -> u8 {
        self.codec.id()
    }

    fn encode(&self, value: &V, out: &mut Vec<u8>) -> Result<(), BoxError> {
        self.codec.encode(value, out)
    }

    fn decode(&self, bytes: &[u8]) -> Result<V, BoxError> {
        self.codec.decode(bytes)
    }

    fn compression(&self) -> Option<(&dyn Compression, usize)> {
        Some((&self.method, self.above.saturating_add(1)))
    }
}

const DEFAULT_ABOVE: usize = 1024;
