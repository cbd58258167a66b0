//! A batch: lookups of several keys, or changes, that one actor carries out together. What they do
//! at the same instant takes them equally long, and what they send then is one pipeline: it arrives,
//! is late or is lost as a whole, and each of its commands may fail for itself.
//!
//! This is as much of a batch as the machine can know of. How a driver gathers equal steps, and that
//! it calls one loader for them, is the storm's to judge.

use super::script::{Fate, Spot};
use super::world::World;

pub(super) type CrewId = u32;

/// What crews do at this instant.
#[derive(Debug, Default)]
pub(super) struct Crews {
    now: u64,
    pauses: Vec<(CrewId, Spot, u64)>,
    pipelines: Vec<(CrewId, Spot, Fate)>,
}

impl World {
    /// How long whoever was asked by this takes to get to the next step.
    pub(super) fn pause(&mut self, ask: usize, spot: Spot) -> u64 {
        let Some(crew) = self.crew(ask) else {
            return self.plan.chance.pause(ask, spot);
        };
        let known = |(id, at, _): &&(CrewId, Spot, u64)| (*id, *at) == (crew, spot);
        if let Some((.., pause)) = self.crews.pauses.iter().find(known) {
            return *pause;
        }
        let pause = self.plan.chance.pause(ask, spot);
        self.crews.pauses.push((crew, spot, pause));
        pause
    }

    /// What becomes of a command that is sent now.
    pub(super) fn fate(&mut self, ask: usize, verb: Spot) -> Fate {
        let Some(crew) = self.crew(ask) else {
            return self.plan.chance.fate(ask, verb, self.now);
        };
        let known = |(id, of, _): &&(CrewId, Spot, Fate)| (*id, *of) == (crew, verb);
        let fate = match self.crews.pipelines.iter().find(known) {
            Some((.., fate)) => *fate,
            None => {
                let fate = self.plan.chance.fate(ask, verb, self.now);
                self.crews.pipelines.push((crew, verb, fate));
                fate
            }
        };
        self.plan.chance.single(fate, self.now)
    }

    fn crew(&mut self, ask: usize) -> Option<CrewId> {
        if self.crews.now != self.now {
            self.crews = Crews {
                now: self.now,
                ..Crews::default()
            };
        }
        self.plan.asks.get(ask)?.crew
    }
}
