//! L2 as the driver asks it: by key and value. There is none, or there are the bytes of a store.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::machine::error::{Error, Fault};
use crate::machine::generations::scope::{self, bucket};
use crate::machine::lookup::step::Seen;
use crate::machine::policy::Kind;
use crate::machine::tier::envelope;
use crate::machine::tier::mark::Mark;
use crate::machine::tier::unreadable::Unreadable;
use crate::machine::tier::verb::Times;
use crate::ports::codec::Codec;
use crate::ports::key::Key;
use crate::unsync::store::Store;

/// What a cache has beneath its L1: [`Nothing`], or [`Bytes`]. There are no others.
pub trait Level2<K, V>: sealed::Sealed {
    #[doc(hidden)]
    const KIND: Kind;

    /// Checks its settings.
    #[doc(hidden)]
    fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    /// The bucket that the machine knows the key by.
    #[doc(hidden)]
    fn bucket(&mut self, key: &K) -> u16;

    /// What stands there, or why it cannot be read.
    #[doc(hidden)]
    fn read(&mut self, key: &K) -> Result<Option<Result<Seen<V>, Unreadable>>, Fault>;

    /// Encodes a value that is about to be [written](Self::write).
    #[doc(hidden)]
    fn encode(&mut self, value: Option<&V>, mark: Option<&Mark>) -> Result<(), Error>;

    /// Writes what was encoded last.
    #[doc(hidden)]
    fn write(&mut self, key: &K, times: Times, born: scope::Mark) -> Result<(), Fault>;

    #[doc(hidden)]
    fn remove(&mut self, key: &K) -> Result<(), Fault>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Nothing {}
    impl<S, C> Sealed for super::Bytes<S, C> {}
}

/// No L2.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nothing;

impl<K, V> Level2<K, V> for Nothing {
    const KIND: Kind = Kind::Local;

    fn bucket(&mut self, _: &K) -> u16 {
        0
    }

    fn read(&mut self, _: &K) -> Result<Option<Result<Seen<V>, Unreadable>>, Fault> {
        Ok(None)
    }

    fn encode(&mut self, _: Option<&V>, _: Option<&Mark>) -> Result<(), Error> {
        Ok(())
    }

    fn write(&mut self, _: &K, _: Times, _: scope::Mark) -> Result<(), Fault> {
        Ok(())
    }

    fn remove(&mut self, _: &K) -> Result<(), Fault> {
        Ok(())
    }
}

/// The entries of a [`Store`], as a [`Codec`] writes them.
#[derive(Debug)]
pub struct Bytes<S, C> {
    store: S,
    codec: C,
    limit: usize,
    /// The text of the key that is asked for.
    text: String,
    /// What is written.
    out: Vec<u8>,
    /// What was read.
    found: Vec<u8>,
}

impl<S, C> Bytes<S, C> {
    pub(super) const fn new(store: S, codec: C, limit: usize) -> Self {
        Self {
            store,
            codec,
            limit,
            text: String::new(),
            out: Vec::new(),
            found: Vec::new(),
        }
    }

    pub(super) fn limited(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    fn write_text(&mut self, key: &impl Key) {
        self.text.clear();
        key.write(&mut self.text);
    }
}

impl<K: Key, V, S: Store, C: Codec<V>> Level2<K, V> for Bytes<S, C> {
    const KIND: Kind = Kind::Both;

    fn check(&self) -> Result<(), Error> {
        if self.limit == 0 {
            return Err(Error::config(
                "max_value_size is zero: give it at least 1 byte",
            ));
        }
        Ok(())
    }

    fn bucket(&mut self, key: &K) -> u16 {
        self.write_text(key);
        bucket(&self.text)
    }

    fn read(&mut self, key: &K) -> Result<Option<Result<Seen<V>, Unreadable>>, Fault> {
        self.write_text(key);
        self.found.clear();
        let kept = self.store.read(&self.text, &mut self.found)?;
        Ok(kept.map(|kept| {
            let entry = envelope::parse(&self.found)?;
            let (left, over) = entry.by_kept(kept);
            let value = match entry.value {
                None => None,
                Some((written, _)) if written != self.codec.id() => {
                    let ours = self.codec.id();
                    return Err(Unreadable::Codec { written, ours });
                }
                // What another program has compressed.
                Some(_) if entry.compression != 0 => {
                    return Err(Unreadable::Compression(entry.compression));
                }
                Some((codec, bytes)) => {
                    let value = self.codec.decode(bytes);
                    let why = |error: crate::machine::error::BoxError| error.to_string().into();
                    Some(value.map_err(|error| Unreadable::Decode {
                        codec,
                        why: why(error),
                    })?)
                }
            };
            Ok(Seen {
                value,
                left,
                over,
                window: Some(entry.stale),
                cost: entry.cost,
                age: Some(entry.life.saturating_sub(left)),
                mark: entry.mark.and_then(Mark::new),
                tags: entry.tags(),
                born: Some(entry.born),
                // Nothing is extended where it stands: it is written again.
                header: None,
            })
        }))
    }

    fn encode(&mut self, value: Option<&V>, mark: Option<&Mark>) -> Result<(), Error> {
        envelope::open(&mut self.out, value.map(|_| self.codec.id()));
        let Some(value) = value else {
            return Ok(());
        };
        if let Some(mark) = mark {
            envelope::mark(&mut self.out, mark);
        }
        let start = self.out.len();
        (self.codec.encode(value, &mut self.out)).map_err(|error| Error::Encode(error.into()))?;
        let size = self.out.len().saturating_sub(start);
        match self.limit {
            limit if size > limit => Err(Error::TooLarge { size, limit }),
            _ => Ok(()),
        }
    }

    fn write(&mut self, key: &K, times: Times, born: scope::Mark) -> Result<(), Fault> {
        self.write_text(key);
        envelope::costs(&mut self.out, times.cost);
        envelope::born(&mut self.out, born);
        envelope::seal(&mut self.out, times.life, times.stale);
        let keep = times.life.saturating_add(times.stale);
        self.store.write(&self.text, &self.out, keep)
    }

    fn remove(&mut self, key: &K) -> Result<(), Fault> {
        self.write_text(key);
        self.store.remove(&self.text)
    }
}
