//! Who has the lease of a key, as an inspection sees it.

use core::fmt;
use core::time::Duration;

use crate::machine::tier::inspection::span::Span;

/// The lease of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LeaseSeen {
    /// Who has it.
    pub holder: Holder,
    /// How long it stands yet, if the store can tell.
    #[cfg_attr(
        feature = "serde",
        serde(
            rename = "left_seconds",
            serialize_with = "crate::machine::time::maybe_seconds"
        )
    )]
    pub left: Option<Duration>,
}

/// Who has a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Holder {
    /// The store cannot tell.
    Untold,
    /// Nobody.
    Nobody,
    /// A load, of this node or another; or the claim of a write-through or a conditional change, which
    /// looks the same in L2.
    Load,
    /// Inserts that are under way: their claims.
    Insert,
    /// Nobody: a load has failed, and for a while nobody is to try who can do without.
    Failing,
}

impl LeaseSeen {
    /// The store cannot tell.
    pub const UNTOLD: Self = Self::new(Holder::Untold, None);
    /// Nobody has it.
    pub const FREE: Self = Self::new(Holder::Nobody, None);

    /// This holder's, for so long.
    #[must_use]
    pub const fn new(holder: Holder, left: Option<Duration>) -> Self {
        Self { holder, left }
    }
}

/// As half a sentence.
impl fmt::Display for LeaseSeen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.holder {
            Holder::Untold => "this store cannot tell",
            Holder::Nobody => "none",
            Holder::Load => "held by a load or a write-through",
            Holder::Insert => "claimed by an insert",
            Holder::Failing => "none: a load has failed lately",
        })?;
        match self.left {
            Some(left) => write!(f, ", {} left", Span(left)),
            None => Ok(()),
        }
    }
}
