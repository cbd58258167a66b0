//! The queue of events, the nodes, and what happens when.

use core::cmp::Reverse;
use core::hash::BuildHasherDefault;
use core::time::Duration;
use std::collections::BinaryHeap;
use std::hash::DefaultHasher;

use jetcache_adapters::memory::Table;
use jetcache_core::Timestamp;
use jetcache_core::machine::effects::Effects;
use jetcache_core::machine::shard::{Activity, Context, Shard};
use jetcache_core::machine::tier::entry::Entry;
use jetcache_core::ports::remote::Wire;

use super::bus::{Bus, Ear, Message, Moment};
use super::caller::Caller;
use super::change::Change;
use super::crew::Crews;
use super::guest::Guest;
use super::hearing::Sweep;
use super::judge::{ActorId, Broken, Id, Index, Judge, Promise, Writer};
use super::plan::{KEYS, Key, Plan, What, Wish};
use super::script::Spot;
use super::wire::{Command, CommandId};

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

pub(super) type Machine = Shard<Key, Id, BuildHasherDefault<DefaultHasher>>;

pub(super) struct Node {
    pub(super) shard: Machine,
    pub(super) l1: [Option<Row>; KEYS],
    /// What its clock showed when the run began, in milliseconds.
    pub(super) clock: u64,
    pub(super) repair_at: Option<u64>,
    pub(super) alive: bool,
    /// How often it has died.
    pub(super) life: u32,
    pub(super) ear: Ear,
}

/// What L1 holds of a key.
pub(super) struct Row {
    pub(super) entry: Entry<Id>,
    pub(super) id: Id,
    pub(super) writer: Writer,
    /// When it was written, in milliseconds.
    pub(super) at: u64,
}

pub(super) enum Actor {
    Caller(Caller),
    Guest(Guest),
    Change(Change),
    Sweep(Sweep),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Happening {
    Start(usize),
    /// An actor goes on, unless its turn was set anew since.
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
}

pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) now: u64,
    pub(super) index: Index,
    queue: BinaryHeap<Reverse<(u64, u32, Index, Happening)>>,
    queued: Index,
    pub(super) nodes: Vec<Node>,
    pub(super) table: Table,
    pub(super) judge: Judge,
    pub(super) actors: Vec<Option<Actor>>,
    /// Those that may be there yet.
    busy: Vec<ActorId>,
    pub(super) turns: Vec<u32>,
    /// What each actor was asked by, and from when to when it is not polled.
    pub(super) asks: Vec<usize>,
    held: Vec<Option<(u64, u64)>>,
    pub(super) commands: Vec<Command>,
    pub(super) messages: Vec<Message>,
    pub(super) crews: Crews,
    pub(super) answers: Vec<super::caller::Answered>,
    trace: Option<Vec<String>>,
}

/// Nothing takes longer than this unless somebody waits for ever.
const LONGEST: u64 = 200_000;
/// How long a thread may take between a look at the clock and a step that rests on it.
const SLACK: u64 = 1_000;
const MOST_EVENTS: usize = 20_000;

impl World {
    fn new(mut plan: Plan, traced: bool) -> Self {
        // As the builder sets it: in that format some write who know nothing of leases.
        let strangers = plan.fleet.wire == Wire::JetcacheGo;
        let policies = [Some(&mut plan.policy), plan.fleet.blind.as_mut()];
        for policy in policies.into_iter().flatten() {
            policy.strangers = strangers;
        }
        let node = |at: usize| Node {
            shard: Shard::new(BuildHasherDefault::default()),
            l1: [const { None }; KEYS],
            clock: plan.fleet.clocks[at],
            repair_at: None,
            alive: true,
            life: 0,
            ear: Ear::default(),
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
            judge: Judge::default(),
            actors: Vec::new(),
            busy: Vec::new(),
            turns: Vec::new(),
            asks: Vec::new(),
            held: Vec::new(),
            commands: Vec::new(),
            messages: Vec::new(),
            crews: Crews::default(),
            answers: Vec::new(),
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

    /// What befalls the fleet, in time.
    fn await_fate(&mut self) {
        for node in 0..self.nodes.len() {
            // In a script they have subscribed before it begins.
            if self.plan.chance.script.is_some() {
                self.nodes[node].ear.stands = true;
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
        for at in 0..self.plan.fleet.foreign.len() {
            self.queue(self.plan.fleet.foreign[at].at, Happening::Meddle(at));
        }
    }

    fn go(&mut self) {
        let policy = self.plan.policy.clone();
        self.note(|| format!("{policy:?}"));
        self.drain();
        self.judge_waiting();
        // Whoever was never polled again is dropped in the end.
        for id in 0..self.actors.len() {
            self.held[id] = None;
            if self.actors[id].is_some() {
                self.queue(self.now + 1, Happening::Drop(id));
            }
        }
        self.drain();
        self.judge_waiting();
        self.read_at_rest();
        self.judge_left();
    }

    /// All is said and heard: nothing old is anywhere.
    fn read_at_rest(&mut self) {
        if self.plan.fleet.bus == Bus::None {
            return;
        }
        let Some(mut ask) = self.plan.asks.first().cloned() else {
            return;
        };
        (ask.dropped, ask.held, ask.crew) = (None, None, None);
        for node in 0..self.nodes.len() {
            if !self.nodes[node].alive {
                continue;
            }
            self.judge.all_is_heard(node);
            for key in 0..u8::try_from(KEYS).unwrap_or(0) {
                (ask.at, ask.node, ask.key) = (self.now + 1, node, key);
                ask.what = What::Get(Wish::default());
                self.plan.asks.push(ask.clone());
                self.queue(ask.at, Happening::Start(self.plan.asks.len() - 1));
            }
        }
        self.drain();
    }

    fn drain(&mut self) {
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
        }
    }

    fn start(&mut self, at: usize) {
        let ask = self.plan.asks[at].clone();
        if !self.nodes[ask.node].alive {
            return;
        }
        self.note(|| format!("ask {at}: {ask:?}"));
        let actor = match ask.what {
            What::Evict => {
                self.nodes[ask.node].l1[usize::from(ask.key)] = None;
                return;
            }
            What::Hear => return self.hear_by_the_way(ask.node, ask.key),
            What::Invalidate | What::Insert(..) | What::WriteThrough(..) => {
                Actor::Change(self.change(&ask))
            }
            What::Refresh(_, loader) => Actor::Caller(self.caller(&ask, Wish::default(), loader)),
            What::Load(wish, loader) => Actor::Caller(self.caller(&ask, wish, loader)),
            What::Get(_) | What::Peek => Actor::Guest(self.guest(&ask)),
        };
        let id = self.enter(actor, at, ask.held);
        if let Some(when) = ask.dropped {
            self.queue(when.max(self.now), Happening::Drop(id));
        }
        let pause = self.pause(at, Spot::Peek);
        self.turn_at(id, self.now + pause);
    }

    pub(super) fn enter(&mut self, actor: Actor, ask: usize, held: Option<(u64, u64)>) -> ActorId {
        self.actors.push(Some(actor));
        self.turns.push(0);
        self.asks.push(ask);
        self.held.push(held);
        self.busy.push(self.actors.len() - 1);
        self.actors.len() - 1
    }

    /// A read right behind a change, on the same node.
    pub(super) fn read_back(&mut self, node: usize, key: Key) {
        if !self.plan.chance.percent(self.plan.read_back) {
            return;
        }
        let rng = &mut self.plan.chance.rng;
        let at = self.now + rng.u64(..4);
        let alike = rng.usize(..self.plan.asks.len());
        let mut ask = self.plan.asks[alike].clone();
        if !matches!(ask.what, What::Load(..) | What::Get(_)) {
            ask.what = What::Get(Wish::default());
        }
        (ask.at, ask.node, ask.key) = (at, node, key);
        (ask.dropped, ask.held, ask.crew) = (None, None, None);
        self.plan.asks.push(ask);
        self.queue(at, Happening::Start(self.plan.asks.len() - 1));
    }

    fn turn(&mut self, id: ActorId) {
        let Some(actor) = self.actors[id].take() else {
            return;
        };
        if let Some((from, until)) = self.held[id]
            && (from..until).contains(&self.now)
            && actor.may_be_held()
        {
            self.actors[id] = Some(actor);
            if until < LONGEST {
                self.turn_at(id, until);
            }
            return;
        }
        self.actors[id] = match actor {
            Actor::Caller(caller) => self.caller_turn(id, caller).map(Actor::Caller),
            Actor::Guest(guest) => self.guest_turn(id, guest).map(Actor::Guest),
            Actor::Change(change) => self.change_turn(id, change),
            Actor::Sweep(sweep) => self.sweep_turn(id, sweep).map(Actor::Sweep),
        };
    }

    fn drop_actor(&mut self, id: ActorId) {
        let Some(actor) = self.actors[id].take() else {
            return;
        };
        self.turns[id] += 1;
        self.note(|| format!("actor {id} is dropped"));
        match actor {
            Actor::Caller(caller) => self.caller_dropped(id, caller),
            Actor::Guest(guest) => self.guest_dropped(id, guest),
            Actor::Change(change) => self.actors[id] = self.change_dropped(id, change),
            // It runs on a thread of its own, to its end.
            Actor::Sweep(sweep) => {
                self.actors[id] = Some(Actor::Sweep(sweep));
                self.turn_at(id, self.now);
            }
        }
    }

    /// Whoever was woken, or waited for a write that is done, goes on; and so do the repairs.
    fn rouse(&mut self) {
        let mut busy = core::mem::take(&mut self.busy);
        busy.retain(|id| self.actors[*id].is_some());
        for &id in &busy {
            let Some(actor) = &mut self.actors[id] else {
                continue;
            };
            let goes_on = match actor {
                Actor::Caller(caller) => caller.is_woken(),
                Actor::Guest(_) => false,
                Actor::Change(change) => change.is_free(&self.nodes),
                Actor::Sweep(sweep) => sweep.is_free(&self.nodes),
            };
            if goes_on {
                self.turn_after(id, Spot::Poll);
            }
        }
        self.busy = busy;
        for node in 0..self.nodes.len() {
            let Some(due) = self.nodes[node].shard.next_repair() else {
                continue;
            };
            let due = (due.as_nanos().div_ceil(1_000_000) - self.nodes[node].clock).max(self.now);
            if self.nodes[node].repair_at.is_none_or(|at| due < at) {
                self.nodes[node].repair_at = Some(due);
                let pause = self.plan.chance.pause(usize::MAX, Spot::Repair);
                self.queue(due + pause, Happening::Repair(node));
            }
        }
    }

    // ---- time ----

    pub(super) fn queue(&mut self, at: u64, happening: Happening) {
        let tie = match self.plan.chance.script {
            Some(_) => 0,
            None => self.plan.chance.rng.u32(..),
        };
        self.queued += 1;
        self.queue.push(Reverse((at, tie, self.queued, happening)));
    }

    pub(super) fn turn_at(&mut self, id: ActorId, at: u64) {
        self.turns[id] += 1;
        self.queue(at, Happening::Turn(id, self.turns[id]));
    }

    /// The actor goes on after a pause, as long as a thread may take here.
    pub(super) fn turn_after(&mut self, id: ActorId, spot: Spot) {
        let pause = self.pause(self.asks[id], spot);
        self.turn_at(id, self.now + pause);
    }

    pub(super) fn timestamp(&self, node: usize) -> Timestamp {
        Timestamp::from_nanos((self.nodes[node].clock + self.now) * 1_000_000)
    }

    /// When that is on the clock of the simulation.
    pub(super) fn when(&self, node: usize, at: Timestamp) -> u64 {
        at.as_nanos().div_ceil(1_000_000) - self.nodes[node].clock
    }

    pub(super) fn server_clock(&self) -> u64 {
        self.plan.fleet.server + self.now
    }

    // ---- nodes ----

    /// A call of a node's machine, under its lock; then what it left to be done.
    pub(super) fn machine<R>(
        &mut self,
        node: usize,
        call: impl FnOnce(&mut Machine, &Context<'_>, &mut Effects<Key, Id>) -> R,
    ) -> R {
        let context = Context {
            now: self.timestamp(node),
            roll: self.plan.chance.rng.u128(..),
            policy: match &self.plan.fleet.blind {
                Some(blind) if self.nodes[node].ear.down.is_some() => blind,
                _ => &self.plan.policy,
            },
        };
        let mut effects = Effects::default();
        let answer = call(&mut self.nodes[node].shard, &context, &mut effects);
        effects.carry_out(|_| ());
        answer
    }

    /// A look at L1, which drops what is over.
    pub(super) fn look(&mut self, node: usize, key: Key) -> Option<(Entry<Id>, Id)> {
        let now = self.timestamp(node);
        let place = &mut self.nodes[node].l1[usize::from(key)];
        if place.as_ref().is_some_and(|row| !row.entry.is_fresh(now)) {
            *place = None;
        }
        let row = place.as_ref()?;
        let found = (row.entry.clone(), row.id);
        let (writer, at) = (row.writer, row.at);
        if let (Some(blind), Some(since)) = (&self.plan.fleet.blind, self.nodes[node].ear.down) {
            let until = at.max(since) + whole_millis(blind.local_cap) + SLACK;
            self.judge.rule(self.now <= until, Promise::P2, || {
                format!("node {node} is deaf since {since} ms, and has what was written at {at}")
            });
        }
        self.judge.seen_in_l1(node, key, found.1, writer, self.now);
        Some(found)
    }

    pub(super) fn write(&mut self, node: usize, key: Key, row: Option<Row>) {
        self.note(|| match &row {
            Some(row) => format!("    L1 of node {node}: {:?}", row.id),
            None => format!("    L1 of node {node}: removed"),
        });
        self.nodes[node].l1[usize::from(key)] = row;
    }

    fn repair(&mut self, node: usize) {
        self.nodes[node].repair_at = None;
        if !self.nodes[node].alive {
            return;
        }
        let now = self.timestamp(node);
        for repair in self.nodes[node].shard.repairs(now, now, 1) {
            self.send_repair(node, repair);
        }
    }

    // ---- the end ----

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

    /// Says what happens, if anybody wants to know.
    pub(super) fn note(&mut self, text: impl FnOnce() -> String) {
        let (index, now) = (self.index, self.now);
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{index:>5} {now:>7} ms  {}", text()));
        }
    }
}

impl Actor {
    /// Between the announcement of a write and its seal there is no await.
    fn may_be_held(&self) -> bool {
        match self {
            Self::Caller(caller) => caller.is_at_await(),
            Self::Guest(guest) => guest.is_at_await(),
            Self::Change(change) => change.is_at_await(),
            Self::Sweep(_) => false,
        }
    }
}

pub(super) fn whole_millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
