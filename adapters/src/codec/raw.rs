//! Strings and bytes as they are.

use std::sync::Arc;

use jetcache_core::{BoxError, Codec};

/// Stores strings and bytes as they are: for `String`, `Box<str>`, `Arc<str>`, `Arc<String>`,
/// `Vec<u8>`, `Box<[u8]>`, `Arc<[u8]>` and `Arc<Vec<u8>>`.
///
/// ```
/// # mod jetcache_tokio { pub use jetcache_adapters::*; pub use jetcache_core::*; }
/// use std::sync::Arc;
///
/// use jetcache_tokio::{Codec, Raw};
///
/// let page: Arc<str> = Raw.decode(b"<html>")?;
/// assert_eq!(&*page, "<html>");
/// # Ok::<(), jetcache_tokio::BoxError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw;

/// What [`Raw`] stores: something that is bytes, and can be made of bytes.
pub trait Plain: Sized + 'static {
    /// The bytes.
    fn bytes(&self) -> &[u8];
    /// The value made of these bytes.
    ///
    /// # Errors
    /// A string's bytes that are not UTF-8.
    fn parse(bytes: &[u8]) -> Result<Self, BoxError>;
}

impl<V: Plain> Codec<V> for Raw {
    fn id(&self) -> u8 {
        4
    }

    fn encode(&self, value: &V, out: &mut Vec<u8>) -> Result<(), BoxError> {
        out.extend_from_slice(value.bytes());
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<V, BoxError> {
        V::parse(bytes)
    }
}

impl Plain for String {
    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }

    fn parse(bytes: &[u8]) -> Result<Self, BoxError> {
        Ok(str::from_utf8(bytes)?.into())
    }
}

impl Plain for Box<str> {
    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }

    fn parse(bytes: &[u8]) -> Result<Self, BoxError> {
        Ok(str::from_utf8(bytes)?.into())
    }
}

impl Plain for Arc<str> {
    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }

    fn parse(bytes: &[u8]) -> Result<Self, BoxError> {
        Ok(str::from_utf8(bytes)?.into())
    }
}

impl Plain for Arc<String> {
    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }

    fn parse(bytes: &[u8]) -> Result<Self, BoxError> {
        String::parse(bytes).map(Self::new)
    }
}

impl Plain for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn parse(bytes: &[u8]) -> Result<Self, BoxError> {
        Ok(bytes.into())
    }
}

impl Plain for Box<[u8]> {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn parse(bytes: &[u8]) -> Result<Self, BoxError> {
        Ok(bytes.into())
    }
}

impl Plain for Arc<[u8]> {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn parse(bytes: &[u8]) -> Result<Self, BoxError> {
        Ok(bytes.into())
    }
}

impl Plain for Arc<Vec<u8>> {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn parse(bytes: &[u8]) -> Result<Self, BoxError> {
        Ok(Self::new(bytes.into()))
    }
}
