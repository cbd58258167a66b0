//! Carries out the steps of a change, and gives the machine the replies.

use jetcache_core::machine::change;
use jetcache_core::machine::change::{ChangeOutcome, ChangeReply, ChangeStep, Reach};
use jetcache_core::machine::error::Fault;
use jetcache_core::machine::generations::tags::Tags;
use jetcache_core::machine::lookup::step::Release;
use jetcache_core::machine::tier::entry::Entry;
use jetcache_core::machine::tier::mark::Mark;
use jetcache_core::ports::remote::{Claimed, Condition, Filled, Placed};

use crate::sim::actors::actor::Actor;
use crate::sim::actors::change::{Change, Kind, State};
use crate::sim::fate::judge::{ActorId, Id, Writer};
use crate::sim::fate::promise::Promise;
use crate::sim::fate::script::Point;
use crate::sim::world::net::CommandId;
use crate::sim::world::nodes::Row;
use crate::sim::world::time::World;
use crate::sim::world::verb::{Receipt, Verb};

impl World {
    pub(crate) fn heard(
        &mut self,
        change: &mut Change,
        command: CommandId,
        reply: Result<Receipt, Fault>,
    ) -> ChangeReply<Id> {
        let applied_at = self.commands[command].applied_at;
        self.take_up_primary(change.node);
        if let Ok(receipt) = &reply
            && let Some(ticket) = &change.ticket
        {
            let answer = match receipt {
                Receipt::Claimed(claimed) => ChangeReply::Claimed(Ok(claimed.clone())),
                Receipt::Filled(filled) => ChangeReply::Settled(Ok(*filled)),
                Receipt::Put(placed, _) => ChangeReply::Put(Ok(*placed)),
                _ => ChangeReply::Removed(Ok(())),
            };
            // Another primary has taken over since, and the node does not believe it.
            let shard = &self.nodes[change.node].shard;
            if shard.disbelieves(ticket, &answer) {
                change.acknowledged = None;
                return answer;
            }
        }
        match (self.verb(command), reply) {
            (Verb::Remove { .. }, reply) => {
                change.acknowledged = applied_at.filter(|_| reply.is_ok());
                // An inserted value that is not in L2 may be in L1 from now on.
                if let Some(value) = change.value {
                    self.judge.at(value).put = self.index;
                }
                ChangeReply::Removed(reply.map(|_| ()))
            }
            (Verb::Claim { spares, .. }, Ok(receipt)) => {
                let Receipt::Claimed(claimed) = receipt else {
                    unreachable!("it was a claim");
                };
                let granted = matches!(claimed, Claimed::Granted(..));
                let present = matches!(change.kind, Kind::Insert(Some(Condition::Present)));
                // What has decided about it.
                change.stood = self.commands[command].stood.filter(|_| granted == present);
                if granted {
                    change.claimed = true;
                    if !spares {
                        change.acknowledged = applied_at;
                    }
                    self.bar(change, false);
                }
                ChangeReply::Claimed(Ok(claimed))
            }
            (Verb::Claim { .. }, Err(fault)) => ChangeReply::Claimed(Err(fault)),
            (Verb::Settle { id, .. }, Ok(Receipt::Filled(filled))) => {
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
            (Verb::Put { id, .. }, Ok(Receipt::Put(placed, _))) => {
                let fact = self.judge.at(id);
                let refused = placed != Placed::Stored;
                fact.refused |= refused;
                let birth = fact.birth;
                if refused && matches!(change.kind, Kind::Insert(Some(_))) {
                    self.bar(change, true);
                } else {
                    change.acknowledged = change.acknowledged.max(Some(birth));
                }
                ChangeReply::Put(Ok(placed))
            }
            (_, Ok(_)) => unreachable!("a change asks nothing else"),
            (_, Err(fault)) => ChangeReply::Put(Err(fault)),
        }
    }

    /// Whether nobody may see its value: that it was granted is not known yet, or not so.
    fn bar(&mut self, change: &Change, barred: bool) {
        if let Some(value) = change.value {
            self.judge.at(value).barred = barred;
        }
    }

    pub(crate) fn advance(
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
        if let (ChangeReply::Claimed(Ok(Claimed::Granted(..))), Some(value)) =
            (&reply, change.value)
        {
            self.judge.at(value).claimed = self.index;
        }
        if granted_alone {
            self.bar(&change, false);
        }
        let ticket = change.ticket.take().expect("it was opened");
        let step = self.machine(change.node, |shard, context, effects| {
            shard.advance(&ticket, context, reply, effects)
        });
        change.ticket = Some(ticket);
        self.note(|| format!("change {id} says {said}: {step:?}"));
        let Change { node, key, .. } = change;
        change.state = match step {
            ChangeStep::Ask(change::Wish::Remove(announce)) => {
                let verb = Verb::Remove { announce };
                State::Command(self.ask(node, key, verb, id))
            }
            ChangeStep::Ask(change::Wish::Claim {
                token,
                life,
                condition,
                dead,
                spares,
            }) => {
                let verb = Verb::Claim {
                    token,
                    life,
                    condition,
                    dead,
                    spares,
                    value: change
                        .value
                        .filter(|_| matches!(change.kind, Kind::Insert(_))),
                };
                State::Command(self.ask(node, key, verb, id))
            }
            ChangeStep::Ask(change::Wish::Put {
                token,
                times,
                born,
                condition,
                dead,
                spared,
                announce,
            }) => {
                let verb = Verb::Put {
                    token,
                    id: change.value.expect("only an insert puts"),
                    times,
                    born,
                    condition,
                    dead,
                    spared,
                    announce,
                };
                State::Command(self.ask(node, key, verb, id))
            }
            ChangeStep::Ask(change::Wish::Release { token }) => {
                self.turn_after(id, Point::Step);
                self.release(node, key, Release::of(token), self.asks[id]);
                State::Step(ChangeReply::Released)
            }
            ChangeStep::Ask(change::Wish::Write) => self.begin_writing(id, &mut change),
            ChangeStep::Ask(change::Wish::Settle {
                token,
                value,
                mark,
                tags,
                born,
                times,
                announce,
            }) => {
                let mark = mark.as_ref().map(Mark::bytes);
                let wrote = self.wrote(&change, value, mark);
                self.judge_tags(wrote, &tags);
                if self.encodes(&change) {
                    let verb = Verb::Settle {
                        token,
                        id: wrote,
                        times,
                        born,
                        announce,
                    };
                    State::Command(self.ask(node, key, verb, id))
                } else {
                    self.turn_after(id, Point::Step);
                    let fault = Fault::Encode("as the plan says".into());
                    State::Step(ChangeReply::Settled(Err(fault)))
                }
            }
            ChangeStep::Wait(pending) => State::Wait(pending, None),
            ChangeStep::ReadLocal => {
                // From now on others may overtake it.
                change.opened = self.index;
                if let (Kind::Insert(_), Some(value)) = (change.kind, change.value) {
                    self.judge.at(value).barred = true;
                }
                self.turn_after(id, Point::Look);
                State::Look
            }
            ChangeStep::Apply { after, entry } => {
                change.superseded = Some(self.index);
                self.judge.superseded(node, key, self.index);
                // Its value was born when L2 took the claim; without a claim, now.
                let claimed = change.claimed && !change.wish.skip_remote;
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

    pub(crate) fn put(&mut self, id: ActorId, change: &Change, entry: Entry<Id>) {
        let id_of = self.wrote(change, entry.value().copied(), entry.mark());
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

    /// Checks that the machine has kept the tags of a value.
    pub(crate) fn judge_tags(&mut self, id: Id, tags: &Tags) {
        let known = self.judge.at(id).tags;
        self.judge.rule(known.tags() == *tags, Promise::P6, || {
            format!("{id:?} has {known:?}, and {tags:?} are to be kept with it")
        });
    }

    fn returned(&mut self, id: ActorId, mut change: Change, outcome: ChangeOutcome) {
        let Change { node, key, .. } = change;
        let ticket = change.ticket.take().expect("it was opened");
        self.machine(node, |shard, _, effects| shard.close(ticket, effects));
        self.judge_condition(&change, outcome);
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
            ChangeOutcome::Made(Reach::Everywhere | Reach::NotStored)
            | ChangeOutcome::Applied(_) => change
                .acknowledged
                .or(change.superseded.filter(|_| alone))
                .or(Some(change.begun)),
        };
        self.note(|| format!("change {id} returns {outcome:?}, nothing before {floor:?}"));
        if let Some(floor) = floor {
            self.judge.returned(node, key, floor, change.superseded, id);
            self.judge.lasts(node, key, floor);
            let pending = matches!(
                outcome,
                ChangeOutcome::Made(Reach::Pending) | ChangeOutcome::Undecided
            );
            self.obliged(node, key, floor, pending);
            self.read_back(node, key);
        }
    }
}
