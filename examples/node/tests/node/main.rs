//! The node, from outside: its real program on every runtime, with an L2 in its process and with a
//! real Redis.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "these are tests; what is printed says where one failed"
)]

mod batches;
mod bus;
mod cluster;
mod commands;
mod engines;
mod fleet;
mod flights;
mod inserts;
mod late;
mod lines;
mod namespaces;
mod options;
mod outage;
mod parity;
mod process;
mod refreshes;
mod sentinel;
mod stale;
mod strangers;
mod tls;
mod weather;
mod wire;
