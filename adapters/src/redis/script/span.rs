//! Spans of time as the server and the scripts take them.

use std::time::Duration;

use jetcache_core::machine::time::millis;

/// A span in milliseconds.
pub(in crate::redis) fn px(span: Duration) -> u64 {
    millis(span).min(MOST)
}

/// The age of a lease in milliseconds, rounded down: too great an age would lengthen the value's life.
pub(in crate::redis) fn aged(age: Duration) -> u64 {
    u64::try_from(age.as_millis()).unwrap_or(MOST).min(MOST)
}

/// Seventy thousand years, in milliseconds: sums of these stay exact in Lua's numbers.
const MOST: u64 = 1 << 51;
