//! What decides how long everything takes and what gets lost: dice, or a script.

use fastrand::Rng;

use crate::sim::fate::mix::pick;
use crate::sim::fate::script::{Fate, Point, Script};
use crate::sim::world::weather::Weather;

/// Dice with a profile, or a script.
#[derive(Debug)]
pub(crate) struct Chance {
    pub(crate) rng: Rng,
    pauses: Pauses,
    weather: Weather,
    pub(crate) script: Option<Script>,
}

impl Chance {
    pub(crate) fn dice(pauses: Pauses, weather: Weather, rng: Rng) -> Self {
        Self {
            rng,
            pauses,
            weather,
            script: None,
        }
    }

    pub(crate) fn script(script: Script) -> Self {
        Self {
            rng: Rng::with_seed(0),
            pauses: Pauses::default(),
            weather: Weather::default(),
            script: Some(script),
        }
    }

    /// How long a thread takes to get to its next step.
    pub(crate) fn pause(&mut self, ask: usize, point: Point) -> u64 {
        if let Some(script) = &mut self.script {
            return script.pause(ask, point);
        }
        let Pauses { usual, odd, long } = self.pauses;
        if self.rng.u8(..100) < odd {
            self.rng.u64(..=long)
        } else {
            self.rng.u64(..=usual)
        }
    }

    /// What becomes of a command that is sent now.
    pub(crate) fn fate(&mut self, ask: usize, verb: Point, now: u64) -> Fate {
        if let Some(script) = &mut self.script {
            return script.fate(ask, verb);
        }
        self.weather.fate(&mut self.rng, verb, now)
    }

    /// What becomes of one command of a pipeline with this fate.
    pub(crate) fn single(&mut self, fate: Fate, now: u64) -> Fate {
        let heard = fate.applied.zip(fate.replied);
        match heard.filter(|_| now < self.weather.healed && self.percent(10)) {
            Some((there, back)) => Fate {
                error: Some(there + back),
                ..fate
            },
            None => fate,
        }
    }

    /// From now on no thread stands still.
    pub(crate) fn rests(&mut self) {
        self.pauses = Pauses::default();
    }

    /// Whether the ways are bad still.
    pub(crate) fn is_bad(&self, now: u64) -> bool {
        self.script.is_none() && now < self.weather.healed
    }

    pub(crate) fn percent(&mut self, of: u8) -> bool {
        self.script.is_none() && self.rng.u8(..100) < of
    }
}

/// How threads are scheduled: up to `usual` milliseconds, and in `odd` of a hundred cases up to
/// `long`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pauses {
    usual: u64,
    odd: u8,
    long: u64,
}

impl Pauses {
    pub(crate) fn profile(rng: &mut Rng) -> Self {
        Self {
            usual: pick(rng, &[0, 1, 3]),
            odd: pick(rng, &[0, 5, 20]),
            long: pick(rng, &[8, 40, 400]),
        }
    }
}
