//! What can go wrong: an [`Error`] is the caller's business, a [`Fault`] is a tier's.

pub mod kind;

use alloc::boxed::Box;
use core::error::Error as StdError;
use core::fmt;
use core::time::Duration;

use crate::machine::counted::Arc;
use crate::machine::error::kind::ErrorKind;
use crate::machine::generations::tags::TooManyTags;

/// Any error that can cross threads.
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// Why a call has no answer.
///
/// A broken L2 is never among these while L1 or the loader can answer: it is counted as a
/// [`Fault`] and survived.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The loader failed, or the writer of a write-through. Every caller that shared its flight
    /// gets the same error; [`Error::load_as`] gives the loader's own type back.
    Load(Arc<dyn StdError + Send + Sync + 'static>),
    /// The loader or writer panicked, with this message. The next call loads again.
    Panicked(Arc<str>),
    /// The value does not exist: the loader or writer said so, or it is remembered from one that did. Only
    /// for calls that answer a value and no `Option`, such as
    /// [`get_or_load_value`](crate::Cache::get_or_load_value).
    NotFound,
    /// The loader took longer than `load_timeout`, or the writer longer than `write_timeout`: which,
    /// and how long that is. The next call loads again.
    Timeout(Limit),
    /// The value could not be encoded for L2. Nothing was changed.
    Encode(Arc<dyn StdError + Send + Sync + 'static>),
    /// The encoded value is longer than the cache's `max_value_size`. Nothing was changed.
    TooLarge {
        /// Its length in bytes, before compression.
        size: usize,
        /// The longest that is allowed, in bytes.
        limit: usize,
    },
    /// The key cannot be stored in L2; the text says why. Nothing was changed. A key that only looks
    /// like the name of a lease (it ends in `#lease`) can be loaded, without L2.
    Key(Arc<str>),
    /// The value has more than 64 tags. Nothing was kept or changed.
    TooManyTags(TooManyTags),
    /// A conditional insert was sent and its outcome is not known. Until a removal of the key is
    /// confirmed this node does not read the key from L2: ask again, or read the key first. Also one
    /// that was not sent, because the [breaker](crate::Breaker) of L2 is open: it has changed nothing.
    Undecided,
    /// So many loads run at once already (`max_loads`) that this one found no room in time.
    Overloaded,
    /// A loader or writer asked for its own key, itself or by way of other loaders: it would have
    /// waited for itself.
    Deadlock,
    /// The cache was closed.
    Closed,
    /// A setting or a call's options contradict each other, or no cache can run on the caller's
    /// runtime; the text says what to change.
    Config(Arc<str>),
}

/// Whose time ran out, and how long it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// The loader's: the cache's `load_timeout`, the wait for a turn among `max_loads` included.
    Load(Duration),
    /// The writer's: the cache's `write_timeout`.
    Write(Duration),
}

impl Limit {
    /// How long it was.
    #[must_use]
    pub const fn span(self) -> Duration {
        match self {
            Self::Load(span) | Self::Write(span) => span,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(span) => write!(f, "the loader took longer than load_timeout ({span:?})"),
            Self::Write(span) => write!(f, "the writer took longer than write_timeout ({span:?})"),
        }
    }
}

impl Error {
    /// A configuration error that says what to do.
    pub(crate) fn config(text: impl Into<Arc<str>>) -> Self {
        Self::Config(text.into())
    }

    /// Which kind of error it is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Load(_) => ErrorKind::Load,
            Self::Panicked(_) => ErrorKind::Panicked,
            Self::NotFound => ErrorKind::NotFound,
            Self::Timeout(_) => ErrorKind::Timeout,
            Self::Encode(_) => ErrorKind::Encode,
            Self::TooLarge { .. } => ErrorKind::TooLarge,
            Self::Key(_) => ErrorKind::Key,
            Self::TooManyTags(_) => ErrorKind::TooManyTags,
            Self::Undecided => ErrorKind::Undecided,
            Self::Overloaded => ErrorKind::Overloaded,
            Self::Deadlock => ErrorKind::Deadlock,
            Self::Closed => ErrorKind::Closed,
            Self::Config(_) => ErrorKind::Config,
        }
    }

    /// The loader's own error, if it was an `E`: what [`source`](StdError::source) gives, with its type.
    ///
    /// This works for errors that reach the loader's result as themselves (with `?`). An error that
    /// went through `anyhow` or another wrapper has the wrapper's type.
    ///
    /// ```
    /// # use jetcache_core::doc::runtime as jetcache_tokio;
    /// use jetcache_tokio::Error;
    /// use std::{io, sync::Arc};
    ///
    /// let error = Error::Load(Arc::new(io::Error::other("the database is away")));
    /// assert!(error.load_as::<io::Error>().is_some());
    /// assert!(error.load_as::<std::fmt::Error>().is_none());
    /// ```
    #[must_use]
    pub fn load_as<E: StdError + 'static>(&self) -> Option<&E> {
        match self {
            Self::Load(error) => error.downcast_ref(),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => write!(f, "the loader or writer failed: {error}"),
            Self::Panicked(message) => write!(f, "the loader or writer panicked: {message}"),
            Self::NotFound => f.write_str("the value does not exist"),
            Self::Timeout(limit) => limit.fmt(f),
            Self::Encode(error) => write!(f, "the value cannot be encoded: {error}"),
            Self::TooLarge { size, limit } => write!(
                f,
                "the encoded value has {size} bytes, more than max_value_size ({limit}): raise the \
                 limit, or store less"
            ),
            Self::Key(why) => write!(f, "the key cannot be stored: {why}"),
            Self::TooManyTags(why) => why.fmt(f),
            Self::Undecided => f.write_str(
                "the outcome of the conditional insert is not known: read the key, or ask again",
            ),
            Self::Overloaded => {
                f.write_str("as many loads as max_loads allows run already, and none ended in time")
            }
            Self::Deadlock => f.write_str(
                "a loader or writer asks for its own key, perhaps by way of other loaders: it would \
                 wait for itself",
            ),
            Self::Closed => f.write_str("the cache is closed"),
            Self::Config(what) => f.write_str(what),
        }
    }
}

/// The source is the loader's, the writer's or the codec's own error. This error's text has that one's as
/// well, so that a line in a log tells the reason without walking the chain.
impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Load(error) | Self::Encode(error) => Some(&**error),
            _ => None,
        }
    }
}

/// A tier that did not do what it was asked. Counted, survived, never a caller's error.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// No answer within the time allowed. The command may still be carried out later.
    Timeout,
    /// The tier cannot be reached, or the connection or its adapter broke before the answer came:
    /// the command may have been carried out.
    Unreachable(Arc<str>),
    /// The tier answered with an error, and did not do what it was asked.
    Refused(Arc<str>),
    /// Nothing was sent: the tier's [circuit breaker](crate::Breaker) is open, for this reason.
    NotAsked(Arc<str>),
    /// The value could not be encoded, so nothing was sent.
    Encode(Arc<str>),
    /// The encoded value is longer than the cache's `max_value_size`, so nothing was sent.
    TooLarge,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("no answer in time"),
            Self::Unreachable(why) => write!(f, "not reachable: {why}"),
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::NotAsked(why) => write!(f, "not asked, since it failed before: {why}"),
            Self::Encode(why) => write!(f, "cannot be encoded: {why}"),
            Self::TooLarge => f.write_str("longer than max_value_size"),
        }
    }
}

/// As its text.
#[cfg(feature = "serde")]
impl serde::Serialize for Fault {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl StdError for Fault {}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn who_walks_the_chain_meets_the_loaders_own_error() {
        let error = Error::Load(Arc::new(TooManyTags));
        let source = error.source().and_then(|source| source.downcast_ref());
        assert_eq!(source, Some(&TooManyTags));
        assert!(error.to_string().contains(&TooManyTags.to_string()));
        assert_eq!(error.kind(), ErrorKind::Load);
    }
}
