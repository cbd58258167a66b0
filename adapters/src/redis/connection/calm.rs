//! Pauses before a server that answers and refuses is asked again, so that a wrong password is not
//! tried a thousand times a second.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jetcache_core::Fault;
use jetcache_core::machine::policy::backoff::Backoff;

/// The pauses of one thing that a server refuses.
#[derive(Default)]
pub(crate) struct Calm {
    pauses: Mutex<Pauses>,
    /// Whether there are any: what goes well, as most does, takes no lock.
    is_troubled: AtomicBool,
}

#[derive(Default)]
struct Pauses {
    /// Refusals, one after the other.
    refusals: u32,
    /// What the server said last, and until when it is not asked again.
    said: Option<(Fault, Instant)>,
    /// Somebody asks it now.
    trying: bool,
}

impl Calm {
    /// What the server said last, if it is not to be asked again yet. After a pause one caller asks;
    /// the others wait for what comes of that, for a while.
    pub(crate) fn refusal(&self) -> Option<Fault> {
        let mut pauses = self.pauses();
        let now = Instant::now();
        let (fault, until) = pauses.said.as_mut()?;
        if now < *until {
            return Some(fault.clone());
        }
        *until = now + TRIAL;
        pauses.trying = true;
        None
    }

    /// Whether it has refused since it last did not.
    pub(crate) fn is_troubled(&self) -> bool {
        self.is_troubled.load(Ordering::Acquire)
    }

    /// It refused.
    pub(crate) fn refused(&self, fault: &Fault) {
        let mut pauses = self.pauses();
        let now = Instant::now();
        if !pauses.trying && pauses.said.as_ref().is_some_and(|(_, until)| now < *until) {
            // Another one that was sent before the pause began.
            return;
        }
        let until = now + pause(pauses.refusals);
        *pauses = Pauses {
            refusals: pauses.refusals.saturating_add(1),
            said: Some((fault.clone(), until)),
            trying: false,
        };
        self.is_troubled.store(true, Ordering::Release);
    }

    /// It did not refuse.
    pub(crate) fn accepted(&self) {
        if self.is_troubled() {
            let mut pauses = self.pauses();
            *pauses = Pauses::default();
            self.is_troubled.store(false, Ordering::Release);
        }
    }

    fn pauses(&self) -> MutexGuard<'_, Pauses> {
        self.pauses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When connections to a server that has become a replica are made anew: its name may lead to the
/// new primary by now.
#[derive(Debug, Default)]
pub(crate) struct Renewals(Mutex<Last>);

#[derive(Debug, Default)]
struct Last {
    /// Renewals, one after the other.
    count: u32,
    /// When the last one began, and until when there is no other.
    at: Option<(Instant, Instant)>,
}

impl Renewals {
    /// Whether a connection that was made then is to be made anew: at once if it is older than the
    /// last renewal, and else after a pause, for a replica still answers reads.
    pub(crate) fn renews(&self, made: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match last.at {
            Some((at, _)) if made < at => return true,
            Some((_, until)) if now < until => return false,
            Some((_, until)) if now.duration_since(until) > FORGOTTEN => last.count = 0,
            Some(_) | None => {}
        }
        last.at = Some((now, now + pause(last.count)));
        last.count = last.count.saturating_add(1);
        true
    }
}

/// Up to a quarter shorter than the back-off says, at random.
fn pause(refusals: u32) -> Duration {
    let pause = PAUSES.pause(refusals);
    let off = u32::try_from(RandomState::new().hash_one(refusals) % 250).unwrap_or(0);
    pause - (pause / 1000) * off
}

impl fmt::Debug for Calm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calm").finish_non_exhaustive()
    }
}

const PAUSES: Backoff = Backoff {
    first: Duration::from_millis(50),
    longest: Duration::from_secs(2),
};

/// A renewal so long ago says nothing of now.
const FORGOTTEN: Duration = Duration::from_secs(10);

/// How long one attempt may keep the others from trying.
const TRIAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_older_than_a_renewal_is_renewed_and_what_is_newer_after_pauses() {
        let renewals = Renewals::default();
        let old = Instant::now();
        std::thread::sleep(Duration::from_millis(1));
        for _ in 0..16 {
            assert!(renewals.renews(old));
        }
        for count in 1..7 {
            let new = Instant::now();
            assert!(!renewals.renews(new));
            renewals.0.lock().unwrap().at = Some((old, Instant::now()));
            assert!(renewals.renews(new));
            assert_eq!(renewals.0.lock().unwrap().count, count + 1);
        }
    }

    #[test]
    fn pauses_grow_and_end_with_an_acceptance() {
        let (calm, no) = (Calm::default(), Fault::Refused("no".into()));
        assert!(calm.refusal().is_none() && !calm.is_troubled());
        for _ in 0..100 {
            calm.refused(&no);
        }
        assert_eq!(calm.pauses().refusals, 1, "within one pause they are one");
        assert!(matches!(calm.refusal(), Some(Fault::Refused(why)) if &*why == "no"));
        for most in [100, 200, 400, 800, 1600, 2000, 2000] {
            calm.pauses().said = Some((no.clone(), Instant::now()));
            assert!(calm.refusal().is_none(), "one may try");
            assert!(calm.refusal().is_some() && calm.refusal().is_some());
            calm.refused(&no);
            let until = calm.pauses().said.as_ref().map(|(_, until)| *until);
            let left = until.unwrap().saturating_duration_since(Instant::now());
            let most = Duration::from_millis(most);
            assert!(left <= most && left > most / 2, "{most:?}");
        }
        calm.accepted();
        assert!(calm.refusal().is_none() && !calm.is_troubled());
    }
}
