//! The formats of L2's bytes.

use alloc::vec::Vec;

/// How entries are written in L2. All nodes that share keys use the same one.
///
/// | | native | jetcache-go |
/// |---|---|---|
/// | what is left of a life | the entry's own end, read with one `TIME` | `PTTL`, a key |
/// | not found | a kind of header | the one byte `*` |
/// | codec and compression | named in the header | what the readers are configured for |
/// | damage | a checksum | what the codec notices |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Wire {
    /// This project's own: a header ([`envelope`](super::envelope)), then the payload.
    #[default]
    Native,
    /// What jetcache-go 1.2 reads and writes, so that Go and Rust services share a Redis.
    ///
    /// MessagePack is followed by one byte, `00` for plain and `01` for an S2 block, which values
    /// of 64 bytes and more are; everything else is stored as the codec wrote it. A value whose
    /// bytes are the placeholder's is refused.
    ///
    /// What cannot be had in this format: a stale window, and a notice of a Go writer's change
    /// before its event arrives.
    JetcacheGo,
}

/// The not-found placeholder of jetcache-go.
pub const PLACEHOLDER: &[u8] = b"*";

/// How long a MessagePack value of jetcache-go is, in bytes, when it is compressed.
pub const COMPRESSED_FROM: usize = 64;

/// The payload of a MessagePack value of jetcache-go, as its last byte tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trailed<'a> {
    /// As the codec wrote it.
    Plain(&'a [u8]),
    /// An S2 block.
    S2(&'a [u8]),
}

impl<'a> Trailed<'a> {
    /// Takes the last byte off; `None` if it says nothing.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        match bytes.split_last()? {
            (&PLAIN, payload) => Some(Self::Plain(payload)),
            (&S2, payload) => Some(Self::S2(payload)),
            _ => None,
        }
    }
}

/// Closes what the codec wrote, or an S2 block of it, with the byte that says which.
pub fn trail(out: &mut Vec<u8>, compressed: bool) {
    out.push(if compressed { S2 } else { PLAIN });
}

const PLAIN: u8 = 0;
const S2: u8 = 1;
