//! L1 writes that were announced and are not done yet (PROTOCOL.md, R4).
//!
//! A write is announced under the lock, when its flight is found to be current, and done outside
//! it. Who supersedes the flight meanwhile waits until the write is sealed, and then removes it.

use alloc::vec::Vec;

/// An announced write.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "an announced write must be sealed"]
pub struct Write(u64);

impl Write {
    /// The flight's own note of the write, for a leader that panics in the middle of it.
    pub(in crate::machine) fn again(&self) -> Self {
        Self(self.0)
    }
}

/// What somebody who superseded a key has to wait for: see [`Shard::is_written`].
///
/// [`Shard::is_written`]: crate::machine::shard::Shard::is_written
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pending(Vec<u64>);

impl Pending {
    /// Whether there is nothing to wait for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The announced writes of a shard, each with the slot it writes to. They are as many as there are
/// threads inside an L1 write, so a list is the right table.
#[derive(Debug, Default)]
pub(in crate::machine) struct Writes {
    last: u64,
    announced: Vec<(u64, usize)>,
}

impl Writes {
    pub(in crate::machine) fn announce(&mut self, slot: usize) -> Write {
        self.last += 1;
        self.announced.push((self.last, slot));
        Write(self.last)
    }

    pub(in crate::machine) fn seal(&mut self, write: &Write) {
        let at = self
            .announced
            .iter()
            .position(|&(number, _)| number == write.0);
        if let Some(at) = at {
            self.announced.swap_remove(at);
        }
    }

    pub(in crate::machine) fn pending(&self, slot: usize) -> Pending {
        let of_slot = self.announced.iter().filter(|&&(_, at)| at == slot);
        Pending(of_slot.map(|&(number, _)| number).collect())
    }

    pub(in crate::machine) fn all(&self) -> Pending {
        Pending(self.announced.iter().map(|&(number, _)| number).collect())
    }

    pub(in crate::machine) fn is_written(&self, pending: &Pending) -> bool {
        !pending
            .0
            .iter()
            .any(|number| self.announced.iter().any(|(n, _)| n == number))
    }

    pub(in crate::machine) fn len(&self) -> usize {
        self.announced.len()
    }
}
