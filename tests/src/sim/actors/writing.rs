//! The writer of a write-through: it changes the row at some event before it ends, and brings what
//! the row is then, if it gets so far.

use std::time::Duration;

use jetcache_core::machine::change::ChangeReply;
use jetcache_core::machine::tier::load::Load;

use crate::sim::actors::actor::Actor;
use crate::sim::actors::change::{Change, Kind, State};
use crate::sim::fate::judge::{ActorId, Id};
use crate::sim::fate::plan::{Brings, Writes};
use crate::sim::fate::promise::Promise;
use crate::sim::fate::script::Point;
use crate::sim::world::time::{World, whole_millis};

/// A writer that runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writing {
    /// When the row changes, if it has not yet.
    row: Option<u64>,
    until: u64,
}

impl World {
    /// The key is claimed, or could not be: now the caller's writer runs.
    pub(crate) fn begin_writing(&mut self, id: ActorId, change: &mut Change) -> State {
        change.acknowledged = None;
        change.asked_to_write = true;
        match change.kind {
            Kind::WriteThrough {
                writer,
                deserted: false,
            } => {
                self.turn_at(id, self.now);
                State::Writing(self.written_by(writer))
            }
            _ => {
                self.turn_after(id, Point::Step);
                State::Step(ChangeReply::Written(None))
            }
        }
    }

    fn written_by(&self, writer: Writes) -> Writing {
        Writing {
            row: writer.row.map(|row| self.now + row.min(writer.takes)),
            until: self.now + writer.takes,
        }
    }

    pub(crate) fn writing(
        &mut self,
        id: ActorId,
        mut change: Change,
        mut writing: Writing,
    ) -> Option<Actor> {
        let Kind::WriteThrough { writer, .. } = change.kind else {
            return self.written_on(id, change, writing);
        };
        self.write_row(id, &mut change, writer, &mut writing);
        if self.now < writing.until {
            self.turn_at(id, writing.row.unwrap_or(writing.until));
            change.state = State::Writing(writing);
            return Some(Actor::Change(change));
        }
        let load = self.load_of(&mut change, writer);
        self.advance(id, change, ChangeReply::Written(load))
    }

    fn write_row(
        &mut self,
        id: ActorId,
        change: &mut Change,
        writer: Writes,
        writing: &mut Writing,
    ) {
        if writing.row.take_if(|row| self.now >= *row).is_none() {
            return;
        }
        let absent = writer.brings == Brings::Absent;
        let row = self.judge.fact(change.key, absent, self.index);
        self.judge.at(row).mark = self.own_mark(row).filter(|_| !absent);
        self.judge.at(row).tags = match writer.tags.is_empty() {
            true => change.wish.tags,
            false => writer.tags,
        };
        self.note(|| format!("change {id} has written the row: {row:?}"));
        change.value = Some(row);
        change.begun = self.index;
    }

    fn load_of(&mut self, change: &mut Change, writer: Writes) -> Option<Load<Id>> {
        let row = change.value?;
        let policy = &self.plan.policy;
        let (load, usual) = match writer.brings {
            Brings::Error | Brings::Panic => return None,
            Brings::Absent => (Load::from(None), whole_millis(policy.negative_ttl)),
            Brings::Uncached => (Load::from(row).uncached(), 0),
            Brings::Value | Brings::Unencodable | Brings::Unchanged | Brings::Remarked => {
                let ttl = change.wish.ttl.unwrap_or(whole_millis(policy.ttl));
                (Load::from(row), ttl)
            }
        };
        let ends = self.now + writer.ttl.unwrap_or(usual);
        let window = match writer.brings {
            Brings::Value | Brings::Unencodable | Brings::Unchanged | Brings::Remarked => {
                self.window(change.wish)
            }
            _ => 0,
        };
        let fact = self.judge.at(row);
        (fact.ends, fact.window) = (ends, window);
        let load = match fact.mark {
            Some(mark) => load.mark(mark.0.to_be_bytes()),
            None => load,
        };
        let load = match writer.tags.is_empty() {
            true => load,
            false => load.tags(writer.tags.texts()),
        };
        Some(match writer.ttl {
            Some(ttl) => load.ttl(Duration::from_millis(ttl)),
            None => load,
        })
    }

    /// Checks that what the machine wants kept is what was written or inserted.
    pub(crate) fn wrote(&mut self, change: &Change, value: Option<Id>, mark: Option<&[u8]>) -> Id {
        let brought = change.value.expect("something was written or inserted");
        let fact = *self.judge.at(brought);
        let known = value.is_none() == fact.absent
            && fact.mark_is(mark)
            && value.is_none_or(|value| value == brought);
        self.judge.rule(known, Promise::P6, || {
            format!("{value:?} is to be kept, and {brought:?} was written")
        });
        brought
    }

    pub(crate) fn encodes(&self, change: &Change) -> bool {
        let Kind::WriteThrough { writer, .. } = change.kind else {
            return true;
        };
        writer.brings != Brings::Unencodable
    }

    /// Whether only the caller is gone; then its task goes on without it.
    pub(crate) fn is_deserted(&mut self, id: ActorId, change: &mut Change) -> bool {
        let Kind::WriteThrough { deserted, .. } = &mut change.kind else {
            return false;
        };
        let scripted = self.plan.chance.script.is_some();
        if !scripted && (*deserted || self.plan.chance.percent(50)) {
            return false;
        }
        *deserted = true;
        if matches!(change.state, State::Writing(_)) {
            change.state = State::Step(ChangeReply::Written(None));
        }
        self.turn_at(id, self.now);
        true
    }

    /// The task is gone, but the caller's writer goes on, and then the key must be removed.
    pub(crate) fn write_on(&mut self, id: ActorId, change: &Change) {
        let Kind::WriteThrough {
            writer,
            deserted: false,
        } = change.kind
        else {
            return;
        };
        let writing = match change.state {
            State::Writing(writing) => writing,
            _ if !change.asked_to_write => self.written_by(writer),
            _ => Writing {
                row: None,
                until: self.now,
            },
        };
        let ask = self.asks[id];
        let mut removal = self.change(&self.plan.asks[ask].clone());
        (removal.kind, removal.state) = (Kind::Invalidate, State::Writing(writing));
        removal.value = None;
        let id = self.enter(Actor::Change(removal), ask, None);
        self.turn_at(id, self.now);
    }

    fn written_on(
        &mut self,
        id: ActorId,
        mut change: Change,
        mut writing: Writing,
    ) -> Option<Actor> {
        if writing.row.take_if(|row| self.now >= *row).is_some() {
            let row = self.judge.fact(change.key, false, self.index);
            self.note(|| format!("writer {id}, without its task, has written the row: {row:?}"));
        }
        change.state = State::Open;
        if self.now < writing.until {
            self.turn_at(id, writing.row.unwrap_or(writing.until));
            change.state = State::Writing(writing);
        } else {
            self.turn_after(id, Point::Step);
        }
        Some(Actor::Change(change))
    }
}
