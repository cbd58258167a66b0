//! The promises that a storm can see broken.

/// One of the promises P1 to P7. That nothing lives past its time (P7) is the simulation's to
/// judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// One load.
    P1,
    /// No stale fill.
    P2,
    /// Fail open.
    P3,
    /// Everyone is answered.
    P4,
    /// Bounded, nothing leaks.
    P5,
    /// Nothing invented.
    P6,
}
