//! A caller with a loader: looks into L1, boards a flight, leads or follows, and leaves. What a driver does, one
//! event at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use jetcache_core::machine::error::{Error, Fault};
use jetcache_core::machine::tier::entry::{Cached, Entry};

use jetcache_core::machine::lookup::step::{Answer, Filling, Need, Reply, Step};
use jetcache_core::machine::policy::pace::Aim;
use jetcache_core::machine::shard::{Role, Ticket, Turn, Write};
use jetcache_core::machine::tier::verb::{Announce, Filled};

use super::judge::{ActorId, Flight, Floor, Id, Index, Promise, Writer};
use super::plan::{Ask, Brings, Key, Loader, What, Wish};
use super::script::Spot;
use super::wire::{CommandId, Sender, Told, Verb};
use super::world::{Row, World, whole_millis};

pub(super) struct Caller {
    pub(super) node: usize,
    pub(super) key: Key,
    pub(super) wish: Wish,
    pub(super) loader: Loader,
    /// What it makes of a value in L2, if it is a refresh.
    pub(super) aim: Option<Aim>,
    /// What is older must not be its answer.
    pub(super) floor: Floor,
    pub(super) state: State,
    pub(super) seat: Option<(Ticket, usize)>,
    pub(super) flag: Arc<Flag>,
    /// What the last reply that it gave showed.
    pub(super) last: Option<Id>,
    /// The command by which it was granted the lease.
    pub(super) lease: Option<CommandId>,
    /// The number of the junk that its last look at L2 showed.
    pub(super) junk: Option<Index>,
    /// Its own loader failed.
    pub(super) failed: bool,
    /// It was woken, and will ask.
    pub(super) woken: bool,
    /// It was a refresh, and had nothing to do.
    pub(super) gave_up: bool,
}

#[derive(Debug)]
pub(super) enum State {
    Peek,
    Board,
    Tell(Box<Reply<Id>>),
    Poll,
    Waiting,
    Command(CommandId),
    Pause(u64),
    Loading { until: u64, brings: Id },
    Look,
    Write(Write, Entry<Id>),
    Seal(Write),
    Leave,
    Moving,
}

/// A flight's answer and what the judge knows it to be. It is kept, so that no other answer ever
/// has its address.
pub(super) struct Answered {
    answer: Arc<Answer<Id>>,
    id: Option<Id>,
}

#[derive(Debug, Default)]
pub(super) struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Caller {
    /// Whether it waits and was woken since it was last asked.
    pub(super) fn is_woken(&mut self) -> bool {
        let news =
            matches!(self.state, State::Waiting) && self.flag.0.swap(false, Ordering::Relaxed);
        self.woken |= news;
        news
    }

    /// Whether it was woken since it last asked.
    pub(super) fn will_ask(&self) -> bool {
        self.woken || self.flag.0.load(Ordering::Relaxed)
    }

    pub(super) fn waits(&self) -> bool {
        matches!(self.state, State::Waiting)
    }

    /// Whether it waits for this flight, or is about to.
    pub(super) fn follows(&self, flight: usize) -> bool {
        matches!(self.state, State::Waiting | State::Poll)
            && self.seat.as_ref().is_some_and(|(_, its)| *its == flight)
    }

    pub(super) fn is_at_await(&self) -> bool {
        matches!(
            self.state,
            State::Command(_) | State::Pause(_) | State::Loading { .. } | State::Waiting
        )
    }

    fn seat(&self) -> (&Ticket, usize) {
        let (ticket, flight) = self.seat.as_ref().expect("it has boarded");
        (ticket, *flight)
    }
}

impl World {
    pub(super) fn caller(&mut self, ask: &Ask, wish: Wish, loader: Loader) -> Caller {
        Caller {
            node: ask.node,
            key: ask.key,
            wish,
            loader,
            aim: match ask.what {
                What::Refresh(aim, _) => Some(aim),
                _ => None,
            },
            floor: self.judge.floor(ask.node, ask.key),
            state: State::Peek,
            seat: None,
            flag: Arc::default(),
            last: None,
            lease: None,
            junk: None,
            failed: false,
            woken: false,
            gave_up: false,
        }
    }

    pub(super) fn caller_turn(&mut self, id: ActorId, mut caller: Caller) -> Option<Caller> {
        match core::mem::replace(&mut caller.state, State::Moving) {
            State::Peek => self.arrive(id, caller),
            State::Board => self.board(id, caller),
            State::Tell(reply) => Some(self.tell(id, caller, *reply)),
            State::Poll | State::Waiting => Some(self.poll(id, caller)),
            State::Command(command) => Some(self.reply_came(id, caller, command)),
            State::Pause(until) if self.now < until => {
                caller.state = State::Pause(until);
                self.turn_at(id, until);
                Some(caller)
            }
            State::Pause(_) => Some(self.tell(id, caller, Reply::Paused)),
            State::Loading { until, brings } if self.now < until => {
                caller.state = State::Loading { until, brings };
                self.turn_at(id, until);
                Some(caller)
            }
            State::Loading { brings, .. } => Some(self.loaded(id, caller, brings)),
            State::Look => {
                let found = self.look(caller.node, caller.key);
                self.note(|| format!("actor {id} looks into L1: {found:?}"));
                caller.last = found.as_ref().map(|(_, id)| *id);
                caller.state = State::Tell(Box::new(Reply::Local(found.map(|(entry, _)| entry))));
                self.turn_after(id, Spot::Tell);
                Some(caller)
            }
            State::Write(write, entry) => {
                self.note(|| format!("actor {id} writes L1"));
                self.write_led(id, &caller, entry);
                caller.state = State::Seal(write);
                self.turn_after(id, Spot::Seal);
                Some(caller)
            }
            State::Seal(write) => Some(self.tell(id, caller, Reply::Kept(write))),
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
        // It begins to read now.
        caller.floor = self.judge.floor(node, key);
        if caller.aim.is_none() && self.peek(id, node, key, wish, caller.floor) {
            return None;
        }
        caller.state = State::Board;
        self.turn_after(id, Spot::Board);
        Some(caller)
    }

    /// Whether L1 has the answer.
    pub(super) fn peek(
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
        let found = self.look(node, key);
        self.note(|| format!("actor {id} peeks: {found:?}"));
        if let Some((_, found)) = found {
            self.judge.answered(node, key, floor, found);
        }
        found.is_some()
    }

    fn board(&mut self, id: ActorId, mut caller: Caller) -> Option<Caller> {
        let (key, call, aim) = (caller.key, caller.wish.call(), caller.aim);
        let (ticket, role) = self.machine(caller.node, |shard, context, effects| match aim {
            None => Some(shard.join(key, call, context, effects)),
            Some(aim) => {
                let ticket = shard.open_refresh(key, call, aim, context, effects)?;
                Some((ticket, Role::Lead))
            }
        })?;
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
            }),
        };
        self.note(|| format!("actor {id} boards flight {flight}: {role:?}"));
        caller.seat = Some((ticket, flight));
        match role {
            Role::Lead => {
                caller.state = State::Tell(Box::new(Reply::Begin));
                self.turn_after(id, Spot::Tell);
            }
            Role::Follow => {
                caller.state = State::Poll;
                self.turn_after(id, Spot::Poll);
            }
        }
        Some(caller)
    }

    /// Tells the machine what happened, and takes up what it says.
    pub(super) fn tell(&mut self, id: ActorId, mut caller: Caller, reply: Reply<Id>) -> Caller {
        let said = format!("{reply:?}");
        let news = News::of(&reply);
        let granted = caller.lease.take();
        let step = {
            let (ticket, _) = caller.seat();
            self.machine(caller.node, |shard, context, effects| {
                shard.step(ticket, context, reply, effects)
            })
        };
        self.note(|| format!("actor {id} tells {said}: {step:?}"));
        let (_, flight) = caller.seat();
        if matches!(step, Step::Follow | Step::Alone(_)) {
            return self.deposed(id, caller, step, granted);
        }
        self.hear_of(flight, news, &step);
        let Caller { node, key, .. } = caller;
        caller.state = match step {
            Step::ReadLocal => {
                self.turn_after(id, Spot::Look);
                State::Look
            }
            Step::Ask(Need::Read) => {
                State::Command(self.send(node, key, Verb::Read, Sender::Actor(id)))
            }
            Step::Ask(Need::Lease { token, life }) => {
                self.judge.asked(token, flight, self.now);
                let verb = Verb::Lease { token, life };
                State::Command(self.send(node, key, verb, Sender::Actor(id)))
            }
            Step::Ask(Need::Pause(pause)) => {
                let until = self.now + whole_millis(pause);
                self.turn_at(id, until);
                State::Pause(until)
            }
            Step::Ask(Need::Load) => self.begin_load(id, &caller, flight),
            Step::Ask(Need::Fill(Filling {
                token,
                times,
                value,
            })) => {
                let brought = caller.last.expect("it was loaded");
                let known = self.judge.at(brought).absent == value.is_none();
                self.judge
                    .rule(known, Promise::P6, || "a value became absent".to_owned());
                if caller.loader.brings == Brings::Unencodable {
                    self.turn_after(id, Spot::Tell);
                    let fault = Fault::Encode("as the plan says".into());
                    State::Tell(Box::new(Reply::Stored(Err(fault))))
                } else {
                    let verb = Verb::Fill {
                        token,
                        id: brought,
                        times,
                        junk: caller.junk,
                        announce: Announce::No,
                    };
                    State::Command(self.send(node, key, verb, Sender::Actor(id)))
                }
            }
            Step::WriteLocal { write, entry } => {
                self.turn_after(id, Spot::Write);
                State::Write(write, entry)
            }
            Step::Finish { release, .. } => {
                if let Some(token) = release {
                    self.release(node, key, token, self.asks[id]);
                }
                self.judge_finished(flight);
                return self.poll(id, caller);
            }
            Step::GiveUp => {
                caller.gave_up = true;
                self.turn_after(id, Spot::Leave);
                State::Leave
            }
            Step::Alone(_) | Step::Follow => unreachable!("said above"),
        };
        caller
    }

    /// What the flight's leader says is known from outside as well.
    fn hear_of(&mut self, flight: usize, news: News, step: &Step<Id>) {
        let policy = &self.plan.policy;
        let limit = match step {
            Step::Ask(Need::Read | Need::Lease { .. } | Need::Fill(_)) => policy.remote_timeout,
            Step::Ask(Need::Load) => policy.load_timeout,
            Step::Ask(Need::Pause(pause)) => *pause,
            _ => Duration::ZERO,
        };
        let now = self.now;
        let flight = &mut self.judge.flights[flight];
        flight.deadline = now + whole_millis(limit + policy.remote_timeout);
        match news {
            News::Granted => flight.leased = true,
            News::Refused => {
                flight.leased = false;
                flight.refused_since.get_or_insert(now);
            }
            News::Fault => flight.faulted = true,
            News::Failed => flight.failed = true,
            News::Other => {}
        }
    }

    fn deposed(
        &mut self,
        id: ActorId,
        mut caller: Caller,
        step: Step<Id>,
        granted: Option<CommandId>,
    ) -> Caller {
        match step {
            Step::Alone(answer) => {
                let last = caller.last;
                self.judge_answer(id, &caller, &answer, last);
                caller.state = State::Leave;
                self.turn_after(id, Spot::Leave);
            }
            _ => {
                if let Some(command) = granted {
                    self.late_lease(command);
                }
                caller.state = State::Poll;
                self.turn_after(id, Spot::Poll);
            }
        }
        caller
    }

    fn reply_came(&mut self, id: ActorId, mut caller: Caller, command: CommandId) -> Caller {
        let Some(reply) = self.awaited(command) else {
            caller.state = State::Command(command);
            return caller;
        };
        if matches!(reply, Ok(Told::Read(_) | Told::Leased(..))) {
            caller.junk = self.commands[command].junk;
        }
        let reply = match reply {
            Ok(Told::Read(found)) => Reply::Remote(Ok(caller.sees(found))),
            Ok(Told::Leased(granted, found)) => {
                caller.lease = granted.then_some(command);
                Reply::Leased(Ok((granted, caller.sees(found))))
            }
            Ok(Told::Filled(filled)) => {
                if let (Filled::Refused, Some(brought)) = (filled, caller.last) {
                    self.judge.at(brought).refused = true;
                }
                Reply::Stored(Ok(filled))
            }
            Ok(Told::Claimed(_) | Told::Done) => unreachable!("a caller does not ask that"),
            Err(fault) => self.faulted(command, fault),
        };
        self.tell(id, caller, reply)
    }

    fn faulted(&self, command: CommandId, fault: Fault) -> Reply<Id> {
        match self.verb(command) {
            Verb::Lease { .. } => Reply::Leased(Err(fault)),
            Verb::Fill { .. } => Reply::Stored(Err(fault)),
            _ => Reply::Remote(Err(fault)),
        }
    }

    pub(super) fn write_led(&mut self, id: ActorId, caller: &Caller, entry: Entry<Id>) {
        let (_, flight) = caller.seat();
        let writer = Writer {
            actor: id,
            opened: self.judge.flights[flight].opened,
        };
        self.write_found(caller.node, caller.key, caller.last, writer, entry);
    }

    pub(super) fn write_found(
        &mut self,
        node: usize,
        key: Key,
        found: Option<Id>,
        writer: Writer,
        entry: Entry<Id>,
    ) {
        let found = found.expect("something was found");
        let known = self.judge.at(found).absent == entry.value().is_none()
            && entry.value().is_none_or(|value| *value == found);
        self.judge.rule(known, Promise::P6, || {
            format!("{entry:?} goes to L1, and {found:?} was found")
        });
        let row = Row {
            entry,
            id: found,
            writer,
            at: self.now,
        };
        self.write(node, key, Some(row));
    }

    /// Asks for the answer.
    fn poll(&mut self, id: ActorId, mut caller: Caller) -> Caller {
        caller.flag.0.store(false, Ordering::Relaxed);
        caller.woken = false;
        let waker = Waker::from(Arc::clone(&caller.flag));
        let (ticket, flight) = caller.seat();
        let turn = self.machine(caller.node, |shard, context, effects| {
            shard.poll(ticket, context, waker, effects)
        });
        self.note(|| format!("actor {id} polls: {turn:?}"));
        match turn {
            Turn::Answer(answer) => {
                let found = self.found(&caller, &answer);
                self.judge_answer(id, &caller, &answer, found);
                caller.state = State::Leave;
                self.turn_after(id, Spot::Leave);
            }
            Turn::Lead => {
                self.judge.leads(flight, id, self.now);
                caller.state = State::Tell(Box::new(Reply::Begin));
                self.turn_after(id, Spot::Tell);
            }
            Turn::Wait(until) => {
                caller.state = State::Waiting;
                if let Some(until) = until {
                    let until = self.when(caller.node, until);
                    self.turn_at(id, until);
                }
            }
        }
        caller
    }

    /// What the answer is. Its leader is the first who asks, and knows.
    fn found(&mut self, caller: &Caller, answer: &Arc<Answer<Id>>) -> Option<Id> {
        let mut known = self.answers.iter();
        if let Some(known) = known.find(|known| Arc::ptr_eq(&known.answer, answer)) {
            return known.id;
        }
        self.answers.push(Answered {
            answer: Arc::clone(answer),
            id: caller.last,
        });
        caller.last
    }

    fn judge_answer(
        &mut self,
        id: ActorId,
        caller: &Caller,
        answer: &Answer<Id>,
        found: Option<Id>,
    ) {
        self.note(|| format!("    actor {id} has its answer: {answer:?}, {found:?}"));
        let flight = self.judge.flights[caller.seat().1];
        let absent = found.map(|found| self.judge.at(found).absent);
        let honest = match answer {
            Ok(Cached::Hit(value)) => found == Some(*value) && absent == Some(false),
            Ok(Cached::Absent) => absent == Some(true),
            Ok(Cached::Miss) | Err(Error::Closed) => false,
            Err(_) => flight.failed || caller.failed,
        };
        self.judge.rule(honest, Promise::P6, || {
            format!("actor {id} is answered {answer:?}, and {found:?} was found")
        });
        if let (Ok(Cached::Hit(_) | Cached::Absent), Some(found)) = (answer, found) {
            self.judge
                .answered(caller.node, caller.key, caller.floor, found);
        }
    }
}

impl Caller {
    fn sees(
        &mut self,
        found: Option<(jetcache_core::machine::lookup::step::Seen<Id>, Id)>,
    ) -> Option<jetcache_core::machine::lookup::step::Seen<Id>> {
        let (seen, id) = found?;
        self.last = Some(id);
        Some(seen)
    }
}

/// What a reply says of its flight.
#[derive(Clone, Copy, Debug)]
enum News {
    Granted,
    Refused,
    Fault,
    Failed,
    Other,
}

impl News {
    fn of(reply: &Reply<Id>) -> Self {
        match reply {
            Reply::Leased(Ok((true, _))) => Self::Granted,
            Reply::Leased(Ok((false, _))) => Self::Refused,
            Reply::Remote(Err(_)) | Reply::Leased(Err(_)) => Self::Fault,
            Reply::Stored(Err(fault)) if !matches!(fault, Fault::Encode(_)) => Self::Fault,
            Reply::Loaded(Err(_)) => Self::Failed,
            _ => Self::Other,
        }
    }
}
