//! The seeded simulator: nodes made of the shipping machine around the shipping in-process L2, in
//! virtual time, on one thread.
//!
//! Every await of a driver, and every place where another thread may come in between, is an
//! **event**. A [`Plan`] says what is asked of the nodes, and when; chance, or a script, says how
//! long everything takes and what the network loses. A judge looks at every event and knows
//! the promises P1 to P7. The same plan always gives the same events.
//!
//! ```text
//! Plan ─► world (queue of events) ─► caller   ── Step ──────► Shard of its node
//!                                    guest    ── Glance ────►
//!                                    change   ── ChangeStep ─►   (the machine)
//!                                    repairs  ── Repair ─────►
//!                                    bus      ── events ─────►
//!                                    wire     ── commands ───► Table (the L2) ── told ─► bus
//!         fleet: cuts, deaths, evictions, a service in Go ───►
//!                                         └───────────► judge: P1, P2, P4, P5, P6, P7
//! ```

mod bus;
mod caller;
mod chance;
mod change;
mod crew;
mod fleet;
mod foreign;
mod guest;
mod hearing;
mod judge;
mod leaving;
mod lives;
mod loading;
mod plan;
mod script;
mod wire;
mod world;
mod writing;

pub use bus::Bus;
pub use judge::{Broken, Promise};
pub use plan::Plan;
pub use script::{Fate, Spot};
pub use world::{Report, run};
