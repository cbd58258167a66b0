//! What carries decisions out: locks, wakers, tasks and timeouts around the machine.

mod asked;
mod batch;
mod builder;
mod cache;
mod change;
mod changes;
mod changing;
mod changing_many;
mod clock;
mod crew;
mod dice;
mod erased;
mod format;
mod glancing;
mod hearing;
mod hub;
mod leading;
mod link;
mod listening;
mod lru;
mod namespaces;
mod node;
mod outbox;
mod pulse;
mod reading;
mod reading_many;
mod refreshing;
mod repair;
mod report;
mod seat;
mod shared;
mod stripes;
mod telling;
mod timeout;
mod writing;

pub use batch::Batch;
pub use builder::Builder;
pub use cache::Cache;
pub use clock::Clock;
#[cfg(feature = "test-util")]
pub use clock::PausedClock;
pub use dice::roll;
pub use hub::BusState;
pub use lru::{LruEngine, LruLocal};
pub use node::Node;
pub use stripes::Counters;
