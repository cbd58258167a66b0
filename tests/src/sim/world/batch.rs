//! A batch: several lookups or changes that are carried out together. What they do at one instant
//! takes them equally long, and what they send then is one pipeline: it arrives, is late or is lost
//! as a whole, but each of its commands may fail for itself.
//!
//! The machine knows no more of a batch than this. How a driver gathers equal steps, and that it
//! calls one loader for them, is for the storms to judge.

use crate::sim::fate::script::{Fate, Point};
use crate::sim::world::time::World;

pub(crate) type BatchId = u32;

/// What batches do at the present instant.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    now: u64,
    pauses: Vec<(BatchId, Point, u64)>,
    pipelines: Vec<(BatchId, Point, Fate)>,
}

impl World {
    /// How long the actor of this ask takes to get to its next step.
    pub(crate) fn pause(&mut self, ask: usize, point: Point) -> u64 {
        let Some(batch) = self.batch(ask) else {
            return self.plan.chance.pause(ask, point);
        };
        let known = |(id, at, _): &&(BatchId, Point, u64)| (*id, *at) == (batch, point);
        if let Some((.., pause)) = self.batches.pauses.iter().find(known) {
            return *pause;
        }
        let pause = self.plan.chance.pause(ask, point);
        self.batches.pauses.push((batch, point, pause));
        pause
    }

    /// What becomes of a command that is sent now.
    pub(crate) fn fate(&mut self, ask: usize, verb: Point) -> Fate {
        let Some(batch) = self.batch(ask) else {
            return self.plan.chance.fate(ask, verb, self.now);
        };
        let known = |(id, of, _): &&(BatchId, Point, Fate)| (*id, *of) == (batch, verb);
        let fate = match self.batches.pipelines.iter().find(known) {
            Some((.., fate)) => *fate,
            None => {
                let fate = self.plan.chance.fate(ask, verb, self.now);
                self.batches.pipelines.push((batch, verb, fate));
                fate
            }
        };
        self.plan.chance.single(fate, self.now)
    }

    fn batch(&mut self, ask: usize) -> Option<BatchId> {
        if self.batches.now != self.now {
            self.batches = Batches {
                now: self.now,
                ..Batches::default()
            };
        }
        self.plan.asks.get(ask)?.batch
    }
}
