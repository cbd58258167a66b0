//! What the suites share.

pub mod proxy;
pub mod redis_cluster;
pub mod redis_server;
pub mod sim;
