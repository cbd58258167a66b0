//! Spans and marks, in words.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::machine::generations::scope::Scope;
use crate::machine::tier::inspection::kind::Freshness;

/// How long an entry lives.
pub(super) fn lives(
    f: &mut fmt::Formatter<'_>,
    freshness: Freshness,
    left: Option<Duration>,
    stale_left: Option<Duration>,
) -> fmt::Result {
    let stale_left = stale_left.filter(|left| !left.is_zero());
    match (freshness, left, stale_left) {
        (Freshness::Fresh, Some(Duration::MAX), _) => f.write_str("fresh for ever"),
        (Freshness::Fresh, Some(left), Some(stale)) => {
            write!(
                f,
                "fresh for {}, then stale for {}",
                Span(left),
                Span(stale)
            )
        }
        (Freshness::Fresh, Some(left), None) => write!(f, "fresh for {}", Span(left)),
        (Freshness::Fresh, None, _) => f.write_str("fresh"),
        (Freshness::Stale, Some(left), _) if !left.is_zero() => {
            write!(
                f,
                "stale, served for {} before it is tried again",
                Span(left)
            )
        }
        (Freshness::Stale, _, Some(stale)) => write!(f, "stale, for {} yet", Span(stale)),
        (Freshness::Stale, _, None) => f.write_str("stale"),
        (Freshness::Over, _, _) => f.write_str("over: it is not served any more"),
    }
}

pub(super) fn marked(f: &mut fmt::Formatter<'_>, mark: Option<&[u8]>) -> fmt::Result {
    match mark {
        Some(mark) => write!(f, "; marked {:?}", String::from_utf8_lossy(mark)),
        None => Ok(()),
    }
}

/// The names of tags, as the log of a namespace has them.
pub(super) fn names(scopes: impl Iterator<Item = Scope>) -> Vec<String> {
    scopes.map(Scope::member).collect()
}

pub(super) fn tagged(f: &mut fmt::Formatter<'_>, tags: &[String]) -> fmt::Result {
    match tags {
        [] => Ok(()),
        tags => write!(f, "; tags {}", tags.join(" ")),
    }
}

/// A span in seconds, to the millisecond.
pub(super) struct Span(pub(super) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.as_secs(), self.0.subsec_millis()) {
            (seconds @ 0..60, millis @ 1..) => write!(f, "{seconds}.{millis:03} s"),
            (seconds, _) => write!(f, "{seconds} s"),
        }
    }
}

/// A mark as text: it usually is one.
#[cfg(feature = "serde")]
#[expect(clippy::ref_option, reason = "serde hands fields over so")]
pub(super) fn mark<S: serde::Serializer>(mark: &Option<Vec<u8>>, to: S) -> Result<S::Ok, S::Error> {
    let mark = mark.as_deref().map(String::from_utf8_lossy);
    serde::Serialize::serialize(&mark, to)
}
