//! What decides. Plain data behind `&mut`: no I/O, no clock, no lock, no dice, no async.
//!
//! [`shard::Shard`] is the machine; a [`lookup`] and a [`change`] tell its driver step by step what
//! to do. This module is outside semver before 1.0.

pub mod change;
mod changing;
pub mod effects;
pub mod entry;
pub mod envelope;
pub mod error;
pub mod event;
mod flight;
pub mod lookup;
pub mod lru;
pub mod policy;
pub mod repair;
pub mod shard;
mod slots;
pub mod stats;
pub mod time;
pub mod token;
mod unconfirmed;
pub mod verb;
mod writes;
