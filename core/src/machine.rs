//! What decides. Plain data behind `&mut`: no I/O, no clock, no lock, no dice, no async.

pub mod entry;
pub mod envelope;
pub mod error;
pub mod event;
pub mod time;
pub mod token;
