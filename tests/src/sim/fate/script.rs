//! A script: a plan that leaves nothing to chance. The kept cases are written with it.

use core::time::Duration;

use jetcache_core::machine::policy::LeaseFirst;
use jetcache_core::machine::policy::pace::Aim;
use jetcache_core::ports::remote::Wire;
use jetcache_core::{Condition, Kind};

use crate::sim::fate::chance::Chance;
use crate::sim::fate::fleet::{Cut, Death};
use crate::sim::fate::plan::{Ask, Brings, Loader, Plan, What, Wish, Writes, plain};
pub use crate::sim::fate::ways::{Fate, Point};
use crate::sim::generations::scopes::Scopes;
use crate::sim::world::bus::Bus;
use crate::sim::world::failover::Failover;
use crate::sim::world::foreign::{Deed, Foreign};

/// What a script says of the n-th ask, used up in the order in which it was said.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pauses: Vec<(usize, Point, u64)>,
    pub(crate) fates: Vec<(usize, Point, Fate)>,
}

impl Script {
    pub(crate) fn pause(&mut self, ask: usize, point: Point) -> u64 {
        let said = self.pauses.iter().position(|p| (p.0, p.1) == (ask, point));
        said.map_or(0, |at| self.pauses.remove(at).2)
    }

    pub(crate) fn fate(&mut self, ask: usize, verb: Point) -> Fate {
        let said = self.fates.iter().position(|f| (f.0, f.1) == (ask, verb));
        said.map_or(Fate::delivered(1, 1), |at| self.fates.remove(at).2)
    }
}

/// Writing a script. Each ask is followed by what happens to it: `pause`, `fate`, `dropped`,
/// `held`.
impl Plan {
    /// Only L1, or only L2.
    #[must_use]
    pub fn kind(mut self, kind: Kind) -> Self {
        self.policy = plain(kind);
        self
    }

    /// Values and placeholders live for so many milliseconds.
    #[must_use]
    pub fn ttl(mut self, millis: u64) -> Self {
        self.policy.ttl = Duration::from_millis(millis);
        self.policy.local_ttl = self.policy.ttl;
        self.policy.negative_ttl = self.policy.ttl;
        self
    }

    /// Placeholders live for so many milliseconds.
    #[must_use]
    pub fn negative_ttl(mut self, millis: u64) -> Self {
        self.policy.negative_ttl = Duration::from_millis(millis);
        self
    }

    /// Values may be served stale for so long, and a failed load is tried again after a while.
    #[must_use]
    pub fn stale(mut self, window: u64, retry: u64) -> Self {
        self.policy.stale_for = Duration::from_millis(window);
        self.policy.stale_retry = Duration::from_millis(retry);
        self
    }

    /// Loads ask for the lease at once, after so many looks of which no more than one in so many answered.
    #[must_use]
    pub fn lease_first(mut self, after: u8, one_in: u8) -> Self {
        self.policy.lease_first = Some(LeaseFirst { after, one_in });
        self
    }

    /// For how long changes are remembered for another primary.
    #[must_use]
    pub fn failover_window(mut self, millis: u64) -> Self {
        self.policy.failover_window = Duration::from_millis(millis);
        self
    }

    /// A replica takes over that was so far behind.
    #[must_use]
    pub fn fails_over(mut self, at: u64, lag: u64) -> Self {
        self.fleet.failovers.push(Failover { at, lag });
        self
    }

    /// A node remembers one unconfirmed key.
    #[must_use]
    pub fn room_for_one(mut self) -> Self {
        self.policy.unconfirmed = 1;
        self
    }

    /// The last ask is for the other key.
    #[must_use]
    pub fn other_key(mut self) -> Self {
        if let Some(ask) = self.asks.last_mut() {
            ask.key = 1;
        }
        self
    }

    /// A caller with a loader that takes this long.
    #[must_use]
    pub fn load(self, at: u64, node: usize, takes: u64) -> Self {
        let loader = Loader {
            takes,
            brings: Brings::Value,
            tags: Scopes::NONE,
            ttl: None,
        };
        self.ask(at, node, What::Load(Wish::default(), loader))
    }

    /// A caller whose loader takes this long, and says that what stands there is unchanged.
    #[must_use]
    pub fn load_unchanged(self, at: u64, node: usize, takes: u64) -> Self {
        let loader = Loader {
            takes,
            brings: Brings::Unchanged,
            tags: Scopes::NONE,
            ttl: None,
        };
        self.ask(at, node, What::Load(Wish::default(), loader))
    }

    /// The last ask's load gives its value this life.
    #[must_use]
    pub fn for_millis(mut self, millis: u64) -> Self {
        if let Some(What::Load(_, loader)) = self.asks.last_mut().map(|ask| &mut ask.what) {
            loader.ttl = Some(millis);
        }
        self
    }

    /// What the last ask brings may be served stale for so many milliseconds.
    #[must_use]
    pub fn for_a_window(mut self, millis: u64) -> Self {
        let what = self.asks.last_mut().map(|ask| &mut ask.what);
        if let Some(What::Load(wish, _) | What::Insert(wish, _)) = what {
            wish.stale_for = Some(millis);
        }
        self
    }

    /// A caller whose loader fails after this long.
    #[must_use]
    pub fn load_fails(self, at: u64, node: usize, takes: u64) -> Self {
        let loader = Loader {
            takes,
            brings: Brings::Error,
            tags: Scopes::NONE,
            ttl: None,
        };
        self.ask(at, node, What::Load(Wish::default(), loader))
    }

    /// A caller whose loader takes this long and finds nothing.
    #[must_use]
    pub fn load_absent(self, at: u64, node: usize, takes: u64) -> Self {
        let loader = Loader {
            takes,
            brings: Brings::Absent,
            tags: Scopes::NONE,
            ttl: None,
        };
        self.ask(at, node, What::Load(Wish::default(), loader))
    }

    /// A caller without a loader.
    #[must_use]
    pub fn get(self, at: u64, node: usize) -> Self {
        self.ask(at, node, What::Get(Wish::default()))
    }

    /// A refresh whose turn has come, with a loader that takes this long.
    #[must_use]
    pub fn refresh(self, at: u64, node: usize, takes: u64) -> Self {
        let loader = Loader {
            takes,
            brings: Brings::Value,
            tags: Scopes::NONE,
            ttl: None,
        };
        self.ask(at, node, What::Refresh(Aim::Load, loader))
    }

    /// An invalidation.
    #[must_use]
    pub fn invalidate(self, at: u64, node: usize) -> Self {
        self.ask(at, node, What::Invalidate)
    }

    /// An insert.
    #[must_use]
    pub fn insert(self, at: u64, node: usize) -> Self {
        self.ask(at, node, What::Insert(Wish::default(), None))
    }

    /// A conditional insert.
    #[must_use]
    pub fn insert_if(self, at: u64, node: usize, condition: Condition) -> Self {
        self.ask(at, node, What::Insert(Wish::default(), Some(condition)))
    }

    /// A write-through: the row is written so long after the claim, the writer ends so long after.
    #[must_use]
    pub fn write_through(self, at: u64, node: usize, row: u64, takes: u64) -> Self {
        self.writes(at, node, row, takes, Brings::Value)
    }

    /// A write-through whose writer fails in the end, though the row is written.
    #[must_use]
    pub fn write_fails(self, at: u64, node: usize, row: u64, takes: u64) -> Self {
        self.writes(at, node, row, takes, Brings::Error)
    }

    fn writes(self, at: u64, node: usize, row: u64, takes: u64, brings: Brings) -> Self {
        let writer = Writes {
            takes,
            row: Some(row),
            brings,
            tags: Scopes::NONE,
            ttl: None,
        };
        self.ask(at, node, What::WriteThrough(Wish::default(), writer))
    }

    /// Who tells the nodes of changes. A message takes 1 ms.
    #[must_use]
    pub fn bus(mut self, bus: Bus) -> Self {
        self.fleet.bus = bus;
        self
    }

    /// Messages to this node take so much longer.
    #[must_use]
    pub fn slow(mut self, node: usize, millis: u64) -> Self {
        self.fleet.slow[node] = millis;
        self
    }

    /// The node hears nothing from then on; it notices after so many milliseconds, and subscribes
    /// again after so many more.
    #[must_use]
    pub fn cut(mut self, at: u64, node: usize, noticed: u64, again: u64) -> Self {
        self.fleet.air.again = again;
        self.fleet.cuts.push(Cut { at, node, noticed });
        self
    }

    /// A node that knows that it is deaf keeps nothing in L1 for longer than so many milliseconds.
    #[must_use]
    pub fn blind(mut self, millis: u64) -> Self {
        let mut blind = self.policy.clone();
        blind.local_cap = Duration::from_millis(millis);
        self.fleet.blind = Some(blind);
        self
    }

    /// The node dies, and comes back after so many milliseconds.
    #[must_use]
    pub fn dies(mut self, at: u64, node: usize, returns: Option<u64>) -> Self {
        self.fleet.deaths.push(Death { at, node, returns });
        self
    }

    /// A service in Go sets the key, and tells so many milliseconds later.
    #[must_use]
    pub fn go_sets(self, at: u64, told: u64) -> Self {
        self.foreign(at, Deed::Set(60_000), told)
    }

    /// A service in Go deletes the key, and tells so many milliseconds later.
    #[must_use]
    pub fn go_deletes(self, at: u64, told: u64) -> Self {
        self.foreign(at, Deed::Delete, told)
    }

    fn foreign(mut self, at: u64, deed: Deed, told: u64) -> Self {
        self.fleet.wire = Wire::JetcacheGo;
        let key = 0;
        self.fleet.foreign.push(Foreign {
            at,
            key,
            deed,
            told,
        });
        self
    }

    fn ask(mut self, at: u64, node: usize, what: What) -> Self {
        self.asks.push(Ask {
            at,
            node,
            key: 0,
            what,
            dropped: None,
            held: None,
            batch: None,
        });
        self
    }

    /// The last ask's next pause at this point takes so long.
    #[must_use]
    pub fn pause(mut self, point: Point, millis: u64) -> Self {
        let ask = self.asks.len() - 1;
        self.script().pauses.push((ask, point, millis));
        self
    }

    /// The next node that hears of a change takes so long before it removes the key from L1.
    #[must_use]
    pub fn sweep(mut self, millis: u64) -> Self {
        let pause = (usize::MAX, Point::Poll, millis);
        self.script().pauses.push(pause);
        self
    }

    /// This is the fate of the last ask's next command of this name.
    #[must_use]
    pub fn fate(mut self, verb: Point, fate: Fate) -> Self {
        let ask = self.asks.len() - 1;
        self.script().fates.push((ask, verb, fate));
        self
    }

    /// This is the fate of the next repeated removal, whoever caused it.
    #[must_use]
    pub fn repair(mut self, fate: Fate) -> Self {
        self.script().fates.push((usize::MAX, Point::Remove, fate));
        self
    }

    /// The last ask's future is dropped.
    #[must_use]
    pub fn dropped(mut self, at: u64) -> Self {
        if let Some(ask) = self.asks.last_mut() {
            ask.dropped = Some(at);
        }
        self
    }

    /// The last ask's future is not polled meanwhile.
    #[must_use]
    pub fn held(mut self, from: u64, until: u64) -> Self {
        if let Some(ask) = self.asks.last_mut() {
            ask.held = Some((from, until));
        }
        self
    }

    pub(crate) fn script(&mut self) -> &mut Script {
        let Chance { script, .. } = &mut self.chance;
        script.get_or_insert_default()
    }
}
