//! Virtual time: a queue of events, and what each of them sets going.

use core::cmp::Reverse;
use core::hash::BuildHasherDefault;
use core::time::Duration;
use std::collections::BinaryHeap;

use jetcache_adapters::memory::Table;
use jetcache_core::Timestamp;
use jetcache_core::machine::generations::Generations;
use jetcache_core::machine::shard::Shard;
use jetcache_core::ports::remote::Wire;

use crate::sim::actors::actor::Actor;
use crate::sim::actors::answering::Answered;
use crate::sim::fate::judge::{ActorId, Id, Index, Judge};
use crate::sim::fate::plan::{Ask, KEYS, Plan};
use crate::sim::fate::promise::Promise;
use crate::sim::fate::script::Point;
use crate::sim::world::batch::Batches;
use crate::sim::world::bus::{Ear, Message, Moment};
use crate::sim::world::failover::Primaries;
use crate::sim::world::net::{Command, CommandId};
use crate::sim::world::nodes::{Log, Node};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Happening {
    Start(usize),
    /// An actor goes on, unless its turn was set anew in the meantime.
    Turn(ActorId, u32),
    Apply(CommandId),
    Reply(CommandId),
    Timeout(CommandId),
    Drop(ActorId),
    Repair(usize),
    Bus(Moment),
    Die(usize),
    Return(usize),
    Meddle(usize),
    Replicate(usize),
    FailOver(usize),
    RaiseAgain(usize),
    LoseLog(usize),
}

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) now: u64,
    pub(crate) index: Index,
    queue: BinaryHeap<Reverse<(u64, u32, Index, Happening)>>,
    queued: Index,
    pub(crate) nodes: Vec<Node>,
    pub(crate) table: Table,
    pub(crate) primaries: Primaries,
    pub(crate) judge: Judge,
    pub(crate) actors: Vec<Option<Actor>>,
    /// The actors that may still be there.
    pub(crate) busy: Vec<ActorId>,
    pub(crate) turns: Vec<u32>,
    /// The ask that each actor stems from. `held`: from when to when it is not polled.
    pub(crate) asks: Vec<usize>,
    pub(crate) held: Vec<Option<(u64, u64)>>,
    pub(crate) commands: Vec<Command>,
    pub(crate) messages: Vec<Message>,
    pub(crate) batches: Batches,
    pub(crate) answers: Vec<Answered>,
    /// What readers find at rest.
    pub(crate) finds: Option<Vec<Id>>,
    pub(crate) trace: Option<Vec<String>>,
}

impl World {
    pub(crate) fn new(mut plan: Plan, traced: bool) -> Self {
        // As the builder sets it: in that format some write who know nothing of leases.
        let strangers = plan.fleet.wire == Wire::JetcacheGo;
        let policies = [Some(&mut plan.policy), plan.fleet.blind.as_mut()];
        for policy in policies.into_iter().flatten() {
            policy.strangers = strangers;
        }
        let node = |at: usize| Node {
            shard: Shard::new(BuildHasherDefault::default()),
            generations: Generations::default(),
            l1: [const { None }; KEYS],
            clock: plan.fleet.clocks[at],
            repair_at: None,
            alive: true,
            life: 0,
            ear: Ear::default(),
            met: 0,
            known: 0,
            answered: 0,
            log: Log {
                looked: plan.fleet.clocks[at],
                ..Log::default()
            },
        };
        let nodes = (0..plan.nodes).map(node).collect();
        let asks = core::mem::take(&mut plan.asks);
        let mut world = Self {
            now: 0,
            index: 0,
            queue: BinaryHeap::new(),
            queued: 0,
            nodes,
            table: Table::with_capacity(64),
            primaries: Primaries::default(),
            judge: Judge::default(),
            actors: Vec::new(),
            busy: Vec::new(),
            turns: Vec::new(),
            asks: Vec::new(),
            held: Vec::new(),
            commands: Vec::new(),
            messages: Vec::new(),
            batches: Batches::default(),
            answers: Vec::new(),
            finds: None,
            trace: traced.then(Vec::new),
            plan,
        };
        for (at, ask) in asks.iter().enumerate() {
            world.queue(ask.at, Happening::Start(at));
        }
        world.plan.asks = asks;
        world.await_fate();
        world
    }

    pub(crate) fn drain(&mut self) {
        while self.judge.broken.is_none()
            && let Some(Reverse((at, _, _, happening))) = self.queue.pop()
        {
            if let Happening::Turn(id, turn) = happening
                && self.turns[id] != turn
            {
                continue;
            }
            self.now = at;
            self.index += 1;
            let running = at <= LONGEST && self.index < MOST_EVENTS;
            self.judge
                .rule(running, Promise::P4, || "it never comes to rest".to_owned());
            self.happen(happening);
            self.rouse();
        }
    }

    pub(crate) fn ask_at_rest(&mut self, ask: Ask) {
        let at = ask.at;
        self.plan.asks.push(ask);
        self.queue(at, Happening::Start(self.plan.asks.len() - 1));
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Start(at) => self.start(at),
            Happening::Turn(id, _) => self.turn(id),
            Happening::Apply(command) => self.apply(command),
            Happening::Reply(command) => self.reply(command),
            Happening::Timeout(command) => self.time_out(command),
            Happening::Drop(id) => self.drop_actor(id),
            Happening::Repair(node) => self.repair(node),
            Happening::Bus(moment) => self.bus(moment),
            Happening::Die(which) => self.die(which),
            Happening::Return(node) => self.come_back(node),
            Happening::Meddle(which) => self.meddle(which),
            Happening::Replicate(which) => self.replicate(which),
            Happening::FailOver(which) => self.fail_over(which),
            Happening::RaiseAgain(node) => self.raise_again(node),
            Happening::LoseLog(which) => self.lose_log(which),
        }
    }

    pub(crate) fn queue(&mut self, at: u64, happening: Happening) {
        let tie = match self.plan.chance.script {
            Some(_) => 0,
            None => self.plan.chance.rng.u32(..),
        };
        self.queued += 1;
        self.queue.push(Reverse((at, tie, self.queued, happening)));
    }

    pub(crate) fn turn_at(&mut self, id: ActorId, at: u64) {
        self.turns[id] += 1;
        self.queue(at, Happening::Turn(id, self.turns[id]));
    }

    /// The actor goes on after a pause: as long as a thread may take at this point.
    pub(crate) fn turn_after(&mut self, id: ActorId, point: Point) {
        let pause = self.pause(self.asks[id], point);
        self.turn_at(id, self.now + pause);
    }

    pub(crate) fn timestamp(&self, node: usize) -> Timestamp {
        Timestamp::from_nanos((self.nodes[node].clock + self.now) * 1_000_000)
    }

    /// A time of a node's clock, on the clock of the simulation.
    pub(crate) fn when(&self, node: usize, at: Timestamp) -> u64 {
        let at = at.as_nanos().div_ceil(1_000_000);
        at.saturating_sub(self.nodes[node].clock).max(self.now)
    }

    pub(crate) fn server_clock(&self) -> u64 {
        self.plan.fleet.server + self.now
    }

    /// Adds a line to the trace, if there is one.
    pub(crate) fn note(&mut self, text: impl FnOnce() -> String) {
        let (index, now) = (self.index, self.now);
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{index:>5} {now:>7} ms  {}", text()));
        }
    }
}

pub(crate) fn whole_millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Whatever is not over by then waits for ever.
pub(crate) const LONGEST: u64 = 200_000;

const MOST_EVENTS: usize = 20_000;
