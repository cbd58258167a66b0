//! Runs a plan to its end, and judges what is left at rest.

use jetcache_core::machine::stats::activity::Activity;

use crate::sim::fate::plan::{KEYS, Plan, What, Wish};
use crate::sim::fate::promise::{Broken, Promise};
use crate::sim::world::bus::{Bus, Moment};
use crate::sim::world::time::{Happening, LONGEST, World};

/// How a run ended.
#[derive(Debug)]
pub struct Report {
    /// How many events there were, up to the one that broke a promise if one did.
    pub steps: usize,
    /// The promise that was broken.
    pub broken: Option<Broken>,
    /// The events, if they were asked for.
    pub trace: Vec<String>,
}

/// Runs a plan to its end, or until a promise is broken.
#[must_use]
pub fn run(plan: Plan, traced: bool) -> Report {
    let mut world = World::new(plan, traced);
    world.go();
    Report {
        steps: world.index,
        broken: world.judge.broken,
        trace: world.trace.unwrap_or_default(),
    }
}

impl World {
    /// Queues what will befall the fleet.
    pub(crate) fn await_fate(&mut self) {
        for node in 0..self.nodes.len() {
            // In a script all nodes listen from the beginning.
            if self.plan.chance.script.is_some() {
                self.nodes[node].ear.stands = true;
                self.nodes[node].ear.knows = true;
            } else {
                self.subscribe_soon(node, self.plan.fleet.subscribes[node]);
            }
        }
        for at in 0..self.plan.fleet.cuts.len() {
            let cut = Happening::Bus(Moment::Cut(at));
            self.queue(self.plan.fleet.cuts[at].at, cut);
        }
        for at in 0..self.plan.fleet.deaths.len() {
            self.queue(self.plan.fleet.deaths[at].at, Happening::Die(at));
        }
        self.await_failovers();
        for at in 0..self.plan.fleet.losses.len() {
            self.queue(self.plan.fleet.losses[at].at, Happening::LoseLog(at));
        }
        for at in 0..self.plan.fleet.foreign.len() {
            self.queue(self.plan.fleet.foreign[at].at, Happening::Meddle(at));
        }
    }

    fn go(&mut self) {
        let policy = self.plan.policy.clone();
        self.note(|| format!("{policy:?}"));
        self.drain();
        self.judge_waiting();
        // Actors that are never polled again are dropped in the end.
        for id in 0..self.actors.len() {
            self.held[id] = None;
            if self.actors[id].is_some() {
                self.queue(self.now + 1, Happening::Drop(id));
            }
        }
        self.drain();
        self.judge_waiting();
        self.all_meet_primary();
        self.drain();
        self.read_at_rest();
        self.rest_of_raises();
        self.judge_left();
    }

    /// Everything has been said and heard, so every node reads every key: nothing old may show.
    fn read_at_rest(&mut self) {
        if self.plan.fleet.bus == Bus::None {
            return;
        }
        let Some(mut ask) = self.plan.asks.first().cloned() else {
            return;
        };
        (ask.dropped, ask.held, ask.batch) = (None, None, None);
        for node in 0..self.nodes.len() {
            if !self.nodes[node].alive {
                continue;
            }
            self.judge.all_is_heard(node);
            let raised = self.judge.all_raised();
            self.judge.is_raised(node, raised);
            for key in 0..u8::try_from(KEYS).unwrap_or(0) {
                (ask.at, ask.node, ask.key) = (self.now + 1, node, key);
                ask.what = What::Get(Wish::default());
                self.plan.asks.push(ask.clone());
                self.queue(ask.at, Happening::Start(self.plan.asks.len() - 1));
            }
        }
        self.drain();
    }

    fn judge_waiting(&mut self) {
        for id in 0..self.actors.len() {
            let never_polled = self.held[id].is_some_and(|(_, until)| until >= LONGEST);
            let done = self.actors[id].is_none() || never_polled;
            self.judge
                .rule(done, Promise::P4, || format!("actor {id} waits for ever"));
        }
    }

    fn judge_left(&mut self) {
        for node in 0..self.nodes.len() {
            let load = self.nodes[node].shard.activity();
            self.judge
                .rule(load == Activity::default(), Promise::P5, || {
                    format!("at rest, node {node} still has {load:?}")
                });
        }
        self.judge.nothing_stands();
    }
}
