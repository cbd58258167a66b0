//! How bad the ways to L2 and back are.

use fastrand::Rng;

use crate::sim::fate::mix::pick;
use crate::sim::fate::script::{Fate, Point};

/// The ways to L2 and back.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    /// Up to this long a way.
    latency: u64,
    /// Of a hundred commands, how many are applied up to `late` after they were sent.
    lates: u8,
    late: u64,
    lost_requests: u8,
    lost_replies: u8,
    /// Sent a second time, if the verb allows that.
    doubled: u8,
    /// Answered with an error, applied or not.
    errors: u8,
    /// Not sent, because the breaker of L2 is open.
    unsent: u8,
    /// When L2 is away.
    down: (u64, u64),
    /// From then on all is well.
    pub(crate) healed: u64,
}

impl Weather {
    pub(crate) fn profile(rng: &mut Rng, span: u64) -> Self {
        let mut weather = Self {
            latency: pick(rng, &[0, 1, 4]),
            late: pick(rng, &[30, 300, 10_000]),
            healed: span + pick(rng, &[0, 50, 500]),
            ..Self::default()
        };
        match rng.u8(..6) {
            0 => {}
            1 => weather.latency = pick(rng, &[12, 25, 60]),
            2 => {
                weather.lost_requests = pick(rng, &[0, 10, 40]);
                weather.lost_replies = pick(rng, &[5, 10, 40]);
                weather.doubled = pick(rng, &[0, 20]);
            }
            3 => weather.lates = pick(rng, &[10, 50]),
            4 => {
                let from = rng.u64(0..=span);
                weather.down = (from, from + rng.u64(1..=span));
                weather.unsent = pick(rng, &[0, 20, 60]);
            }
            _ => {
                weather.lates = 15;
                weather.lost_requests = 8;
                weather.lost_replies = 8;
                weather.doubled = 10;
                weather.errors = 8;
                weather.unsent = pick(rng, &[0, 8]);
                let from = rng.u64(0..=span);
                weather.down = (from, from + rng.u64(0..=span / 4));
            }
        }
        weather
    }

    pub(crate) fn fate(&self, rng: &mut Rng, verb: Point, now: u64) -> Fate {
        if now >= self.healed {
            return Fate::delivered(rng.u64(..=1), rng.u64(..=1));
        }
        let way = |rng: &mut Rng| rng.u64(..=self.latency);
        let percent = |rng: &mut Rng, of: u8| rng.u8(..100) < of;
        if percent(rng, self.unsent) {
            return Fate::unsent();
        }
        if (self.down.0..self.down.1).contains(&now) {
            let late = percent(rng, 20).then(|| self.down.1 - now + rng.u64(..=self.late));
            return Fate {
                applied: late,
                replied: None,
                again: None,
                error: rng.bool().then(|| way(rng)),
                unsent: false,
                refused: false,
            };
        }
        let mut there = way(rng);
        if percent(rng, self.lates) {
            there += rng.u64(..=self.late);
        }
        let mut fate = Fate::delivered(there, way(rng));
        if percent(rng, self.lost_requests) {
            fate.applied = None;
        }
        if percent(rng, self.lost_replies) {
            fate.replied = None;
        }
        if percent(rng, self.errors) {
            fate.error = Some(way(rng));
        }
        let may_be_resent = !matches!(verb, Point::Fill | Point::Claim | Point::Settle);
        if may_be_resent && percent(rng, self.doubled) {
            let second = rng.u64(..=self.latency * 4 + self.late / 10);
            // A lease that is applied once more after it was answered breaks P2, whatever the
            // machine does: an adapter must not do that.
            let answered = matches!(verb, Point::Lease) || rng.bool();
            fate.again = Some((second, answered.then(|| way(rng))));
        }
        fate
    }
}
