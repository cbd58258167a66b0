//! What carries decisions out: locks, wakers, tasks and timeouts around the machine.

mod asked;
mod builder;
mod cache;
mod change;
mod changing;
mod clock;
mod dice;
mod erased;
mod format;
mod leading;
mod link;
mod lru;
mod reading;
mod repair;
mod report;
mod seat;
mod shared;
mod stripes;
mod timeout;

pub use builder::Builder;
pub use cache::Cache;
pub use clock::Clock;
#[cfg(feature = "test-util")]
pub use clock::PausedClock;
pub use dice::roll;
pub use lru::LruLocal;
pub use stripes::Counters;
