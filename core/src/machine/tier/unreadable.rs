//! Why what stands in L2 cannot be read.

use core::fmt;

use crate::machine::counted::Arc;
use crate::machine::tier::envelope::Junk;
use crate::machine::tier::names;

/// Why an entry of L2 cannot be read by this cache. To a caller it is a miss.
///
/// Its text says what the entry is, and what to do about it where something can be done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unreadable {
    /// It is no entry of this project's format: somebody else has written it.
    Foreign,
    /// A version of this project has written it that this one cannot read: a newer one.
    Version(u8),
    /// It is an entry, and damaged: its checksum does not fit, or its header makes no sense.
    Damaged,
    /// Another codec has written it than the one that this cache has.
    Codec {
        /// The number of the one that has written it.
        written: u8,
        /// The number of this cache's.
        ours: u8,
    },
    /// It is compressed by a method that this cache does not have.
    Compression(u8),
    /// The method of this number could not decompress it, or it is longer than `max_value_size`.
    Decompress {
        /// The method's number.
        compression: u8,
        /// What the method says.
        why: Arc<str>,
    },
    /// It is longer than the cache's `max_value_size`.
    TooLarge {
        /// Its length in bytes, decompressed.
        size: usize,
        /// The longest that is allowed, in bytes.
        limit: usize,
    },
    /// The codec could not decode it.
    Decode {
        /// The codec's number.
        codec: u8,
        /// What the codec says.
        why: Arc<str>,
    },
    /// The codec or the decompression panicked.
    Panicked(Arc<str>),
    /// The last byte of a MessagePack value of jetcache-go must be 0 or 1. This one's is another, or
    /// there is none.
    Trailer(Option<u8>),
    /// The store did not say how much is left of its life.
    NoLife,
}

impl From<Junk> for Unreadable {
    fn from(junk: Junk) -> Self {
        match junk {
            Junk::Foreign => Self::Foreign,
            Junk::Version(version) => Self::Version(version),
            Junk::Damaged => Self::Damaged,
        }
    }
}

/// As its text.
#[cfg(feature = "serde")]
impl serde::Serialize for Unreadable {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str(
                "it is no entry of this cache's format: something else writes these keys, or nodes \
                 differ in their `wire`",
            ),
            Self::Version(version) => write!(
                f,
                "it was written by version {version} of the format, which is newer: update this node"
            ),
            Self::Damaged => f.write_str("it is damaged: its checksum or its header is wrong"),
            Self::Codec { written, ours } => write!(
                f,
                "it was written by the codec {}, and this cache has {}: give all nodes the same codec",
                Codec(*written),
                Codec(*ours)
            ),
            Self::Compression(id) => missing(f, *id),
            Self::Decompress { compression, why } => {
                write!(
                    f,
                    "{} cannot decompress it: {why}",
                    Compression(*compression)
                )
            }
            Self::TooLarge { size, limit } => write!(
                f,
                "it has {size} bytes, more than max_value_size ({limit}): raise the limit, or store less"
            ),
            Self::Decode { codec, why } => write!(f, "{} cannot decode it: {why}", Codec(*codec)),
            Self::Panicked(message) => write!(f, "the codec panicked: {message}"),
            Self::Trailer(Some(byte)) => write!(
                f,
                "its last byte is {byte:#04x}, and jetcache-go's MessagePack ends in 0x00 or 0x01: \
                 another codec has written it, or nodes differ in their `wire`"
            ),
            Self::Trailer(None) => {
                f.write_str("it is empty, as what jetcache-go sets without a value")
            }
            Self::NoLife => f.write_str("the store does not say how long it lives"),
        }
    }
}

/// This cache lacks a compression.
fn missing(f: &mut fmt::Formatter<'_>, id: u8) -> fmt::Result {
    let by = Compression(id);
    match names::feature(id) {
        Some(feature) => write!(
            f,
            "it is compressed by {by}, which this node lacks: turn on the feature `{feature}`, or give \
             the builder `decompress`"
        ),
        None => write!(
            f,
            "it is compressed by {by}, which this node lacks: give the builder `decompress`"
        ),
    }
}

/// A codec by its number.
pub(crate) struct Codec(pub(crate) u8);

/// A compression by its number.
pub(crate) struct Compression(pub(crate) u8);

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        numbered(f, self.0, names::codec(self.0))
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        numbered(f, self.0, names::compression(self.0))
    }
}

fn numbered(f: &mut fmt::Formatter<'_>, id: u8, name: Option<&str>) -> fmt::Result {
    match name {
        Some(name) => f.write_str(name),
        None if id >= names::FIRST_OF_USERS => write!(f, "number {id} (a user's own)"),
        None => write!(f, "number {id}"),
    }
}
