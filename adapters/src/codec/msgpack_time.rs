//! Points in time as MessagePack's timestamp, the extension -1 that Go's `time.Time` is.
//!
//! For fields of type [`SystemTime`], and with [`option`] for those that may be missing:
//!
//! ```
//! # mod jetcache_tokio { pub use jetcache_adapters::*; pub use jetcache_core::*; }
//! use std::time::{Duration, SystemTime};
//!
//! use jetcache_tokio::{Codec, MessagePack};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Order {
//!     #[serde(with = "jetcache_tokio::msgpack_time")]
//!     placed: SystemTime,
//!     #[serde(with = "jetcache_tokio::msgpack_time::option", default)]
//!     shipped: Option<SystemTime>,
//! }
//!
//! let placed = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_709_210_096_123_456_789);
//! let mut bytes = Vec::new();
//! MessagePack.encode(&Order { placed, shipped: None }, &mut bytes)?;
//! let order: Order = MessagePack.decode(&bytes)?;
//! assert_eq!((order.placed, order.shipped), (placed, None));
//! # Ok::<(), jetcache_tokio::BoxError>(())
//! ```
//!
//! All three lengths of the extension are read, and the shortest that fits is written, as Go does.
//! It has no time zone. A time that the system cannot hold does not decode, which makes the entry
//! a miss: Windows has none before 1601, so there Go's zero time, in the year 1, is one of them.
//!
//! It is for [`MessagePack`](crate::MessagePack). Other formats get the extension's number and its
//! bytes; in JSON, Go writes times as text.

use core::fmt;
use core::time::Duration;
use std::time::SystemTime;

use rmp_serde::MSGPACK_EXT_STRUCT_NAME;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Writes a timestamp.
///
/// # Errors
/// If the serializer fails, or for a time further away than 292 thousand million years.
pub fn serialize<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    Stamp(*time).serialize(serializer)
}

/// Reads a timestamp.
///
/// # Errors
/// If there is none, or the system cannot hold it.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
    Stamp::deserialize(deserializer).map(|stamp| stamp.0)
}

/// The same for times that may be missing: Go's `*time.Time`.
pub mod option {
    use std::time::SystemTime;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::codec::msgpack_time::Stamp;

    /// Writes a timestamp, or nil.
    ///
    /// # Errors
    /// As [`serialize`](super::serialize).
    pub fn serialize<S: Serializer>(
        time: &Option<SystemTime>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        time.map(Stamp).serialize(serializer)
    }

    /// Reads a timestamp, or nil.
    ///
    /// # Errors
    /// As [`deserialize`](super::deserialize).
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SystemTime>, D::Error> {
        let stamp = Option::<Stamp>::deserialize(deserializer)?;
        Ok(stamp.map(|stamp| stamp.0))
    }
}

struct Stamp(SystemTime);

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (seconds, nanos) =
            since_1970(self.0).ok_or_else(|| S::Error::custom("a time too far away"))?;
        let bytes = written(seconds, nanos);
        serializer.serialize_newtype_struct(MSGPACK_EXT_STRUCT_NAME, &(TIMESTAMP, Data(bytes)))
    }
}

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (number, data) =
            deserializer.deserialize_newtype_struct(MSGPACK_EXT_STRUCT_NAME, Extension)?;
        if number != TIMESTAMP {
            return Err(D::Error::custom("an extension that is no timestamp"));
        }
        let time = read(&data.0).and_then(|(seconds, nanos)| time(seconds, nanos));
        time.map(Self)
            .ok_or_else(|| D::Error::custom("a timestamp that is none, or out of range"))
    }
}

/// Seconds, rounded down, and what is left of the last one in nanoseconds.
fn since_1970(time: SystemTime) -> Option<(i64, u32)> {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => Some((i64::try_from(after.as_secs()).ok()?, after.subsec_nanos())),
        Err(before) => {
            let before = before.duration();
            let seconds = 0_i64.checked_sub_unsigned(before.as_secs())?;
            match before.subsec_nanos() {
                0 => Some((seconds, 0)),
                nanos => Some((seconds.checked_sub(1)?, NANOS - nanos)),
            }
        }
    }
}

fn time(seconds: i64, nanos: u32) -> Option<SystemTime> {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let second = if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(whole)?
    } else {
        SystemTime::UNIX_EPOCH.checked_add(whole)?
    };
    second.checked_add(Duration::from_nanos(nanos.into()))
}

fn written(seconds: i64, nanos: u32) -> Vec<u8> {
    match u64::try_from(seconds) {
        Ok(seconds) if seconds >> 34 == 0 => {
            let both = u64::from(nanos) << 34 | seconds;
            match u32::try_from(both) {
                Ok(short) => short.to_be_bytes().into(),
                Err(_) => both.to_be_bytes().into(),
            }
        }
        _ => [&nanos.to_be_bytes()[..], &seconds.to_be_bytes()].concat(),
    }
}

fn read(data: &[u8]) -> Option<(i64, u32)> {
    let (seconds, nanos) = match data.len() {
        4 => (u32::from_be_bytes(data.try_into().ok()?).into(), 0),
        8 => {
            let both = u64::from_be_bytes(data.try_into().ok()?);
            let seconds = both & ((1 << 34) - 1);
            (seconds.try_into().ok()?, (both >> 34).try_into().ok()?)
        }
        12 => {
            let (nanos, seconds) = data.split_at(4);
            (
                i64::from_be_bytes(seconds.try_into().ok()?),
                u32::from_be_bytes(nanos.try_into().ok()?),
            )
        }
        _ => return None,
    };
    (nanos < NANOS).then_some((seconds, nanos))
}

/// An extension: its number and its data.
struct Extension;

impl<'de> Visitor<'de> for Extension {
    type Value = (i8, Data);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a MessagePack timestamp")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Self::Value, D::Error> {
        Deserialize::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
        let number = parts.next_element()?;
        let data = parts.next_element()?;
        number
            .zip(data)
            .ok_or_else(|| A::Error::invalid_length(0, &self))
    }
}

/// Bytes, which serde does not take for numbers.
struct Data(Vec<u8>);

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(Bytes)
    }
}

struct Bytes;

impl<'de> Visitor<'de> for Bytes {
    type Value = Data;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Data, E> {
        Ok(Data(bytes.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut bytes: A) -> Result<Data, A::Error> {
        let mut data = Vec::new();
        while let Some(byte) = bytes.next_element()? {
            if data.len() == LONGEST {
                return Err(A::Error::custom("longer than a timestamp"));
            }
            data.push(byte);
        }
        Ok(Data(data))
    }
}

/// The extension's number.
const TIMESTAMP: i8 = -1;
const LONGEST: usize = 12;
const NANOS: u32 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(time: SystemTime) -> Vec<u8> {
        rmp_serde::to_vec(&Stamp(time)).unwrap()
    }

    fn back(bytes: &[u8]) -> Option<SystemTime> {
        rmp_serde::from_slice(bytes)
            .ok()
            .map(|stamp: Stamp| stamp.0)
    }

    #[test]
    fn a_time_is_written_in_the_fewest_bytes_and_comes_back() {
        for (seconds, nanos, length) in [
            (0, 0, 4),
            (u32::MAX.into(), 0, 4),
            (1, 1, 8),
            (1 << 32, 0, 8),
            ((1 << 34) - 1, NANOS - 1, 8),
            (1 << 34, 0, 12),
            (-1, 0, 12),
            (-1, 1, 12),
            (-2, NANOS - 1, 12),
            (-62_135_596_800, 0, 12),
        ] {
            let time = time(seconds, nanos).unwrap();
            assert_eq!(since_1970(time), Some((seconds, nanos)));
            let bytes = bytes(time);
            assert_eq!(written(seconds, nanos).len(), length, "{seconds} {nanos}");
            assert_eq!(back(&bytes), Some(time), "{seconds} {nanos}");
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_format() {
        let time = time(0x65e0_79f0, 0).unwrap();
        assert_eq!(bytes(time), [0xd6, 0xff, 0x65, 0xe0, 0x79, 0xf0]);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        for seconds in [i64::MIN, i64::MIN + 1, -1, 0, 1 << 34, i64::MAX] {
            for nanos in [0, 1, NANOS - 1, NANOS, u32::MAX] {
                let data = [&nanos.to_be_bytes()[..], &seconds.to_be_bytes()].concat();
                let long = [&[0xc7, 12, 0xff][..], &data].concat();
                let known = back(&long);
                assert!(nanos < NANOS || known.is_none(), "{seconds} {nanos}");
                if let Some(time) = known {
                    let again = since_1970(time);
                    assert!(again.is_none_or(|again| again == (seconds, nanos)));
                }
                let short = [&[0xd7, 0xff][..], &data[4..]].concat();
                let _ = back(&short);
            }
        }
        for wrong in [
            &b""[..],
            b"\xc0",
            b"\x00",
            b"\xd6\x01\0\0\0\0",
            b"\xd4\xff\0",
            b"\xd6\xff\0",
            b"\xc7\x00\xff",
            b"\xc9\xff\xff\xff\xff\xff",
            b"\x92\xff\x94\0\0\0",
        ] {
            assert_eq!(back(wrong), None, "{wrong:?}");
        }
    }
}
