//! The ports: what the world must offer to a cache, one small trait a file.

pub mod batch_loader;
pub mod bus;
pub mod codec;
pub mod compression;
pub mod engine;
pub mod key;
pub mod loader;
pub mod local;
pub mod observer;
pub mod remote;
pub mod runtime;
pub mod standing;
pub mod watched;
