//! A cache for one thread: on bare metal, in a plain thread, in tasks that never leave theirs.
//!
//! The policy is the one of [`Cache`](crate::Cache), to the letter: this is another driver of the same
//! [`machine`](crate::machine). It needs `alloc` and neither `std`, nor locks, atomics or a runtime, and
//! the time and the random bits are arguments of each call.
//!
//! | | |
//! |---|---|
//! | [`Cache`] | `&mut self`, and nothing waits: the loader is a function, L2 a [`Store`] that blocks |
//! | [`Tasks`] | the same behind `&self`, for async tasks of one executor: callers of one key share one load |
//!
//! L1 is the core's LRU, bounded in entries. L2, if there is one, belongs to this cache alone: a flash,
//! a card, or another core or a gateway at the end of a line. It is kept by three functions, and what it
//! holds has the header of the native format in `PROTOCOL.md`: a bit that a line flips is a miss.
//!
//! ```
//! use core::num::NonZeroUsize;
//! use core::time::Duration;
//! use jetcache_core::Timestamp;
//! use jetcache_core::unsync::{Builder, Moment};
//!
//! # fn ticks() -> u64 { 0 }
//! # fn random() -> u64 { 4 }
//! # fn measure(channel: u8) -> Result<i16, core::fmt::Error> { Ok(215) }
//! // A free-running timer and whatever the chip has for chance: it only spreads the ends of lives.
//! let mut clock = || Moment::new(Timestamp::from_nanos(ticks()), u128::from(random()));
//!
//! let mut readings = Builder::<u8, i16>::new(NonZeroUsize::new(16).unwrap())
//!     .ttl(Duration::from_secs(30))
//!     .stale_for(Duration::from_secs(300))
//!     .build()?;
//! let reading = readings.get_or_load(&3, &mut clock, || Ok(measure(3)?))?;
//! assert_eq!(reading, Some(215));
//! # Ok::<(), jetcache_core::Error>(())
//! ```
//!
//! What needs several threads or a fleet is not here: a bus, refresh ahead of time, tags, batches. Beneath
//! this stands the [`machine`](crate::machine) itself, for those whose L2 is shared, or cannot block.

mod builder;
mod cache;
mod clock;
mod level2;
mod seat;
mod shared;
#[cfg(test)]
mod stage;
mod state;
mod store;
mod tasks;
mod timer;
mod within;

pub use builder::Builder;
pub use cache::Cache;
pub use clock::{Clock, Moment};
pub use level2::{Bytes, Level2, Nothing};
pub use store::Store;
pub use tasks::Tasks;
pub use timer::Timer;
