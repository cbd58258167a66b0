//! A caller without a loader (PROTOCOL.md, R6): it looks into L1, then glances at L2, and keeps
//! what it found there. This does what a driver does, one event at a time.

use core::hash::{BuildHasher, BuildHasherDefault};
use std::hash::DefaultHasher;

use jetcache_core::machine::error::Fault;
use jetcache_core::machine::lookup::step::Seen;
use jetcache_core::machine::shard::glances::{Glance, Glanced, Kept};
use jetcache_core::machine::tier::entry::{Cached, Entry};

use crate::sim::fate::judge::{ActorId, Floor, Id, Index, Writer};
use crate::sim::fate::plan::{Ask, Key, What, Wish};
use crate::sim::fate::promise::Promise;
use crate::sim::fate::script::Point;
use crate::sim::generations::believing::Asked;
use crate::sim::generations::judging::Floors;
use crate::sim::world::server::bucket;
use crate::sim::world::time::World;
use crate::sim::world::verb::{Receipt, Verb};

pub(crate) struct Reader {
    node: usize,
    key: Key,
    /// None: it looks into L1 only.
    wish: Option<Wish>,
    /// Nothing older may be its answer.
    floor: Floor,
    /// When its look at L2 began.
    began: Index,
    /// What L2 showed.
    found: Option<Id>,
    /// What had been raised when it asked, and whether what it found is dead.
    raised: Floors,
    dead: bool,
    state: State,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there are few of them at once")]
enum State {
    Peek,
    Join,
    Read(Glance, Asked),
    Write(Kept, Entry<Id>),
    Seal(Kept),
    Moving,
}

impl Reader {
    pub(crate) fn node(&self) -> usize {
        self.node
    }

    pub(crate) fn is_at_await(&self) -> bool {
        matches!(self.state, State::Read(..))
    }
}

impl World {
    pub(crate) fn reader(&mut self, ask: &Ask) -> Reader {
        Reader {
            node: ask.node,
            key: ask.key,
            wish: match ask.what {
                What::Get(wish) => Some(wish),
                _ => None,
            },
            floor: Floor::default(),
            began: 0,
            found: None,
            raised: Floors::default(),
            dead: false,
            state: State::Peek,
        }
    }

    pub(crate) fn reader_turn(&mut self, id: ActorId, mut reader: Reader) -> Option<Reader> {
        match core::mem::replace(&mut reader.state, State::Moving) {
            State::Peek => {
                // Its read begins now.
                reader.floor = self.judge.floor(reader.node, reader.key);
                let wish = reader.wish.unwrap_or_default();
                let answered = self.peek(id, reader.node, reader.key, wish, reader.floor);
                if answered || reader.wish.is_none() {
                    return None;
                }
                reader.state = State::Join;
                self.turn_after(id, Point::Join);
                Some(reader)
            }
            State::Join => self.glance(id, reader),
            State::Read(glance, mut asked) => match self.believed(id, &mut asked) {
                Some(reply) => {
                    let command = asked.command.expect("it reads");
                    reader.raised = self.commands[command].raised;
                    self.glanced(id, reader, &glance, reply)
                }
                None => {
                    reader.state = State::Read(glance, asked);
                    Some(reader)
                }
            },
            State::Write(kept, entry) => {
                self.note(|| format!("actor {id} writes L1"));
                self.write_glanced(id, &reader, entry);
                reader.state = State::Seal(kept);
                self.turn_after(id, Point::Seal);
                Some(reader)
            }
            State::Seal(kept) => {
                self.note(|| format!("actor {id} seals its write"));
                self.kept(reader.node, &kept);
                None
            }
            State::Moving => unreachable!("a reader moves in its own turn only"),
        }
    }

    fn glance(&mut self, id: ActorId, mut reader: Reader) -> Option<Reader> {
        let Reader { node, key, .. } = reader;
        let call = reader.wish.unwrap_or_default().call();
        // The shard's own hasher.
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        let glance = self.machine(node, |shard, context, effects| {
            shard.glance(
                hash,
                bucket(key),
                |other| *other == key,
                call,
                context,
                effects,
            )
        });
        self.note(|| format!("actor {id} glances at L2: {glance:?}"));
        let glance = glance?;
        reader.began = self.index;
        let asked = self.ask(node, key, Verb::Read, id);
        reader.state = State::Read(glance, asked);
        Some(reader)
    }

    fn glanced(
        &mut self,
        id: ActorId,
        mut reader: Reader,
        glance: &Glance,
        reply: Result<Receipt, Fault>,
    ) -> Option<Reader> {
        let read: Result<Option<Seen<Id>>, Fault> = match reply {
            Ok(Receipt::Read(found)) => Ok(found.map(|(seen, found)| {
                reader.found = Some(found);
                let generations = &self.nodes[reader.node].generations;
                let is_dead = |born| generations.is_dead(born, &seen.tags, bucket(reader.key));
                reader.dead = seen.born.is_some_and(is_dead);
                seen
            })),
            Ok(_) => unreachable!("a reader does not ask that"),
            Err(fault) => Err(fault),
        };
        let Reader { node, key, .. } = reader;
        let glanced = self.machine(node, |shard, context, effects| {
            shard.glanced(glance, || key, read, context, effects)
        });
        self.note(|| format!("actor {id} has glanced: {glanced:?}"));
        match glanced {
            Glanced::Answer(answer) => {
                self.judge_glanced(id, &reader, &answer);
                None
            }
            Glanced::Keep(answer, kept, entry) => {
                self.judge_glanced(id, &reader, &answer);
                reader.state = State::Write(kept, entry);
                self.turn_after(id, Point::Write);
                Some(reader)
            }
        }
    }

    fn judge_glanced(&mut self, id: ActorId, reader: &Reader, answer: &Cached<Id>) {
        let (found, now) = (reader.found, self.now);
        let fact = found.map(|found| *self.judge.at(found));
        let absent = fact.map(|fact| fact.absent);
        // It may have ended on its way, or another primary has taken over, which is not believed.
        let may_have_ended =
            fact.is_none_or(|fact| fact.ends <= now + LATEST) || self.nodes[reader.node].known > 0;
        let honest = match answer {
            Cached::Hit(value) => found == Some(*value) && absent == Some(false),
            Cached::Absent => absent == Some(true),
            Cached::Miss => may_have_ended || reader.dead,
            Cached::Stale(_) => false,
        };
        let fresh = *answer == Cached::Miss || fact.is_some_and(|fact| now < fact.ends);
        self.judge.rule(fresh, Promise::P7, || {
            format!("actor {id} is answered {answer:?} at {now} ms, and {found:?} has ended")
        });
        self.judge.rule(honest, Promise::P6, || {
            format!("actor {id} is answered {answer:?}, and {found:?} was found")
        });
        if let Some(found) = found.filter(|_| *answer != Cached::Miss) {
            self.note_found(id, found);
            self.judge_l2(reader.node, reader.raised, found);
            self.judge
                .answered(reader.node, reader.key, reader.floor, found);
        }
    }

    fn write_glanced(&mut self, id: ActorId, reader: &Reader, entry: Entry<Id>) {
        let writer = Writer {
            actor: id,
            opened: reader.began,
        };
        self.write_found(reader.node, reader.key, reader.found, writer, entry);
    }

    fn kept(&mut self, node: usize, kept: &Kept) {
        self.machine(node, |shard, _, effects| shard.kept(kept, effects));
    }

    /// Its future is dropped, or user code in it panicked.
    pub(crate) fn reader_dropped(&mut self, id: ActorId, mut reader: Reader) {
        match core::mem::replace(&mut reader.state, State::Moving) {
            State::Read(_, asked) => self.unasked(id, asked),
            State::Write(kept, entry) => {
                if self.plan.chance.percent(50) {
                    self.write_glanced(id, &reader, entry);
                }
                self.kept(reader.node, &kept);
            }
            State::Seal(kept) => self.kept(reader.node, &kept),
            State::Peek | State::Join | State::Moving => {}
        }
    }
}

/// How late a reply can be, in milliseconds.
const LATEST: u64 = 20_000;
