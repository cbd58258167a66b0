//! The tags of a value.

use alloc::vec::Vec;
use core::fmt;

use crate::machine::counted::Arc;
use crate::machine::generations::scope::{Scope, bucket};

/// The tags of a value, as their buckets, each once and in order. None is as cheap as a null pointer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tags(Option<Arc<[u16]>>);

impl Tags {
    /// No tags.
    pub const NONE: Self = Self(None);

    /// The tags of these texts.
    ///
    /// # Errors
    /// [`TooManyTags`] for more than [`MOST`].
    pub fn of<T: AsRef<str>>(tags: impl IntoIterator<Item = T>) -> Result<Self, TooManyTags> {
        let mut buckets: Vec<u16> = Vec::new();
        let mut texts: Vec<T> = Vec::new();
        for tag in tags {
            let text = tag.as_ref();
            if texts.iter().any(|other| other.as_ref() == text) {
                continue;
            }
            if texts.len() == MOST {
                return Err(TooManyTags);
            }
            buckets.push(bucket(text));
            texts.push(tag);
        }
        Ok(Self::of_buckets(buckets))
    }

    /// The tags of these buckets.
    #[must_use]
    pub fn of_buckets(mut buckets: Vec<u16>) -> Self {
        buckets.sort_unstable();
        buckets.dedup();
        Self((!buckets.is_empty()).then(|| buckets.into()))
    }

    /// Their buckets.
    #[must_use]
    pub fn buckets(&self) -> &[u16] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// What is raised to remove values with these tags.
    pub fn scopes(&self) -> impl Iterator<Item = Scope> + '_ {
        self.buckets().iter().map(|bucket| Scope::Tag(*bucket))
    }
}

/// Why a value is not kept: it has more than 64 tags. Give it fewer, or remove its keys one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TooManyTags;

impl fmt::Display for TooManyTags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "more than {MOST} tags on one value: give it fewer")
    }
}

impl core::error::Error for TooManyTags {}

/// How many tags a value may have.
pub const MOST: usize = 64;

/// Why there are no tags, and no `clear`.
pub(crate) const NO_TAGS: &str = "tags and `clear` need an L2 that keeps a log of them, in the native \
     format: in the jetcache-go format a value cannot carry when it was loaded, and a removal of each key would miss \
     what is filled meanwhile. Invalidate the keys; `clear_local` empties this node's L1";
