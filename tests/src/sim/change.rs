//! A change, on a task of its own; and what sweeps L1 after one that was abandoned.

use jetcache_core::machine::change::{ChangeReply, ChangeStep, ChangeTicket, Outcome, Plan, Reach};
use jetcache_core::machine::entry::Entry;
use jetcache_core::machine::error::Fault;
use jetcache_core::machine::policy::Kind;
use jetcache_core::machine::shard::Pending;
use jetcache_core::ports::remote::Filled;

use super::judge::{ActorId, Id, Index, Writer};
use super::plan::{Ask, Key, What, Wish};
use super::script::Spot;
use super::wire::{CommandId, Sender, Told, Verb};
use super::world::{Actor, Node, Row, World, whole_millis};

pub(super) struct Change {
    node: usize,
    key: Key,
    wish: Wish,
    value: Option<Id>,
    /// When it was asked for, and since when L1 is its own to judge.
    begun: Index,
    opened: Index,
    /// When L2 took it, if L2 said so.
    acknowledged: Option<Index>,
    superseded: Option<Index>,
    state: State,
    ticket: Option<ChangeTicket>,
}

enum State {
    Open,
    Tell(ChangeReply<Id>),
    Command(CommandId),
    /// It waits for writes, and then goes on.
    Wait(Pending, Option<Option<Entry<Id>>>),
    Look,
    Remove(Option<Entry<Id>>),
    Write(Entry<Id>),
    Moving,
}

/// L1 is to lose a key once certain writes are done.
pub(super) struct Sweep {
    node: usize,
    key: Key,
    after: Option<Pending>,
    /// What the sweep promises once it is done.
    promise: Option<(Index, Option<Index>)>,
}

impl Change {
    pub(super) fn value(&self) -> Option<Id> {
        self.value
    }

    /// Whether the writes that it waits for are done; then it waits no more.
    pub(super) fn is_free(&mut self, nodes: &[Node]) -> bool {
        let State::Wait(pending, then) = &self.state else {
            return false;
        };
        if !nodes[self.node].shard.is_written(pending) {
            return false;
        }
        self.state = match then.clone() {
            None => State::Tell(ChangeReply::Waited),
            Some(entry) => State::Remove(entry),
        };
        true
    }

    pub(super) fn is_at_await(&self) -> bool {
        matches!(self.state, State::Command(_))
    }
}

impl Sweep {
    pub(super) fn is_free(&mut self, nodes: &[Node]) -> bool {
        let shard = &nodes[self.node].shard;
        self.after
            .take_if(|after| shard.is_written(after))
            .is_some()
    }
}

impl World {
    pub(super) fn change(&mut self, ask: &Ask) -> Change {
        let (wish, insert) = match ask.what {
            What::Insert(wish, condition) => (wish, Some(condition)),
            _ => (Wish::default(), None),
        };
        let value = insert.map(|condition| {
            let id = self.judge.fact(ask.key, false, self.index);
            self.judge.at(id).barred = condition.is_some();
            id
        });
        Change {
            node: ask.node,
            key: ask.key,
            wish,
            value,
            begun: self.index,
            opened: self.index,
            acknowledged: None,
            superseded: None,
            state: State::Open,
            ticket: None,
        }
    }

    pub(super) fn change_turn(&mut self, id: ActorId, mut change: Change) -> Option<Actor> {
        match core::mem::replace(&mut change.state, State::Moving) {
            State::Open => self.open(id, &mut change),
            State::Tell(reply) => return self.advance(id, change, reply),
            State::Command(command) => match self.awaited(command) {
                None => change.state = State::Command(command),
                Some(reply) => {
                    let reply = self.heard(&mut change, command, reply);
                    return self.advance(id, change, reply);
                }
            },
            State::Wait(pending, then) => change.state = State::Wait(pending, then),
            State::Look => {
                let found = self.look(change.node, change.key);
                self.note(|| format!("change {id} looks into L1: {found:?}"));
                let present = found.is_some_and(|(entry, _)| entry.value().is_some());
                change.state = State::Tell(ChangeReply::Local(present));
                self.turn_after(id, Spot::Tell);
            }
            State::Remove(entry) => {
                self.note(|| format!("change {id} removes from L1"));
                self.write(change.node, change.key, None);
                change.state = match entry {
                    Some(entry) => State::Write(entry),
                    None => State::Tell(ChangeReply::Applied),
                };
                self.turn_after(id, Spot::Write);
            }
            State::Write(entry) => {
                self.note(|| format!("change {id} writes L1"));
                self.put(id, &change, entry);
                change.state = State::Tell(ChangeReply::Applied);
                self.turn_after(id, Spot::Seal);
            }
            State::Moving => unreachable!("a change moves in its own turn only"),
        }
        Some(Actor::Change(change))
    }

    fn open(&mut self, id: ActorId, change: &mut Change) {
        // Its call is made now: what it brings lives from here.
        (change.begun, change.opened) = (self.index, self.index);
        if let Some(value) = change.value {
            let ttl = change
                .wish
                .ttl
                .unwrap_or(whole_millis(self.plan.policy.ttl));
            let now = self.now;
            self.judge.at(value).ends = now + ttl;
        }
        let plan = match change.value {
            None => Plan::Invalidate,
            Some(value) => Plan::Insert {
                value,
                call: change.wish.call(),
                condition: self.condition_of(id),
            },
        };
        let key = change.key;
        let ticket = self.machine(change.node, |shard, context, effects| {
            shard.open(key, plan, context, effects)
        });
        self.note(|| format!("change {id} opens"));
        change.ticket = Some(ticket);
        change.state = State::Tell(ChangeReply::Begin);
        self.turn_after(id, Spot::Tell);
    }

    fn condition_of(&self, id: ActorId) -> Option<jetcache_core::Condition> {
        match self.plan.asks[self.asks[id]].what {
            What::Insert(_, condition) => condition,
            _ => None,
        }
    }

    fn heard(
        &mut self,
        change: &mut Change,
        command: CommandId,
        reply: Result<Told, Fault>,
    ) -> ChangeReply<Id> {
        let applied_at = self.commands[command].applied_at;
        match (self.verb(command), reply) {
            (Verb::Remove, reply) => {
                change.acknowledged = applied_at.filter(|_| reply.is_ok());
                ChangeReply::Removed(reply.map(|_| ()))
            }
            (Verb::Claim { .. }, Ok(told)) => {
                let granted = matches!(told, Told::Claimed(true));
                if granted {
                    change.acknowledged = applied_at;
                    self.unbar(change);
                }
                ChangeReply::Claimed(Ok(granted))
            }
            (Verb::Claim { .. }, Err(fault)) => ChangeReply::Claimed(Err(fault)),
            (_, Ok(Told::Filled(filled))) => {
                if let (Filled::Refused, Some(value)) = (filled, change.value) {
                    self.judge.at(value).refused = true;
                }
                ChangeReply::Filled(Ok(filled))
            }
            (_, Ok(_)) => unreachable!("a change asks nothing else"),
            (_, Err(fault)) => ChangeReply::Filled(Err(fault)),
        }
    }

    /// It was granted: its value may be seen from here on.
    fn unbar(&mut self, change: &Change) {
        if let Some(value) = change.value {
            self.judge.at(value).barred = false;
        }
    }

    fn advance(
        &mut self,
        id: ActorId,
        mut change: Change,
        reply: ChangeReply<Id>,
    ) -> Option<Actor> {
        let said = format!("{reply:?}");
        let granted_alone = matches!(
            (&reply, self.condition_of(id)),
            (
                ChangeReply::Local(true),
                Some(jetcache_core::Condition::Present)
            ) | (
                ChangeReply::Local(false),
                Some(jetcache_core::Condition::Absent)
            )
        );
        if granted_alone {
            self.unbar(&change);
        }
        let ticket = change.ticket.take().expect("it was opened");
        let step = self.machine(change.node, |shard, context, effects| {
            shard.advance(&ticket, context, reply, effects)
        });
        change.ticket = Some(ticket);
        self.note(|| format!("change {id} tells {said}: {step:?}"));
        let Change { node, key, .. } = change;
        change.state = match step {
            ChangeStep::Remove => {
                State::Command(self.send(node, key, Verb::Remove, Sender::Actor(id)))
            }
            ChangeStep::Claim {
                token,
                life,
                condition,
                told: _,
            } => {
                let verb = Verb::Claim {
                    token,
                    life,
                    condition,
                };
                State::Command(self.send(node, key, verb, Sender::Actor(id)))
            }
            ChangeStep::Fill {
                token,
                life,
                lease,
                age,
            } => {
                let verb = Verb::Fill {
                    token,
                    id: change.value.expect("only an insert fills"),
                    life,
                    lease,
                    age,
                };
                State::Command(self.send(node, key, verb, Sender::Actor(id)))
            }
            ChangeStep::Write | ChangeStep::Settle { .. } => {
                unreachable!("no ask writes through yet")
            }
            ChangeStep::Wait(pending) => State::Wait(pending, None),
            ChangeStep::ReadLocal => {
                // It is from this moment that others may overtake it.
                change.opened = self.index;
                if let Some(value) = change.value {
                    self.judge.at(value).barred = true;
                }
                self.turn_after(id, Spot::Look);
                State::Look
            }
            ChangeStep::Apply { after, entry } => {
                change.superseded = Some(self.index);
                self.judge.superseded(node, key, self.index);
                // Without a claim that says when it was born, it is born at the end.
                let claimed = change.acknowledged.is_some() && !change.wish.skip_remote;
                if let Some(value) = change.value
                    && !claimed
                {
                    self.judge.at(value).birth = self.index;
                }
                State::Wait(after, Some(entry))
            }
            ChangeStep::Finish(outcome) => {
                self.returned(id, change, outcome);
                return None;
            }
        };
        Some(Actor::Change(change))
    }

    fn put(&mut self, id: ActorId, change: &Change, entry: Entry<Id>) {
        let row = Row {
            id: *entry.value().expect("an insert brings a value"),
            entry,
            writer: Writer {
                actor: id,
                opened: change.opened,
            },
        };
        self.write(change.node, change.key, Some(row));
    }

    fn returned(&mut self, id: ActorId, mut change: Change, outcome: Outcome) {
        let Change { node, key, .. } = change;
        let ticket = change.ticket.take().expect("it was opened");
        self.machine(node, |shard, _, effects| shard.close(ticket, effects));
        let alone = self.plan.policy.kind == Kind::Local;
        let floor = match outcome {
            // Refused, it changed nothing.
            Outcome::Applied(false) | Outcome::Undecided if change.superseded.is_none() => None,
            Outcome::Made(Reach::Pending) | Outcome::Undecided => Some(change.begun),
            Outcome::Made(Reach::Everywhere) | Outcome::Applied(_) => change
                .acknowledged
                .or(change.superseded.filter(|_| alone))
                .or(Some(change.begun)),
        };
        self.note(|| format!("change {id} returns {outcome:?}, nothing before {floor:?}"));
        if let Some(floor) = floor {
            self.judge.returned(node, key, floor, change.superseded, id);
            self.read_back(node, key);
        }
    }

    /// Its task is gone.
    pub(super) fn change_dropped(&mut self, id: ActorId, mut change: Change) -> Option<Actor> {
        let ticket = change.ticket.take()?;
        let Change { node, key, .. } = change;
        match core::mem::replace(&mut change.state, State::Moving) {
            State::Write(entry) if self.plan.chance.percent(50) => self.put(id, &change, entry),
            State::Command(command) => self.forsaken(command),
            _ => {}
        }
        let after = self.machine(node, |shard, context, effects| {
            shard.abandon(ticket, context, effects)
        });
        self.judge.superseded(node, key, self.index);
        self.turn_at(id, self.now);
        Some(Actor::Sweep(Sweep {
            node,
            key,
            after: Some(after),
            promise: Some((change.begun, Some(self.index))),
        }))
    }

    /// Another node says that the key was changed.
    pub(super) fn hear(&mut self, node: usize, key: Key) -> Sweep {
        let after = self.machine(node, |shard, _, effects| shard.supersede(&key, effects));
        self.judge.superseded(node, key, self.index);
        Sweep {
            node,
            key,
            after: Some(after),
            promise: Some((0, Some(self.index))),
        }
    }

    pub(super) fn sweep_turn(&mut self, id: ActorId, sweep: Sweep) -> Option<Sweep> {
        if sweep.after.is_some() {
            return Some(sweep);
        }
        self.note(|| format!("actor {id} sweeps L1"));
        self.write(sweep.node, sweep.key, None);
        self.nodes[sweep.node].shard.swept(&sweep.key);
        if let Some((floor, superseded)) = sweep.promise {
            self.judge
                .returned(sweep.node, sweep.key, floor, superseded, id);
        }
        None
    }
}
