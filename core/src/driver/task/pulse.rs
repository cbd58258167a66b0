//! A sign of life: whether a task of which there is to be one is at work.
//!
//! A task dies with its runtime, and stands still with it. So it says, whenever it does something,
//! until when it may be silent; past that, another one may begin, and the old one, should it go on,
//! finds out and ends.

use std::sync::Arc;

use portable_atomic::{AtomicU64, Ordering};

use crate::machine::time::Timestamp;

/// Until when the task is believed to be at work, in nanoseconds of the clock; zero if there is none.
#[derive(Debug, Default)]
pub(crate) struct Pulse(AtomicU64);

/// What the task at work holds. Dropped, it lets the next one begin.
#[derive(Debug)]
pub(crate) struct Beat {
    pulse: Arc<Pulse>,
    last: u64,
}

impl Pulse {
    /// Takes the work up if nobody is at it.
    pub(crate) fn take(self: &Arc<Self>, now: Timestamp, until: Timestamp) -> Option<Beat> {
        let last = self.0.load(Ordering::SeqCst);
        let until = until.as_nanos();
        let taken = last <= now.as_nanos()
            && (self.0)
                .compare_exchange(last, until, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok();
        taken.then(|| Beat {
            pulse: Arc::clone(self),
            last: until,
        })
    }

    pub(crate) fn is_taken(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }
}

impl Beat {
    /// Says that the task is at work until then. False if another has taken its place.
    pub(crate) fn again(&mut self, until: Timestamp) -> bool {
        let until = until.as_nanos();
        let beaten =
            (self.pulse.0).compare_exchange(self.last, until, Ordering::SeqCst, Ordering::SeqCst);
        if beaten.is_ok() {
            self.last = until;
        }
        beaten.is_ok()
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        // Unless it is another's by now.
        let _ = (self.pulse.0).compare_exchange(self.last, 0, Ordering::SeqCst, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    #[test]
    fn there_is_one_at_work() {
        let pulse = Arc::new(Pulse::default());
        let beat = pulse.take(at(1), at(10));
        assert!(beat.is_some() && pulse.take(at(9), at(20)).is_none());
        drop(beat);
        assert!(!pulse.is_taken() && pulse.take(at(9), at(20)).is_some());
    }

    #[test]
    fn who_is_silent_for_too_long_is_replaced_and_finds_out() {
        let pulse = Arc::new(Pulse::default());
        let mut first = pulse.take(at(1), at(10)).unwrap();
        assert!(first.again(at(12)));
        let mut second = pulse.take(at(12), at(30)).unwrap();
        assert!(!first.again(at(40)));
        drop(first);
        assert!(pulse.is_taken() && second.again(at(40)));
    }
}
