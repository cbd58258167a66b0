//! The ports: what the world must offer to a cache, one small trait a file.
//!
//! Those that threads share are not there on a target without compare-and-swap.

pub mod batch_loader;
#[cfg(target_has_atomic = "ptr")]
pub mod bus;
pub mod codec;
pub mod compression;
pub mod engine;
pub mod key;
pub mod loader;
pub mod local;
#[cfg(target_has_atomic = "ptr")]
pub mod observer;
#[cfg(target_has_atomic = "ptr")]
pub mod remote;
pub mod runtime;
pub mod standing;
