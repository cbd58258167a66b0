//! What a store shows of one key beside its value.

use core::time::Duration;

pub use crate::machine::inspection::{Holder, LeaseSeen};
use crate::ports::remote::Found;

/// The answer to [`Remote::inspect`](super::Remote::inspect).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspected {
    /// What stands under the key, as a read shows it.
    pub found: Option<Found>,
    /// How long the store keeps it; [`Duration::MAX`] for ever, `None` if it cannot tell.
    pub kept: Option<Duration>,
    /// The lease of the key.
    pub lease: LeaseSeen,
}

impl Inspected {
    /// By a store that can tell no more than what a read shows.
    #[must_use]
    pub const fn of(found: Option<Found>) -> Self {
        Self {
            found,
            kept: None,
            lease: LeaseSeen::UNTOLD,
        }
    }
}
