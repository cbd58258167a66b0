//! The commands on their way to L2 and back.

use core::time::Duration;

use jetcache_core::Token;
use jetcache_core::machine::envelope;
use jetcache_core::machine::error::Fault;
use jetcache_core::machine::lookup::Seen;
use jetcache_core::machine::repair::Repair;
use jetcache_core::ports::remote::{
    Claim, Condition, Fill, Filled, Found, Hold, LeaseAsk, Life, Stored, Wire,
};

use super::judge::{ActorId, Id, Index};
use super::plan::Key;
use super::script::{Fate, Spot};
use super::world::{Actor, Happening, World};

pub(super) type CommandId = usize;

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verb {
    Read,
    Lease {
        token: Token,
        life: Duration,
    },
    Fill {
        token: Token,
        id: Id,
        life: Duration,
        lease: Duration,
        age: Duration,
    },
    Release {
        token: Token,
    },
    Claim {
        token: Token,
        life: Duration,
        condition: Option<Condition>,
    },
    Remove,
}

/// What comes back. An entry comes with what the judge knows it to be.
#[derive(Clone, Debug)]
pub(super) enum Told {
    Read(Option<(Seen<Id>, Id)>),
    Leased(bool, Option<(Seen<Id>, Id)>),
    Filled(Filled),
    Claimed(bool),
    Done,
}

pub(super) struct Command {
    node: usize,
    key: Key,
    verb: Verb,
    sender: Sender,
    fate: Fate,
    deadline: u64,
    applied: u8,
    told: Option<Told>,
    /// When it was applied, if the reply says so.
    pub(super) applied_at: Option<Index>,
    pub(super) reply: Option<Result<Told, Fault>>,
}

/// Who waits for the reply.
pub(super) enum Sender {
    Actor(ActorId),
    Repair(Repair<Key>),
    /// It has given up or gone, or never waited.
    Nobody,
}

impl World {
    pub(super) fn send(&mut self, node: usize, key: Key, verb: Verb, sender: Sender) -> CommandId {
        let ask = match &sender {
            Sender::Actor(id) => self.asks[*id],
            Sender::Repair(_) | Sender::Nobody => usize::MAX,
        };
        self.send_for(node, key, verb, sender, ask)
    }

    fn send_for(
        &mut self,
        node: usize,
        key: Key,
        verb: Verb,
        sender: Sender,
        ask: usize,
    ) -> CommandId {
        let fate = self.fate(ask, verb.spot());
        let id = self.commands.len();
        self.note(|| format!("    command {id} of node {node}: {verb:?}, {fate:?}"));
        self.excuse_if_lost(verb, fate);
        let timeout = super::world::whole_millis(self.plan.policy.remote_timeout);
        let deadline = self.now + timeout;
        if let Some(there) = fate.applied {
            self.queue(self.now + there, Happening::Apply(id));
            if let Some((again, _)) = fate.again {
                self.queue(self.now + there + again, Happening::Apply(id));
            }
        }
        if let Some(error) = fate.error {
            self.queue(self.now + error, Happening::Reply(id));
        }
        self.queue(deadline, Happening::Timeout(id));
        self.commands.push(Command {
            node,
            key,
            verb,
            sender,
            fate,
            deadline,
            applied: 0,
            told: None,
            applied_at: None,
            reply: None,
        });
        id
    }

    /// What is lost, fails or is done twice may leave a lease behind that nobody knows of.
    fn excuse_if_lost(&mut self, verb: Verb, fate: Fate) {
        let lost = fate.applied.is_none() || fate.replied.is_none();
        match verb {
            Verb::Lease { token, .. } if lost || fate.error.is_some() || fate.again.is_some() => {
                self.judge.excuse(token);
            }
            Verb::Fill { token, .. } | Verb::Release { token, .. } if fate.applied.is_none() => {
                self.judge.excuse(token);
            }
            // A claim that is not followed by its fill stands for its short life.
            Verb::Claim { token, .. } => self.judge.excuse(token),
            _ => {}
        }
    }

    /// A lease is given back. Nobody waits for that.
    pub(super) fn release(&mut self, node: usize, key: Key, token: Token, ask: usize) {
        self.send_for(node, key, Verb::Release { token }, Sender::Nobody, ask);
    }

    pub(super) fn send_repair(&mut self, node: usize, repair: Repair<Key>) {
        let key = *repair.key();
        self.send(node, key, Verb::Remove, Sender::Repair(repair));
    }

    /// The command arrives at L2.
    pub(super) fn apply(&mut self, id: CommandId) {
        let Command {
            node, key, verb, ..
        } = self.commands[id];
        let told = self.applied(key, verb);
        self.note(|| format!("L2 applies command {id} of node {node}: {told:?}"));
        if matches!(verb, Verb::Claim { .. })
            && let Told::Claimed(true) = told
            && let Sender::Actor(actor) = self.commands[id].sender
            && let Some(Actor::Change(change)) = &self.actors[actor]
        {
            let value = change.value();
            if let Some(value) = value {
                self.judge.at(value).birth = self.index;
            }
        }
        let command = &mut self.commands[id];
        command.applied += 1;
        let Fate { again, replied, .. } = command.fate;
        let back = match (command.applied, again) {
            (1, Some((_, Some(_)))) => None,
            (1, _) => replied,
            (_, again) => again.and_then(|(_, back)| back),
        };
        if let Some(back) = back
            && command.fate.error.is_none()
        {
            command.told = Some(told);
            command.applied_at = Some(self.index);
            self.queue(self.now + back, Happening::Reply(id));
        }
    }

    fn applied(&mut self, key: Key, verb: Verb) -> Told {
        let now = self.server_clock();
        let name = ["a", "b"][usize::from(key)];
        match verb {
            Verb::Read => {
                let found = self.table.read(now, name, Wire::Native);
                Told::Read(self.seen(key, found))
            }
            Verb::Lease { token, life } => {
                let ask = LeaseAsk {
                    key: name,
                    token,
                    life,
                };
                let leased = self.table.lease(now, &ask, Wire::Native);
                if leased.granted {
                    let until = self.now + super::world::whole_millis(life);
                    self.judge.lease_applied(key, token, until, self.now);
                } else {
                    self.judge.lease_refused(key, token, self.now);
                }
                Told::Leased(leased.granted, self.seen(key, leased.found))
            }
            Verb::Fill {
                token,
                id,
                life,
                lease,
                age,
            } => {
                let bytes = self.encode(id, life);
                let value = Stored {
                    replaces: None,
                    bytes: &bytes,
                    life,
                    stale: Duration::ZERO,
                    lease,
                    age,
                };
                let fill = Fill {
                    key: name,
                    token,
                    value,
                };
                let filled = self.table.fill(now, &fill, Wire::Native);
                self.judge.fill_applied(key, token, id, filled);
                Told::Filled(filled)
            }
            Verb::Release { token } => {
                self.table.release(now, &Hold { key: name, token });
                self.judge.given_back(key, token);
                Told::Done
            }
            Verb::Claim {
                token,
                life,
                condition,
            } => {
                let claim = Claim {
                    key: name,
                    token,
                    life,
                    condition,
                };
                let granted = self.table.claim(now, &claim, Wire::Native);
                if granted {
                    let until = self.now + super::world::whole_millis(life);
                    self.judge.claim_applied(key, token, until, self.index);
                }
                Told::Claimed(granted)
            }
            Verb::Remove => {
                self.table.remove(name);
                self.judge.wiped(key, self.index);
                Told::Done
            }
        }
    }

    fn encode(&mut self, id: Id, life: Duration) -> Vec<u8> {
        let absent = self.judge.at(id).absent;
        let mut bytes = Vec::new();
        envelope::open(&mut bytes, (!absent).then_some(1));
        if !absent {
            bytes.extend_from_slice(&id.0.to_be_bytes());
        }
        envelope::seal(&mut bytes, life, Duration::ZERO);
        bytes
    }

    fn seen(&mut self, key: Key, found: Option<Found>) -> Option<(Seen<Id>, Id)> {
        let found = found?;
        let envelope = envelope::parse(&found.bytes).ok()?;
        let Life::Clock(clock) = found.life else {
            return None;
        };
        let left = envelope.left(clock);
        if left.is_zero() {
            return None;
        }
        let value = envelope.value.map(|(_, payload)| {
            let mut number = [0; 4];
            number.copy_from_slice(payload);
            Id(u32::from_be_bytes(number))
        });
        let id = self.judge.seen_in_l2(key, value, self.now);
        let age = Some(envelope.life.saturating_sub(left));
        Some((Seen { value, left, age }, id))
    }

    /// The reply arrives, in time or late.
    pub(super) fn reply(&mut self, id: CommandId) {
        let command = &mut self.commands[id];
        let reply = match (command.fate.error, command.told.take()) {
            (None, Some(told)) => Ok(told),
            _ => Err(Fault::Unreachable("the connection broke".into())),
        };
        self.note(|| format!("reply to command {id}: {reply:?}"));
        match core::mem::replace(&mut self.commands[id].sender, Sender::Nobody) {
            Sender::Actor(actor) => {
                let command = &mut self.commands[id];
                command.reply = Some(reply);
                command.sender = Sender::Actor(actor);
                self.turn_after(actor, Spot::Tell);
            }
            Sender::Repair(repair) => self.repaired(id, repair, reply.is_ok()),
            Sender::Nobody => {
                if matches!(reply, Ok(Told::Leased(true, _))) {
                    self.late_lease(id);
                }
            }
        }
    }

    pub(super) fn time_out(&mut self, id: CommandId) {
        let command = &mut self.commands[id];
        if command.reply.is_some() {
            return;
        }
        match core::mem::replace(&mut command.sender, Sender::Nobody) {
            Sender::Actor(actor) => {
                command.sender = Sender::Actor(actor);
                self.turn_after(actor, Spot::Tell);
            }
            Sender::Repair(repair) => {
                self.note(|| format!("command {id} has timed out"));
                self.repaired(id, repair, false);
            }
            Sender::Nobody => {}
        }
    }

    pub(super) fn verb(&self, id: CommandId) -> Verb {
        self.commands[id].verb
    }

    fn repaired(&mut self, id: CommandId, repair: Repair<Key>, acknowledged: bool) {
        let node = self.commands[id].node;
        self.machine(node, |shard, context, effects| {
            shard.repaired(repair, acknowledged, context, effects);
        });
    }

    /// What its sender finds when it looks: the reply, or that it has waited for too long.
    /// `None`: go on waiting.
    pub(super) fn awaited(&mut self, id: CommandId) -> Option<Result<Told, Fault>> {
        let command = &mut self.commands[id];
        if let Some(reply) = command.reply.clone() {
            command.sender = Sender::Nobody;
            return Some(reply);
        }
        if self.now < command.deadline {
            return None;
        }
        command.sender = Sender::Nobody;
        self.note(|| format!("command {id} has timed out"));
        Some(Err(Fault::Timeout))
    }

    /// Its sender is gone. A lease that was granted is still to be given back.
    pub(super) fn forsaken(&mut self, id: CommandId) {
        self.commands[id].sender = Sender::Nobody;
        if let Some(Ok(Told::Leased(true, _))) = self.commands[id].reply {
            self.late_lease(id);
        }
    }

    /// A lease was granted, and who asked for it has given up, gone, or been deposed.
    pub(super) fn late_lease(&mut self, id: CommandId) {
        let Command {
            node, key, verb, ..
        } = self.commands[id];
        let Verb::Lease { token, .. } = verb else {
            return;
        };
        let release = self.machine(node, |shard, context, _| shard.late_lease(token, context));
        self.note(|| format!("    late lease {token} of node {node}, to be released: {release}"));
        if release {
            self.release(node, key, token, usize::MAX);
        } else {
            self.judge.adopted(token);
        }
    }
}

impl Verb {
    fn spot(self) -> Spot {
        match self {
            Self::Read => Spot::Read,
            Self::Lease { .. } => Spot::Lease,
            Self::Fill { .. } => Spot::Fill,
            Self::Release { .. } => Spot::Release,
            Self::Claim { .. } => Spot::Claim,
            Self::Remove => Spot::Remove,
        }
    }
}
