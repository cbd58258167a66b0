//! A caller without a loader (PROTOCOL.md, R6): looks into L1, then at L2, and keeps what it found
//! there. What a driver does, one event at a time.

use core::hash::{BuildHasher, BuildHasherDefault};
use std::hash::DefaultHasher;

use jetcache_core::machine::error::Fault;
use jetcache_core::machine::lookup::step::Seen;
use jetcache_core::machine::shard::glances::{Glance, Glanced, Kept};
use jetcache_core::machine::tier::entry::{Cached, Entry};

use super::judge::{ActorId, Floor, Id, Index, Promise, Writer};
use super::plan::{Ask, Key, What, Wish};
use super::script::Spot;
use super::wire::{CommandId, Sender, Told, Verb};
use super::world::World;

pub(super) struct Guest {
    node: usize,
    key: Key,
    /// None: it looks into L1 only.
    wish: Option<Wish>,
    /// What is older must not be its answer.
    floor: Floor,
    /// When its look at L2 began.
    began: Index,
    /// What L2 showed.
    found: Option<Id>,
    state: State,
}

#[derive(Debug)]
enum State {
    Peek,
    Board,
    Read(Glance, CommandId),
    Write(Kept, Entry<Id>),
    Seal(Kept),
    Moving,
}

impl Guest {
    pub(super) fn node(&self) -> usize {
        self.node
    }

    pub(super) fn is_at_await(&self) -> bool {
        matches!(self.state, State::Read(..))
    }
}

impl World {
    pub(super) fn guest(&mut self, ask: &Ask) -> Guest {
        Guest {
            node: ask.node,
            key: ask.key,
            wish: match ask.what {
                What::Get(wish) => Some(wish),
                _ => None,
            },
            floor: Floor::default(),
            began: 0,
            found: None,
            state: State::Peek,
        }
    }

    pub(super) fn guest_turn(&mut self, id: ActorId, mut guest: Guest) -> Option<Guest> {
        match core::mem::replace(&mut guest.state, State::Moving) {
            State::Peek => {
                // It begins to read now.
                guest.floor = self.judge.floor(guest.node, guest.key);
                let wish = guest.wish.unwrap_or_default();
                let answered = self.peek(id, guest.node, guest.key, wish, guest.floor);
                if answered || guest.wish.is_none() {
                    return None;
                }
                guest.state = State::Board;
                self.turn_after(id, Spot::Board);
                Some(guest)
            }
            State::Board => self.glance(id, guest),
            State::Read(glance, command) => match self.awaited(command) {
                Some(reply) => self.glanced(id, guest, &glance, reply),
                None => {
                    guest.state = State::Read(glance, command);
                    Some(guest)
                }
            },
            State::Write(kept, entry) => {
                self.note(|| format!("actor {id} writes L1"));
                self.write_glanced(id, &guest, entry);
                guest.state = State::Seal(kept);
                self.turn_after(id, Spot::Seal);
                Some(guest)
            }
            State::Seal(kept) => {
                self.note(|| format!("actor {id} seals its write"));
                self.kept(guest.node, &kept);
                None
            }
            State::Moving => unreachable!("a guest moves in its own turn only"),
        }
    }

    fn glance(&mut self, id: ActorId, mut guest: Guest) -> Option<Guest> {
        let Guest { node, key, .. } = guest;
        let call = guest.wish.unwrap_or_default().call();
        // The shard's own hasher.
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        let glance = self.machine(node, |shard, context, effects| {
            shard.glance(hash, |other| *other == key, call, context, effects)
        });
        self.note(|| format!("actor {id} glances at L2: {glance:?}"));
        let glance = glance?;
        guest.began = self.index;
        let command = self.send(node, key, Verb::Read, Sender::Actor(id));
        guest.state = State::Read(glance, command);
        Some(guest)
    }

    fn glanced(
        &mut self,
        id: ActorId,
        mut guest: Guest,
        glance: &Glance,
        reply: Result<Told, Fault>,
    ) -> Option<Guest> {
        let read: Result<Option<Seen<Id>>, Fault> = match reply {
            Ok(Told::Read(found)) => Ok(found.map(|(seen, found)| {
                guest.found = Some(found);
                seen
            })),
            Ok(_) => unreachable!("a guest does not ask that"),
            Err(fault) => Err(fault),
        };
        let Guest { node, key, .. } = guest;
        let glanced = self.machine(node, |shard, context, effects| {
            shard.glanced(glance, || key, read, context, effects)
        });
        self.note(|| format!("actor {id} has glanced: {glanced:?}"));
        match glanced {
            Glanced::Answer(answer) => {
                self.judge_glanced(id, &guest, &answer);
                None
            }
            Glanced::Keep(answer, kept, entry) => {
                self.judge_glanced(id, &guest, &answer);
                guest.state = State::Write(kept, entry);
                self.turn_after(id, Spot::Write);
                Some(guest)
            }
        }
    }

    fn judge_glanced(&mut self, id: ActorId, guest: &Guest, answer: &Cached<Id>) {
        let found = guest.found;
        let absent = found.map(|found| self.judge.at(found).absent);
        let honest = match answer {
            Cached::Hit(value) => found == Some(*value) && absent == Some(false),
            Cached::Absent => absent == Some(true),
            Cached::Miss => found.is_none(),
        };
        self.judge.rule(honest, Promise::P6, || {
            format!("actor {id} is answered {answer:?}, and {found:?} was found")
        });
        if let Some(found) = found {
            self.judge
                .answered(guest.node, guest.key, guest.floor, found);
        }
    }

    fn write_glanced(&mut self, id: ActorId, guest: &Guest, entry: Entry<Id>) {
        let writer = Writer {
            actor: id,
            opened: guest.began,
        };
        self.write_found(guest.node, guest.key, guest.found, writer, entry);
    }

    fn kept(&mut self, node: usize, kept: &Kept) {
        self.machine(node, |shard, _, effects| shard.kept(kept, effects));
    }

    /// Its future is dropped, or what L1 called back panicked.
    pub(super) fn guest_dropped(&mut self, id: ActorId, mut guest: Guest) {
        match core::mem::replace(&mut guest.state, State::Moving) {
            State::Read(_, command) => self.forsaken(command),
            State::Write(kept, entry) => {
                if self.plan.chance.percent(50) {
                    self.write_glanced(id, &guest, entry);
                }
                self.kept(guest.node, &kept);
            }
            State::Seal(kept) => self.kept(guest.node, &kept),
            State::Peek | State::Board | State::Moving => {}
        }
    }
}
