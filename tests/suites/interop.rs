//! Go services on jetcache-go and caches with [`Wire::JetcacheGo`](jetcache_core::Wire) share a
//! Redis: what either writes, the other reads, and neither's newer value is lost to an older one.

#![expect(
    clippy::unwrap_used,
    reason = "in a test it says where the test failed"
)]

mod interop {
    mod erased;
    mod fleet;
    mod go_writers;
    mod life;
    mod reading;
    mod refusals;
    mod reserved;
    mod rows;
    mod s2;
    mod stage;
    mod types;
    mod writing;
}
