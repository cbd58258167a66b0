//! What a node does when it hears that a key was changed elsewhere (PROTOCOL.md, H1, H3, G2), or
//! when a change of its own was abandoned: supersede, wait for pending writes, remove from L1, say
//! so.

use jetcache_core::machine::shard;
use jetcache_core::machine::shard::repairs::Heard;

use crate::sim::actors::actor::Actor;
use crate::sim::fate::judge::{ActorId, Index};
use crate::sim::fate::plan::{KEYS, Key};
use crate::sim::fate::script::Point;
use crate::sim::generations::judging::Floors;
use crate::sim::world::bus::Message;
use crate::sim::world::nodes::Node;
use crate::sim::world::server::bucket;
use crate::sim::world::time::World;

/// Removes a key, or all, from L1 once certain writes are done.
pub(crate) struct Sweep {
    pub(crate) node: usize,
    /// `None`: all keys.
    pub(crate) key: Option<Key>,
    pub(crate) rest: Option<shard::Sweep>,
    /// Whether the writes that it waits for are done.
    pub(crate) written: bool,
    /// When what was under way was superseded.
    pub(crate) superseded: Index,
    /// Nothing older may be read once it is done.
    pub(crate) floors: [Index; KEYS],
    /// The change by somebody who knows nothing of leases, and whether that was a removal.
    pub(crate) foreign: Option<(Index, bool)>,
    /// The birth of what the key was filled with, if that is all that was heard.
    pub(crate) filled: Option<Index>,
    /// Nothing older than what was heard of may be read, whatever becomes of L2.
    pub(crate) lasting: Index,
    /// When the node's own change began, if it follows one.
    pub(crate) begun: Option<Index>,
    /// What is older than a raise is not read any more once it is done.
    pub(crate) raised: Option<Floors>,
    /// It is about raises alone.
    pub(crate) raises: bool,
    /// Who waits for it.
    pub(crate) then: Option<ActorId>,
}

impl Sweep {
    pub(crate) fn is_free(&mut self, nodes: &[Node]) -> bool {
        let shard = &nodes[self.node].shard;
        let rest = self.rest.as_ref().filter(|_| !self.written);
        let frees = rest.is_some_and(|rest| shard.is_written(rest.pending()));
        self.written |= frees;
        frees
    }
}

impl World {
    /// Another node, or somebody else, says that a key was changed.
    pub(crate) fn hear(&mut self, node: usize, message: Message) {
        let key = message.key;
        let heard = match message {
            Message {
                removed: true,
                foreign: Some(_),
                ..
            } => Heard::Deleted,
            Message {
                filled: Some(_), ..
            } => Heard::Filled,
            // A bus that watches, or the user.
            Message {
                source: None,
                foreign: None,
                ..
            } => Heard::Shown,
            _ => Heard::Changed,
        };
        let rest = self.machine(node, |shard, context, effects| {
            shard.heard(key, bucket(key), heard, context, effects)
        });
        self.judge.superseded(node, key, self.index);
        let sweep = Sweep {
            node,
            key: Some(key),
            rest: Some(rest),
            written: false,
            superseded: self.index,
            floors: self.judge.newest(),
            // What Go has changed nobody makes again whose primary was always the new one.
            foreign: (message.foreign)
                .filter(|_| !self.has_failed_over_since(message.said))
                .map(|change| (change, message.removed)),
            filled: message.filled,
            lasting: match message.filled.is_some() || self.is_too_late(message.said) {
                true => 0,
                false => message.due,
            },
            begun: None,
            raised: None,
            raises: false,
            then: None,
        };
        self.begin_sweep(sweep);
    }

    /// The user says so, by `invalidate_local`, and not the bus.
    pub(crate) fn hear_by_the_way(&mut self, node: usize, key: Key) {
        self.hear(node, Message::of(key));
    }

    /// Anything may have changed.
    pub(crate) fn hear_of_everything(&mut self, node: usize) {
        self.hear_of_all(node, None);
    }

    /// The same, since a new subscription stands: what was raised before is looked for before anything
    /// of L2 is believed.
    pub(crate) fn hear_of_all_again(&mut self, node: usize) {
        let raised = self.judge.acknowledged();
        self.hear_of_all(node, Some(raised));
    }

    fn hear_of_all(&mut self, node: usize, raised: Option<Floors>) {
        self.nodes[node].generations.on_everything();
        let rest = self.machine(node, |shard, _, effects| shard.supersede_all(effects));
        for key in 0..KEYS {
            let key = u8::try_from(key).unwrap_or(0);
            self.judge.superseded(node, key, self.index);
        }
        let sweep = Sweep {
            node,
            key: None,
            rest: Some(rest),
            written: false,
            superseded: self.index,
            floors: self.judge.newest(),
            foreign: None,
            filled: None,
            lasting: 0,
            begun: None,
            raised,
            raises: false,
            then: None,
        };
        self.begin_sweep(sweep);
    }

    /// A sweep begins; it goes on when the writes that it waits for are done.
    fn begin_sweep(&mut self, sweep: Sweep) {
        self.enter(Actor::Sweep(sweep), usize::MAX, None);
    }

    pub(crate) fn sweep_turn(&mut self, id: ActorId, sweep: Sweep) -> Option<Sweep> {
        if !sweep.written {
            return Some(sweep);
        }
        let rest = sweep.rest?;
        self.note(|| format!("actor {id} sweeps L1"));
        let Sweep {
            node,
            superseded,
            floors,
            ..
        } = sweep;
        let all = 0..u8::try_from(KEYS).unwrap_or(0);
        for key in all.filter(|key| sweep.key.is_none_or(|own| own == *key)) {
            self.write(node, key, None);
            let floor = floors[usize::from(key)];
            // A flight that was yet to look at what the key was filled with goes on.
            let superseded = Some(superseded).filter(|_| sweep.filled.is_none() && !sweep.raises);
            self.judge.returned(node, key, floor, superseded, id);
            self.judge.lasts(node, key, sweep.lasting);
            if let (Some(birth), None) = (sweep.filled, sweep.foreign) {
                self.judge.fed(node, key, birth);
            }
            if let Some((change, removed)) = sweep.foreign {
                self.judge.heard_foreign(node, key, change, removed);
            }
            if let Some(begun) = sweep.begun {
                self.judge.lasts(node, key, begun);
                self.obliged(node, key, begun, true);
            }
        }
        match sweep.key {
            Some(key) => self.nodes[node].shard.swept(&key, rest),
            None => self.nodes[node].shard.swept_all(rest),
        }
        if let Some(floors) = sweep.raised {
            self.judge.is_raised(node, floors);
        }
        if let Some(then) = sweep.then {
            self.turn_after(then, Point::Step);
        }
        None
    }

    /// A change of the node's own is over: everything older than the floor must vanish everywhere.
    pub(crate) fn obliged(&mut self, node: usize, key: Key, floor: Index, pending: bool) {
        // A key that no longer fits into the table of unconfirmed ones is bypassed, and nobody is
        // told.
        if pending && self.plan.policy.unconfirmed == 1 && !self.plan.policy.log {
            return;
        }
        let life = self.nodes[node].life;
        self.judge.is_due(key, floor, Some((node, life)));
    }
}
