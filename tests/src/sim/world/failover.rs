//! A failover of L2: a replica takes over that is a while behind (PROTOCOL.md, F1, F2).
//!
//! What is on its way to the old primary is lost, and so is what is on its way on a bus that the old
//! primary drives. A node finds out when the new one has carried out a command of its, or when its
//! subscription stands again.

use jetcache_adapters::memory::Table;

use crate::sim::fate::judge::ledger::Ledger;
use crate::sim::fate::judge::loads::Flight;
use crate::sim::world::bus::{Bus, Moment};
use crate::sim::world::time::{Happening, World, whole_millis};

/// When, and how far the replica was behind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failover {
    pub(crate) at: u64,
    pub(crate) lag: u64,
}

/// The primaries so far.
#[derive(Default)]
pub(crate) struct Primaries {
    /// What the replica knew that takes over at each failover.
    replicas: Vec<Option<(Table, Ledger)>>,
    /// How many failovers there were.
    pub(crate) count: u64,
    /// When the last one was.
    last: Option<u64>,
}

impl World {
    pub(crate) fn await_failovers(&mut self) {
        for (which, failover) in self.plan.fleet.failovers.clone().into_iter().enumerate() {
            let before = failover.at.saturating_sub(failover.lag);
            self.queue(before, Happening::Replicate(which));
            self.queue(failover.at, Happening::FailOver(which));
            self.primaries.replicas.push(None);
        }
    }

    /// What the replica knows that will take over.
    pub(crate) fn replicate(&mut self, which: usize) {
        let known = (self.table.clone(), self.judge.ledger());
        self.primaries.replicas[which] = Some(known);
    }

    pub(crate) fn fail_over(&mut self, which: usize) {
        let lag = self.plan.fleet.failovers[which].lag;
        self.note(|| format!("a replica of L2 takes over that is {lag} ms behind"));
        if let Some((table, ledger)) = self.primaries.replicas[which].take() {
            self.table = table;
            // Who has no room for the keys that changed tells nobody of them (PROTOCOL.md, H2).
            let told = self.plan.policy.unconfirmed > 1;
            self.judge.failed_over(ledger, told);
        }
        self.primaries.count += 1;
        self.primaries.last = Some(self.now);
        if self.is_bus_on_l2() {
            for node in 0..self.nodes.len() {
                let pause = self.plan.fleet.air.pause(&mut self.plan.chance);
                self.cut_off(node, pause);
            }
        }
    }

    /// Whether a word that was given at `said` may be about what a failover has lost, and comes too
    /// late for that to be removed again.
    pub(crate) fn is_too_late(&self, said: u64) -> bool {
        let window = whole_millis(self.plan.policy.failover_window);
        let late = |last| said <= last && self.now >= last + window;
        self.primaries.last.is_some_and(late)
    }

    /// Whether there was a failover since.
    pub(crate) fn has_failed_over_since(&self, said: u64) -> bool {
        self.primaries.last.is_some_and(|last| said <= last)
    }

    /// The node has connected to the primary of now.
    pub(crate) fn meet_primary(&mut self, node: usize) {
        self.nodes[node].met = self.primaries.count;
    }

    /// Does what a driver does at the beginning of each call.
    pub(crate) fn take_up_primary(&mut self, node: usize) {
        let own = &mut self.nodes[node];
        if own.known == own.met {
            return;
        }
        own.known = own.met;
        self.note(|| format!("node {node} takes up another primary"));
        let now = self.timestamp(node);
        let window = self.plan.policy.failover_window;
        if self.plan.policy.log {
            self.nodes[node].generations.failed_over(now, window);
        }
        self.machine(node, |shard, context, effects| {
            shard.failed_over(context, effects);
        });
        // What L2 has been asked does not count, as after a fault.
        let own = |flight: &&mut Flight| flight.node == node;
        self.judge
            .flights
            .iter_mut()
            .filter(own)
            .for_each(|flight| flight.faulted = true);
    }

    /// A subscription stands, maybe to another primary.
    pub(crate) fn subscribed_to_primary(&mut self, node: usize) {
        if self.is_bus_on_l2() {
            self.meet_primary(node);
            self.take_up_primary(node);
            self.nodes[node].shard.healed();
            self.nodes[node].generations.healed();
        }
    }

    /// Each node that is alive finds out, as its next call would.
    pub(crate) fn all_meet_primary(&mut self) {
        for node in 0..self.nodes.len() {
            if self.nodes[node].alive {
                self.meet_primary(node);
                self.take_up_primary(node);
            }
        }
        self.rouse();
    }

    pub(crate) fn is_bus_on_l2(&self) -> bool {
        matches!(self.plan.fleet.bus, Bus::WithChange | Bus::Watched)
    }

    fn cut_off(&mut self, node: usize, noticed: u64) {
        let life = self.nodes[node].life;
        if let Some(subscription) = self.deafen(node, life) {
            let notice = Moment::Notice(node, life, subscription);
            self.queue(self.now + noticed, Happening::Bus(notice));
        }
    }
}
