//! What every adapter must do, as suites of plain asserts: run them over your own in a test.
//!
//! ```
//! use std::time::Duration;
//!
//! use jetcache_adapters::{contract, Raw};
//!
//! contract::codec::run(&Raw, &["".to_string(), "ä b".to_string()]);
//! # #[cfg(all(feature = "memory", feature = "quick-cache"))]
//! # {
//! use jetcache_adapters::{Memory, QuickCache};
//!
//! contract::local::run(|entries| QuickCache::new(entries));
//!
//! async fn a_remote_keeps_the_contract() {
//!     // In your test: tokio::time::sleep, smol::Timer::after.
//!     let sleep = async |span: Duration| std::thread::sleep(span);
//!     contract::remote::run(&Memory::new(), sleep).await;
//!     contract::remote::run_generations(&Memory::new()).await;
//! }
//! # }
//! ```
//!
//! A suite panics at the first rule that is broken, in words that say what should have been. It
//! asserts no upper bound on how long anything takes, save a patience of ten seconds.

pub mod bus;
pub mod codec;
pub mod compression;
pub mod local;
pub mod remote;
pub mod runtime;
