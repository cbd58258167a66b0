//! Nodes die and come back. Whoever was under way there vanishes without a trace: nothing is sent
//! any more, and nobody's `Drop` runs; what was sent still arrives. The next life of a node knows
//! nothing of the one before, and subscribes anew.

use core::hash::BuildHasherDefault;

use jetcache_core::machine::shard::Shard;

use super::bus::{Bus, Ear, Moment};
use super::plan::KEYS;
use super::world::{Actor, Happening, World};

impl World {
    pub(super) fn die(&mut self, which: usize) {
        let death = self.plan.fleet.deaths[which];
        let node = death.node;
        if !self.nodes[node].alive {
            return;
        }
        self.note(|| format!("node {node} dies"));
        for id in 0..self.actors.len() {
            if self.actors[id].as_ref().is_some_and(|it| it.node() == node) {
                self.actors[id] = None;
                self.turns[id] += 1;
                self.judge.load_ends(id);
            }
        }
        for command in &mut self.commands {
            command.orphan(node);
        }
        let own = &mut self.nodes[node];
        own.alive = false;
        self.judge.died(node, own.life);
        own.life += 1;
        own.shard = Shard::new(BuildHasherDefault::default());
        own.l1 = [const { None }; KEYS];
        own.ear = Ear::default();
        own.repair_at = None;
        // Another machine, perhaps.
        own.clock = 50 + (own.clock * 7 + 123_457) % 900_000;
        if let Some(after) = death.returns {
            self.queue(self.now + after, Happening::Return(node));
        }
    }

    pub(super) fn come_back(&mut self, node: usize) {
        self.note(|| format!("node {node} is back"));
        self.nodes[node].alive = true;
        self.subscribe_soon(node, 0);
    }

    pub(super) fn subscribe_soon(&mut self, node: usize, after: u64) {
        if self.plan.fleet.bus != Bus::None {
            let subscribe = Moment::Subscribe(node, self.nodes[node].life);
            self.queue(self.now + after, Happening::Bus(subscribe));
        }
    }
}

impl Actor {
    fn node(&self) -> usize {
        match self {
            Self::Caller(caller) => caller.node,
            Self::Guest(guest) => guest.node(),
            Self::Change(change) => change.node(),
            Self::Sweep(sweep) => sweep.node,
        }
    }
}
