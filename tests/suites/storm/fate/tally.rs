//! Counts what happened in storms, since one in which nothing happens finds nothing.

use std::ops::AddAssign;

/// What happened in a storm, or in many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) answers: u64,
    pub(crate) loads: u64,
    pub(crate) pending: u64,
    pub(crate) cancelled: u64,
    pub(crate) silent: u64,
    pub(crate) faults: u64,
    /// Loads of several keys.
    pub(crate) batched: u64,
    /// Batch loaders that were called again, for keys handed over to them.
    pub(crate) again: u64,
    /// Write-throughs that returned.
    pub(crate) written: u64,
    /// Nodes that died.
    pub(crate) died: u64,
    /// Keys whose changes were heard of.
    pub(crate) heard: u64,
    pub(crate) epochs: u64,
    pub(crate) failovers: u64,
    /// Breakers that opened.
    pub(crate) opened: u64,
    /// Raises that returned.
    pub(crate) raised: u64,
    pub(crate) raises_heard: u64,
    /// Values that were found dead.
    pub(crate) dead: u64,
    /// Changes that did not fit.
    pub(crate) overflowed: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.answers += more.answers;
        self.loads += more.loads;
        self.pending += more.pending;
        self.cancelled += more.cancelled;
        self.silent += more.silent;
        self.faults += more.faults;
        self.batched += more.batched;
        self.again += more.again;
        self.written += more.written;
        self.died += more.died;
        self.heard += more.heard;
        self.epochs += more.epochs;
        self.failovers += more.failovers;
        self.opened += more.opened;
        self.raised += more.raised;
        self.raises_heard += more.raises_heard;
        self.dead += more.dead;
        self.overflowed += more.overflowed;
    }
}
