//! The kinds of errors, for who tells them apart and needs no more.

use core::fmt;

/// Which of the [errors](crate::Error) one is, without what it carries: for a `match`, a status code, the
/// label of a metric.
///
/// ```
/// # use jetcache_core::doc::runtime as jetcache_tokio;
/// use jetcache_tokio::{Error, ErrorKind};
///
/// fn status(error: &Error) -> u16 {
///     match error.kind() {
///         ErrorKind::NotFound => 404,
///         ErrorKind::Timeout => 504,
///         ErrorKind::Overloaded | ErrorKind::Closed => 503,
///         _ => 500,
///     }
/// }
/// assert_eq!(status(&Error::NotFound), 404);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// [`Error::Load`](crate::Error::Load).
    Load,
    /// [`Error::Panicked`](crate::Error::Panicked).
    Panicked,
    /// [`Error::NotFound`](crate::Error::NotFound).
    NotFound,
    /// [`Error::Timeout`](crate::Error::Timeout).
    Timeout,
    /// [`Error::Encode`](crate::Error::Encode).
    Encode,
    /// [`Error::TooLarge`](crate::Error::TooLarge).
    TooLarge,
    /// [`Error::Key`](crate::Error::Key).
    Key,
    /// [`Error::TooManyTags`](crate::Error::TooManyTags).
    TooManyTags,
    /// [`Error::Undecided`](crate::Error::Undecided).
    Undecided,
    /// [`Error::Overloaded`](crate::Error::Overloaded).
    Overloaded,
    /// [`Error::Deadlock`](crate::Error::Deadlock).
    Deadlock,
    /// [`Error::Closed`](crate::Error::Closed).
    Closed,
    /// [`Error::Config`](crate::Error::Config).
    Config,
}

/// Its name in lower case, as a label: `too_large`.
impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Load => "load",
            Self::Panicked => "panicked",
            Self::NotFound => "not_found",
            Self::Timeout => "timeout",
            Self::Encode => "encode",
            Self::TooLarge => "too_large",
            Self::Key => "key",
            Self::TooManyTags => "too_many_tags",
            Self::Undecided => "undecided",
            Self::Overloaded => "overloaded",
            Self::Deadlock => "deadlock",
            Self::Closed => "closed",
            Self::Config => "config",
        })
    }
}
