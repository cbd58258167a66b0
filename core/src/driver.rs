//! The driver: it carries decisions out, with locks, wakers, tasks and timeouts around the machine.

mod builder;
mod cache;
mod change;
mod check;
mod counters;
mod link;
mod lru;
mod report;
mod settings;
mod sharding;
mod shared;

/// The bus of a node: one subscription for all its caches, one way out.
mod bus {
    pub(super) mod barrier;
    pub(super) mod covered;
    pub(super) mod hub;
    pub(super) mod members;
    pub(super) mod outbox;
    pub(super) mod publisher;
    pub(super) mod subscriber;
}

/// Lookups under way: who leads one, who waits for it, and what it asks of the world.
mod flight {
    pub(super) mod board;
    pub(super) mod chain;
    pub(super) mod glance;
    pub(super) mod lead;
    pub(super) mod lead_many;
    pub(super) mod lease;
    pub(super) mod load;
    pub(super) mod member;
    pub(super) mod renew;
    pub(super) mod seat;
    pub(super) mod verbs;
}

/// Tags, and clear: what is raised, and what of L2 is believed.
mod generations {
    pub(super) mod attempts;
    pub(super) mod believe;
    pub(super) mod raise;
}

/// Keeping keys fresh: whose turn it is, and one refresh.
mod refresh {
    pub(super) mod run;
    pub(super) mod turns;
}

/// Background tasks.
mod task {
    pub(super) mod chore;
}

/// What the world offers: the ports as trait objects, time, chance.
mod world {
    pub(super) mod bounds;
    pub(super) mod caught;
    pub(super) mod clock;
    pub(super) mod dice;
    pub(super) mod erased;
    pub(super) mod lane;
    pub(super) mod timeout;
}

pub use builder::Builder;
pub use builder::node::Node;
pub use bus::hub::BusHealth;
pub use cache::Cache;
pub use cache::batch::Batch;
pub use cache::blocking::Blocking;
pub use counters::Counters;
pub use link::gate::RemoteHealth;
pub use lru::{LruEngine, LruLocal};
pub use settings::Settings;
pub use settings::error::SettingsError;
pub use world::clock::Clock;
#[cfg(feature = "test-util")]
pub use world::clock::PausedClock;
pub use world::dice::roll;
