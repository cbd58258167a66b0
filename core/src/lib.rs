#![doc = "The policy of a two-level cache, and the driver that carries it out."]
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

#[cfg(feature = "std")]
#[doc(hidden)]
pub mod doc;
#[cfg(feature = "std")]
mod driver;
pub mod machine;
pub mod ports;

#[cfg(feature = "test-util")]
pub use driver::PausedClock;
#[cfg(feature = "std")]
pub use driver::{Builder, Cache, Clock, Counters, LruLocal, roll};

pub use machine::change::Reach;
pub use machine::entry::{Cached, Entry, Load};
pub use machine::error::{BoxError, Error, Fault};
pub use machine::event::Event;
pub use machine::policy::{Call, Jitter, Kind, Policy};
pub use machine::shard::Activity;
pub use machine::stats::Stats;
pub use machine::time::Timestamp;
pub use machine::token::Token;
pub use ports::codec::Codec;
pub use ports::key::{Key, Text};
pub use ports::loader::{LoadError, Loader};
pub use ports::local::{Local, Probe};
pub use ports::observer::Observer;
pub use ports::remote::{Condition, Remote};
pub use ports::runtime::{Runtime, Task};
