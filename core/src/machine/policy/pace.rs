//! How often keys are refreshed, and what a refresh does with what it finds.

use core::time::Duration;

use crate::machine::error::{Error, Fault};

/// How keys that are asked for with refresh are kept fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pace {
    /// How old a value becomes before it is loaded again.
    pub every: Duration,
    /// How long a key is still refreshed after it was last asked for.
    pub stop_after: Duration,
    /// How many refreshes run at once.
    pub at_once: usize,
    /// How many keys are refreshed at most.
    pub capacity: usize,
}

impl Pace {
    /// The defaults for this period: stop a second after it, 4 at once, 10,000 keys.
    #[must_use]
    pub const fn new(every: Duration) -> Self {
        Self {
            every,
            stop_after: every.saturating_add(Duration::from_secs(1)),
            at_once: 4,
            capacity: 10_000,
        }
    }

    /// Checks that these settings can work.
    ///
    /// # Errors
    /// [`Error::Config`] for a setting that cannot work, with what to do about it.
    pub fn check(&self) -> Result<(), Error> {
        for (name, span) in [
            ("refresh_every", self.every),
            ("stop_refresh_after", self.stop_after),
        ] {
            if span.is_zero() {
                return Err(Error::config(alloc::format!(
                    "{name} is zero: give it a duration above zero"
                )));
            }
        }
        for (name, size) in [
            ("refresh_concurrency", self.at_once),
            ("refresh_capacity", self.capacity),
        ] {
            if size == 0 {
                return Err(Error::config(alloc::format!(
                    "{name} is zero: give it at least 1"
                )));
            }
        }
        Ok(())
    }
}

/// What a refresh does with the value that it finds in L2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Aim {
    /// Copy a value younger than this: it comes from another node's refresh. Load an older one
    /// anew.
    Younger(Duration),
    /// It is this node's turn: it loads, whatever stands there.
    Load,
    /// It is another node's turn: what stands there is copied.
    Copy,
    /// A hit late in the entry's life: copy a value in the first half of its own, which another node
    /// has loaded; load anew else. Nobody waits for it.
    Eager,
}

impl Aim {
    /// In the jetcache-go format the nodes take turns by a lock, the key `<key>_#RL#`: the node
    /// that gets it loads.
    #[must_use]
    pub const fn of_lock(granted: bool) -> Self {
        if granted { Self::Load } else { Self::Copy }
    }

    /// Whether a value of this age is copied. For `Younger` an unknown age is old.
    pub(in crate::machine) fn copies(self, age: Option<Duration>, left: Duration) -> bool {
        match self {
            Self::Younger(limit) => age.is_some_and(|age| age < limit),
            Self::Load => false,
            Self::Copy => true,
            Self::Eager => age.is_some_and(|age| age < left),
        }
    }
}

/// What became of a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshOutcome {
    /// The loader brought a value, or that there is none.
    Loaded,
    /// L2 had a value that is young enough; with its age, if that is known.
    Copied(Option<Duration>),
    /// It was not done: something else was under way on the key, or changed it, or another node
    /// held its lease for as long as this one waited.
    Passed,
    /// The loader or L2 failed, or this node does not believe L2 about the key.
    Failed,
}

impl RefreshOutcome {
    /// Whether the lock of a refresh is given back, so that another node loads. The node that
    /// loaded keeps it for the rest of the period. If no reply came the lock may stand, and is
    /// given back too.
    #[must_use]
    pub fn gives_lock_back(self, locked: &Result<bool, Fault>) -> bool {
        !matches!(locked, Ok(false)) && self != Self::Loaded
    }
}
