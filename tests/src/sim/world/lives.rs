//! Nodes die and come back. Whatever was under way there vanishes without a trace: nothing more is
//! sent, and no `Drop` runs, but what was sent still arrives. The next life of a node knows nothing
//! of the last one, and subscribes anew.

use core::hash::BuildHasherDefault;

use jetcache_core::machine::generations::Generations;
use jetcache_core::machine::shard::Shard;

use crate::sim::fate::plan::KEYS;
use crate::sim::world::bus::{Bus, Ear, Moment};
use crate::sim::world::nodes::Log;
use crate::sim::world::time::{Happening, World};

impl World {
    pub(crate) fn die(&mut self, which: usize) {
        let death = self.plan.fleet.deaths[which];
        if !self.nodes[death.node].alive {
            return;
        }
        self.die_now(death.node);
        if let Some(after) = death.returns {
            self.queue(self.now + after, Happening::Return(death.node));
        }
    }

    pub(crate) fn die_now(&mut self, node: usize) {
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
        self.judge.raiser_died(node);
        own.life += 1;
        own.shard = Shard::new(BuildHasherDefault::default());
        own.generations = Generations::default();
        own.l1 = [const { None }; KEYS];
        own.ear = Ear::default();
        own.repair_at = None;
        own.log = Log::default();
        own.answered = self.now;
        // It may come back on another machine, whose clock is another.
        own.clock = 50 + (own.clock * 7 + 123_457) % 900_000;
    }

    pub(crate) fn come_back(&mut self, node: usize) {
        self.note(|| format!("node {node} is back"));
        let own = &mut self.nodes[node];
        own.alive = true;
        (own.met, own.known) = (self.primaries.count, self.primaries.count);
        // Its clock may have begun with it: no second has passed since it looked.
        own.log.looked = self.now + own.clock;
        // It has heard of nothing, and looks first.
        let raised = self.judge.acknowledged();
        self.judge.is_raised(node, raised);
        self.subscribe_soon(node, 0);
    }

    pub(crate) fn subscribe_soon(&mut self, node: usize, after: u64) {
        if self.plan.fleet.bus != Bus::None {
            let subscribe = Moment::Subscribe(node, self.nodes[node].life);
            self.queue(self.now + after, Happening::Bus(subscribe));
        }
    }
}
