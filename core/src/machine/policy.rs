//! How long things live and how long things may take.

pub mod backoff;
pub mod breaker;
pub mod call;
pub mod check;
pub(super) mod lives;
pub mod outage;
pub mod pace;

use core::time::Duration;

use crate::machine::error::Error;
use crate::machine::policy::call::Call;
use crate::machine::policy::lives::Lives;
use crate::machine::policy::pace::Pace;
use crate::machine::tier::entry::Entry;
use crate::machine::tier::load::Load;
use crate::machine::time::{Timestamp, nanos, part};
use crate::machine::token::Roll;

/// Which tiers a cache has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// L1 only.
    Local,
    /// L2 only.
    Remote,
    /// L1 and L2.
    Both,
}

impl Kind {
    /// Whether there is an L1.
    #[must_use]
    pub const fn has_local(self) -> bool {
        matches!(self, Self::Local | Self::Both)
    }

    /// Whether there is an L2.
    #[must_use]
    pub const fn has_remote(self) -> bool {
        matches!(self, Self::Remote | Self::Both)
    }
}

/// What is taken off a TTL at random, so that entries stored together do not expire together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jitter {
    /// At most this many hundredths of the TTL, 0 to 100.
    pub percent: u8,
    /// And at most this long.
    pub at_most: Duration,
}

impl Jitter {
    /// `span` less a random part of itself, decided by `dice`. Never longer than `span`, and never
    /// nothing.
    #[must_use]
    pub fn shorten(self, span: Duration, dice: u32) -> Duration {
        let shorter = span.saturating_sub(part(self.widest(span), dice));
        if shorter.is_zero() { span } else { shorter }
    }

    /// The most that may be taken off.
    fn widest(self, span: Duration) -> Duration {
        (span / 100 * u32::from(self.percent)).min(self.at_most)
    }
}

/// The times and bounds of a cache.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Policy {
    /// Which tiers there are.
    pub kind: Kind,
    /// How long a value is fresh.
    pub ttl: Duration,
    /// How long L1 keeps an entry at most.
    pub local_ttl: Duration,
    /// How long L1 keeps an entry at most, whatever a call or a load wish for.
    pub local_cap: Duration,
    /// Whether a bus is up that tells of others' changes.
    pub hears: bool,
    /// How long "does not exist" is remembered, in both tiers.
    pub negative_ttl: Duration,
    /// How long after its TTL a value may be served when it cannot be loaded anew; zero for never.
    pub stale_for: Duration,
    /// How long a key whose load failed is answered with the stale value before the next attempt.
    pub stale_retry: Duration,
    /// How long a caller waits for a load if there is a stale value; `None` for as long as it takes.
    pub soft_timeout: Option<Duration>,
    /// Whether a hit late in an entry's life has it loaded anew.
    pub eager: bool,
    /// What is taken off every TTL.
    pub jitter: Jitter,
    /// How long a caller waits for one L2 operation.
    pub remote_timeout: Duration,
    /// How long a loader may take.
    pub load_timeout: Duration,
    /// How long a load's lease stands if its holder neither renews it nor gives it back.
    pub lease: Duration,
    /// How long a lookup waits for another's lease before it loads for itself.
    pub lease_wait: Duration,
    /// For how long a change is remembered, to be made again if another primary of L2 takes over that
    /// does not know of it; zero for never.
    pub failover_window: Duration,
    /// Whether L2 keeps a log of raises: tags, and `clear`.
    pub log: bool,
    /// How many unconfirmed keys are remembered, in all shards of a cache together.
    pub unconfirmed: usize,
    /// Whether services that know nothing of leases change L2 too. Then a load that was superseded
    /// does not fill it, since its lease does not show what they removed.
    pub strangers: bool,
    /// How keys that are asked for with refresh are kept fresh; `None` if none are.
    pub refresh: Option<Pace>,
    /// When loads ask L2 for the lease at once, since it rarely has what they look for; `None`: never.
    pub lease_first: Option<LeaseFirst>,
}

/// When a load asks L2 for the lease at once, whose look answers as a read would have: the first looks of its
/// shard's last 64 loads were rarely answered. That saves a round trip, and costs more where there is a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseFirst {
    /// After how many looks that is known, 64 at most.
    pub after: u8,
    /// Rarely is one look in so many.
    pub one_in: u8,
}

impl Policy {
    /// The defaults for a cache with these tiers: those that the builder's methods name.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        let remote_timeout = Duration::from_millis(250);
        let load_timeout = Duration::from_secs(10);
        let ttl = Duration::from_secs(3600);
        Self {
            kind,
            ttl,
            local_ttl: if kind.has_remote() {
                Duration::from_secs(60)
            } else {
                ttl
            },
            local_cap: Duration::MAX,
            hears: false,
            negative_ttl: Duration::from_secs(60),
            stale_for: Duration::ZERO,
            stale_retry: Duration::from_secs(1),
            soft_timeout: None,
            eager: false,
            jitter: Jitter {
                percent: 10,
                at_most: Duration::from_secs(10),
            },
            remote_timeout,
            load_timeout,
            lease: Self::usual_lease(remote_timeout),
            lease_wait: Duration::from_secs(2),
            failover_window: Duration::from_secs(10),
            log: false,
            unconfirmed: 65_536,
            strangers: false,
            refresh: None,
            lease_first: Some(LeaseFirst {
                after: 64,
                one_in: 16,
            }),
        }
    }

    /// The lease that fits this timeout: eight L2 operations, and at least a second. Its holder
    /// renews it while it loads.
    #[must_use]
    pub fn usual_lease(remote_timeout: Duration) -> Duration {
        (remote_timeout.saturating_mul(8)).max(Duration::from_secs(1))
    }

    /// How long after it was granted or renewed a lease is renewed.
    pub(super) fn renew_after(&self) -> Duration {
        self.lease / 3
    }

    /// How long a load may hold its lease: as long as the loader may take, and the time of four L2
    /// operations or of the lease itself. So long stands the claim of a write-through, too.
    #[must_use]
    pub fn longest_hold(&self) -> Duration {
        let operations = self.remote_timeout.saturating_mul(4);
        self.load_timeout.saturating_add(operations.max(self.lease))
    }

    /// How long the claim of an insert stands: four L2 operations, and at least a second.
    #[must_use]
    pub fn claim_life(&self) -> Duration {
        (self.remote_timeout.saturating_mul(4)).max(Duration::from_secs(1))
    }

    /// How many removals by others a node takes in at once: they may take half of the room for
    /// unconfirmed keys, and the other half is for this node's own changes.
    #[must_use]
    pub fn removals_heard_at_once(&self) -> usize {
        (self.unconfirmed / 2).clamp(1, 4096)
    }

    /// Whether removals by others have to wait until L2 has confirmed some of so many unconfirmed
    /// keys.
    #[must_use]
    pub fn is_crowded(&self, unconfirmed: usize) -> bool {
        unconfirmed.saturating_mul(2) > self.unconfirmed
    }

    /// Checks that these settings can work.
    ///
    /// # Errors
    /// [`Error::Config`] for a setting that cannot work, with what to do about it.
    pub fn check(&self) -> Result<(), Error> {
        self.check_alone()?;
        let shortest = self.remote_timeout.saturating_mul(4);
        if self.kind.has_remote() && self.lease < shortest {
            return Err(Error::config(alloc::format!(
                "lease ({:?}) is shorter than 4 x remote_timeout ({shortest:?}): it would end before \
                 it is renewed; lengthen it, shorten the timeout, or leave it unset",
                self.lease
            )));
        }
        self.refresh.as_ref().map_or(Ok(()), Pace::check)
    }

    /// The same for a cache of one node that refreshes nothing: its lease is the usual one. On a
    /// microcontroller the texts of the rest would cost five kilobytes.
    pub(crate) fn check_alone(&self) -> Result<(), Error> {
        let positive = [
            ("ttl", self.ttl),
            ("local_ttl", self.local_ttl),
            ("local_cap", self.local_cap),
            ("negative_ttl", self.negative_ttl),
            ("stale_retry", self.stale_retry),
            ("remote_timeout", self.remote_timeout),
            ("load_timeout", self.load_timeout),
            ("lease", self.lease),
        ];
        for (name, span) in positive {
            if span.is_zero() {
                return Err(Error::config(
                    [name, " is zero: give it a duration above zero"].concat(),
                ));
            }
        }
        if self.jitter.percent > 100 {
            return Err(Error::config(
                "jitter is above 100 percent: choose 0 to 100",
            ));
        }
        if self.unconfirmed == 0 {
            return Err(Error::config(
                "the table of unconfirmed keys has no room: give it at least 1",
            ));
        }
        Ok(())
    }

    /// The lives of a loaded value whose loading ended at `born`; `None` if it is kept nowhere.
    pub(super) fn lives<V>(&self, call: &Call, load: &Load<V>, dice: u128) -> Option<Lives> {
        let fresh = match (load.ttl, &load.value) {
            (Some(ttl), _) => ttl,
            (None, None) => self.negative_ttl,
            (None, Some(_)) => call.ttl.unwrap_or(self.ttl),
        };
        let local = load.local_ttl.or(call.local_ttl).unwrap_or(self.local_ttl);
        if !load.kept || call.no_store || fresh.is_zero() {
            return None;
        }
        let stale = match load.value {
            Some(_) => load.stale_for.unwrap_or(self.window(call)),
            // What did not exist may exist by now: that is no answer to fall back on.
            None => Duration::ZERO,
        };
        Some(self.jittered(fresh, local, stale, dice))
    }

    /// The lives of an inserted value.
    pub(super) fn insert_lives(&self, call: &Call, dice: u128) -> Lives {
        let fresh = call.ttl.unwrap_or(self.ttl);
        let local = call.local_ttl.unwrap_or(self.local_ttl);
        self.jittered(fresh, local, self.window(call), dice)
    }

    fn jittered(&self, fresh: Duration, local: Duration, stale: Duration, dice: u128) -> Lives {
        let remote = self.jitter.shorten(fresh, low(dice));
        Lives {
            remote,
            local: self.local_life(local, dice >> 32).min(remote),
            stale,
            least: fresh.saturating_sub(self.jitter.widest(fresh)),
            most: fresh,
        }
    }

    /// The entry, and when a hit has it loaded anew: as much before its end as XFetch says (Vattani,
    /// Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede Prevention, VLDB 2015), the
    /// time that its loading takes by an exponentially distributed number, drawn by each node for
    /// itself; in the second half of its life.
    pub(super) fn led<V>(
        &self,
        entry: Entry<V>,
        cost: Duration,
        life: Duration,
        roll: Roll<'_>,
    ) -> Entry<V> {
        if !self.eager || entry.value().is_none() || cost.is_zero() {
            return entry;
        }
        // The other half of the bits than the one that shortens lives.
        let dice = low(roll.bits() >> 64);
        entry.with_lead(exponential(cost, dice).min(life / 2))
    }

    /// How long a call waits if there is a stale value.
    pub(super) fn soft_timeout(&self, call: &Call) -> Option<Duration> {
        call.soft_timeout.or(self.soft_timeout)
    }

    /// Whether values may have tags: in L1 always, and in an L2 that keeps a log of raises.
    pub(crate) fn has_tags(&self) -> bool {
        self.log || !self.kind.has_remote()
    }

    /// The stale window of what a call brings.
    pub(super) fn window(&self, call: &Call) -> Duration {
        call.stale_for.unwrap_or(self.stale_for)
    }

    /// Until when L1 may keep what L2 keeps for `left` more, counted from `sent`.
    pub(super) fn local_end(
        &self,
        call: &Call,
        sent: Timestamp,
        left: Duration,
        dice: u128,
    ) -> Timestamp {
        let local = call.local_ttl.unwrap_or(self.local_ttl);
        sent + self.local_life(local, dice).min(left)
    }

    fn local_life(&self, wanted: Duration, dice: u128) -> Duration {
        self.jitter.shorten(wanted, low(dice)).min(self.local_cap)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the low bits are what is wanted"
)]
const fn low(dice: u128) -> u32 {
    dice as u32
}

/// `mean` by an exponentially distributed number, which these dice decide.
fn exponential(mean: Duration, dice: u32) -> Duration {
    // -ln u of u = m / 2^n, with m from 1/2 to 1 and -log2 m taken for 2 - 2 m, in 2^-16ths.
    let zeros = dice.leading_zeros().min(31);
    let m = u64::from((dice << zeros) | 1 << 31) >> 15;
    let log2 = (u64::from(zeros) << 16) + (1 << 17) - m;
    let ln = (log2 * 45_426) >> 16;
    let nanos = nanos(mean);
    let (high, low) = (
        (nanos >> 16).saturating_mul(ln),
        ((nanos & 0xFFFF) * ln) >> 16,
    );
    Duration::from_nanos(high.saturating_add(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leads_are_exponentially_distributed() {
        let mean = Duration::from_secs(1);
        let spans: alloc::vec::Vec<Duration> = (0..=1000_u32)
            .map(|at| exponential(mean, u32::MAX / 1000 * at))
            .collect();
        assert!(spans.is_sorted_by(|one, other| one >= other));
        let sum: Duration = spans.iter().sum();
        let average = sum / 1001;
        assert!(
            average > mean * 9 / 10 && average < mean * 12 / 10,
            "{average:?}"
        );
        let median = spans[500].as_secs_f64();
        assert!((median - 0.693).abs() < 0.02, "{median}");
        let tenth = spans[100].as_secs_f64();
        assert!((tenth - 2.303).abs() < 0.1, "{tenth}");
    }

    #[test]
    fn jitter_only_shortens_and_never_to_nothing() {
        let jitter = Jitter {
            percent: 100,
            at_most: Duration::MAX,
        };
        for dice in [0, 1, u32::MAX / 2, u32::MAX] {
            for span in [Duration::from_nanos(1), Duration::from_secs(60)] {
                let short = jitter.shorten(span, dice);
                assert!(
                    !short.is_zero() && short <= span,
                    "{span:?} {dice} {short:?}"
                );
            }
        }
        let little = Jitter {
            percent: 10,
            at_most: Duration::from_secs(10),
        };
        let hour = Duration::from_secs(3600);
        assert!(little.shorten(hour, u32::MAX) >= hour - Duration::from_secs(10));
    }

    #[test]
    fn a_lease_shorter_than_it_can_be_is_refused() {
        let mut policy = Policy::new(Kind::Both);
        policy.check().unwrap();
        policy.lease = policy.remote_timeout;
        assert!(matches!(policy.check(), Err(Error::Config(text)) if text.contains("lease")));
    }

    #[test]
    fn l1_never_outlives_l2() {
        let policy = Policy::new(Kind::Both);
        let call = Call::new().ttl(Duration::from_secs(1));
        let lives = policy.lives(&call, &Load::from(1), u128::MAX).unwrap();
        assert!(lives.local <= lives.remote && lives.remote <= Duration::from_secs(1));
    }
}
