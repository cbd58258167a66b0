//! Every adapter keeps its contract, and Redis does so through all that happens to a server.

#![expect(
    clippy::unwrap_used,
    reason = "in a test it says where the test failed"
)]

mod adapters {
    mod codecs;
    mod compressions;
    mod ear;
    mod engines;
    mod memory;
    mod redis_access;
    mod redis_announcing;
    mod redis_buses;
    mod redis_cluster;
    mod redis_cluster_outage;
    mod redis_cluster_slots;
    mod redis_contract;
    mod redis_outage;
    mod verbs;
}
