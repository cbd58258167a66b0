//! What the suites share.

#[cfg(test)]
mod house;
pub mod proxy;
pub mod redis_cluster;
pub mod redis_server;
pub mod sim;
