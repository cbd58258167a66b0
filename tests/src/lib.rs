//! What the suites share: Redis servers, groups with Sentinels and clusters to break, a proxy to delay, and the simulator.

#[cfg(test)]
mod house;
pub mod proxy;
pub mod redis_cluster;
pub mod redis_sentinels;
pub mod redis_server;
pub mod sim;
