//! Carries out the steps of a lookup, and gives the machine the replies.

use std::time::Duration;

use jetcache_core::machine::error::Fault;
use jetcache_core::machine::lookup::step::{Extension, Filling, Need, Reply, Step};
use jetcache_core::machine::policy::pace::Aim;
use jetcache_core::machine::tier::entry::Entry;
use jetcache_core::machine::tier::mark::Mark;
use jetcache_core::machine::tier::verb::Granted;

use crate::sim::actors::caller::{Caller, State};
use crate::sim::fate::judge::{ActorId, Id, Writer};
use crate::sim::fate::plan::{Brings, Key};
use crate::sim::fate::promise::Promise;
use crate::sim::fate::script::Point;
use crate::sim::generations::believing::Asked;
use crate::sim::generations::judging::Floors;
use crate::sim::world::net::CommandId;
use crate::sim::world::nodes::Row;
use crate::sim::world::time::{World, whole_millis};
use crate::sim::world::verb::{Receipt, Verb};

impl World {
    /// Gives the machine a reply, and carries out the step that it answers with.
    pub(crate) fn step(&mut self, id: ActorId, mut caller: Caller, reply: Reply<Id>) -> Caller {
        let said = format!("{reply:?}");
        let news = News::of(&reply);
        let granted = caller.lease.take();
        let step = {
            let (ticket, _) = caller.seat();
            self.machine(caller.node, |shard, context, effects| {
                shard.step(ticket, context, reply, effects)
            })
        };
        self.note(|| format!("actor {id} says {said}: {step:?}"));
        let (_, flight) = caller.seat();
        if matches!(step, Step::Follow | Step::Alone(_)) {
            return self.deposed(id, caller, step, granted);
        }
        self.hear_of(flight, news, &step);
        let Caller { node, key, .. } = caller;
        caller.state = match step {
            Step::ReadLocal => {
                self.turn_after(id, Point::Look);
                State::Look
            }
            Step::Ask(Need::Read) => State::Command(self.ask(node, key, Verb::Read, id)),
            Step::Ask(Need::Lease { token, life }) => {
                self.judge.asked(token, flight, self.now);
                let verb = Verb::Lease { token, life };
                State::Command(self.ask(node, key, verb, id))
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
                mark,
                tags,
                born,
                announce,
            })) => {
                let brought = caller.last.expect("it was loaded");
                let fact = *self.judge.at(brought);
                let marked = fact.mark_is(mark.as_ref().map(Mark::bytes));
                let known = fact.absent == value.is_none() && marked;
                self.judge
                    .rule(known, Promise::P6, || "a value became absent".to_owned());
                self.judge_tags(brought, &tags);
                if caller.loader.brings == Brings::Unencodable {
                    self.turn_after(id, Point::Step);
                    let fault = Fault::Encode("as the plan says".into());
                    State::Step(Box::new(Reply::Stored(Err(fault))))
                } else {
                    let verb = Verb::Fill {
                        token,
                        id: brought,
                        times,
                        born,
                        junk: caller.junk,
                        announce,
                    };
                    State::Command(self.ask(node, key, verb, id))
                }
            }
            Step::Ask(Need::Extend(extension)) => {
                let Extension {
                    token,
                    header,
                    times,
                    announce,
                } = *extension;
                let verb = Verb::Extend {
                    token,
                    header: *header.bytes(),
                    id: caller.last.expect("it was loaded"),
                    times,
                    announce,
                };
                State::Command(self.ask(node, key, verb, id))
            }
            Step::WriteLocal { write, entry } => {
                self.turn_after(id, Point::Write);
                State::Write(write, entry)
            }
            Step::Finish { release, .. } => {
                if let Some(lease) = release {
                    self.release(node, key, lease, self.asks[id]);
                }
                self.judge_finished(flight);
                return self.poll(id, caller);
            }
            Step::GiveUp => {
                caller.gave_up = true;
                self.turn_after(id, Point::Leave);
                State::Leave
            }
            Step::Alone(_) | Step::Follow => unreachable!("said above"),
        };
        caller
    }

    /// Notes what anybody outside can know of the flight: its deadline, and how it fares.
    fn hear_of(&mut self, flight: usize, news: News, step: &Step<Id>) {
        let policy = &self.plan.policy;
        let limit = match step {
            Step::Ask(Need::Read | Need::Lease { .. } | Need::Fill(_) | Need::Extend(_)) => {
                policy.remote_timeout
            }
            Step::Ask(Need::Load) => policy.load_timeout + policy.remote_timeout,
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
            News::Failing => (flight.leased, flight.failing) = (false, true),
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
                self.turn_after(id, Point::Leave);
            }
            _ => {
                // What it found is not what it will be answered.
                caller.raised = Floors::default();
                if let Some(command) = granted {
                    self.late_lease(command);
                }
                caller.state = State::Poll;
                self.turn_after(id, Point::Poll);
            }
        }
        caller
    }

    pub(crate) fn reply_came(
        &mut self,
        id: ActorId,
        mut caller: Caller,
        mut asked: Asked,
    ) -> Caller {
        let Some(reply) = self.believed(id, &mut asked) else {
            caller.state = State::Command(asked);
            return caller;
        };
        let command = asked.command.expect("a lookup asks for something");
        if matches!(reply, Ok(Receipt::Read(_) | Receipt::Leased(..))) {
            caller.junk = self.commands[command].junk;
            caller.raised = self.commands[command].raised;
        }
        let reply = match reply {
            Ok(Receipt::Read(found)) => Reply::Remote(Ok(caller.sees(found))),
            Ok(Receipt::Leased(granted, found)) => {
                caller.lease = (granted == Granted::Yes).then_some(command);
                Reply::Leased(Ok((granted, caller.sees(found))))
            }
            Ok(Receipt::Filled(filled)) => Reply::Stored(Ok(filled)),
            Ok(Receipt::Extended(extended)) => Reply::Extended(Ok(extended)),
            Ok(_) => unreachable!("a caller does not ask that"),
            Err(fault) => {
                // It may be granted, and be believed all the same to nobody: then it is given back.
                let granted = self.commands[command].is_granted();
                caller.lease = granted.then_some(command);
                self.faulted(command, fault)
            }
        };
        self.step(id, caller, reply)
    }

    fn faulted(&self, command: CommandId, fault: Fault) -> Reply<Id> {
        match self.verb(command) {
            Verb::Lease { .. } => Reply::Leased(Err(fault)),
            Verb::Fill { .. } => Reply::Stored(Err(fault)),
            Verb::Extend { .. } => Reply::Extended(Err(fault)),
            _ => Reply::Remote(Err(fault)),
        }
    }

    pub(crate) fn write_led(&mut self, id: ActorId, caller: &Caller, entry: Entry<Id>) {
        let (_, flight) = caller.seat();
        let writer = Writer {
            actor: id,
            opened: self.judge.flights[flight].opened,
        };
        let found = match entry.value() {
            // What L1 had already, and keeps.
            Some(value) if entry.is_stale() || caller.aim == Some(Aim::Eager) => Some(*value),
            _ => caller.last,
        };
        self.write_found(caller.node, caller.key, found, writer, entry);
    }

    pub(crate) fn write_found(
        &mut self,
        node: usize,
        key: Key,
        found: Option<Id>,
        writer: Writer,
        entry: Entry<Id>,
    ) {
        let found = found.expect("something was found");
        let known = self.judge.at(found).absent == entry.value().is_none()
            && entry.value().is_none_or(|value| *value == found)
            && (self.judge.at(found).mark_is(entry.mark()) || entry.value().is_none());
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
}

/// What a reply means for its flight.
#[derive(Clone, Copy, Debug)]
enum News {
    Granted,
    Refused,
    Failing,
    Fault,
    Failed,
    Other,
}

impl News {
    fn of(reply: &Reply<Id>) -> Self {
        match reply {
            Reply::Leased(Ok((Granted::Yes, _))) => Self::Granted,
            Reply::Leased(Ok((Granted::No, _))) => Self::Refused,
            Reply::Leased(Ok((Granted::Failing, _))) => Self::Failing,
            Reply::Remote(Err(_)) | Reply::Leased(Err(_)) => Self::Fault,
            Reply::Stored(Err(fault)) if !matches!(fault, Fault::Encode(_)) => Self::Fault,
            Reply::Extended(Err(_)) => Self::Fault,
            Reply::Loaded(Err(_)) => Self::Failed,
            _ => Self::Other,
        }
    }
}
