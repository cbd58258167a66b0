//! Runs a background task of which there is to be one: begins it when it is needed, notices when it
//! is gone, and lets another take its place.
//!
//! A task dies with its runtime, and stands still with it. So it says, whenever it does something,
//! until when it may be silent. Past that another may begin; the old one, if it goes on, ends.

use core::time::Duration;
use std::sync::Arc;

use portable_atomic::{AtomicU64, Ordering};

use crate::machine::time::Timestamp;

/// The place of the task. Who needs it calls [`ensure`](Self::ensure), again and again.
#[derive(Debug)]
pub(crate) struct Chore {
    pulse: Pulse,
    /// How long the task may work without a sign of life.
    busy: Duration,
}

/// Until when the task is believed to be at work, in nanoseconds of the clock; zero for none.
type Pulse = Arc<AtomicU64>;

/// What the task at work holds. Dropped, it lets the next one begin.
#[derive(Debug)]
pub(crate) struct Shift {
    pulse: Pulse,
    last: u64,
    busy: Duration,
}

impl Chore {
    /// A place whose task works for `busy` at most before it says that it goes on.
    pub(crate) fn new(busy: Duration) -> Self {
        Self {
            pulse: Arc::default(),
            busy,
        }
    }

    /// Begins the task if nobody is at it. Without a runtime the task is dropped, and its shift
    /// with it: the next call tries again.
    pub(crate) fn ensure(&self, now: Timestamp, begin: impl FnOnce(Shift)) {
        let last = self.pulse.load(Ordering::SeqCst);
        let until = silent_until(now, self.busy, Duration::ZERO);
        if last <= now.as_nanos() && exchange(&self.pulse, last, until) {
            begin(Shift {
                pulse: Arc::clone(&self.pulse),
                last: until,
                busy: self.busy,
            });
        }
    }

    /// Whether somebody is at it, or was until it stood still.
    pub(crate) fn is_taken(&self) -> bool {
        self.pulse.load(Ordering::SeqCst) > 0
    }
}

impl Shift {
    /// Says that the task goes on, after a nap. False if another has taken its place: it must end.
    pub(crate) fn goes_on(&mut self, now: Timestamp, nap: Duration) -> bool {
        let until = silent_until(now, self.busy, nap);
        let goes_on = exchange(&self.pulse, self.last, until);
        if goes_on {
            self.last = until;
        }
        goes_on
    }
}

impl Drop for Shift {
    fn drop(&mut self) {
        // Fails if the place is another task's by now, and then changes nothing.
        exchange(&self.pulse, self.last, 0);
    }
}

fn exchange(pulse: &Pulse, last: u64, until: u64) -> bool {
    let exchanged = pulse.compare_exchange(last, until, Ordering::SeqCst, Ordering::SeqCst);
    exchanged.is_ok()
}

fn silent_until(now: Timestamp, busy: Duration, nap: Duration) -> u64 {
    (now + nap.saturating_add(busy).saturating_add(GRACE)).as_nanos()
}

/// How late a timer or a scheduler may be.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    fn begun(chore: &Chore, now: Timestamp) -> Option<Shift> {
        let mut begun = None;
        chore.ensure(now, |shift| begun = Some(shift));
        begun
    }

    #[test]
    fn there_is_one_at_work() {
        let chore = Chore::new(5 * SECOND);
        let shift = begun(&chore, at(1));
        assert!(shift.is_some() && begun(&chore, at(6)).is_none() && chore.is_taken());
        drop(shift);
        assert!(!chore.is_taken() && begun(&chore, at(6)).is_some());
    }

    #[test]
    fn who_is_silent_for_too_long_is_replaced_and_finds_out() {
        let chore = Chore::new(Duration::ZERO);
        let mut first = begun(&chore, at(1)).unwrap();
        assert!(first.goes_on(at(2), SECOND) && begun(&chore, at(3)).is_none());
        let mut second = begun(&chore, at(4)).unwrap();
        assert!(!first.goes_on(at(4), SECOND));
        drop(first);
        assert!(chore.is_taken() && second.goes_on(at(5), SECOND));
    }
}
