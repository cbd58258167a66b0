//! What is raised in a namespace.

use jetcache_core::Fault;
use jetcache_core::ports::remote::{Ensure, Ensured, Mark, NewsPage, Raise, Raised};

use crate::memory::table::Table;

impl Table {
    /// Gives the scopes the next number: the clock in microseconds, or one above all that is known.
    ///
    /// # Errors
    /// [`Fault::Refused`] if that is [no number](Mark::END).
    pub fn raise(&mut self, now: u64, raise: &Raise<'_>) -> Result<Raised, Fault> {
        let log = self.logs.of(raise.namespace);
        log.raise(now, raise.clock, raise.scopes)
    }

    /// The marks that are `since` or higher: `most` of them, and what was raised with the last of these.
    #[must_use]
    pub fn news(&self, namespace: &str, since: Mark, most: usize) -> NewsPage {
        let log = self.logs.get(namespace);
        log.map_or_else(NewsPage::default, |log| log.news(since, most))
    }

    /// Raises what the log lacks of what the sender knows.
    ///
    /// # Errors
    /// [`Fault::Refused`] if the next one is [no number](Mark::END).
    pub fn ensure(&mut self, now: u64, ensure: &Ensure<'_>) -> Result<Ensured, Fault> {
        self.logs.of(ensure.namespace).ensure(now, ensure)
    }

    /// Forgets the highest number of a namespace, its list, or both, as an eviction does.
    pub fn forget_log(&mut self, namespace: &str, top: bool, list: bool) {
        self.logs.of(namespace).forget(top, list);
    }
}
