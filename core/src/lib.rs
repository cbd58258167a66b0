#![doc = "The policy of a two-level cache, and the driver that carries it out."]
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod machine;
pub mod ports;

pub use machine::change::Reach;
pub use machine::entry::{Cached, Entry, Load};
pub use machine::error::{BoxError, Error, Fault};
pub use machine::event::Event;
pub use machine::policy::{Call, Kind};
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
