//! For tests: when loads ask for the lease at once (PROTOCOL.md, R7).

use crate::driver::builder::Builder;
use crate::machine::policy::LeaseFirst;

impl<K, V> Builder<K, V> {
    /// When loads ask for the lease at once: tests have not the time for 64 loads in vain.
    #[doc(hidden)]
    pub fn lease_first(mut self, rarely: LeaseFirst) -> Self {
        self.times.lease_first = Some(rarely);
        self
    }
}
