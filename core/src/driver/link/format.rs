//! Turns values into the bytes of L2 and back.

use core::any::TypeId;
use core::time::Duration;
use std::sync::Arc;

use portable_atomic::{AtomicUsize, Ordering};

use crate::driver::world::caught::caught;
use crate::machine::error::{BoxError, Error};
use crate::machine::generations::scope;
use crate::machine::generations::tags::Tags;
use crate::machine::lookup::step::Seen;
use crate::machine::policy::check::Compared;
use crate::machine::tier::envelope::{self, Header};
use crate::machine::tier::inspection::{EntryFormat, EntryKind, L2Entry};
use crate::machine::tier::mark::Mark;
use crate::machine::tier::names::FIRST_OF_USERS;
use crate::machine::tier::unreadable::Unreadable;
use crate::machine::tier::verb::Times;
use crate::machine::tier::wire::{COMPRESSED_FROM, PLACEHOLDER, Trailed, Wire, trail};
use crate::ports::codec::Codec;
use crate::ports::compression::Compression;
use crate::ports::remote::{Found, Life};

/// Bytes of L2 that cannot be read.
pub(crate) struct Junk {
    pub(crate) bytes: Vec<u8>,
    pub(crate) why: Unreadable,
}

/// How one cache writes its values.
pub(crate) struct Format<V> {
    pub(crate) wire: Wire,
    pub(crate) codec: Arc<dyn Codec<V>>,
    /// Those that entries may be compressed with, beside the codec's own.
    pub(crate) compressions: Vec<Arc<dyn Compression>>,
    /// The longest encoded value, in bytes.
    pub(crate) limit: AtomicUsize,
    /// How many values are yet to be read back when they are written.
    unproven: AtomicUsize,
}

impl<V: 'static> Format<V> {
    /// # Errors
    /// [`Error::Config`] if these do not go together.
    pub(crate) fn new(
        wire: Wire,
        codec: Arc<dyn Codec<V>>,
        compressions: Vec<Arc<dyn Compression>>,
        limit: usize,
        read_back: usize,
    ) -> Result<Self, Error> {
        let format = Self {
            wire,
            codec,
            compressions,
            limit: limit.into(),
            unproven: read_back.into(),
        };
        if limit == 0 {
            return Err(Error::config(
                "max_value_size is zero: give it at least 1 byte",
            ));
        }
        if format.methods().any(|method| method.id() == PLAIN) {
            return Err(Error::config(
                "a compression has the number 0, which marks what is not compressed: take one from 128 on",
            ));
        }
        if wire == Wire::JetcacheGo && format.codec.compression().is_some() {
            return Err(Error::config(
                "the jetcache-go format compresses by itself: leave the codec's compression out",
            ));
        }
        let id = format.codec.id();
        if wire == Wire::JetcacheGo && is_plain::<V>() && id != RAW && id < FIRST_OF_USERS {
            return Err(Error::config(
                "jetcache-go stores strings and bytes as they are: use the codec Raw for them",
            ));
        }
        if format.has_trailer() && format.compression(S2).is_none() {
            return Err(Error::config(
                "MessagePack in the jetcache-go format needs S2: turn on the feature `s2`",
            ));
        }
        Ok(format)
    }

    /// The value as L2 is to hold it, its times still open; `None` is the not-found placeholder.
    ///
    /// # Errors
    /// [`Error::Encode`], [`Error::TooLarge`].
    pub(crate) fn encode(&self, value: Option<&V>, tags: &Tags) -> Result<Vec<u8>, Error> {
        self.encode_marked(value, tags, None)
    }

    /// The same with a mark, for which jetcache-go has no place.
    ///
    /// # Errors
    /// Those of `encode`.
    pub(crate) fn encode_marked(
        &self,
        value: Option<&V>,
        tags: &Tags,
        mark: Option<&Mark>,
    ) -> Result<Vec<u8>, Error> {
        match self.wire {
            Wire::Native => self.encode_native(value, tags, mark),
            Wire::JetcacheGo => self.encode_go(value),
        }
    }

    /// Closes what [`encode`](Self::encode) made.
    pub(crate) fn seal(&self, bytes: &mut [u8], times: Times, born: scope::Mark) {
        if self.wire == Wire::Native {
            envelope::costs(bytes, times.cost);
            envelope::born(bytes, born);
            envelope::seal(bytes, times.life, times.stale);
        }
    }

    /// What stands in L2.
    ///
    /// # Errors
    /// Junk. So is what makes the codec panic: it comes from outside, and must not fail every reader.
    pub(crate) fn decode(&self, found: Option<Found>) -> Result<Option<Seen<Arc<V>>>, Junk> {
        let Some(found) = found else {
            return Ok(None);
        };
        self.decode_found(&found).map(Some).map_err(|why| Junk {
            bytes: found.bytes,
            why,
        })
    }

    /// The same for what is there, and is to stay the caller's.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(crate) fn decode_found(&self, found: &Found) -> Result<Seen<Arc<V>>, Unreadable> {
        let seen = caught(|| match self.wire {
            Wire::Native => self.decode_native(found),
            Wire::JetcacheGo => self.decode_go(found),
        });
        seen.unwrap_or_else(|panic| Err(Unreadable::Panicked(panic.message().into())))
    }

    /// How what L1 has compares with what stands in L2, and what that is; `None` if that is nothing
    /// fresh that can be read, or if L1's value cannot be encoded.
    ///
    /// Their bytes are compared, in whatever order. What L1 has may never have been bytes, so it takes
    /// the same way there and back first.
    pub(crate) fn compare(
        &self,
        local: Option<&V>,
        found: &Found,
    ) -> Option<(Compared, EntryKind)> {
        let seen = self.decode_found(found).ok()?;
        if seen.left.is_zero() {
            return None;
        }
        let unlike = || Compared::Unlike(u64::from(crc32fast::hash(&found.bytes)));
        Some(match (local, &seen.value) {
            (None, None) => (Compared::Alike, EntryKind::NotFound),
            (Some(_), None) => (unlike(), EntryKind::NotFound),
            (None, Some(_)) => (unlike(), EntryKind::Value),
            (Some(local), Some(remote)) => {
                let codec = &self.codec;
                let alike = caught(|| {
                    let (mut there, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
                    codec.encode(local, &mut there).ok()?;
                    codec.encode(&codec.decode(&there).ok()?, &mut ours).ok()?;
                    codec.encode(remote, &mut theirs).ok()?;
                    Some(are_alike(&ours, &theirs))
                });
                let alike = alike.ok()??;
                (
                    if alike { Compared::Alike } else { unlike() },
                    EntryKind::Value,
                )
            }
        })
    }

    fn encode_native(
        &self,
        value: Option<&V>,
        tags: &Tags,
        mark: Option<&Mark>,
    ) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        envelope::open(&mut bytes, value.map(|_| self.codec.id()));
        envelope::tagged(&mut bytes, tags);
        let Some(value) = value else {
            return Ok(bytes);
        };
        if let Some(mark) = mark {
            envelope::mark(&mut bytes, mark);
        }
        let start = bytes.len();
        self.append(value, &mut bytes)?;
        match self.codec.compression() {
            Some((method, from)) if bytes.len().saturating_sub(start) >= from => {
                Ok(compressed(method, &bytes, start).unwrap_or(bytes))
            }
            _ => Ok(bytes),
        }
    }

    fn decode_native(&self, found: &Found) -> Result<Seen<Arc<V>>, Unreadable> {
        let entry = envelope::parse(&found.bytes)?;
        let (left, (over, window)) = match found.life {
            Life::Clock(clock) => (entry.left(clock), entry.over(clock)),
            Life::Left(kept) => {
                let (left, over) = entry.by_kept(kept);
                (left, (over, entry.stale))
            }
        };
        let value = match entry.value {
            None => None,
            Some((codec, bytes)) if codec == self.codec.id() => {
                Some(self.value(entry.compression, bytes)?)
            }
            Some((written, _)) => {
                let ours = self.codec.id();
                return Err(Unreadable::Codec { written, ours });
            }
        };
        Ok(Seen {
            value,
            left,
            over,
            window: Some(window),
            cost: entry.cost,
            tags: entry.tags(),
            born: Some(entry.born),
            age: Some(entry.life.saturating_sub(left)),
            mark: entry.mark.and_then(Mark::new),
            header: (left.is_zero()).then(|| Header::of(&found.bytes)).flatten(),
        })
    }

    fn encode_go(&self, value: Option<&V>) -> Result<Vec<u8>, Error> {
        let Some(value) = value else {
            return Ok(PLACEHOLDER.into());
        };
        let mut bytes = Vec::new();
        self.append(value, &mut bytes)?;
        if self.has_trailer() {
            let block = self.block(&bytes);
            let compressed = block.is_some();
            bytes = block.unwrap_or(bytes);
            trail(&mut bytes, compressed);
        }
        if bytes == PLACEHOLDER {
            let why = "`*` alone is how jetcache-go marks what does not exist: \
                       store it inside something, such as a struct, or leave it out";
            return Err(Error::Encode(BoxError::from(why).into()));
        }
        Ok(bytes)
    }

    fn decode_go(&self, found: &Found) -> Result<Seen<Arc<V>>, Unreadable> {
        let left = match found.life {
            Life::Left(left) => left,
            Life::Clock(_) => return Err(Unreadable::NoLife),
        };
        let value = match &found.bytes[..] {
            PLACEHOLDER => None,
            bytes if self.has_trailer() => Some(match Trailed::parse(bytes) {
                Some(Trailed::Plain(bytes)) => self.value(PLAIN, bytes)?,
                Some(Trailed::S2(bytes)) => self.value(S2, bytes)?,
                None => return Err(Unreadable::Trailer(bytes.last().copied())),
            }),
            bytes => Some(self.value(PLAIN, bytes)?),
        };
        Ok(Seen {
            value,
            left,
            over: Duration::ZERO,
            window: None,
            cost: Duration::ZERO,
            tags: Tags::NONE,
            born: None,
            age: None,
            mark: None,
            header: None,
        })
    }

    /// The S2 block of what jetcache-go compresses. Its readers take both, so what cannot be
    /// compressed is stored as it is.
    fn block(&self, plain: &[u8]) -> Option<Vec<u8>> {
        if plain.len() < COMPRESSED_FROM {
            return None;
        }
        let mut block = Vec::new();
        self.compression(S2)?.compress(plain, &mut block).ok()?;
        Some(block)
    }

    fn append(&self, value: &V, out: &mut Vec<u8>) -> Result<(), Error> {
        let start = out.len();
        self.codec
            .encode(value, out)
            .map_err(|error| Error::Encode(error.into()))?;
        let (size, limit) = (
            out.len().saturating_sub(start),
            self.limit.load(Ordering::Relaxed),
        );
        if size > limit {
            return Err(Error::TooLarge { size, limit });
        }
        self.prove(&out[start..])
    }

    /// Reads one of the first values back: what its codec loses in silence would be missed for ever,
    /// or be another value. Its type need not be comparable, so the bytes are.
    fn prove(&self, bytes: &[u8]) -> Result<(), Error> {
        let one_less = |left: usize| left.checked_sub(1);
        let order = Ordering::Relaxed;
        if (self.unproven.load(order) == 0)
            || self.unproven.fetch_update(order, order, one_less).is_err()
        {
            return Ok(());
        }
        let lost = |why: BoxError| {
            let text =
                format!("it is not read back as it was written, see the codec's docs: {why}");
            Error::Encode(BoxError::from(text).into())
        };
        let read_back = caught(|| {
            let value = self.codec.decode(bytes)?;
            let mut again = Vec::with_capacity(bytes.len());
            self.codec.encode(&value, &mut again)?;
            Ok::<_, BoxError>(again)
        });
        match read_back {
            Ok(Ok(again)) if are_alike(bytes, &again) => Ok(()),
            Ok(Ok(_)) => Err(lost("another value comes back".into())),
            Ok(Err(why)) => Err(lost(why)),
            Err(_) => Err(lost("the codec panicked".into())),
        }
    }

    fn value(&self, compression: u8, bytes: &[u8]) -> Result<Arc<V>, Unreadable> {
        let mut unpacked = Vec::new();
        let plain = match compression {
            PLAIN => bytes,
            id => {
                let method = self.compression(id).ok_or(Unreadable::Compression(id))?;
                (method.decompress(bytes, self.limit.load(Ordering::Relaxed), &mut unpacked))
                    .map_err(|why| Unreadable::Decompress {
                        compression: id,
                        why: why.to_string().into(),
                    })?;
                &unpacked
            }
        };
        // Only the plain bytes count: a block of what does not compress is longer than they are.
        let (size, limit) = (plain.len(), self.limit.load(Ordering::Relaxed));
        if size > limit {
            return Err(Unreadable::TooLarge { size, limit });
        }
        let value = self.codec.decode(plain);
        value.map(Arc::new).map_err(|why| Unreadable::Decode {
            codec: self.codec.id(),
            why: why.to_string().into(),
        })
    }

    /// What only this cache's settings say of an entry in the jetcache-go format.
    pub(crate) fn complete(&self, entry: &mut L2Entry, bytes: &[u8]) {
        if entry.format != EntryFormat::JetcacheGo || entry.kind != Some(EntryKind::Value) {
            return;
        }
        entry.codec = Some(self.codec.id());
        entry.compression = match Trailed::parse(bytes) {
            _ if !self.has_trailer() => Some(PLAIN),
            Some(Trailed::Plain(_)) => Some(PLAIN),
            Some(Trailed::S2(_)) => Some(S2),
            None => None,
        };
    }

    /// The method of this number.
    pub(crate) fn compression(&self, id: u8) -> Option<&dyn Compression> {
        self.methods().find(|method| method.id() == id)
    }

    /// All that entries may be compressed with, the codec's own first.
    fn methods(&self) -> impl Iterator<Item = &dyn Compression> {
        let own = self.codec.compression().map(|(method, _)| method);
        let known = self.compressions.iter().map(|method| &**method);
        own.into_iter().chain(known)
    }

    /// Whether a byte follows each value to say how it is compressed.
    pub(crate) fn has_trailer(&self) -> bool {
        self.wire == Wire::JetcacheGo && self.codec.id() == MESSAGE_PACK
    }
}

/// Whether these are the same bytes in whatever order: a `HashMap` is written in another one each
/// time that it is built.
fn are_alike(one: &[u8], other: &[u8]) -> bool {
    let count = |bytes: &[u8]| {
        let mut counts = [0_usize; 256];
        bytes
            .iter()
            .for_each(|byte| counts[usize::from(*byte)] += 1);
        counts
    };
    one == other || one.len() == other.len() && count(one) == count(other)
}

/// Whether these are values that jetcache-go does not hand to its codec.
fn is_plain<V: 'static>() -> bool {
    let plain = [
        TypeId::of::<String>(),
        TypeId::of::<Box<str>>(),
        TypeId::of::<Arc<str>>(),
        TypeId::of::<Arc<String>>(),
        TypeId::of::<Vec<u8>>(),
        TypeId::of::<Box<[u8]>>(),
        TypeId::of::<Arc<[u8]>>(),
        TypeId::of::<Arc<Vec<u8>>>(),
    ];
    plain.contains(&TypeId::of::<V>())
}

/// The same envelope with its payload, from `start` on, compressed, if that makes it shorter.
fn compressed(method: &dyn Compression, plain: &[u8], start: usize) -> Option<Vec<u8>> {
    let (header, payload) = plain.split_at_checked(start)?;
    let mut bytes = header.to_vec();
    envelope::compressed(&mut bytes, method.id());
    method.compress(payload, &mut bytes).ok()?;
    (bytes.len() < plain.len()).then_some(bytes)
}

/// No compression.
const PLAIN: u8 = 0;
/// The number of S2 among the compressions.
pub(crate) const S2: u8 = 3;
/// The number of MessagePack among the codecs.
const MESSAGE_PACK: u8 = 1;
/// The number of the codec that stores strings and bytes as they are.
const RAW: u8 = 4;
