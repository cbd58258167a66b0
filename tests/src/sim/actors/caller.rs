//! A caller with a loader: it looks into L1, joins a flight, leads or follows, and leaves. This
//! does what a driver does, one event at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use jetcache_core::machine::lookup::step::{Reply, Seen, Stands};
use jetcache_core::machine::policy::pace::Aim;
use jetcache_core::machine::shard::{Role, Ticket, Write};
use jetcache_core::machine::tier::entry::Entry;

use crate::sim::fate::judge::loads::Flight;
use crate::sim::fate::judge::{ActorId, Floor, Id, Index};
use crate::sim::fate::plan::{Ask, Key, Loader, What, Wish};
use crate::sim::fate::script::Point;
use crate::sim::generations::believing::Asked;
use crate::sim::generations::judging::Floors;
use crate::sim::world::net::CommandId;
use crate::sim::world::server::bucket;
use crate::sim::world::time::{World, whole_millis};

pub(crate) struct Caller {
    pub(crate) node: usize,
    pub(crate) key: Key,
    pub(crate) wish: Wish,
    pub(crate) loader: Loader,
    /// Set if it is a refresh: when a value in L2 is good enough.
    pub(crate) aim: Option<Aim>,
    /// When it came, in milliseconds.
    pub(crate) came: u64,
    /// Nothing older may be its answer.
    pub(crate) floor: Floor,
    pub(crate) state: State,
    pub(crate) seat: Option<(Ticket, usize)>,
    pub(crate) flag: Arc<Flag>,
    /// The value that its last reply to the machine carried.
    pub(crate) last: Option<Id>,
    /// The command that brought it the lease.
    pub(crate) lease: Option<CommandId>,
    /// The number of the junk that its last look at L2 showed.
    pub(crate) junk: Option<Index>,
    /// What had been raised when that was asked for.
    pub(crate) raised: Floors,
    /// Its own loader failed.
    pub(crate) failed: bool,
    /// It was woken, and is about to ask for the answer.
    pub(crate) woken: bool,
    /// It was a refresh with nothing to do.
    pub(crate) gave_up: bool,
}

#[derive(Debug)]
pub(crate) enum State {
    Peek,
    Join,
    Rejoin,
    Step(Box<Reply<Id>>),
    Poll,
    Waiting,
    Command(Asked),
    Pause(u64),
    Loading(Loading),
    Look,
    Write(Write, Entry<Id>),
    Seal(Write),
    Leave,
    Moving,
}

/// A loader that runs.
#[derive(Debug)]
pub(crate) struct Loading {
    pub(crate) until: u64,
    pub(crate) brings: Id,
    /// What it was shown.
    pub(crate) stands: Option<Stands<Id>>,
    /// The renewal of its lease that is on its way.
    pub(crate) renewal: Option<CommandId>,
}

#[derive(Debug, Default)]
pub(crate) struct Flag(pub(crate) AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Caller {
    /// Whether it waits and was woken since it was last asked.
    pub(crate) fn is_woken(&mut self) -> bool {
        let news =
            matches!(self.state, State::Waiting) && self.flag.0.swap(false, Ordering::Relaxed);
        self.woken |= news;
        news
    }

    /// Whether it was woken since it last asked.
    pub(crate) fn will_ask(&self) -> bool {
        self.woken || self.flag.0.load(Ordering::Relaxed)
    }

    pub(crate) fn waits(&self) -> bool {
        matches!(self.state, State::Waiting)
    }

    /// Whether it waits for this flight, or is about to.
    pub(crate) fn follows(&self, flight: usize) -> bool {
        matches!(self.state, State::Waiting | State::Poll)
            && self.seat.as_ref().is_some_and(|(_, its)| *its == flight)
    }

    pub(crate) fn is_at_await(&self) -> bool {
        matches!(
            self.state,
            State::Command(_) | State::Pause(_) | State::Loading(_) | State::Waiting
        )
    }

    pub(crate) fn seat(&self) -> (&Ticket, usize) {
        let (ticket, flight) = self.seat.as_ref().expect("it has joined a flight");
        (ticket, *flight)
    }

    /// Remembers which value a reply shows, and hands on what the machine may see of it.
    pub(crate) fn sees(&mut self, found: Option<(Seen<Id>, Id)>) -> Option<Seen<Id>> {
        let (seen, id) = found?;
        self.last = Some(id);
        Some(seen)
    }
}

impl World {
    pub(crate) fn caller(&mut self, ask: &Ask, wish: Wish, loader: Loader) -> Caller {
        Caller {
            node: ask.node,
            key: ask.key,
            wish,
            loader,
            aim: match ask.what {
                What::Refresh(aim, _) => Some(aim),
                _ => None,
            },
            came: self.now,
            floor: self.judge.floor(ask.node, ask.key),
            state: State::Peek,
            seat: None,
            flag: Arc::default(),
            last: None,
            lease: None,
            junk: None,
            raised: Floors::default(),
            failed: false,
            woken: false,
            gave_up: false,
        }
    }

    pub(crate) fn caller_turn(&mut self, id: ActorId, mut caller: Caller) -> Option<Caller> {
        match core::mem::replace(&mut caller.state, State::Moving) {
            State::Peek => self.arrive(id, caller),
            State::Join => self.join(id, caller),
            State::Rejoin => Some(self.rejoin(id, caller)),
            State::Step(reply) => Some(self.step(id, caller, *reply)),
            State::Poll | State::Waiting => Some(self.poll(id, caller)),
            State::Command(asked) => Some(self.reply_came(id, caller, asked)),
            State::Pause(until) if self.now < until => {
                caller.state = State::Pause(until);
                self.turn_at(id, until);
                Some(caller)
            }
            State::Pause(_) => Some(self.step(id, caller, Reply::Paused)),
            State::Loading(loading) => Some(self.load_on(id, caller, loading)),
            State::Look => {
                let found = self.look(caller.node, caller.key);
                self.note(|| format!("actor {id} looks into L1: {found:?}"));
                caller.last = found.as_ref().map(|(_, id)| *id);
                let stale = (found.as_ref()).is_some_and(|(entry, _)| entry.is_stale());
                let flight = caller.seat().1;
                self.judge.flights[flight].found_stale |= stale;
                caller.state = State::Step(Box::new(Reply::Local(found.map(|(entry, _)| entry))));
                self.turn_after(id, Point::Step);
                Some(caller)
            }
            State::Write(write, entry) => {
                self.note(|| format!("actor {id} writes L1"));
                self.write_led(id, &caller, entry);
                caller.state = State::Seal(write);
                self.turn_after(id, Point::Seal);
                Some(caller)
            }
            State::Seal(write) => Some(self.step(id, caller, Reply::Kept(write))),
            State::Leave => {
                self.note(|| format!("actor {id} leaves"));
                self.step_down(id, caller);
                None
            }
            State::Moving => unreachable!("a caller moves in its own turn only"),
        }
    }

    fn arrive(&mut self, id: ActorId, mut caller: Caller) -> Option<Caller> {
        let Caller {
            node, key, wish, ..
        } = caller;
        // Its read begins now.
        caller.floor = self.judge.floor(node, key);
        caller.came = self.now;
        if caller.aim.is_none() && self.peek(id, node, key, wish, caller.floor) {
            return None;
        }
        caller.state = State::Join;
        self.turn_after(id, Point::Join);
        Some(caller)
    }

    /// Whether L1 has the answer.
    pub(crate) fn peek(
        &mut self,
        id: ActorId,
        node: usize,
        key: Key,
        wish: Wish,
        floor: Floor,
    ) -> bool {
        if !self.plan.policy.kind.has_local() || wish.skip_local {
            return false;
        }
        let now = self.timestamp(node);
        let found = self.look(node, key);
        let found = found.filter(|(entry, found)| {
            let generations = &self.nodes[node].generations;
            if !entry.is_alive(generations.heard(), |stamp, tags| {
                generations.had_news(stamp, tags)
            }) {
                return false;
            }
            let fact = *self.judge.at(*found);
            let over = self.now.saturating_sub(fact.ends);
            let accepted = wish.stale_for.is_none_or(|window| over < window);
            entry.is_fresh(now) && (!entry.is_stale() || accepted)
        });
        self.note(|| format!("actor {id} peeks: {found:?}"));
        if let Some((_, found)) = found {
            self.judge.answered(node, key, floor, found);
        }
        found.is_some()
    }

    fn join(&mut self, id: ActorId, mut caller: Caller) -> Option<Caller> {
        let (key, call, aim) = (caller.key, caller.wish.call(), caller.aim);
        let (ticket, role) = self.machine(caller.node, |shard, context, effects| match aim {
            None => Some(shard.join(key, bucket(key), call, context, effects)),
            Some(aim) => {
                let ticket = shard.open_refresh(key, bucket(key), call, aim, context, effects)?;
                Some((ticket, Role::Lead))
            }
        })?;
        self.seated(id, &mut caller, ticket, role);
        Some(caller)
    }

    /// What it waited for ended before it could have it.
    fn rejoin(&mut self, id: ActorId, mut caller: Caller) -> Caller {
        let (ticket, _) = caller.seat.take().expect("it has joined a flight");
        let (ticket, role) = self.machine(caller.node, |shard, context, effects| {
            shard.rejoin(ticket, context, effects)
        });
        (caller.last, caller.junk) = (None, None);
        self.seated(id, &mut caller, ticket, role);
        caller
    }

    fn seated(&mut self, id: ActorId, caller: &mut Caller, ticket: Ticket, role: Role) {
        let key = caller.key;
        let flight = match role {
            Role::Follow => self
                .judge
                .joined(caller.node, key)
                .expect("somebody opened the flight"),
            Role::Lead => self.judge.flight(Flight {
                node: caller.node,
                key,
                opened: self.index,
                leader: Some(id),
                deadline: self.now + whole_millis(self.plan.policy.remote_timeout),
                leased: false,
                faulted: false,
                refused_since: None,
                failed: false,
                failing: false,
                found_stale: false,
            }),
        };
        self.note(|| format!("actor {id} joins flight {flight}: {role:?}"));
        caller.seat = Some((ticket, flight));
        match role {
            Role::Lead => {
                caller.state = State::Step(Box::new(Reply::Begin));
                self.turn_after(id, Point::Step);
            }
            Role::Follow => {
                caller.state = State::Poll;
                self.turn_after(id, Point::Poll);
            }
        }
    }
}
