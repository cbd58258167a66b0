//! Attempts to catch up with the log of raises: one at a time, for all who wait.

use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use event_listener::{Event as Bell, EventListener};

use crate::machine::error::Fault;
use crate::machine::time::Timestamp;

/// The attempts of one cache.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    state: Mutex<State>,
    /// Rings when one ends.
    end: Bell,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the last one.
    last: u64,
    /// When it began, or made its last step, while it is under way.
    stirred: Option<Timestamp>,
    /// Why it failed, and when.
    failed: Option<(Timestamp, Fault)>,
}

/// What somebody does who wants to catch up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    /// Wait for the attempt of this number.
    Waits(u64),
    /// Make the attempt of this number.
    Begins(u64),
}

impl Attempts {
    /// Completes when an attempt ends.
    pub(crate) fn ends(&self) -> EventListener {
        self.end.listen()
    }

    /// Joins the attempt that is under way, or begins one; `patience` is how long one
    /// step of it may take.
    ///
    /// # Errors
    /// Why the last one failed, if that was just now.
    pub(crate) fn join(&self, now: Timestamp, patience: Duration) -> Result<Joined, Fault> {
        let mut state = self.state();
        // Who stands still in the middle of one, as a task that is not polled, holds up nobody for long.
        if let Some(stirred) = state.stirred
            && now.since(stirred) < patience
        {
            return Ok(Joined::Waits(state.last));
        }
        if let Some((at, fault)) = &state.failed
            && now.since(*at) < PAUSE
        {
            return Err(fault.clone());
        }
        state.last += 1;
        (state.stirred, state.failed) = (Some(now), None);
        Ok(Joined::Begins(state.last))
    }

    /// Whether this attempt has yet to end.
    pub(crate) fn is_under_way(&self, attempt: u64) -> bool {
        let state = self.state();
        state.last == attempt && state.stirred.is_some()
    }

    /// This attempt has made a step. Whether it is to go on: it may have been overtaken.
    pub(crate) fn goes_on(&self, attempt: u64, now: Timestamp) -> bool {
        let mut state = self.state();
        let goes_on = state.last == attempt && state.stirred.is_some();
        if goes_on {
            state.stirred = Some(now);
        }
        goes_on
    }

    /// This attempt has ended so.
    pub(crate) fn end(&self, attempt: u64, ended: Result<(), Fault>, now: Timestamp) {
        let mut state = self.state();
        if state.last == attempt {
            state.stirred = None;
            state.failed = ended.err().map(|fault| (now, fault));
        }
        drop(state);
        self.end.notify(usize::MAX);
    }

    /// # Errors
    /// Why this attempt has failed.
    pub(crate) fn outcome(&self, attempt: u64) -> Result<(), Fault> {
        let state = self.state();
        match &state.failed {
            Some((_, fault)) if state.last == attempt => Err(fault.clone()),
            _ => Ok(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No user code runs under it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long nobody tries again after an attempt has failed: many may want to.
const PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(100);

    fn at(millis: u64) -> Timestamp {
        Timestamp::default() + Duration::from_millis(millis)
    }

    #[test]
    fn one_attempt_is_made_for_all() {
        let attempts = Attempts::default();
        assert_eq!(attempts.join(at(0), PATIENCE).ok(), Some(Joined::Begins(1)));
        assert_eq!(attempts.join(at(9), PATIENCE).ok(), Some(Joined::Waits(1)));
        attempts.end(1, Ok(()), at(10));
        assert!(!attempts.is_under_way(1) && attempts.outcome(1).is_ok());
        assert_eq!(
            attempts.join(at(10), PATIENCE).ok(),
            Some(Joined::Begins(2))
        );
    }

    #[test]
    fn one_that_failed_is_not_made_again_at_once() {
        let attempts = Attempts::default();
        let _ = attempts.join(at(0), PATIENCE);
        attempts.end(1, Err(Fault::Timeout), at(10));
        assert!(attempts.outcome(1).is_err());
        assert!(attempts.join(at(11), PATIENCE).is_err());
        let again = attempts.join(at(60), PATIENCE);
        assert_eq!(again.ok(), Some(Joined::Begins(2)));
    }

    #[test]
    fn one_that_makes_its_steps_takes_as_long_as_it_needs() {
        let attempts = Attempts::default();
        let _ = attempts.join(at(0), PATIENCE);
        for step in 1..9 {
            assert!(attempts.goes_on(1, at(90 * step)));
            let joined = attempts.join(at(90 * step + 80), PATIENCE);
            assert_eq!(joined.ok(), Some(Joined::Waits(1)));
        }
        let joined = attempts.join(at(900), PATIENCE);
        assert_eq!(joined.ok(), Some(Joined::Begins(2)));
        assert!(!attempts.goes_on(1, at(901)));
    }

    #[test]
    fn one_that_stands_still_is_overtaken() {
        let attempts = Attempts::default();
        let _ = attempts.join(at(0), PATIENCE);
        let other = attempts.join(at(100), PATIENCE);
        assert_eq!(other.ok(), Some(Joined::Begins(2)));
        attempts.end(1, Err(Fault::Timeout), at(101));
        assert!(attempts.is_under_way(2) && attempts.outcome(2).is_ok());
    }
}
