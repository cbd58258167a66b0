//! Flights and their loaders: at most one runs, and only with a lease or a good excuse (P1).

use jetcache_core::Token;

use crate::sim::fate::judge::{ActorId, Index, Judge};
use crate::sim::fate::plan::Key;
use crate::sim::fate::promise::Promise;

/// A flight, as seen from outside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    pub(crate) node: usize,
    pub(crate) key: Key,
    pub(crate) opened: Index,
    pub(crate) leader: Option<ActorId>,
    /// Before this its leader may not be deposed.
    pub(crate) deadline: u64,
    pub(crate) leased: bool,
    pub(crate) faulted: bool,
    pub(crate) refused_since: Option<u64>,
    pub(crate) failed: bool,
    /// L2 said that a load has failed lately.
    pub(crate) failing: bool,
    /// L1 had a value that is stale already.
    pub(crate) found_stale: bool,
}

/// A loader that runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Running {
    actor: ActorId,
    flight: usize,
}

impl Judge {
    pub(crate) fn flight(&mut self, flight: Flight) -> usize {
        self.flights.push(flight);
        self.flights.len() - 1
    }

    /// The flight that a follower joins.
    pub(crate) fn joined(&self, node: usize, key: Key) -> Option<usize> {
        let mine = |flight: &Flight| (flight.node, flight.key) == (node, key);
        self.flights.iter().rposition(mine)
    }

    /// A waiting caller leads from now on.
    pub(crate) fn leads(&mut self, flight: usize, actor: ActorId, now: u64) {
        let Flight {
            leader, deadline, ..
        } = self.flights[flight];
        self.rule(leader.is_none() || now >= deadline, Promise::P1, || {
            format!("a leader was deposed at {now} ms, before its deadline {deadline}")
        });
        // Its time began when it was chosen, so it may be deposed at once if it takes no step.
        (self.flights[flight].leader, self.flights[flight].deadline) = (Some(actor), now);
    }

    /// A loader begins. `excuse`: it may do so without a lease.
    pub(crate) fn load_begins(&mut self, actor: ActorId, flight: usize, excuse: bool, now: u64) {
        let Flight {
            node, key, opened, ..
        } = self.flights[flight];
        let superseded = self.of(node, key).superseded;
        let current = opened > superseded;
        for other in self.running.clone() {
            let its = self.flights[other.flight];
            let same = (its.node, its.key) == (node, key);
            let leads = its.leader == Some(other.actor) && its.opened > superseded;
            self.rule(!same || !leads || !current, Promise::P1, || {
                format!(
                    "node {node} runs the loaders of actors {} and {actor} for one key",
                    other.actor
                )
            });
        }
        let leased = self.flights[flight].leased;
        self.rule(leased || excuse, Promise::P1, || {
            format!("actor {actor} loads at {now} ms without a lease, and nothing excuses it")
        });
        self.running.push(Running { actor, flight });
    }

    /// Whether no change has superseded the flight.
    pub(crate) fn is_current(&mut self, flight: usize) -> bool {
        let Flight {
            node, key, opened, ..
        } = self.flights[flight];
        self.is_new(node, key, opened)
    }

    /// Whether no change has superseded what began then.
    pub(crate) fn is_new(&mut self, node: usize, key: Key, opened: Index) -> bool {
        opened > self.of(node, key).superseded
    }

    /// A flight asks for a lease. One that it had before and that has expired need not be given
    /// back.
    pub(crate) fn asked(&mut self, token: Token, flight: usize, now: u64) {
        for (old, _) in self.asked.iter().filter(|(_, its)| **its == flight) {
            if let Some(granted) = self.granted.get_mut(old) {
                granted.standing &= now < granted.until;
            }
        }
        self.asked.insert(token, flight);
    }

    /// A flight took over a lease whose asker was gone when it was granted.
    pub(crate) fn adopted(&mut self, token: Token) {
        if let Some(&flight) = self.asked.get(&token) {
            self.flights[flight].leased = true;
        }
    }

    pub(crate) fn load_ends(&mut self, actor: ActorId) {
        self.running.retain(|running| running.actor != actor);
    }
}
