//! The node, from outside: its real program on every runtime, with an L2 in its process and with a
//! real Redis.

mod commands;
mod engines;
mod fleet;
mod flights;
mod lines;
mod options;
mod outage;
mod process;
mod tls;
