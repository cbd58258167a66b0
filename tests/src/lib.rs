//! What the suites share.

pub mod redis_cluster;
pub mod redis_server;
pub mod sim;
