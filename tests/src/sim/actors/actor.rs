//! Everybody who is under way: how an actor begins, takes its turn, and is dropped.

use crate::sim::actors::caller::Caller;
use crate::sim::actors::change::Change;
use crate::sim::actors::hearing::Sweep;
use crate::sim::actors::reader::Reader;
use crate::sim::fate::judge::ActorId;
use crate::sim::fate::plan::{Key, What, Wish};
use crate::sim::fate::script::Point;
use crate::sim::generations::looking::Look;
use crate::sim::generations::raising::Raise;
use crate::sim::world::time::{Happening, LONGEST, World};

pub(crate) enum Actor {
    Caller(Caller),
    Reader(Reader),
    Change(Change),
    Sweep(Sweep),
    Raise(Raise),
    Look(Look),
}

impl World {
    pub(crate) fn start(&mut self, at: usize) {
        let ask = self.plan.asks[at].clone();
        if !self.nodes[ask.node].alive {
            return;
        }
        self.note(|| format!("ask {at}: {ask:?}"));
        self.take_up_primary(ask.node);
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
            What::Raise(_) => Actor::Raise(self.raise(&ask)),
            What::Get(_) | What::Peek => Actor::Reader(self.reader(&ask)),
        };
        let id = self.enter(actor, at, ask.held);
        if let Some(when) = ask.dropped {
            self.queue(when.max(self.now), Happening::Drop(id));
        }
        let pause = self.pause(at, Point::Peek);
        self.turn_at(id, self.now + pause);
    }

    pub(crate) fn enter(&mut self, actor: Actor, ask: usize, held: Option<(u64, u64)>) -> ActorId {
        self.actors.push(Some(actor));
        self.turns.push(0);
        self.asks.push(ask);
        self.held.push(held);
        self.busy.push(self.actors.len() - 1);
        self.actors.len() - 1
    }

    /// Reads the key on the same node right after a change has returned.
    pub(crate) fn read_back(&mut self, node: usize, key: Key) {
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
        (ask.dropped, ask.held, ask.batch) = (None, None, None);
        self.plan.asks.push(ask);
        self.queue(at, Happening::Start(self.plan.asks.len() - 1));
    }

    pub(crate) fn turn(&mut self, id: ActorId) {
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
            Actor::Reader(reader) => self.reader_turn(id, reader).map(Actor::Reader),
            Actor::Change(change) => self.change_turn(id, change),
            Actor::Sweep(sweep) => self.sweep_turn(id, sweep).map(Actor::Sweep),
            Actor::Raise(raise) => self.raise_turn(id, raise).map(Actor::Raise),
            Actor::Look(look) => self.look_turn(id, look).map(Actor::Look),
        };
    }

    pub(crate) fn drop_actor(&mut self, id: ActorId) {
        let Some(actor) = self.actors[id].take() else {
            return;
        };
        self.turns[id] += 1;
        self.note(|| format!("actor {id} is dropped"));
        match actor {
            Actor::Caller(caller) => self.caller_dropped(id, caller),
            Actor::Reader(reader) => self.reader_dropped(id, reader),
            Actor::Change(change) => self.actors[id] = self.change_dropped(id, change),
            Actor::Raise(raise) => {
                self.actors[id] = self.raise_dropped(id, raise).map(Actor::Raise);
            }
            // It runs on a thread of its own, and so to its end.
            actor @ (Actor::Sweep(_) | Actor::Look(_)) => {
                self.actors[id] = Some(actor);
                self.turn_at(id, self.now);
            }
        }
    }

    /// Sets going whoever was woken or waited for a write that is done now, and repairs that are
    /// due.
    pub(crate) fn rouse(&mut self) {
        let mut busy = core::mem::take(&mut self.busy);
        busy.retain(|id| self.actors[*id].is_some());
        for &id in &busy {
            let Some(actor) = &mut self.actors[id] else {
                continue;
            };
            let goes_on = match actor {
                Actor::Caller(caller) => caller.is_woken(),
                Actor::Reader(_) | Actor::Raise(_) | Actor::Look(_) => false,
                Actor::Change(change) => change.is_free(&self.nodes),
                Actor::Sweep(sweep) => sweep.is_free(&self.nodes),
            };
            if goes_on {
                self.turn_after(id, Point::Poll);
            }
        }
        self.busy = busy;
        for node in 0..self.nodes.len() {
            self.await_raises(node);
            let Some(due) = self.nodes[node].shard.next_repair() else {
                continue;
            };
            let due = (due.as_nanos().div_ceil(1_000_000) - self.nodes[node].clock).max(self.now);
            if self.nodes[node].repair_at.is_none_or(|at| due < at) {
                self.nodes[node].repair_at = Some(due);
                let pause = self.plan.chance.pause(usize::MAX, Point::Repair);
                self.queue(due + pause, Happening::Repair(node));
            }
        }
    }
}

impl Actor {
    /// Between the announcement of a write and its seal there is no await.
    fn may_be_held(&self) -> bool {
        match self {
            Self::Caller(caller) => caller.is_at_await(),
            Self::Reader(reader) => reader.is_at_await(),
            Self::Change(change) => change.is_at_await(),
            Self::Raise(raise) => raise.is_at_await(),
            Self::Sweep(_) | Self::Look(_) => false,
        }
    }
}

impl Actor {
    pub(crate) fn node(&self) -> usize {
        match self {
            Self::Caller(caller) => caller.node,
            Self::Reader(reader) => reader.node(),
            Self::Change(change) => change.node(),
            Self::Sweep(sweep) => sweep.node,
            Self::Raise(raise) => raise.node,
            Self::Look(look) => look.node,
        }
    }
}
