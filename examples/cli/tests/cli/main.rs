//! The program, run as people run it, beside a real Redis and real caches.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bus;
mod cluster;
mod command_line;
mod inspect;
mod process;
mod scan;
mod top;
