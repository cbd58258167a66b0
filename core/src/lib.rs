//! The core of jetcache: the policy of a two-level cache, and the driver that carries it out on any
//! async runtime.
//!
//! Programs on tokio, smol or async-std depend on `jetcache-tokio` or `jetcache-smol`, which bring
//! a runtime, an L1 engine and Redis, and re-export everything here. This crate alone is for those
//! who bring their own:
//!
//! - [`Cache`] (feature `std`, on by default) needs a [`Runtime`], and is given a [`Local`], a
//!   [`Remote`] with a [`Codec`], a [`Loader`] and [`Observer`]s as one likes: small traits, each
//!   in a file of [`ports`].
//! - A [`Node`] is the parent of many caches: they share its L2, its observers and its runtime.
//! - [`unsync`] is the same cache for one thread, without `std`, locks or async: for microcontrollers,
//!   plain threads, and tasks that never leave theirs.
//! - [`machine`] needs neither `std` nor threads nor async: it is plain data that is given what
//!   happened and answers what to do next. Its [`Lru`](machine::tier::lru::Lru) is an L1 of its
//!   own.
//!
//! [`guide`] explains what needs more words than one method has room for: [first steps](guide::first_steps),
//! [what goes with which change](guide::changing_rows), [what happens when things break](guide::when_things_break), and
//! much more.
//!
//! Imports run one way: `driver` and `unsync`, which know nothing of each other, then `ports`, then `machine`.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

#[cfg(feature = "std")]
#[doc(hidden)]
pub mod doc;
/// What examples name, as far as there is any of it without `std`.
#[cfg(not(feature = "std"))]
#[doc(hidden)]
pub mod doc {
    pub mod runtime {
        pub use crate::*;
    }
}
#[cfg(feature = "std")]
mod driver;
#[cfg(feature = "std")]
#[doc(hidden)]
pub mod expand;
#[cfg(feature = "std")]
pub mod guide;
pub mod machine;
pub mod ports;
pub mod unsync;

#[cfg(feature = "test-util")]
pub use driver::PausedClock;
#[cfg(feature = "std")]
pub use driver::{
    Batch, Blocking, Builder, BusHealth, Cache, Clock, Counters, LruEngine, LruLocal, Node,
    RemoteHealth, Settings, SettingsError, roll,
};

pub use machine::change::Reach;
pub use machine::error::kind::ErrorKind;
pub use machine::error::{BoxError, Error, Fault, Limit};
pub use machine::event::Event;
pub use machine::policy::breaker::{Breaker, BreakerState};
pub use machine::policy::call::Call;
pub use machine::policy::{Jitter, Kind, Policy};
pub use machine::stats::Stats;
pub use machine::stats::activity::Activity;
pub use machine::stats::measured::Measured;
pub use machine::stats::metric::{Metric, MetricKind, Sample};
pub use machine::tier::entry::{Cached, Entry};
pub use machine::tier::inspection::{
    EntryFormat, EntryKind, Freshness, Holder, InL1, InL2, Inspection, L1Entry, L2Entry, LeaseSeen,
    UnderWay,
};
pub use machine::tier::load::{Load, NothingStands};
pub use machine::tier::unreadable::Unreadable;
pub use machine::tier::verb::Verb;
pub use machine::tier::wire::Wire;
pub use machine::time::Timestamp;
pub use machine::token::Token;
pub use ports::batch_loader::{BatchLoader, Loads};
#[cfg(target_has_atomic = "ptr")]
pub use ports::bus::{Bus, BusState, Kind as MessageKind, Message, News, Subscription, Telling};
pub use ports::codec::Codec;
pub use ports::compression::Compression;
pub use ports::engine::Engine;
pub use ports::key::{Key, Text};
pub use ports::loader::{LoadError, Loader};
pub use ports::local::{Equivalent, KeyHash, Local, Probe};
#[cfg(target_has_atomic = "ptr")]
pub use ports::observer::Observer;
#[cfg(target_has_atomic = "ptr")]
pub use ports::observer::watched::{Snapshot, Watched};
#[cfg(target_has_atomic = "ptr")]
pub use ports::remote::{Condition, Remote};
pub use ports::runtime::{Runtime, Task};
pub use ports::standing::Standing;
