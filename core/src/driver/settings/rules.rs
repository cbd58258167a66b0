//! The times and bounds of a cache, of which some may change while it runs.

use core::time::Duration;
use std::sync::{Arc, PoisonError, RwLock};

use crate::machine::policy::Policy;

/// What holds now.
#[derive(Clone)]
pub(crate) struct Rules {
    pub(crate) policy: Policy,
    /// What holds while the bus is known to be down, if that differs.
    pub(crate) blind: Option<Policy>,
    pub(crate) write_timeout: Option<Duration>,
}

/// The rules of one cache. An L1 hit never looks at them.
pub(crate) struct Current(RwLock<Arc<Rules>>);

impl Current {
    pub(crate) fn new(rules: Rules) -> Self {
        Self(RwLock::new(Arc::new(rules)))
    }

    /// Those of now. Who has them keeps them to the end of what it does.
    pub(crate) fn now(&self) -> Arc<Rules> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn replace(&self, rules: Rules) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }
}
