//! What the suites share.

pub mod redis_server;
