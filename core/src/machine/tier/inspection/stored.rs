//! An entry of L2, taken apart without its codec.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::machine::tier::envelope::{self, Envelope, PREFIX};
use crate::machine::tier::inspection::kind::{EntryKind, Freshness};
use crate::machine::tier::inspection::span::names;
use crate::machine::tier::names;
use crate::machine::tier::unreadable::Unreadable;
use crate::machine::tier::wire::{PLACEHOLDER, Wire};

/// In which format an entry of L2 is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum EntryFormat {
    /// This project's own.
    Native,
    /// jetcache-go's.
    JetcacheGo,
    /// Something else's.
    Foreign,
}

/// An entry of L2. What nobody can tell is `None`: the jetcache-go format says little of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct L2Entry {
    /// Its format.
    pub format: EntryFormat,
    /// What it is.
    pub kind: Option<EntryKind>,
    /// The number of its codec; [`codec_name`](Self::codec_name) has the name.
    pub codec: Option<u8>,
    /// The number of its compression, 0 for none.
    pub compression: Option<u8>,
    /// How many bytes are stored, the header included.
    pub size: usize,
    /// Whether it is served.
    pub freshness: Option<Freshness>,
    /// How long it was fresh when it was stored.
    #[cfg_attr(
        feature = "serde",
        serde(
            rename = "life_seconds",
            serialize_with = "crate::machine::time::maybe_seconds"
        )
    )]
    pub life: Option<Duration>,
    /// How old it is: since it was stored, or since its loader began.
    #[cfg_attr(
        feature = "serde",
        serde(
            rename = "age_seconds",
            serialize_with = "crate::machine::time::maybe_seconds"
        )
    )]
    pub age: Option<Duration>,
    /// How long it is fresh yet.
    #[cfg_attr(
        feature = "serde",
        serde(
            rename = "left_seconds",
            serialize_with = "crate::machine::time::maybe_seconds"
        )
    )]
    pub left: Option<Duration>,
    /// How long after that it may be served stale, as long as it is fresh; what is left of that once it
    /// is not.
    #[cfg_attr(
        feature = "serde",
        serde(
            rename = "stale_left_seconds",
            serialize_with = "crate::machine::time::maybe_seconds"
        )
    )]
    pub stale_left: Option<Duration>,
    /// How long the store keeps it, if it can tell. [`Duration::MAX`] stands for ever.
    #[cfg_attr(
        feature = "serde",
        serde(
            rename = "kept_seconds",
            serialize_with = "crate::machine::time::maybe_seconds"
        )
    )]
    pub kept: Option<Duration>,
    /// How long it took to load the value; `None` if nobody did.
    #[cfg_attr(
        feature = "serde",
        serde(
            rename = "cost_seconds",
            serialize_with = "crate::machine::time::maybe_seconds"
        )
    )]
    pub cost: Option<Duration>,
    /// The mark that its loader has kept with it.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::span::mark"))]
    pub mark: Option<Vec<u8>>,
    /// Under which number of the namespace's log its loading began: a raise of its tags with a higher one
    /// has removed it.
    pub born: Option<u64>,
    /// The buckets of its tags, by their names in the log.
    pub tags: Vec<String>,
    /// Why it cannot be read.
    pub unreadable: Option<Unreadable>,
}

impl L2Entry {
    /// What these bytes are to readers of this format, as far as that can be said without a codec.
    /// `clock`: what the server's clock shows, in milliseconds. `kept`: how long the server keeps them.
    #[must_use]
    pub fn of(bytes: &[u8], wire: Wire, clock: Option<u64>, kept: Option<Duration>) -> Self {
        let mut entry = Self {
            format: EntryFormat::Foreign,
            kind: None,
            codec: None,
            compression: None,
            size: bytes.len(),
            freshness: None,
            life: None,
            age: None,
            left: None,
            stale_left: None,
            kept,
            cost: None,
            mark: None,
            born: None,
            tags: Vec::new(),
            unreadable: None,
        };
        match (envelope::parse(bytes), wire) {
            (Ok(envelope), _) => entry.native(&envelope, clock),
            (Err(_), Wire::JetcacheGo) => entry.go(bytes),
            (Err(junk), Wire::Native) => {
                if bytes.starts_with(&PREFIX[..2]) {
                    entry.format = EntryFormat::Native;
                }
                entry.unreadable = Some(junk.into());
            }
        }
        entry
    }

    fn native(&mut self, envelope: &Envelope<'_>, clock: Option<u64>) {
        self.format = EntryFormat::Native;
        self.kind = Some(match envelope.value {
            Some(_) => EntryKind::Value,
            None => EntryKind::NotFound,
        });
        self.codec = envelope.value.map(|(codec, _)| codec);
        self.compression = envelope.value.map(|_| envelope.compression);
        self.life = Some(envelope.life);
        self.cost = (!envelope.cost.is_zero()).then_some(envelope.cost);
        self.mark = envelope.mark.map(<[u8]>::to_vec);
        self.born = Some(envelope.born.number());
        self.tags = names(envelope.tags().scopes());
        let times = match (clock, self.kept) {
            (Some(clock), _) => {
                let (over, window) = envelope.over(clock);
                // The end is known unless nobody stamped it, or the clock was set back.
                let known = envelope.end > 0
                    && Duration::from_millis(envelope.end.saturating_sub(clock)) <= envelope.life;
                Some((envelope.left(clock), over, window, known))
            }
            (None, Some(kept)) => {
                let (left, over) = envelope.by_kept(kept);
                Some((left, over, envelope.stale, true))
            }
            (None, None) => None,
        };
        let Some((left, over, window, known)) = times else {
            return;
        };
        self.left = Some(left);
        self.stale_left = Some(if left.is_zero() {
            window.saturating_sub(over)
        } else {
            window
        });
        self.age = match (known, left.is_zero()) {
            (true, false) => Some(envelope.life.saturating_sub(left)),
            (true, true) => Some(envelope.life.saturating_add(over)),
            (false, _) => None,
        };
        self.freshness = Some(if !left.is_zero() {
            Freshness::Fresh
        } else if over < window && envelope.value.is_some() {
            Freshness::Stale
        } else {
            Freshness::Over
        });
    }

    fn go(&mut self, bytes: &[u8]) {
        self.format = EntryFormat::JetcacheGo;
        self.kind = Some(if bytes == PLACEHOLDER {
            EntryKind::NotFound
        } else {
            EntryKind::Value
        });
        self.left = self.kept;
        self.freshness = self.kept.map(|kept| {
            if kept.is_zero() {
                Freshness::Over
            } else {
                Freshness::Fresh
            }
        });
    }

    /// The name of its codec, if that is one of this project's.
    #[must_use]
    pub fn codec_name(&self) -> Option<&'static str> {
        self.codec.and_then(names::codec)
    }

    /// The name of its compression, if that is one of this project's.
    #[must_use]
    pub fn compression_name(&self) -> Option<&'static str> {
        self.compression.and_then(names::compression)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn sealed(codec: Option<u8>) -> Vec<u8> {
        let mut bytes = Vec::new();
        envelope::open(&mut bytes, codec);
        envelope::seal(&mut bytes, 10 * SECOND, 4 * SECOND);
        envelope::stamp(&mut bytes, 100_000);
        bytes
    }

    fn times(bytes: &[u8], clock: u64) -> (Option<Freshness>, [Option<Duration>; 3]) {
        let entry = L2Entry::of(bytes, Wire::Native, Some(clock), None);
        (entry.freshness, [entry.left, entry.age, entry.stale_left])
    }

    #[test]
    fn an_entry_is_fresh_then_stale_then_over() {
        let bytes = sealed(Some(1));
        let some = |seconds: [u32; 3]| seconds.map(|span| Some(span * SECOND));
        assert_eq!(
            times(&bytes, 97_000),
            (Some(Freshness::Fresh), some([3, 7, 4]))
        );
        assert_eq!(
            times(&bytes, 101_000),
            (Some(Freshness::Stale), some([0, 11, 3]))
        );
        assert_eq!(
            times(&bytes, 104_000),
            (Some(Freshness::Over), some([0, 14, 0]))
        );
    }

    #[test]
    fn nobody_knows_how_old_it_is_by_a_clock_that_was_set_back() {
        let zero = Some(Duration::ZERO);
        let over = (Some(Freshness::Over), [zero, None, zero]);
        assert_eq!(times(&sealed(Some(1)), 1), over);
        let mut bytes = sealed(Some(1));
        envelope::stamp(&mut bytes, 0);
        assert_eq!(times(&bytes, 97_000), over);
    }

    #[test]
    fn a_placeholder_is_never_stale() {
        let (freshness, _) = times(&sealed(None), 101_000);
        assert_eq!(freshness, Some(Freshness::Over));
    }

    #[test]
    fn a_format_is_known_by_its_bytes() {
        let of = |bytes: &[u8], wire| L2Entry::of(bytes, wire, None, Some(SECOND)).format;
        let native = sealed(Some(1));
        assert_eq!(of(&native, Wire::JetcacheGo), EntryFormat::Native);
        assert_eq!(of(b"*", Wire::JetcacheGo), EntryFormat::JetcacheGo);
        assert_eq!(of(b"*", Wire::Native), EntryFormat::Foreign);
        let damaged = L2Entry::of(&native[..30], Wire::Native, None, None);
        assert_eq!(damaged.format, EntryFormat::Native);
        assert!(damaged.unreadable.is_some() && damaged.kind.is_none());
    }
}
