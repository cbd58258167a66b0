//! The times and bounds of a cache, of which some may change while it runs.

use core::time::Duration;
use std::sync::PoisonError;

use crossbeam_utils::sync::{ShardedLock, ShardedLockReadGuard};

use crate::machine::policy::Policy;

/// What holds now.
#[derive(Clone)]
pub(crate) struct Rules {
    pub(crate) policy: Policy,
    /// What holds while the bus is known to be down, if that differs.
    pub(crate) blind: Option<Policy>,
    pub(crate) write_timeout: Option<Duration>,
}

/// The rules of one cache. An L1 hit never looks at them; every question to the machine does, and writes no line
/// that another thread writes.
pub(crate) struct Current(ShardedLock<Rules>);

impl Current {
    pub(crate) fn new(rules: Rules) -> Self {
        Self(ShardedLock::new(rules))
    }

    /// Those of now. They cannot be replaced while they are looked at, and a thread that looks twice may wait for
    /// itself: take what is needed, and run nothing of anybody else's meanwhile.
    pub(crate) fn now(&self) -> ShardedLockReadGuard<'_, Rules> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn replace(&self, rules: Rules) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = rules;
    }
}
