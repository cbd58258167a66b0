//! The circuit breaker: when to stop asking a server of L2, and when to ask it again.
//!
//! **Closed**, everything is sent. It opens when calls fail one after the other, or when too large a
//! part of the last calls failed or was slow. **Open**, nothing is sent. After a pause it is
//! **half-open**: one probe is sent, and nothing else. If that is answered the breaker closes, if not
//! the next pause is longer.

use core::fmt;
use core::time::Duration;

use crate::machine::error::{Error, Fault};
use crate::machine::policy::backoff::Backoff;
use crate::machine::time::Timestamp;

/// The settings of a circuit breaker.
///
/// ```
/// # use jetcache_core::doc::runtime as jetcache_tokio;
/// use core::time::Duration;
/// use jetcache_tokio::Breaker;
///
/// let mut breaker = Breaker::default();
/// breaker.consecutive_failures = 3;
/// breaker.longest_pause = Duration::from_secs(5);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Breaker {
    /// So many calls that fail one after the other open it. Calls that one broken connection took
    /// along count as one. Default: 5.
    pub consecutive_failures: u32,
    /// So large a part of the calls within [`window`](Self::window), in percent, failed or slow,
    /// opens it. Default: 50.
    pub failure_percent: u8,
    /// Of fewer calls within the window the percentage says nothing. Default: 20.
    pub least_calls: u32,
    /// How far back the percentage looks. Default: 10 s.
    pub window: Duration,
    /// A call that takes at least this long counts as failed, though it is answered. Default: none,
    /// so only what exceeds `remote_timeout` is too slow.
    pub slow_call: Option<Duration>,
    /// The pause before the first probe. Default: 200 ms.
    pub first_pause: Duration,
    /// Pauses double up to this. Default: 2 s.
    pub longest_pause: Duration,
    /// How much of each pause is taken off at most, at random and in percent, so that the nodes of a
    /// fleet do not probe together. Default: 25.
    pub jitter_percent: u8,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            failure_percent: 50,
            least_calls: 20,
            window: Duration::from_secs(10),
            slow_call: None,
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(2),
            jitter_percent: 25,
        }
    }
}

impl Breaker {
    /// Checks that these settings can work.
    ///
    /// # Errors
    /// [`Error::Config`] for a setting that cannot work, with what to do about it.
    pub fn check(&self) -> Result<(), Error> {
        let wrong = if self.consecutive_failures == 0 || self.least_calls == 0 {
            "the breaker opens after zero calls: give consecutive_failures and least_calls at least 1"
        } else if !(1..=100).contains(&self.failure_percent) {
            "the breaker's failure_percent is not within 1 to 100"
        } else if self.jitter_percent > 100 {
            "the breaker's jitter_percent is above 100"
        } else if self.window.is_zero() || self.first_pause.is_zero() {
            "the breaker's window and first_pause are to be above zero"
        } else if self.slow_call.is_some_and(|slow| slow.is_zero()) {
            "every call is slow for the breaker: give slow_call a duration above zero, or none"
        } else if self.longest_pause < self.first_pause {
            "the breaker's longest_pause is shorter than its first_pause"
        } else {
            return Ok(());
        };
        Err(Error::config(wrong))
    }
}

/// How a breaker is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum BreakerState {
    /// Everything is sent.
    #[default]
    Closed,
    /// One probe is on its way; nothing else is sent.
    HalfOpen,
    /// Nothing is sent.
    Open,
}

/// `closed`, `half-open` or `open`.
impl fmt::Display for BreakerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half-open",
            Self::Open => "open",
        })
    }
}

/// A breaker has turned.
#[derive(Clone, Debug)]
pub enum Turned {
    /// It opened, because of this.
    Opened(Fault),
    /// It closed, after so long.
    Closed(Duration),
}

/// One call as the breaker sees it.
#[derive(Clone, Copy, Debug)]
pub struct Called<'a> {
    /// When it was sent.
    pub sent: Timestamp,
    /// Why it failed, if it did.
    pub failed: Option<&'a Fault>,
}

/// The breaker of one server.
#[derive(Debug)]
pub struct Circuit {
    settings: Breaker,
    state: BreakerState,
    /// When it came to be so.
    since: Timestamp,
    /// When it opened; a probe that fails does not change that.
    opened: Timestamp,
    /// When it closed last.
    closed: Option<Timestamp>,
    /// The failures since the last call that was answered.
    streak: u32,
    /// Calls sent before this that lose their connection are not counted any more.
    counted: Timestamp,
    slots: [Slot; SLOTS],
    /// Probes that failed one after the other.
    probes: u32,
    /// When the next probe is due.
    due: Timestamp,
    last: Option<(Timestamp, Fault)>,
}

/// The calls of one tenth of the window.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Which tenth, counted from the clock's origin.
    number: u64,
    calls: u32,
    failed: u32,
}

impl Circuit {
    /// A closed one.
    #[must_use]
    pub fn new(settings: Breaker, now: Timestamp) -> Self {
        Self {
            settings,
            state: BreakerState::Closed,
            since: now,
            opened: now,
            closed: None,
            streak: 0,
            counted: now,
            slots: [Slot::default(); SLOTS],
            probes: 0,
            due: now,
            last: None,
        }
    }

    /// How it is.
    #[must_use]
    pub const fn state(&self) -> BreakerState {
        self.state
    }

    /// How long it has been so.
    #[must_use]
    pub const fn lasts(&self, now: Timestamp) -> Duration {
        now.since(self.since)
    }

    /// The last failure, and when it was.
    #[must_use]
    pub fn last_fault(&self) -> Option<&(Timestamp, Fault)> {
        self.last.as_ref()
    }

    /// When a probe is due; `None` while it is closed.
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        (self.state != BreakerState::Closed).then_some(self.due)
    }

    /// How long the server has been away at `now`, if it is: since the breaker opened.
    pub fn away(&self, now: Timestamp) -> Option<Duration> {
        (self.state != BreakerState::Closed).then(|| now.since(self.opened))
    }

    /// A call ended at `now`. It says nothing while the breaker is open, nor if it was sent before
    /// that closed: those are the last ones of the outage.
    /// `dice` is asked for random bits if it opens.
    pub fn called(
        &mut self,
        call: Called<'_>,
        now: Timestamp,
        dice: impl FnOnce() -> u128,
    ) -> Option<Turned> {
        if let Some(fault) = call.failed {
            self.last = Some((now, fault.clone()));
        }
        let of_before = self.closed.is_some_and(|at| call.sent < at);
        if self.state != BreakerState::Closed || of_before {
            return None;
        }
        let broke = matches!(call.failed, Some(Fault::Unreachable(_)));
        if broke && call.sent < self.counted {
            return None;
        }
        let took = now.since(call.sent);
        let slow = self.settings.slow_call.is_some_and(|slow| took >= slow);
        let failed = call.failed.is_some() || slow;
        let slot = self.slot(now);
        slot.calls = slot.calls.saturating_add(1);
        slot.failed = slot.failed.saturating_add(u32::from(failed));
        if call.failed.is_none() {
            self.streak = 0;
        } else {
            self.streak = self.streak.saturating_add(1);
            self.counted = now;
        }
        if failed && (self.streak >= self.settings.consecutive_failures || self.is_over(now)) {
            let why = call.failed.cloned().unwrap_or(Fault::Timeout);
            return Some(self.open(why, now, dice()));
        }
        None
    }

    /// Whether a probe is to be sent now; then it is on its way.
    pub fn begin_probe(&mut self, now: Timestamp) -> bool {
        let is_due = self.state == BreakerState::Open && now >= self.due;
        if is_due {
            self.turn(BreakerState::HalfOpen, now);
        }
        is_due
    }

    /// A probe ended, whoever sent it.
    pub fn probed(
        &mut self,
        answer: Result<(), Fault>,
        now: Timestamp,
        dice: u128,
    ) -> Option<Turned> {
        match answer {
            Ok(()) if self.state == BreakerState::Closed => None,
            Ok(()) => {
                self.turn(BreakerState::Closed, now);
                self.closed = Some(now);
                (self.streak, self.counted) = (0, now);
                self.slots = [Slot::default(); SLOTS];
                Some(Turned::Closed(now.since(self.opened)))
            }
            Err(fault) => {
                self.last = Some((now, fault));
                if self.state == BreakerState::HalfOpen {
                    self.probes = self.probes.saturating_add(1);
                    self.turn(BreakerState::Open, now);
                    self.due = now + self.pause(dice);
                }
                None
            }
        }
    }

    fn open(&mut self, why: Fault, now: Timestamp, dice: u128) -> Turned {
        // One that has hardly closed goes on with the pauses where it was.
        let relapsed = (self.closed).is_some_and(|at| now.since(at) < self.settings.window);
        self.probes = match relapsed {
            true => self.probes.saturating_add(1),
            false => 0,
        };
        self.turn(BreakerState::Open, now);
        self.opened = now;
        self.due = now + self.pause(dice);
        Turned::Opened(why)
    }

    fn turn(&mut self, state: BreakerState, now: Timestamp) {
        (self.state, self.since) = (state, now);
    }

    /// The next pause: as the back-off says, less the jitter.
    fn pause(&self, dice: u128) -> Duration {
        let backoff = Backoff {
            first: self.settings.first_pause,
            longest: self.settings.longest_pause,
        };
        let pause = backoff.pause(self.probes);
        let most = u128::from(self.settings.jitter_percent) * 10 + 1;
        let off = u32::try_from(dice % most).unwrap_or(0);
        pause - (pause / 1000) * off
    }

    fn slot(&mut self, now: Timestamp) -> &mut Slot {
        let number = self.number(now);
        let slot = &mut self.slots[usize::try_from(number % SLOTS as u64).unwrap_or(0)];
        if slot.number != number {
            *slot = Slot {
                number,
                ..Slot::default()
            };
        }
        slot
    }

    /// Which tenth of a window this is.
    fn number(&self, now: Timestamp) -> u64 {
        let tenth = self.settings.window.as_nanos() / SLOTS as u128;
        now.as_nanos() / u64::try_from(tenth).unwrap_or(u64::MAX).max(1)
    }

    /// Whether too large a part of the window's calls failed.
    fn is_over(&self, now: Timestamp) -> bool {
        let number = self.number(now);
        let recent = |slot: &&Slot| number.saturating_sub(slot.number) < SLOTS as u64;
        let (mut calls, mut failed) = (0_u64, 0_u64);
        for slot in self.slots.iter().filter(recent) {
            calls += u64::from(slot.calls);
            failed += u64::from(slot.failed);
        }
        calls >= u64::from(self.settings.least_calls)
            && failed * 100 >= calls * u64::from(self.settings.failure_percent)
    }
}

/// In how many parts the window slides.
const SLOTS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    struct World {
        circuit: Circuit,
        now: Timestamp,
    }

    impl World {
        fn new(settings: Breaker) -> Self {
            let now = Timestamp::from_nanos(1_000_000_000);
            Self {
                circuit: Circuit::new(settings, now),
                now,
            }
        }

        fn pass(&mut self, millis: u32) {
            self.now = self.now + MILLI * millis;
        }

        /// A call that takes a millisecond.
        fn call(&mut self, failed: Option<&Fault>) -> Option<Turned> {
            let sent = self.now;
            self.pass(1);
            self.circuit.called(Called { sent, failed }, self.now, || 0)
        }

        fn probe(&mut self, answer: Result<(), Fault>) -> Option<Turned> {
            assert!(self.circuit.begin_probe(self.now));
            assert!(!self.circuit.begin_probe(self.now), "exactly one");
            assert_eq!(self.circuit.state(), BreakerState::HalfOpen);
            self.circuit.probed(answer, self.now, 0)
        }

        fn open(&mut self) {
            while self.circuit.state() == BreakerState::Closed {
                let _ = self.call(Some(&Fault::Timeout));
            }
        }

        /// In milliseconds, until the next probe.
        fn pause(&self) -> u128 {
            self.circuit.due().unwrap().since(self.now).as_millis()
        }
    }

    #[test]
    fn failures_in_a_row_open_it_and_an_answer_ends_the_row() {
        let mut world = World::new(Breaker::default());
        for _ in 0..4 {
            assert!(world.call(Some(&Fault::Timeout)).is_none());
        }
        assert!(world.call(None).is_none());
        for _ in 0..4 {
            assert!(world.call(Some(&Fault::Timeout)).is_none());
        }
        let turned = world.call(Some(&Fault::Timeout));
        assert!(matches!(turned, Some(Turned::Opened(Fault::Timeout))));
        assert!(world.call(None).is_none(), "who comes late says nothing");
        assert_eq!(world.circuit.state(), BreakerState::Open);
    }

    #[test]
    fn what_one_connection_took_along_counts_as_one_and_timeouts_each() {
        let mut world = World::new(Breaker::default());
        let (sent, broke) = (world.now, Fault::Unreachable("reset".into()));
        world.pass(1);
        let lost = Called {
            sent,
            failed: Some(&broke),
        };
        for _ in 0..64 {
            assert!(world.circuit.called(lost, world.now, || 0).is_none());
        }
        let late = Called {
            sent,
            failed: Some(&Fault::Timeout),
        };
        let turned: usize = (0..64)
            .filter(|_| world.circuit.called(late, world.now, || 0).is_some())
            .count();
        assert_eq!(turned, 1);
    }

    #[test]
    fn the_last_calls_of_an_outage_do_not_open_it_again() {
        let mut world = World::new(Breaker::default());
        let sent = world.now;
        world.open();
        world.pass(200);
        let _ = world.probe(Ok(()));
        let late = Called {
            sent,
            failed: Some(&Fault::Timeout),
        };
        for _ in 0..64 {
            assert!(world.circuit.called(late, world.now, || 0).is_none());
        }
        assert_eq!(world.circuit.state(), BreakerState::Closed);
        world.open();
        assert_eq!(world.circuit.state(), BreakerState::Open);
    }

    #[test]
    fn half_of_the_calls_of_a_window_open_it_and_older_ones_do_not_count() {
        let mut world = World::new(Breaker::default());
        for _ in 0..1000 {
            assert!(world.call(None).is_none());
        }
        world.pass(10_000);
        let mut calls = 0;
        while world.circuit.state() == BreakerState::Closed {
            let _ = world.call(None);
            let _ = world.call(Some(&Fault::Timeout));
            calls += 2;
        }
        assert_eq!(calls, 20);
    }

    #[test]
    fn slow_calls_count() {
        let slow = Breaker {
            slow_call: Some(MILLI),
            ..Breaker::default()
        };
        let mut world = World::new(slow);
        let turned = (0..20).filter_map(|_| world.call(None)).count();
        assert_eq!((turned, world.circuit.state()), (1, BreakerState::Open));
    }

    #[test]
    fn pauses_grow_with_each_probe_that_fails_and_after_a_relapse() {
        let mut world = World::new(Breaker::default());
        world.open();
        assert_eq!(world.pause(), 200);
        assert!(!world.circuit.begin_probe(world.now));
        for pause in [400, 800, 1600, 2000, 2000] {
            let left = world.pause();
            world.pass(u32::try_from(left).unwrap());
            assert!(world.probe(Err(Fault::Timeout)).is_none());
            assert_eq!(world.pause(), pause);
        }
        world.pass(2000);
        assert!(matches!(world.probe(Ok(())), Some(Turned::Closed(_))));
        assert_eq!(world.circuit.due(), None);
        world.open();
        assert_eq!(world.pause(), 2000, "it had hardly closed");
        world.pass(2000);
        let _ = world.probe(Ok(()));
        world.pass(10_000);
        world.open();
        assert_eq!(world.pause(), 200);
    }

    #[test]
    fn dice_take_up_to_a_quarter_off_a_pause() {
        let circuit = Circuit::new(Breaker::default(), Timestamp::default());
        let pauses = (0..1000_u128).map(|dice| circuit.pause(dice).as_millis());
        let (least, most) = pauses.fold((u128::MAX, 0), |(a, b), p| (a.min(p), b.max(p)));
        assert_eq!((least, most), (150, 200));
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        let default = Breaker::default();
        assert!(default.check().is_ok());
        for wrong in [
            Breaker {
                consecutive_failures: 0,
                ..default
            },
            Breaker {
                failure_percent: 101,
                ..default
            },
            Breaker {
                window: Duration::ZERO,
                ..default
            },
            Breaker {
                slow_call: Some(Duration::ZERO),
                ..default
            },
            Breaker {
                longest_pause: MILLI,
                ..default
            },
        ] {
            assert!(matches!(wrong.check(), Err(Error::Config(_))), "{wrong:?}");
        }
    }
}
