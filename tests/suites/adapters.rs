//! Every adapter keeps its contract, and Redis does so through all that happens to a server.

#![expect(
    clippy::unwrap_used,
    reason = "in a test it says where the test failed"
)]

mod adapters {
    mod cluster;
    mod codecs;
    mod compressions;
    mod engines;
    mod faults {
        mod bus;
        mod cache;
        mod remote;
        mod waves;
    }
    mod memory;
    mod redis {
        pub(crate) mod access;
        mod announcing;
        mod bus;
        mod contract;
        pub(crate) mod ear;
        mod extending;
        mod generations;
        mod moved;
        mod outage;
        mod refusals;
        mod sentinel;
        mod silence;
    }
    mod verbs;
}
