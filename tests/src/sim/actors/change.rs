//! A change on a task of its own: an invalidation, an insert or a write-through.

use jetcache_core::machine::change::{ChangeReply, ChangeTicket, Plan};
use jetcache_core::machine::shard::Pending;
use jetcache_core::machine::tier::entry::Entry;
use jetcache_core::ports::remote::Condition;

use crate::sim::actors::actor::Actor;
use crate::sim::actors::hearing::Sweep;
use crate::sim::actors::writing::Writing;
use crate::sim::fate::judge::{ActorId, Id, Index};
use crate::sim::fate::plan::{Ask, KEYS, Key, What, Wish, Writes};
use crate::sim::fate::script::Point;
use crate::sim::generations::believing::Asked;
use crate::sim::generations::judging::Floors;
use crate::sim::world::nodes::Node;
use crate::sim::world::server::bucket;
use crate::sim::world::time::{World, whole_millis};

pub(crate) struct Change {
    pub(crate) node: usize,
    pub(crate) key: Key,
    pub(crate) wish: Wish,
    pub(crate) kind: Kind,
    pub(crate) value: Option<Id>,
    /// When its call was made: once it has returned, nothing older may be read.
    pub(crate) begun: Index,
    pub(crate) opened: Index,
    /// What had been raised when its call was made, and what stood there when L2 judged its claim.
    pub(crate) floors: Floors,
    pub(crate) stood: Option<Id>,
    /// L2 has granted its claim, and said so.
    pub(crate) claimed: bool,
    /// When L2 took it, if L2 said so.
    pub(crate) acknowledged: Option<Index>,
    pub(crate) superseded: Option<Index>,
    pub(crate) state: State,
    pub(crate) ticket: Option<ChangeTicket>,
    pub(crate) asked_to_write: bool,
}

/// What it does to the key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Invalidate,
    Insert(Option<Condition>),
    /// `deserted`: its caller is gone, and the writer with it.
    WriteThrough {
        writer: Writes,
        deserted: bool,
    },
}

pub(crate) enum State {
    Open,
    /// Its caller writes the database.
    Writing(Writing),
    Step(ChangeReply<Id>),
    Command(Asked),
    /// Waits for pending writes to L1; what it removes or writes then.
    Wait(Pending, Option<Option<Entry<Id>>>),
    Look,
    Remove(Option<Entry<Id>>),
    Write(Entry<Id>),
    Moving,
}

impl Change {
    pub(crate) fn node(&self) -> usize {
        self.node
    }

    /// Whether the writes that it waits for are done. If so, it waits no more.
    pub(crate) fn is_free(&mut self, nodes: &[Node]) -> bool {
        let State::Wait(pending, then) = &self.state else {
            return false;
        };
        if !nodes[self.node].shard.is_written(pending) {
            return false;
        }
        self.state = match then.clone() {
            None => State::Step(ChangeReply::Waited),
            Some(entry) => State::Remove(entry),
        };
        true
    }

    pub(crate) fn is_at_await(&self) -> bool {
        matches!(self.state, State::Command(_) | State::Writing(_))
    }
}

impl World {
    pub(crate) fn change(&mut self, ask: &Ask) -> Change {
        let (wish, kind) = match ask.what {
            What::Insert(wish, condition) => (wish, Kind::Insert(condition)),
            What::WriteThrough(wish, writer) => {
                let deserted = false;
                (wish, Kind::WriteThrough { writer, deserted })
            }
            _ => (Wish::default(), Kind::Invalidate),
        };
        let value = match kind {
            Kind::Insert(condition) => {
                let id = self.judge.fact(ask.key, false, self.index);
                let fact = self.judge.at(id);
                (fact.barred, fact.tags) = (condition.is_some(), wish.tags);
                Some(id)
            }
            Kind::Invalidate | Kind::WriteThrough { .. } => None,
        };
        Change {
            node: ask.node,
            key: ask.key,
            wish,
            kind,
            value,
            begun: self.index,
            opened: self.index,
            floors: Floors::default(),
            stood: None,
            claimed: false,
            acknowledged: None,
            superseded: None,
            state: State::Open,
            ticket: None,
            asked_to_write: false,
        }
    }

    pub(crate) fn change_turn(&mut self, id: ActorId, mut change: Change) -> Option<Actor> {
        match core::mem::replace(&mut change.state, State::Moving) {
            State::Open => self.open(id, &mut change),
            State::Step(reply) => return self.advance(id, change, reply),
            State::Writing(writing) => return self.writing(id, change, writing),
            State::Command(mut asked) => match self.believed(id, &mut asked) {
                None => change.state = State::Command(asked),
                Some(reply) => {
                    let command = asked.command.expect("a change asks for something");
                    let reply = self.heard(&mut change, command, reply);
                    return self.advance(id, change, reply);
                }
            },
            State::Wait(pending, then) => change.state = State::Wait(pending, then),
            State::Look => {
                let found = self.look(change.node, change.key);
                self.note(|| format!("change {id} looks into L1: {found:?}"));
                let now = self.timestamp(change.node);
                let present = found.is_some_and(|(entry, _)| {
                    entry.value().is_some() && entry.is_fresh(now) && !entry.is_stale()
                });
                change.state = State::Step(ChangeReply::Local(present));
                self.turn_after(id, Point::Step);
            }
            State::Remove(entry) => {
                self.note(|| format!("change {id} removes from L1"));
                self.write(change.node, change.key, None);
                change.state = match entry {
                    Some(entry) => State::Write(entry),
                    None => State::Step(ChangeReply::Applied),
                };
                self.turn_after(id, Point::Write);
            }
            State::Write(entry) => {
                self.note(|| format!("change {id} writes L1"));
                self.put(id, &change, entry);
                change.state = State::Step(ChangeReply::Applied);
                self.turn_after(id, Point::Seal);
            }
            State::Moving => unreachable!("a change moves in its own turn only"),
        }
        Some(Actor::Change(change))
    }

    fn open(&mut self, id: ActorId, change: &mut Change) {
        // The call is made now, so the life of its value is counted from here.
        (change.begun, change.opened) = (self.index, self.index);
        change.floors = self.judge.floors_of(change.node);
        if let Some(value) = change.value {
            let ttl = change
                .wish
                .ttl
                .unwrap_or(whole_millis(self.plan.policy.ttl));
            let (now, window) = (self.now, self.window(change.wish));
            let fact = self.judge.at(value);
            (fact.ends, fact.window) = (now + ttl, window);
        }
        let call = change.wish.call();
        let plan = match (change.kind, change.value) {
            (Kind::Insert(condition), Some(value)) => Plan::Insert {
                value,
                call,
                condition,
            },
            (Kind::WriteThrough { .. }, _) => Plan::WriteThrough { call },
            (Kind::Invalidate | Kind::Insert(_), _) => Plan::Invalidate,
        };
        let key = change.key;
        let ticket = self.machine(change.node, |shard, context, effects| {
            shard.open(key, bucket(key), plan, context, effects)
        });
        self.note(|| format!("change {id} opens"));
        change.ticket = Some(ticket);
        change.state = State::Step(ChangeReply::Begin);
        self.turn_after(id, Point::Step);
    }

    /// Its task is dropped. What it left undone is swept up, as by its `Drop`.
    pub(crate) fn change_dropped(&mut self, id: ActorId, mut change: Change) -> Option<Actor> {
        if let Kind::WriteThrough { .. } = change.kind
            && self.is_deserted(id, &mut change)
        {
            return Some(Actor::Change(change));
        }
        let ticket = change.ticket.take()?;
        let Change { node, key, .. } = change;
        self.write_on(id, &change);
        match core::mem::replace(&mut change.state, State::Moving) {
            State::Write(entry) if self.plan.chance.percent(50) => self.put(id, &change, entry),
            State::Command(asked) => self.unasked(id, asked),
            _ => {}
        }
        let rest = self.machine(node, |shard, context, effects| {
            shard.abandon(ticket, context, effects)
        });
        self.judge.superseded(node, key, self.index);
        self.turn_at(id, self.now);
        let mut floors = [0; KEYS];
        floors[usize::from(key)] = change.begun;
        Some(Actor::Sweep(Sweep {
            node,
            key: Some(key),
            rest: Some(rest),
            written: false,
            superseded: self.index,
            floors,
            foreign: None,
            filled: None,
            lasting: 0,
            begun: Some(change.begun),
            raised: None,
            raises: false,
            then: None,
        }))
    }
}
