//! The air that carries the words of the bus: how long they take, and which get lost.

use crate::sim::fate::chance::Chance;

/// What the bus is like.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Air {
    /// How long a way takes at most; of a hundred messages, how many take up to `late`.
    pub(crate) latency: u64,
    pub(crate) lates: u8,
    pub(crate) late: u64,
    pub(crate) doubled: u8,
    pub(crate) overflow: u8,
    /// How long a node waits at most before it subscribes again.
    pub(crate) again: u64,
}

impl Air {
    pub(crate) fn way(self, chance: &mut Chance) -> u64 {
        if chance.script.is_some() {
            return 1;
        }
        if chance.percent(self.lates) {
            return chance.rng.u64(..=self.late);
        }
        chance.rng.u64(..=self.latency)
    }

    pub(crate) fn pause(self, chance: &mut Chance) -> u64 {
        match chance.script {
            Some(_) => self.again,
            None => chance.rng.u64(..=self.again),
        }
    }
}
