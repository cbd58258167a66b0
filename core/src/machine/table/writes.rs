//! L1 writes that were announced and are not done yet (PROTOCOL.md, R4).
//!
//! A write is announced under the lock, when its flight is found to be current, and done outside
//! it. A change that supersedes the flight meanwhile waits until the write is sealed, and then
//! removes it.

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

/// What is left to do once everything under way on a key, or on all keys, was superseded:
///
/// 1. wait until [`Shard::is_written`] says that [these writes](Self::pending) to L1 are done,
///    which began before;
/// 2. remove the key, or all keys, from L1;
/// 3. hand this to [`Shard::swept`], or [`Shard::swept_all`]: a lookup that began in between may
///    have found in L1 what is gone now, and looks again.
///
/// [`Shard::is_written`]: crate::machine::shard::Shard::is_written
/// [`Shard::swept`]: crate::machine::shard::Shard::swept
/// [`Shard::swept_all`]: crate::machine::shard::Shard::swept_all
#[derive(Debug)]
#[must_use = "L1 still holds what is to be forgotten"]
pub struct Sweep(Pending);

impl Sweep {
    pub(in crate::machine) fn after(pending: Pending) -> Self {
        Self(pending)
    }

    /// What to wait for before anything is removed from L1.
    pub fn pending(&self) -> &Pending {
        &self.0
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

    pub(in crate::machine) fn is_written_to(&self, slot: usize) -> bool {
        self.announced.iter().any(|&(_, at)| at == slot)
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
