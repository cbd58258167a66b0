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
    /// of 64 bytes and more are; everything else is stored as the codec wrote it. Keys are the
    /// same as the native format's: namespace, separator, id. The lease of a key is a key of its
    /// own, which jetcache-go never looks at, and so is the mark that a load leaves for a minute.
    ///
    /// # What goes with what
    /// - Go's strings and `[]byte` are stored as they are: use the codec `Raw`. The string `*` is
    ///   how jetcache-go marks what does not exist; an insert of it is
    ///   [`Error::Encode`](crate::Error::Encode), and a loaded one stays in L1.
    /// - Anything else goes through the codec that the Go service has, `MessagePack` or `Json`.
    ///   `MessagePack` needs the feature `s2`. No compression of one's own.
    /// - Fields by name: `#[serde(rename = "Num")]`. Nil pointers, slices and maps are `Option`.
    ///   Go reads integers of any width. Go writes `[]byte` fields as MessagePack's binary, which
    ///   `Vec<u8>` reads; for Go to read them back they must be written so too, which takes
    ///   `serde_bytes`. In JSON they are base64. A `time.Time` is the extension -1 of MessagePack,
    ///   for which the adapters have `msgpack_time`, and text in JSON.
    /// - Go's `Set` without a value stores no bytes. That is the empty string to `Raw`, and a miss
    ///   to all other codecs.
    ///
    /// # Events
    /// On a bus, inserts, write-throughs and removals are told, and as by jetcache-go also loads,
    /// refreshes and batches, so that nobody goes on serving what they replaced. Keys that end in
    /// `#lease` or `#fill` are refused.
    ///
    /// # Refreshing
    /// Go's and Rust's services [refresh](crate::Call::refresh) a key in turn: whoever gets the
    /// lock `<key>_#RL#`, for a period, loads, and the others copy. jetcache-go keeps the lock of a
    /// load that failed; this cache gives it back.
    ///
    /// # What cannot be had
    /// - [Marks](crate::Load::mark) in L2: only who has the value in L1 is shown its mark. And what is
    ///   [unchanged](crate::Load::unchanged) is sent again.
    /// - A stale window: L2 says how long an entry is kept, and nothing else.
    /// - Notice of what a Go service writes, before its event arrives: until then L1 serves what it
    ///   has, for at most `local_ttl`. So it is between Go services.
    /// - The order of a Go service's changes and a load of this cache. A value that Go sets during
    ///   a load or an insert is newer and stays, and the load's is kept nowhere. But where nothing
    ///   stands before and after, a fill cannot know that Go has deleted the key in between. With a
    ///   bus to which the Go service tells its deletions, every node removes what a load may have put
    ///   there when it hears of one, and leaves what was set or inserted since; until then, and
    ///   without such a bus until its TTL ends or the next change, what was loaded before stays. So
    ///   it does if no node hears of the deletion within a minute of the fill, or if the server has
    ///   evicted the mark (a small key `{<key>}#fill`) by which a load's value is known. (A bus that
    ///   watches L2, as `CLIENT TRACKING` does, sees that keys change and not that Go deleted one: it
    ///   does not close this.)
    /// - The checksum: damage is what the codec notices.
    JetcacheGo,
}

/// The not-found placeholder of jetcache-go.
pub const PLACEHOLDER: &[u8] = b"*";

/// How long a MessagePack value of jetcache-go is, in bytes, when it is compressed.
pub const COMPRESSED_FROM: usize = 64;

/// The payload of a MessagePack value of jetcache-go, as its last byte says.
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
