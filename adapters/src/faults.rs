//! An L2 and a bus that break when a test wants it: wrappers around any other, and the switchboard
//! by which they are broken and healed.
//!
//! ```
//! # mod jetcache_tokio {
//! #     pub use jetcache_adapters::*;
//! #     pub use jetcache_core::*;
//! #     pub use jetcache_core::doc::runtime::builder;
//! #     pub struct Tokio;
//! #     impl Tokio { pub fn new() -> jetcache_core::doc::Threads { jetcache_core::doc::Threads } }
//! # }
//! # #[cfg(feature = "memory")]
//! # jetcache_core::doc::block_on(async {
//! use jetcache_tokio::{Faults, Faulty, LoadError, Memory, Raw, Tokio};
//!
//! let faults = Faults::new(Tokio::new());
//! let users = jetcache_tokio::builder::<u32, String>("users")
//!     .remote(Faulty::new(Memory::new(), faults.clone()), Raw)
//!     .build()?;
//!
//! faults.error_rate(1.0);
//! let user = users.get_or_load(&7, async || Ok::<_, LoadError>("Ada".to_owned())).await?;
//! assert_eq!(user.as_deref(), Some("Ada"), "the loader answers");
//! assert!(faults.injected().errors > 0);
//!
//! faults.heal();
//! # Ok::<(), jetcache_tokio::Error>(())
//! # }).unwrap();
//! ```
//!
//! With nothing set both wrappers do what the wrapped does, and keep its contract.

mod board;
mod bus;
mod dice;
mod injected;
mod remote;

pub use crate::faults::board::Faults;
pub use crate::faults::bus::{FaultyBus, FaultySubscription};
pub use crate::faults::injected::Injected;
pub use crate::faults::remote::Faulty;
