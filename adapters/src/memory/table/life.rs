//! How long a value is fresh that was sent to the table.

use core::time::Duration;

use jetcache_core::machine::time::millis;

/// What is left of its life, in milliseconds: the time that the lease aged beyond what its holder knew is
/// taken off.
pub(super) fn left(life: Duration, aged: u64, known: Duration) -> u64 {
    let known = u64::try_from(known.as_millis()).unwrap_or(u64::MAX);
    millis(life).saturating_sub(aged.saturating_sub(known))
}
