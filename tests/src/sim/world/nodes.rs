//! The nodes: the machine of each, and its L1.

use core::hash::BuildHasherDefault;
use std::hash::DefaultHasher;

use jetcache_core::machine::effects::Effects;
use jetcache_core::machine::shard::{Context, Shard};
use jetcache_core::machine::tier::entry::Entry;

use crate::sim::fate::judge::{Id, Writer};
use crate::sim::fate::plan::{KEYS, Key};
use crate::sim::fate::promise::Promise;
use crate::sim::world::bus::Ear;
use crate::sim::world::time::{World, whole_millis};

pub(crate) type Machine = Shard<Key, Id, BuildHasherDefault<DefaultHasher>>;

pub(crate) struct Node {
    pub(crate) shard: Machine,
    pub(crate) l1: [Option<Row>; KEYS],
    /// What its clock showed when the run began, in milliseconds.
    pub(crate) clock: u64,
    pub(crate) repair_at: Option<u64>,
    pub(crate) alive: bool,
    /// How often it has died.
    pub(crate) life: u32,
    pub(crate) ear: Ear,
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

    /// A look at L1, which drops an entry whose time is over.
    pub(crate) fn look(&mut self, node: usize, key: Key) -> Option<(Entry<Id>, Id)> {
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

    pub(crate) fn write(&mut self, node: usize, key: Key, row: Option<Row>) {
        self.note(|| match &row {
            Some(row) => format!("    L1 of node {node}: {:?}", row.id),
            None => format!("    L1 of node {node}: removed"),
        });
        self.nodes[node].l1[usize::from(key)] = row;
    }

    pub(crate) fn repair(&mut self, node: usize) {
        self.nodes[node].repair_at = None;
        if !self.nodes[node].alive {
            return;
        }
        let now = self.timestamp(node);
        for repair in self.nodes[node].shard.repairs(now, now, 1) {
            self.send_repair(node, repair);
        }
    }
}

/// How long a thread may take between a look at the clock and the step that relies on it.
const SLACK: u64 = 1_000;
