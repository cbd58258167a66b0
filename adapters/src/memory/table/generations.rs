//! What is raised in a namespace.

use jetcache_core::ports::remote::{Ensure, Mark, Raise, Raised, Scope};

use crate::memory::table::Table;

impl Table {
    /// Gives the scopes the next number: the clock in microseconds, or one above all that is known.
    pub fn raise(&mut self, now: u64, raise: &Raise<'_>) -> Raised {
        let log = self.logs.of(raise.namespace);
        log.raise(now, raise.clock, raise.scopes)
    }

    /// The marks that are `since` or higher.
    #[must_use]
    pub fn news(&self, namespace: &str, since: Mark) -> Vec<(Scope, Mark)> {
        let log = self.logs.get(namespace);
        log.map_or_else(Vec::new, |log| log.news(since))
    }

    /// Raises what the log lacks of what the sender knows. The highest number.
    pub fn ensure(&mut self, now: u64, ensure: &Ensure<'_>) -> Mark {
        self.logs.of(ensure.namespace).ensure(now, ensure)
    }

    /// Forgets the highest number of a namespace, its list, or both, as an eviction does.
    pub fn forget_log(&mut self, namespace: &str, top: bool, list: bool) {
        self.logs.of(namespace).forget(top, list);
    }
}
