//! The seeded simulator: nodes made of the shipping machine around the shipping in-process L2, in
//! virtual time, on one thread.
//!
//! Every await of a driver, and every place where another thread may come in between, is an
//! **event**. The same [`Plan`] always gives the same events. The words are those of the storms, too
//! (`suites/storm.rs`):
//!
//! | word | meaning |
//! |---|---|
//! | plan | what the nodes are asked and when, and what their world is like; drawn from a seed, or written as a **script** |
//! | caller, reader, change | who asks: with a loader, without one, and who changes a key; **loading** and **writing** are what its code does |
//! | world | virtual time: what happens next |
//! | net, weather | the commands on their way to L2 and back; how bad that way is |
//! | bus, air, ear | how nodes hear of changes; what carries the words; who listens |
//! | life | a node from its birth to its death |
//! | failover | L2 falls back to what it was a while ago, and all connections to it break |
//! | raise, scopes | a tag, two, or the whole namespace is raised; what can be raised, and a node that looks at the log |
//! | chance, fate | what decides how long a pause takes, and what becomes of a command |
//! | judge, promise | who checks P1 to P7 at every event |
//! | ledger | what L2 took, and what follows from it |
//! | kept case | what a seed once found, as a script |
//!
//! ```text
//! Plan ─► world (queue of events) ─► caller  ── Step ──────► Shard of its node
//!                                    reader  ── Glance ────►
//!                                    change  ── ChangeStep ─►   (the machine)
//!                                    repairs ── Repair ─────►
//!                                    bus     ── messages ───►
//!                                    net     ── commands ───► Table (the L2) ── told ─► bus
//!         fleet: cuts, deaths, failovers, evictions, Go ────►
//!                                        └────────────► judge: P1, P2, P4, P5, P6, P7
//! ```
//!
//! **Alone**: the asks of the same plans, put to the cache of one thread (`jetcache_core::unsync`), whose L2
//! is a store that fails, loses, forgets and flips bits.

mod actors {
    pub(crate) mod actor;
    pub(crate) mod answering;
    pub(crate) mod caller;
    pub(crate) mod change;
    pub(crate) mod change_steps;
    pub(crate) mod hearing;
    pub(crate) mod leaving;
    pub(crate) mod loading;
    pub(crate) mod lookup_steps;
    pub(crate) mod reader;
    pub(crate) mod writing;
}
mod alone {
    pub(crate) mod judge;
    pub(crate) mod run;
    pub(crate) mod world;
}
mod fate {
    pub(crate) mod chance;
    pub(crate) mod fleet;
    pub(crate) mod judge;
    pub(crate) mod mix;
    pub(crate) mod plan;
    pub(crate) mod promise;
    pub(crate) mod run;
    pub(crate) mod script;
    pub(crate) mod ways;
}
mod generations {
    pub(crate) mod believing;
    pub(crate) mod judging;
    pub(crate) mod log;
    pub(crate) mod looking;
    pub(crate) mod mixing;
    pub(crate) mod raising;
    pub(crate) mod resting;
    pub(crate) mod scopes;
    pub(crate) mod script;
}
mod world {
    pub(crate) mod air;
    pub(crate) mod batch;
    pub(crate) mod bus;
    pub(crate) mod failover;
    pub(crate) mod foreign;
    pub(crate) mod lives;
    pub(crate) mod net;
    pub(crate) mod nodes;
    pub(crate) mod server;
    pub(crate) mod time;
    pub(crate) mod verb;
    pub(crate) mod weather;
}

pub use alone::run::run_alone;
pub use fate::plan::Plan;
pub use fate::promise::{Broken, Promise};
pub use fate::run::{Report, run};
pub use fate::script::{Fate, Point};
pub use world::bus::Bus;
