//! What befalls the nodes of a plan: their bus, cuts, deaths, evictions, and a service in Go.

use core::time::Duration;

use fastrand::Rng;
use jetcache_core::machine::policy::Policy;
use jetcache_core::ports::remote::Wire;

use crate::sim::fate::mix::pick;
use crate::sim::generations::log::Loss;
use crate::sim::world::air::Air;
use crate::sim::world::bus::Bus;
use crate::sim::world::failover::Failover;
use crate::sim::world::foreign::{Deed, Foreign};

/// What happens to the nodes without being asked of them.
#[derive(Clone, Debug)]
pub(crate) struct Fleet {
    pub(crate) bus: Bus,
    pub(crate) air: Air,
    /// The policy of a node that knows that it is deaf, if it has another one.
    pub(crate) blind: Option<Policy>,
    pub(crate) wire: Wire,
    /// What the nodes' clocks show when the run begins, in milliseconds, and the server's.
    pub(crate) clocks: Vec<u64>,
    pub(crate) server: u64,
    /// How long each node takes to subscribe at first.
    pub(crate) subscribes: Vec<u64>,
    /// How much longer messages take to this node than to others.
    pub(crate) slow: Vec<u64>,
    pub(crate) cuts: Vec<Cut>,
    pub(crate) deaths: Vec<Death>,
    pub(crate) foreign: Vec<Foreign>,
    pub(crate) failovers: Vec<Failover>,
    /// L2 is several servers, and the log of raises need not be where a key is.
    pub(crate) cluster: bool,
    pub(crate) losses: Vec<Loss>,
    /// How many marks are a page of its list.
    pub(crate) page: usize,
}

/// A node hears nothing from here on, and notices after so many milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub(crate) at: u64,
    pub(crate) node: usize,
    pub(crate) noticed: u64,
}

/// A node dies, and comes back after so many milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Death {
    pub(crate) at: u64,
    pub(crate) node: usize,
    pub(crate) returns: Option<u64>,
}

impl Fleet {
    /// A fleet that nothing befalls.
    pub(crate) fn calm(nodes: usize) -> Self {
        Self {
            bus: Bus::None,
            air: Air::default(),
            blind: None,
            wire: Wire::Native,
            clocks: (0..nodes).map(|at| 50 + 900_000 * at as u64).collect(),
            server: 1_000_000,
            subscribes: vec![0; nodes],
            slow: vec![0; nodes],
            cuts: Vec::new(),
            deaths: Vec::new(),
            foreign: Vec::new(),
            failovers: Vec::new(),
            cluster: false,
            losses: Vec::new(),
            page: 1_000,
        }
    }

    /// Drawn with dice of its own, so that a change here leaves the asks of a seed as they were.
    pub(crate) fn seeded(
        rng: &mut Rng,
        nodes: usize,
        keys: usize,
        span: u64,
        policy: &Policy,
    ) -> Self {
        let mut fleet = Self::calm(nodes);
        for clock in &mut fleet.clocks {
            *clock = 50 + rng.u64(..=900_000);
        }
        fleet.server = 1_000_000 + rng.u64(..=900_000);
        if !policy.kind.has_remote() {
            return fleet;
        }
        let moment = |rng: &mut Rng| rng.u64(..=span);
        if rng.u8(..100) < 12 {
            fleet.wire = Wire::JetcacheGo;
        }
        let go = fleet.wire == Wire::JetcacheGo;
        let buses = match (nodes, go) {
            (_, true) => [Bus::WithChange, Bus::Publish],
            (1, false) => [Bus::None, Bus::Watched],
            _ if rng.u8(..4) == 0 => [Bus::None, Bus::None],
            _ if rng.bool() => [Bus::WithChange, Bus::Watched],
            _ => [Bus::WithChange, Bus::Publish],
        };
        fleet.bus = pick(rng, &buses);
        fleet.air = Air {
            latency: pick(rng, &[0, 1, 5, 40]),
            lates: pick(rng, &[0, 0, 10, 50]),
            late: pick(rng, &[30, 300, 10_000]),
            doubled: pick(rng, &[0, 0, 20]),
            overflow: pick(rng, &[0, 0, 0, 10]),
            again: pick(rng, &[0, 5, 100, 3_000]),
        };
        if rng.u8(..3) == 0 {
            let mut blind = policy.clone();
            blind.local_cap = Duration::from_millis(pick(rng, &[50, 400]));
            fleet.blind = Some(blind);
        }
        for slow in &mut fleet.slow {
            *slow = pick(rng, &[0, 0, 0, 12, 100]);
        }
        for soon in &mut fleet.subscribes {
            *soon = pick(rng, &[0, 0, 0, span / 2]);
        }
        let key = |rng: &mut Rng| u8::try_from(rng.usize(..keys)).unwrap_or(0);
        if fleet.bus != Bus::None && rng.u8(..3) == 0 {
            fleet.cuts = (0..rng.usize(1..=4))
                .map(|_| Cut {
                    at: moment(rng),
                    node: rng.usize(..nodes),
                    noticed: pick(rng, &[0, 5, 60, 1_000, 10_000]),
                })
                .collect();
        }
        if rng.u8(..6) == 0 {
            fleet.deaths = (0..rng.usize(1..=3))
                .map(|_| Death {
                    at: moment(rng),
                    node: rng.usize(..nodes),
                    returns: pick(rng, &[Some(0), Some(5), Some(100), None]),
                })
                .collect();
        }
        let deeds = if go { rng.usize(1..=8) } else { 0 };
        let evictions = if rng.u8(..5) == 0 {
            rng.usize(1..=4)
        } else {
            0
        };
        for _ in 0..deeds {
            let deed = match rng.u8(..10) {
                0..5 => Deed::Delete,
                5..9 => Deed::Set(pick(rng, &[2_000, 60_000])),
                _ => Deed::SetJunk,
            };
            let told = pick(rng, &[0, 3, 30, 300]);
            let told = if rng.u8(..10) == 0 {
                10_000
            } else {
                rng.u64(..=told)
            };
            fleet.foreign.push(Foreign {
                at: moment(rng),
                key: key(rng),
                deed,
                told,
            });
        }
        for _ in 0..evictions {
            // What Go has set, and what its setting displaces, must stand for G1 to see it.
            let deed = match go || rng.bool() {
                true => Deed::EvictLease,
                false => Deed::EvictValue,
            };
            fleet.foreign.push(Foreign {
                at: moment(rng),
                key: key(rng),
                deed,
                told: 0,
            });
        }
        fleet
    }

    /// In one seed of six a replica takes over, once or twice. No change is lost that is older than is
    /// remembered.
    pub(crate) fn fall_over(&mut self, rng: &mut Rng, span: u64, policy: &mut Policy) {
        // Of what Go has set much was loaded, and nobody loads that again.
        if rng.u8(..6) != 0 || !policy.kind.has_remote() || self.wire == Wire::JetcacheGo {
            return;
        }
        let longest = pick(rng, &[0, 3, 20, 200, 2_000]);
        let failover = |rng: &mut Rng| Failover {
            at: rng.u64(..=span + longest),
            lag: rng.u64(..=longest),
        };
        self.failovers = (0..rng.usize(1..=2)).map(|_| failover(rng)).collect();
        // A bus of its own outlives the primary, and its words may be late.
        if self.bus == Bus::WithChange && rng.bool() {
            self.bus = Bus::Publish;
            for slow in &mut self.slow {
                *slow = pick(rng, &[0, 12, 80, 400]);
            }
        }
        let window = longest + pick(rng, &[1, 100, 3_000]);
        policy.failover_window = Duration::from_millis(window);
        if let Some(blind) = &mut self.blind {
            blind.failover_window = policy.failover_window;
        }
    }
}
