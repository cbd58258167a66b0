//! The time and the random bits, as arguments.

use crate::machine::time::Timestamp;

/// A point in time, with random bits that no other has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub(super) now: Timestamp,
    pub(super) roll: u128,
}

impl Moment {
    /// This time, by a clock that cannot step, and these bits. The better they are, the less do lives end
    /// together; none of them is a secret.
    #[must_use]
    pub const fn new(now: Timestamp, roll: u128) -> Self {
        Self { now, roll }
    }
}

/// Tells the time, as often as it is asked: any `FnMut() -> Moment` does.
///
/// It is asked before and after everything that may take long: a value's life begins when its load has
/// ended. One that always says the same lets every life begin with its call.
pub trait Clock {
    /// The time and new random bits.
    fn moment(&mut self) -> Moment;
}

impl<F: FnMut() -> Moment> Clock for F {
    fn moment(&mut self) -> Moment {
        self()
    }
}
