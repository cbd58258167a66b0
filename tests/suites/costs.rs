//! What things cost in memory: a hit allocates nothing, and hostile bytes reserve next to nothing.
//!
//! `allocation_counter` counts for each thread apart, so the tests may run side by side.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod costs {
    mod bombs;
    mod hits;
}
