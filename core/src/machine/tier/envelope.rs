//! The bytes of a native L2 entry: a header of 45 bytes, then the payload as the codec wrote it.
//!
//! | bytes | meaning |
//! |---|---|
//! | 0..2 | magic `C1 4A`: a byte that MessagePack never uses, and a J |
//! | 2 | version, 1 |
//! | 3 | kind: 0 a value, 1 the not-found placeholder, 2 a value with a mark |
//! | 4 | codec id |
//! | 5 | compression id, 0 for none |
//! | 6..8 | how long it took to load the value, in ms rounded up, 65,535 at most; 0 if nobody did |
//! | 8..16 | end of its freshness, in ms of the L2 server's clock, which stamps it; 0 until then |
//! | 16..24 | life: how long it was fresh when it was stored, in milliseconds |
//! | 24..32 | stale window after the end, in milliseconds |
//! | 32..36 | CRC-32 of all the rest, the end excepted |
//! | 36..44 | born: the highest number that the node had heard of when its load began (PROTOCOL.md, T1) |
//! | 44 | how many tags the value has, 64 at most; two bytes each follow the header, their buckets |
//!
//! Before the payload of a value with a mark, and behind its tags, stand the length of the mark (two bytes) and the mark, which
//! is never compressed. Versions that do not know this kind take it for damaged.
//!
//! Numbers are big-endian. What does not parse is a miss. A flipped bit fails the checksum. The end
//! is not covered, since the server writes it later: a flip there can only shorten the life, or
//! lengthen it up to what it was at first.

use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::machine::counted::Arc;
use crate::machine::generations::scope;
use crate::machine::generations::tags::{self, Tags};
use crate::machine::tier::checksum::crc32;
use crate::machine::tier::mark::Mark;
use crate::machine::time::millis;

/// Where the server stamps the end: eight bytes, big-endian.
pub const END_AT: usize = 8;
/// The length of the header.
pub const HEADER: usize = 45;
/// The header and the most tags that a value may have.
pub const LONGEST_HEAD: usize = HEADER + 2 * tags::MOST;
/// The first bytes of every entry that this version writes: magic and version.
pub const PREFIX: [u8; 3] = [0xC1, b'J', 1];

const SUM_AT: usize = 32;
const BORN_AT: usize = 36;
const TAGS_AT: usize = 44;
const KIND_VALUE: u8 = 0;
const KIND_NOT_FOUND: u8 = 1;
const KIND_MARKED: u8 = 2;

/// An L2 entry, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Codec id and encoded value, or `None` for the not-found placeholder.
    pub value: Option<(u8, &'a [u8])>,
    /// The mark that was stored with the value.
    pub mark: Option<&'a [u8]>,
    /// The highest number that its node had heard of when its load began.
    pub born: scope::Mark,
    /// The buckets of its tags, two bytes each.
    pub tags: &'a [u8],
    /// How the encoded value is compressed; 0 for not at all.
    pub compression: u8,
    /// How long it took to load the value; zero if nobody did.
    pub cost: Duration,
    /// When the entry stops being fresh, by the server's clock, in milliseconds; 0 if the server
    /// did not stamp it.
    pub end: u64,
    /// How long the entry was fresh when it was stored.
    pub life: Duration,
    /// How long after the end it may still be served when loading fails.
    pub stale: Duration,
}

/// Why bytes are not an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Junk {
    /// Shorter than a header, or not ours.
    Foreign,
    /// Ours, written by a version that this one cannot read.
    Version(u8),
    /// Ours, and damaged.
    Damaged,
}

impl fmt::Display for Junk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("not an entry of this cache"),
            Self::Version(v) => write!(f, "written by version {v} of the format"),
            Self::Damaged => f.write_str("damaged"),
        }
    }
}

/// The header of an entry as it stands in L2, the end stamped. With its end and its checksum it tells
/// this entry from any other that may take its place. One pointer: most reads have no use for it.
#[derive(Clone, PartialEq, Eq)]
pub struct Header(Arc<[u8; HEADER]>);

impl Header {
    /// The header of these bytes; `None` if they are not ours, or of another version.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let header = *bytes.first_chunk::<HEADER>()?;
        header.starts_with(&PREFIX).then(|| Self(Arc::new(header)))
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; HEADER] {
        &self.0
    }

    /// How long the entry was fresh when it was stored.
    #[must_use]
    pub fn life(&self) -> Duration {
        Duration::from_millis(number(&self.0[..], 16))
    }

    /// How long after the end it may still be served.
    #[must_use]
    pub fn stale(&self) -> Duration {
        Duration::from_millis(number(&self.0[..], 24))
    }
}

/// The header of an entry and its tags: what shows whether it is dead, without the rest of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Head(Arc<[u8]>);

impl Head {
    /// The head of these bytes, of which [`LONGEST_HEAD`] are enough; `None` if they are not ours, or of
    /// another version.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let tags = usize::from(*bytes.get(TAGS_AT)?);
        let head = bytes.get(..HEADER + 2 * tags)?;
        head.starts_with(&PREFIX).then(|| Self(head.into()))
    }

    /// The highest number that its node had heard of when its load began.
    #[must_use]
    pub fn born(&self) -> scope::Mark {
        scope::Mark::new(number(&self.0, BORN_AT))
    }

    /// Its tags.
    #[must_use]
    pub fn tags(&self) -> Tags {
        Tags::of_buckets(buckets(&self.0[HEADER..]))
    }

    /// The entry's checksum, which tells it from any other.
    #[must_use]
    pub fn sum(&self) -> u32 {
        sum(&self.0)
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("born", &self.born())
            .field("tags", &self.tags())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header")
            .field("end", &number(&self.0[..], END_AT))
            .field("life", &self.life())
            .field("stale", &self.stale())
            .finish_non_exhaustive()
    }
}

/// Opens an envelope in `out`; [`seal`] closes it after the payload was appended.
pub fn open(out: &mut Vec<u8>, codec: Option<u8>) {
    out.clear();
    out.extend_from_slice(&PREFIX);
    out.push(if codec.is_some() {
        KIND_VALUE
    } else {
        KIND_NOT_FOUND
    });
    out.push(codec.unwrap_or(0));
    out.resize(HEADER, 0);
}

/// Puts a mark into an envelope that was opened for a value, before the payload is appended.
pub fn mark(out: &mut Vec<u8>, mark: &Mark) {
    let length = u16::try_from(mark.bytes().len()).unwrap_or(u16::MAX);
    if let Some(kind) = out.get_mut(3).filter(|kind| **kind == KIND_VALUE) {
        *kind = KIND_MARKED;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(mark.bytes());
    }
}

/// Puts tags into an opened envelope, before a mark and the payload.
pub fn tagged(out: &mut Vec<u8>, tags: &Tags) {
    let buckets = tags.buckets();
    let count = u8::try_from(buckets.len()).ok();
    if let (Some(place), Some(count)) = (out.get_mut(TAGS_AT), count) {
        *place = count;
        out.extend(buckets.iter().flat_map(|bucket| bucket.to_be_bytes()));
    }
}

/// Notes in an opened envelope under which number its value was loaded.
pub fn born(out: &mut [u8], born: scope::Mark) {
    if let Some(place) = out.get_mut(BORN_AT..BORN_AT + 8) {
        place.copy_from_slice(&born.number().to_be_bytes());
    }
}

/// Notes in an opened envelope how its payload is compressed.
pub fn compressed(out: &mut [u8], compression: u8) {
    if let Some(place) = out.get_mut(5) {
        *place = compression;
    }
}

/// Notes in an opened envelope how long it took to load its value.
pub fn costs(out: &mut [u8], cost: Duration) {
    if let Some(place) = out.get_mut(6..8) {
        let cost = u16::try_from(millis(cost)).unwrap_or(u16::MAX);
        place.copy_from_slice(&cost.to_be_bytes());
    }
}

/// Closes the envelope in `out`: times and checksum. The end stays unstamped.
///
/// It may be called again with other times. Bytes that [`open`] did not begin stay as they are.
pub fn seal(out: &mut [u8], life: Duration, stale: Duration) {
    if out.len() < HEADER {
        return;
    }
    out[16..24].copy_from_slice(&millis(life).to_be_bytes());
    out[24..32].copy_from_slice(&millis(stale).to_be_bytes());
    let sum = checksum(out);
    out[SUM_AT..BORN_AT].copy_from_slice(&sum.to_be_bytes());
}

/// Stamps the end, as the server does.
pub fn stamp(bytes: &mut [u8], end: u64) {
    if let Some(place) = bytes.get_mut(END_AT..END_AT + 8) {
        place.copy_from_slice(&end.to_be_bytes());
    }
}

/// Takes bytes apart.
///
/// # Errors
/// [`Junk`] if they are not an entry that this version can read.
pub fn parse(bytes: &[u8]) -> Result<Envelope<'_>, Junk> {
    if bytes.len() < HEADER || bytes[..2] != PREFIX[..2] {
        return Err(Junk::Foreign);
    }
    if bytes[2] != PREFIX[2] {
        return Err(Junk::Version(bytes[2]));
    }
    if sum(bytes) != checksum(bytes) {
        return Err(Junk::Damaged);
    }
    let (tags, body) = bytes[HEADER..]
        .split_at_checked(2 * usize::from(bytes[TAGS_AT]))
        .ok_or(Junk::Damaged)?;
    let (value, mark) = match bytes[3] {
        KIND_VALUE => (Some(body), None),
        KIND_NOT_FOUND => (None, None),
        KIND_MARKED => {
            let (length, rest) = body.split_first_chunk().ok_or(Junk::Damaged)?;
            let length = usize::from(u16::from_be_bytes(*length));
            let (mark, payload) = rest.split_at_checked(length).ok_or(Junk::Damaged)?;
            (Some(payload), Some(mark))
        }
        _ => return Err(Junk::Damaged),
    };
    Ok(Envelope {
        value: value.map(|payload| (bytes[4], payload)),
        mark,
        born: scope::Mark::new(number(bytes, BORN_AT)),
        tags,
        compression: bytes[5],
        cost: Duration::from_millis(u64::from(u16::from_be_bytes([bytes[6], bytes[7]]))),
        end: number(bytes, END_AT),
        life: Duration::from_millis(number(bytes, 16)),
        stale: Duration::from_millis(number(bytes, 24)),
    })
}

impl Envelope<'_> {
    /// The tags of its value.
    #[must_use]
    pub fn tags(&self) -> Tags {
        Tags::of_buckets(buckets(self.tags))
    }

    /// What is left of the entry's life when the server's clock shows `clock` milliseconds. Nothing if
    /// that is more than it was given: then the clock was set back, or is another server's, and
    /// nobody knows how old the entry is.
    #[must_use]
    pub fn left(&self, clock: u64) -> Duration {
        let left = Duration::from_millis(self.end.saturating_sub(clock));
        if left > self.life {
            Duration::ZERO
        } else {
            left
        }
    }
}

impl Envelope<'_> {
    /// For how long its life has been over at `clock`, and how long after that it may be served
    /// stale: not at all if nobody knows how old it is, as for [`left`](Self::left).
    #[must_use]
    pub fn over(&self, clock: u64) -> (Duration, Duration) {
        let over = Duration::from_millis(clock.saturating_sub(self.end));
        let left = Duration::from_millis(self.end.saturating_sub(clock));
        let known = self.end > 0 && left <= self.life;
        (over, if known { self.stale } else { Duration::ZERO })
    }

    /// How much is left of its life, and for how long it has been over, by a store that keeps it for
    /// `kept` more, the stale window included.
    #[must_use]
    pub fn by_kept(&self, kept: Duration) -> (Duration, Duration) {
        let left = kept.saturating_sub(self.stale).min(self.life);
        (left, self.stale.saturating_sub(kept))
    }
}

/// Whether a conditional insert finds the key present: a value, ours, readable and fresh at
/// `clock` (milliseconds of the server's clock). A placeholder, a stale value and junk are absent.
///
/// This is what the Redis script of a conditional claim decides by the header alone, so the
/// payload's checksum is not looked at here either.
#[must_use]
pub fn is_present(bytes: &[u8], clock: u64) -> bool {
    let (end, life) = (number(bytes, END_AT), number(bytes, 16));
    bytes.len() >= HEADER
        && bytes[..3] == PREFIX
        && matches!(bytes[3], KIND_VALUE | KIND_MARKED)
        && (1..=life).contains(&end.saturating_sub(clock))
}

fn buckets(pairs: &[u8]) -> Vec<u16> {
    let (pairs, _) = pairs.as_chunks();
    pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect()
}

fn sum(bytes: &[u8]) -> u32 {
    let four = bytes
        .get(SUM_AT..BORN_AT)
        .and_then(|four| four.first_chunk());
    four.map_or(0, |four| u32::from_be_bytes(*four))
}

fn number(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    if let Some(found) = bytes.get(at..at + 8) {
        eight.copy_from_slice(found);
    }
    u64::from_be_bytes(eight)
}

/// Over everything but the end and the sum itself. The caller has checked the length.
fn checksum(bytes: &[u8]) -> u32 {
    let (times, rest) = (&bytes[END_AT + 8..SUM_AT], &bytes[BORN_AT..]);
    crc32([&bytes[..END_AT], times, rest])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        open(&mut bytes, Some(7));
        bytes.extend_from_slice(payload);
        seal(&mut bytes, Duration::from_secs(3), Duration::from_secs(1));
        stamp(&mut bytes, 10_000);
        bytes
    }

    #[test]
    fn what_was_sealed_is_parsed() {
        let bytes = sealed(b"payload");
        let envelope = parse(&bytes).unwrap();
        assert_eq!(envelope.value, Some((7, &b"payload"[..])));
        assert_eq!(envelope.left(9_000), Duration::from_secs(1));
        assert_eq!(envelope.left(11_000), Duration::ZERO);
        assert_eq!(envelope.left(7_000), Duration::from_secs(3));
        assert_eq!(
            envelope.left(6_999),
            Duration::ZERO,
            "the clock was set back"
        );
        let window = Duration::from_secs(1);
        assert_eq!(envelope.over(9_000), (Duration::ZERO, window));
        assert_eq!(envelope.over(10_500), (Duration::from_millis(500), window));
        assert_eq!(envelope.over(6_999), (Duration::ZERO, Duration::ZERO));
        assert!(is_present(&bytes, 9_999) && !is_present(&bytes, 10_000));
        assert!(is_present(&bytes, 7_000) && !is_present(&bytes, 6_999));
    }

    #[test]
    fn a_placeholder_is_not_present() {
        let mut bytes = Vec::new();
        open(&mut bytes, None);
        seal(&mut bytes, Duration::from_secs(3), Duration::ZERO);
        stamp(&mut bytes, 10_000);
        assert_eq!(parse(&bytes).unwrap().value, None);
        assert!(!is_present(&bytes, 0));
    }

    fn marked(mark: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        open(&mut bytes, Some(7));
        super::mark(&mut bytes, &Mark::new(mark).unwrap());
        bytes.extend_from_slice(payload);
        seal(&mut bytes, Duration::from_secs(3), Duration::from_secs(1));
        stamp(&mut bytes, 10_000);
        bytes
    }

    #[test]
    fn a_mark_stands_before_the_payload() {
        for (mark, payload) in [
            (&b"W/\"v1\""[..], &b"payload"[..]),
            (b"", b""),
            (&[0; Mark::LONGEST], &[0; 3]),
        ] {
            let bytes = marked(mark, payload);
            let envelope = parse(&bytes).unwrap();
            assert_eq!(envelope.value, Some((7, payload)));
            assert_eq!(envelope.mark, Some(mark));
            assert!(is_present(&bytes, 9_999));
        }
        assert_eq!(parse(&sealed(b"\0\0")).unwrap().mark, None);
    }

    #[test]
    fn what_does_not_exist_has_no_mark() {
        let mut bytes = Vec::new();
        open(&mut bytes, None);
        super::mark(&mut bytes, &Mark::new(b"v1").unwrap());
        seal(&mut bytes, Duration::from_secs(3), Duration::ZERO);
        assert_eq!(bytes.len(), HEADER);
        assert_eq!(parse(&bytes).unwrap().value, None);
    }

    #[test]
    fn a_mark_that_is_longer_than_the_entry_is_junk() {
        let mut bytes = marked(b"v1", b"");
        bytes[HEADER + 1] = 3;
        let sum = checksum(&bytes);
        bytes[32..36].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(parse(&bytes), Err(Junk::Damaged));
        bytes.truncate(HEADER + 1);
        let sum = checksum(&bytes);
        bytes[32..36].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(parse(&bytes), Err(Junk::Damaged));
    }

    #[test]
    fn a_header_tells_its_life_and_its_window() {
        let bytes = sealed(b"payload");
        let header = Header::of(&bytes).unwrap();
        let times = (header.life(), header.stale());
        assert_eq!(times, (Duration::from_secs(3), Duration::from_secs(1)));
        assert_eq!(Header::of(&bytes[..HEADER - 1]), None);
        assert_eq!(Header::of(&[7; HEADER]), None);
    }

    #[test]
    fn any_flipped_bit_is_junk_or_harmless() {
        let good = sealed(b"payload");
        for good in [good, marked(b"v1", b"payload")] {
            flip_any_bit_of(&good);
        }
    }

    fn flip_any_bit_of(good: &[u8]) {
        for bit in 0..good.len() * 8 {
            let mut bytes = good.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            match parse(&bytes) {
                Err(_) => {}
                Ok(read) => {
                    assert!((END_AT..END_AT + 8).contains(&(bit / 8)), "bit {bit}");
                    assert!(read.left(9_000) <= Duration::from_secs(3));
                }
            }
        }
    }

    #[test]
    fn every_truncation_is_junk() {
        for good in [sealed(b"payload"), marked(b"v1", b"payload")] {
            for len in 0..good.len() {
                assert!(parse(&good[..len]).is_err(), "{len}");
            }
        }
    }
}
