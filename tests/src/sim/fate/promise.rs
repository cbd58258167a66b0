//! The promises, and how one was broken.

use core::fmt;

/// One of the promises P1 to P7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// One load.
    P1,
    /// No stale fill.
    P2,
    /// Everyone is answered.
    P4,
    /// Bounded, nothing leaks.
    P5,
    /// Nothing invented.
    P6,
    /// Never past its time.
    P7,
}

/// A promise that was broken.
#[derive(Clone, Debug)]
pub struct Broken {
    /// Which.
    pub promise: Promise,
    /// How.
    pub how: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is broken: {}", self.promise, self.how)
    }
}
