//! The machine: it decides what happens next to each key. Plain data behind `&mut`: no I/O, no
//! clock, no lock, no dice, no async.
//!
//! [`shard::Shard`] is the machine; a [`lookup`] and a [`change`] say step by step what their
//! driver is to do, by the rules of `PROTOCOL.md` beside this crate's manifest. This module is
//! outside semver before 1.0.
//!
//! A driver can be small. This one has no threads and no L2, so nothing ever waits:
//!
//! ```
//! use core::num::NonZeroUsize;
//! use jetcache_core::machine::effects::Effects;
//! use jetcache_core::machine::generations::Generations;
//! use jetcache_core::machine::lookup::step::{Need, Reply, Step};
//! use jetcache_core::machine::tier::lru::Lru;
//! use jetcache_core::machine::token::Roll;
//! use jetcache_core::machine::shard::{Context, Shard};
//! use jetcache_core::{Call, Kind, Load, Policy, Timestamp};
//!
//! type Table = Shard<u32, i16, hashbrown::DefaultHashBuilder>;
//!
//! fn read(table: &mut Table, l1: &mut Lru<u32, i16>, now: Timestamp, sensor: u32) -> Option<i16> {
//!     let policy = Policy::new(Kind::Local);
//!     // Nothing was raised, and a bucket of keys matters to an L2 alone.
//!     let (generations, bucket) = (Generations::new(), 0);
//!     let context = Context { now, roll: Roll::Bits(4), policy: &policy, generations: &generations };
//!     let mut effects = Effects::default();
//!     let (ticket, _lead) = table.join(sensor, bucket, Call::new(), &context, &mut effects);
//!     let mut reply = Reply::Begin;
//!     let answer = loop {
//!         reply = match table.step(&ticket, &context, reply, &mut effects) {
//!             Step::ReadLocal => Reply::Local(l1.get(&sensor, now).cloned()),
//!             Step::Ask(Need::Load) => Reply::Loaded(Ok(Load::from(21))),
//!             Step::WriteLocal { write, entry } => {
//!                 l1.insert(sensor, entry);
//!                 Reply::Kept(write)
//!             }
//!             Step::Finish { answer, .. } => break Some(answer),
//!             _ => break None,
//!         };
//!     };
//!     table.leave(ticket, &context, &mut effects);
//!     effects.carry_out(|_event| {});
//!     answer?.outcome.clone().ok()?.hit()
//! }
//!
//! let mut table = Table::new(hashbrown::DefaultHashBuilder::default());
//! let mut l1 = Lru::new(NonZeroUsize::MIN);
//! assert_eq!(read(&mut table, &mut l1, Timestamp::from_nanos(0), 7), Some(21));
//! assert_eq!(l1.len(), 1);
//! ```

pub mod change;
pub mod effects;
pub mod error;
pub mod event;
pub mod generations;
pub mod lookup;
pub mod policy;
pub mod schedule;
pub mod shard;
pub mod stats;
pub mod time;
pub mod token;

/// Counted pointers: atomic, or on a target without compare-and-swap those of one thread.
pub(crate) mod counted {
    #[cfg(not(target_has_atomic = "ptr"))]
    pub(crate) use alloc::rc::Rc as Arc;
    #[cfg(target_has_atomic = "ptr")]
    pub(crate) use alloc::sync::Arc;
}

/// What stands in a tier: entries, and how they are written in L2.
pub mod tier {
    mod checksum;
    pub mod entry;
    pub mod envelope;
    pub mod inspection;
    pub mod load;
    pub mod lru;
    pub mod mark;
    pub mod names;
    pub mod unreadable;
    pub mod verb;
    pub mod wire;
}

/// The tables behind a shard.
mod table {
    pub(super) mod eras;
    pub(super) mod flight;
    pub(super) mod luck;
    pub(super) mod recents;
    pub(super) mod refusals;
    pub(super) mod slots;
    pub(super) mod unconfirmed;
    pub(super) mod writes;
}
