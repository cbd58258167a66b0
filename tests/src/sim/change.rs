//! A change, on a task of its own.

use jetcache_core::machine::change::{
    self, ChangeOutcome, ChangeReply, ChangeStep, ChangeTicket, Plan, Reach,
};
use jetcache_core::machine::error::Fault;
use jetcache_core::machine::shard::Pending;
use jetcache_core::machine::tier::entry::Entry;
use jetcache_core::ports::remote::{Condition, Filled};

use super::hearing::Sweep;
use super::judge::{ActorId, Id, Index, Writer};
use super::plan::{Ask, KEYS, Key, What, Wish, Writes};
use super::script::Spot;
use super::wire::{CommandId, Sender, Told, Verb};
use super::world::{Actor, Node, Row, World, whole_millis};
use super::writing::Writing;

pub(super) struct Change {
    pub(super) node: usize,
    pub(super) key: Key,
    pub(super) wish: Wish,
    pub(super) kind: Kind,
    pub(super) value: Option<Id>,
    /// What is older must not be read when it has returned, whatever L2 says; and since when L1 is
    /// its own to judge.
    pub(super) begun: Index,
    opened: Index,
    /// When L2 took it, if L2 said so.
    pub(super) acknowledged: Option<Index>,
    superseded: Option<Index>,
    pub(super) state: State,
    ticket: Option<ChangeTicket>,
    pub(super) told_to_write: bool,
}

/// What it does to the key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Invalidate,
    Insert(Option<Condition>),
    /// `deserted`: its caller is gone, and the writer with it.
    WriteThrough {
        writer: Writes,
        deserted: bool,
    },
}

pub(super) enum State {
    Open,
    /// Its caller writes the database.
    Writing(Writing),
    Tell(ChangeReply<Id>),
    Command(CommandId),
    /// It waits for writes, and then goes on.
    Wait(Pending, Option<Option<Entry<Id>>>),
    Look,
    Remove(Option<Entry<Id>>),
    Write(Entry<Id>),
    Moving,
}

impl Change {
    pub(super) fn node(&self) -> usize {
        self.node
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
        matches!(self.state, State::Command(_) | State::Writing(_))
    }
}

impl World {
    pub(super) fn change(&mut self, ask: &Ask) -> Change {
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
                self.judge.at(id).barred = condition.is_some();
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
            acknowledged: None,
            superseded: None,
            state: State::Open,
            ticket: None,
            told_to_write: false,
        }
    }

    pub(super) fn change_turn(&mut self, id: ActorId, mut change: Change) -> Option<Actor> {
        match core::mem::replace(&mut change.state, State::Moving) {
            State::Open => self.open(id, &mut change),
            State::Tell(reply) => return self.advance(id, change, reply),
            State::Writing(writing) => return self.writing(id, change, writing),
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
            shard.open(key, plan, context, effects)
        });
        self.note(|| format!("change {id} opens"));
        change.ticket = Some(ticket);
        change.state = State::Tell(ChangeReply::Begin);
        self.turn_after(id, Spot::Tell);
    }

    fn heard(
        &mut self,
        change: &mut Change,
        command: CommandId,
        reply: Result<Told, Fault>,
    ) -> ChangeReply<Id> {
        let applied_at = self.commands[command].applied_at;
        match (self.verb(command), reply) {
            (Verb::Remove { .. }, reply) => {
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
            (Verb::Settle { id, .. }, Ok(Told::Filled(filled))) => {
                let stored = filled == Filled::Stored;
                let fact = self.judge.at(id);
                fact.refused |= !stored;
                change.acknowledged = if stored { Some(fact.birth) } else { applied_at };
                ChangeReply::Settled(Ok(filled))
            }
            (Verb::Settle { .. }, Err(fault)) => {
                change.acknowledged = None;
                ChangeReply::Settled(Err(fault))
            }
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

    pub(super) fn advance(
        &mut self,
        id: ActorId,
        mut change: Change,
        reply: ChangeReply<Id>,
    ) -> Option<Actor> {
        let said = format!("{reply:?}");
        let granted_alone = matches!(
            (&reply, change.kind),
            (
                ChangeReply::Local(true),
                Kind::Insert(Some(Condition::Present))
            ) | (
                ChangeReply::Local(false),
                Kind::Insert(Some(Condition::Absent))
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
            ChangeStep::Ask(change::Wish::Remove(announce)) => {
                let verb = Verb::Remove { announce };
                State::Command(self.send(node, key, verb, Sender::Actor(id)))
            }
            ChangeStep::Ask(change::Wish::Claim {
                token,
                life,
                condition,
                announce,
            }) => {
                let verb = Verb::Claim {
                    token,
                    life,
                    condition,
                    value: change
                        .value
                        .filter(|_| matches!(change.kind, Kind::Insert(_))),
                    announce,
                };
                State::Command(self.send(node, key, verb, Sender::Actor(id)))
            }
            ChangeStep::Ask(change::Wish::Fill {
                token,
                times,
                announce,
            }) => {
                let verb = Verb::Fill {
                    token,
                    id: change.value.expect("only an insert fills"),
                    times,
                    junk: None,
                    announce,
                };
                State::Command(self.send(node, key, verb, Sender::Actor(id)))
            }
            ChangeStep::Ask(change::Wish::Write) => self.begin_writing(id, &mut change),
            ChangeStep::Ask(change::Wish::Settle {
                token,
                value,
                times,
                announce,
            }) => {
                let wrote = self.wrote(&change, value);
                if self.encodes(&change) {
                    let verb = Verb::Settle {
                        token,
                        id: wrote,
                        times,
                        announce,
                    };
                    State::Command(self.send(node, key, verb, Sender::Actor(id)))
                } else {
                    self.turn_after(id, Spot::Tell);
                    let fault = Fault::Encode("as the plan says".into());
                    State::Tell(ChangeReply::Settled(Err(fault)))
                }
            }
            ChangeStep::Wait(pending) => State::Wait(pending, None),
            ChangeStep::ReadLocal => {
                // It is from this moment that others may overtake it.
                change.opened = self.index;
                if let (Kind::Insert(_), Some(value)) = (change.kind, change.value) {
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
                if let (Kind::Insert(_), Some(value), false) = (change.kind, change.value, claimed)
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
        let id_of = self.wrote(change, entry.value().copied());
        let row = Row {
            id: id_of,
            entry,
            writer: Writer {
                actor: id,
                opened: change.opened,
            },
            at: self.now,
        };
        self.write(change.node, change.key, Some(row));
    }

    fn returned(&mut self, id: ActorId, mut change: Change, outcome: ChangeOutcome) {
        let Change { node, key, .. } = change;
        let ticket = change.ticket.take().expect("it was opened");
        self.machine(node, |shard, _, effects| shard.close(ticket, effects));
        let inserts = !matches!(change.kind, Kind::WriteThrough { .. });
        let alone = inserts && !self.plan.policy.kind.has_remote();
        let floor = match outcome {
            // Refused, it changed nothing.
            ChangeOutcome::Applied(false) | ChangeOutcome::Undecided
                if change.superseded.is_none() =>
            {
                None
            }
            ChangeOutcome::Made(Reach::Pending) | ChangeOutcome::Undecided => Some(change.begun),
            ChangeOutcome::Made(Reach::Everywhere) | ChangeOutcome::Applied(_) => change
                .acknowledged
                .or(change.superseded.filter(|_| alone))
                .or(Some(change.begun)),
        };
        self.note(|| format!("change {id} returns {outcome:?}, nothing before {floor:?}"));
        if let Some(floor) = floor {
            self.judge.returned(node, key, floor, change.superseded, id);
            let pending = matches!(
                outcome,
                ChangeOutcome::Made(Reach::Pending) | ChangeOutcome::Undecided
            );
            self.obliged(node, key, floor, pending);
            self.read_back(node, key);
        }
    }

    /// Its task is gone.
    pub(super) fn change_dropped(&mut self, id: ActorId, mut change: Change) -> Option<Actor> {
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
            State::Command(command) => self.forsaken(command),
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
            begun: Some(change.begun),
        }))
    }
}
