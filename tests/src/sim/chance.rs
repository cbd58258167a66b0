//! What decides how long things take and what gets lost: dice, or a script.

use fastrand::Rng;

use super::plan::pick;
use super::script::{Fate, Script, Spot};

/// Dice with a profile, or a script.
#[derive(Debug)]
pub(super) struct Chance {
    pub(super) rng: Rng,
    pauses: Pauses,
    network: Network,
    pub(super) script: Option<Script>,
}

impl Chance {
    pub(super) fn dice(pauses: Pauses, network: Network, rng: Rng) -> Self {
        Self {
            rng,
            pauses,
            network,
            script: None,
        }
    }

    pub(super) fn script(script: Script) -> Self {
        Self {
            rng: Rng::with_seed(0),
            pauses: Pauses::default(),
            network: Network::default(),
            script: Some(script),
        }
    }

    /// How long a thread takes to get to its next step.
    pub(super) fn pause(&mut self, ask: usize, spot: Spot) -> u64 {
        if let Some(script) = &mut self.script {
            return script.pause(ask, spot);
        }
        let Pauses { usual, odd, long } = self.pauses;
        if self.rng.u8(..100) < odd {
            self.rng.u64(..=long)
        } else {
            self.rng.u64(..=usual)
        }
    }

    /// What becomes of a command that is sent now.
    pub(super) fn fate(&mut self, ask: usize, verb: Spot, now: u64) -> Fate {
        if let Some(script) = &mut self.script {
            return script.fate(ask, verb);
        }
        self.network.fate(&mut self.rng, verb, now)
    }

    /// What becomes of one command of a pipeline with this fate.
    pub(super) fn single(&mut self, fate: Fate, now: u64) -> Fate {
        let heard = fate.applied.zip(fate.replied);
        match heard.filter(|_| now < self.network.healed && self.percent(10)) {
            Some((there, back)) => Fate {
                error: Some(there + back),
                ..fate
            },
            None => fate,
        }
    }

    pub(super) fn percent(&mut self, of: u8) -> bool {
        self.script.is_none() && self.rng.u8(..100) < of
    }
}

/// How threads are scheduled: `usual` milliseconds, and `odd` times of a hundred up to `long`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pauses {
    usual: u64,
    odd: u8,
    long: u64,
}

impl Pauses {
    pub(super) fn profile(rng: &mut Rng) -> Self {
        Self {
            usual: pick(rng, &[0, 1, 3]),
            odd: pick(rng, &[0, 5, 20]),
            long: pick(rng, &[8, 40, 400]),
        }
    }
}

/// The ways to L2 and back.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Network {
    /// Up to this long a way.
    latency: u64,
    /// Of a hundred commands, how many are applied up to `late` after they were sent.
    lates: u8,
    late: u64,
    lost_requests: u8,
    lost_replies: u8,
    /// Of those that may be: sent a second time.
    doubled: u8,
    /// Answered with an error, applied or not.
    errors: u8,
    /// When L2 is away.
    down: (u64, u64),
    /// From when on all is well.
    healed: u64,
}

impl Network {
    pub(super) fn profile(rng: &mut Rng, span: u64) -> Self {
        let mut network = Self {
            latency: pick(rng, &[0, 1, 4]),
            late: pick(rng, &[30, 300, 10_000]),
            healed: span + pick(rng, &[0, 50, 500]),
            ..Self::default()
        };
        match rng.u8(..6) {
            0 => {}
            1 => network.latency = pick(rng, &[12, 25, 60]),
            2 => {
                network.lost_requests = pick(rng, &[0, 10, 40]);
                network.lost_replies = pick(rng, &[5, 10, 40]);
                network.doubled = pick(rng, &[0, 20]);
            }
            3 => network.lates = pick(rng, &[10, 50]),
            4 => {
                let from = rng.u64(0..=span);
                network.down = (from, from + rng.u64(1..=span));
            }
            _ => {
                network.lates = 15;
                network.lost_requests = 8;
                network.lost_replies = 8;
                network.doubled = 10;
                network.errors = 8;
                let from = rng.u64(0..=span);
                network.down = (from, from + rng.u64(0..=span / 4));
            }
        }
        network
    }

    fn fate(&self, rng: &mut Rng, verb: Spot, now: u64) -> Fate {
        if now >= self.healed {
            return Fate::delivered(rng.u64(..=1), rng.u64(..=1));
        }
        let way = |rng: &mut Rng| rng.u64(..=self.latency);
        let percent = |rng: &mut Rng, of: u8| rng.u8(..100) < of;
        if (self.down.0..self.down.1).contains(&now) {
            let late = percent(rng, 20).then(|| self.down.1 - now + rng.u64(..=self.late));
            return Fate {
                applied: late,
                replied: None,
                again: None,
                error: rng.bool().then(|| way(rng)),
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
        let may_be_resent = !matches!(verb, Spot::Fill | Spot::Claim | Spot::Settle);
        if may_be_resent && percent(rng, self.doubled) {
            let second = rng.u64(..=self.latency * 4 + self.late / 10);
            // A lease that is applied once more after it was answered breaks P2, whatever the
            // machine does: an adapter must not do that.
            let answered = matches!(verb, Spot::Lease) || rng.bool();
            fate.again = Some((second, answered.then(|| way(rng))));
        }
        fate
    }
}
