//! The nodes: the machine of each, and its L1.

use core::hash::BuildHasherDefault;
use std::hash::DefaultHasher;

use jetcache_core::Timestamp;
use jetcache_core::machine::effects::Effects;
use jetcache_core::machine::generations::Generations;
use jetcache_core::machine::shard::{Context, Shard};
use jetcache_core::machine::tier::entry::Entry;
use jetcache_core::machine::token::Roll;

use crate::sim::fate::judge::loads::Flight;
use crate::sim::fate::judge::{ActorId, Id, Writer};
use crate::sim::fate::plan::{KEYS, Key};
use crate::sim::fate::promise::Promise;
use crate::sim::world::bus::Ear;
use crate::sim::world::time::{World, whole_millis};

pub(crate) type Machine = Shard<Key, Id, BuildHasherDefault<DefaultHasher>>;

pub(crate) struct Node {
    pub(crate) shard: Machine,
    pub(crate) generations: Generations,
    pub(crate) l1: [Option<Row>; KEYS],
    /// What its clock showed when the run began, in milliseconds.
    pub(crate) clock: u64,
    pub(crate) repair_at: Option<u64>,
    pub(crate) alive: bool,
    /// How often it has died.
    pub(crate) life: u32,
    pub(crate) ear: Ear,
    /// The primary of L2 to which it connected last, and the one that it has taken up.
    pub(crate) met: u64,
    pub(crate) known: u64,
    /// When that answered last, in milliseconds.
    pub(crate) answered: u64,
    pub(crate) log: Log,
}

/// How a node keeps up with the log of raises.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Who catches up for all, until when, and who waits for that.
    pub(crate) turn: Option<(ActorId, u64)>,
    pub(crate) waiting: Vec<ActorId>,
    /// When the highest number was asked for last, by the node's clock in milliseconds.
    pub(crate) looked: u64,
    /// What is pending is being raised again.
    pub(crate) raises: bool,
    /// When it will be, and not before when.
    pub(crate) raise_at: Option<u64>,
    pub(crate) raise_after: u64,
}

/// What L1 holds of a key.
pub(crate) struct Row {
    pub(crate) entry: Entry<Id>,
    pub(crate) id: Id,
    pub(crate) writer: Writer,
    /// When it was written, in milliseconds.
    pub(crate) at: u64,
}

impl World {
    /// Calls a node's machine as under its lock, and then carries out the effects.
    pub(crate) fn machine<R>(
        &mut self,
        node: usize,
        call: impl FnOnce(&mut Machine, &Context<'_>, &mut Effects<Key, Id>) -> R,
    ) -> R {
        self.take_up_primary(node);
        let now = self.timestamp(node);
        let roll = self.plan.chance.rng.u128(..);
        let Node {
            shard,
            clock,
            answered,
            generations,
            ear,
            ..
        } = &mut self.nodes[node];
        let context = Context {
            now,
            roll: Roll::Bits(roll),
            policy: match &self.plan.fleet.blind {
                Some(blind) if ear.down.is_some() => blind,
                _ => &self.plan.policy,
            },
            generations,
        };
        let mut effects = Effects::default();
        if !self.plan.fleet.failovers.is_empty() {
            let answered = Timestamp::from_nanos((*clock + *answered) * 1_000_000);
            let room = self.plan.policy.unconfirmed;
            shard.remember(answered, room, context.policy, &mut effects);
        }
        let answer = call(shard, &context, &mut effects);
        for bucket in effects.take_overflows() {
            generations.overflowed(bucket, now);
        }
        effects.carry_out(|_| ());
        answer
    }

    /// A look at L1, which drops an entry that may not even be served stale any more.
    pub(crate) fn look(&mut self, node: usize, key: Key) -> Option<(Entry<Id>, Id)> {
        let now = self.timestamp(node);
        let place = &mut self.nodes[node].l1[usize::from(key)];
        let over = |row: &Row| !row.entry.is_fresh(now) && row.entry.stale_end() <= now;
        if place.as_ref().is_some_and(over) {
            *place = None;
        }
        let row = place.as_ref()?;
        let found = (row.entry.clone(), row.id);
        let (writer, at) = (row.writer, row.at);
        let fresh = row.entry.is_fresh(now) && !row.entry.is_stale();
        if let (Some(blind), Some(since)) = (&self.plan.fleet.blind, self.nodes[node].ear.down) {
            let until = at.max(since) + whole_millis(blind.local_cap) + SLACK;
            let in_time = !fresh || self.now <= until;
            self.judge.rule(in_time, Promise::P2, || {
                format!("node {node} is deaf since {since} ms, and has what was written at {at}")
            });
        }
        let now = self.now;
        self.judge
            .seen_in_l1((node, key), found.1, fresh, writer, now);
        Some(found)
    }

    pub(crate) fn write(&mut self, node: usize, key: Key, row: Option<Row>) {
        self.note(|| match &row {
            Some(row) => format!("    L1 of node {node}: {:?}", row.id),
            None => format!("    L1 of node {node}: removed"),
        });
        let stale = row.as_ref().filter(|row| row.entry.is_stale());
        let now = self.timestamp(node);
        let before = self.nodes[node].l1[usize::from(key)].as_ref();
        let before = before.filter(|row| row.entry.is_fresh(now) && !row.entry.is_stale());
        if let (Some(stale), Some(before)) = (stale, before) {
            let ids = (stale.id, before.id);
            let own = before.writer.opened == stale.writer.opened;
            let facts = (*self.judge.at(ids.0), *self.judge.at(ids.1));
            let newer = facts.1.birth > facts.0.birth && !own;
            // A thread that stands still in the middle of a write was deposed meanwhile, or a change
            // waits for it.
            let Writer { actor, opened } = stale.writer;
            let leads = |flight: &Flight| flight.leader == Some(actor);
            let leads =
                self.judge.flights.iter().any(leads) && self.judge.is_new(node, key, opened);
            self.judge.rule(!newer || !leads, Promise::P2, || {
                format!(
                    "in L1 of node {node} {:?}, stale, takes the place of {:?}",
                    ids.0, ids.1
                )
            });
        }
        self.nodes[node].l1[usize::from(key)] = row;
    }

    /// Whether L1 has a stale value, which answers so that nobody loads, and which this flight should
    /// have seen: it is not from a leader of its own that was deposed, and no change is about to
    /// remove it.
    pub(crate) fn is_throttled(&mut self, node: usize, key: Key, flight: &Flight) -> bool {
        let now = self.timestamp(node);
        let row = self.nodes[node].l1[usize::from(key)].as_ref();
        let row = row.filter(|row| row.entry.is_stale() && row.entry.is_fresh(now));
        let generations = &self.nodes[node].generations;
        // What its tags say is dead is not served.
        let row = row.filter(|row| {
            let stamp = row.entry.stamp();
            !stamp.is_some_and(|stamp| generations.had_news(stamp, row.entry.tags()))
        });
        row.is_some_and(|row| {
            let opened = row.writer.opened;
            opened != flight.opened && self.judge.is_new(node, key, opened)
        })
    }

    pub(crate) fn repair(&mut self, node: usize) {
        self.nodes[node].repair_at = None;
        if !self.nodes[node].alive {
            return;
        }
        let now = self.timestamp(node);
        self.take_up_primary(node);
        for repair in self.nodes[node].shard.repairs(now, now, 1) {
            self.send_repair(node, repair);
        }
    }
}

/// How long a thread may take between a look at the clock and the step that relies on it.
const SLACK: u64 = 1_000;
