//! What an entry is, and whether it is served.

use core::fmt;

/// What kind of entry it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum EntryKind {
    /// A value.
    Value,
    /// The not-found placeholder: the key is known not to exist.
    NotFound,
}

/// Whether an entry is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Freshness {
    /// It is served.
    Fresh,
    /// Its life is over, and it is served if it cannot be loaded anew, or not in time.
    Stale,
    /// It is not served any more.
    Over,
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Value => "a value",
            Self::NotFound => "\"does not exist\"",
        })
    }
}
