//! Raises on their way to L2.

use alloc::vec::Vec;

use crate::machine::generations::scope::{Mark, RaiseEvent, Scope};

/// The answer to [`Remote::raise`](crate::ports::remote::Remote::raise).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised {
    /// The new number.
    pub number: Mark,
    /// The highest number before it, or [`Mark::NONE`].
    pub before: Mark,
    /// The mark that each scope had before, in the order of the scopes, or [`Mark::NONE`].
    pub marks: Vec<Mark>,
    /// There was no list: the new one begins with [`Scope::All`].
    pub anew: bool,
}

/// The answer to [`Remote::ensure`](crate::ports::remote::Remote::ensure).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ensured {
    /// The highest number.
    pub top: Mark,
    /// What was raised under it, with all its scopes, if anything was: the others are to hear of it.
    pub raised: Option<RaiseEvent>,
}

/// A raise that L2 has not acknowledged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    /// The last command that was given up.
    pub(super) given_up: u64,
}

/// A raise on its way to L2. Its holder says what [became of it](crate::machine::generations::Generations::raised), also if it is
/// given up.
#[derive(Debug)]
#[must_use = "what became of a raise is to be said"]
pub struct RaiseTicket {
    pub(super) number: u64,
    pub(super) reign: u32,
    pub(super) scopes: Vec<Scope>,
    /// It was given up before.
    pub(super) again: bool,
    pub(super) clock: Mark,
}

impl RaiseTicket {
    /// What is raised.
    #[must_use]
    pub fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// Whether it was given up before.
    #[must_use]
    pub fn is_repeated(&self) -> bool {
        self.again
    }

    /// The highest number that this node had heard of.
    #[must_use]
    pub fn clock(&self) -> Mark {
        self.clock
    }
}

/// The parts in which many scopes are raised, each scope once.
#[must_use]
pub fn parts(mut scopes: Vec<Scope>) -> Vec<Vec<Scope>> {
    scopes.sort_unstable();
    scopes.dedup();
    scopes.chunks(MOST_AT_ONCE).map(<[Scope]>::to_vec).collect()
}

/// How many marks or scopes go in one command: a page of news holds twice as many.
pub(super) const MOST_AT_ONCE: usize = 500;
