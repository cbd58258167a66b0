//! The commands on their way to L2 and back.

use core::time::Duration;

use jetcache_core::Token;
use jetcache_core::machine::error::Fault;
use jetcache_core::machine::lookup::step::Seen;
use jetcache_core::machine::shard::repairs::Repair;
use jetcache_core::machine::tier::envelope;
use jetcache_core::machine::tier::verb::{Announce, Times};
use jetcache_core::machine::tier::wire::PLACEHOLDER;
use jetcache_core::ports::remote::{
    Claim, Condition, Fill, Filled, Found, Hold, LeaseAsk, Life, Settle, Stored, Wire,
};

use super::bus::Said;
use super::foreign::junk;
use super::judge::{ActorId, Id, Index};
use super::plan::Key;
use super::script::{Fate, Spot};
use super::world::{Happening, Node, World};

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
        times: Times,
        /// The number of the junk that it may replace.
        junk: Option<Index>,
        announce: Announce,
    },
    Release {
        token: Token,
    },
    Claim {
        token: Token,
        life: Duration,
        condition: Option<Condition>,
        /// What the insert that claims brings.
        value: Option<Id>,
        announce: Announce,
    },
    Settle {
        token: Token,
        id: Id,
        times: Times,
        announce: Announce,
    },
    Remove {
        announce: Announce,
    },
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
    /// Which life of it.
    life: u32,
    key: Key,
    ask: usize,
    verb: Verb,
    sent: Index,
    /// The number of the junk that it showed.
    pub(super) junk: Option<Index>,
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
            life: self.nodes[node].life,
            key,
            ask,
            verb,
            sent: self.index,
            junk: None,
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
            Verb::Fill { token, .. } | Verb::Settle { token, .. } | Verb::Release { token, .. }
                if fate.applied.is_none() =>
            {
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
        let announce = repair.announce();
        self.send(node, key, Verb::Remove { announce }, Sender::Repair(repair));
    }

    /// The command arrives at L2.
    pub(super) fn apply(&mut self, id: CommandId) {
        let Command {
            node, key, verb, ..
        } = self.commands[id];
        let told = self.applied(id, key, verb);
        self.note(|| format!("L2 applies command {id} of node {node}: {told:?}"));
        let said = self.said(id, &told);
        self.announce(id, said, verb.touches(&told));
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

    /// What is said of it, if anything is.
    fn said(&mut self, id: CommandId, told: &Told) -> Option<Said> {
        let Command {
            verb, sent, ask, ..
        } = self.commands[id];
        // What is repeated is no new change.
        let sent = if ask == usize::MAX { 0 } else { sent };
        let birth = match verb {
            Verb::Settle { id, .. } => self.judge.at(id).birth,
            _ => sent,
        };
        verb.said(told, sent, birth)
    }

    fn applied(&mut self, command: CommandId, key: Key, verb: Verb) -> Told {
        let now = self.server_clock();
        let wire = self.plan.fleet.wire;
        let name = name(key);
        match verb {
            Verb::Read => {
                let found = self.table.read(now, name, wire);
                Told::Read(self.seen(command, key, found))
            }
            Verb::Lease { token, life } => {
                let ask = LeaseAsk {
                    key: name,
                    token,
                    life,
                };
                let leased = self.table.lease(now, &ask, wire);
                if leased.granted {
                    let until = self.now + super::world::whole_millis(life);
                    self.judge.lease_applied(key, token, until, self.now);
                } else {
                    self.judge.lease_refused(key, token, self.now);
                }
                Told::Leased(leased.granted, self.seen(command, key, leased.found))
            }
            Verb::Fill {
                token,
                id,
                times: Times { life, lease, age },
                junk: replaces,
                ..
            } => {
                let bytes = self.encode(id, life);
                let replaces = replaces.map(junk);
                let value = Stored {
                    replaces: replaces.as_deref(),
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
                let filled = self.table.fill(now, &fill, wire);
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
                value,
                ..
            } => {
                let claim = Claim {
                    key: name,
                    token,
                    life,
                    condition,
                };
                let granted = self.table.claim(now, &claim, wire);
                if granted {
                    let until = self.now + super::world::whole_millis(life);
                    self.judge.claim_applied(key, token, until, self.index);
                    if let Some(value) = value {
                        self.judge.at(value).birth = self.index;
                    }
                }
                Told::Claimed(granted)
            }
            Verb::Settle {
                token,
                id,
                times: Times { life, lease, age },
                ..
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
                let settle = Settle {
                    key: name,
                    token: Some(token),
                    value,
                };
                let filled = self.table.settle(now, &settle, wire);
                let index = self.index;
                self.judge.settle_applied(key, token, id, filled, index);
                Told::Filled(filled)
            }
            Verb::Remove { .. } => {
                self.table.remove(name);
                self.judge.wiped(key, self.index);
                Told::Done
            }
        }
    }

    pub(super) fn encode(&mut self, id: Id, life: Duration) -> Vec<u8> {
        let absent = self.judge.at(id).absent;
        if self.plan.fleet.wire == Wire::JetcacheGo {
            return match absent {
                true => PLACEHOLDER.to_vec(),
                false => [&b"v"[..], &id.0.to_be_bytes()].concat(),
            };
        }
        let mut bytes = Vec::new();
        envelope::open(&mut bytes, (!absent).then_some(1));
        if !absent {
            bytes.extend_from_slice(&id.0.to_be_bytes());
        }
        envelope::seal(&mut bytes, life, Duration::ZERO);
        bytes
    }

    fn seen(
        &mut self,
        command: CommandId,
        key: Key,
        found: Option<Found>,
    ) -> Option<(Seen<Id>, Id)> {
        let Some(found) = found else {
            // If there was a value, its time is over.
            self.vanished(key);
            return None;
        };
        let (left, life, payload) = match found.life {
            Life::Clock(clock) => {
                let envelope = envelope::parse(&found.bytes).ok()?;
                let payload = envelope.value.map(|(_, payload)| payload);
                (envelope.left(clock), Some(envelope.life), payload)
            }
            Life::Left(left) => match &found.bytes[..] {
                PLACEHOLDER => (left, None, None),
                [b'v', payload @ ..] => (left, None, Some(payload)),
                [_, number @ ..] => {
                    let number = core::str::from_utf8(number).ok()?;
                    self.commands[command].junk = number.parse().ok();
                    return None;
                }
                [] => return None,
            },
            _ => return None,
        };
        if left.is_zero() {
            return None;
        }
        let value = payload.map(|payload| {
            let mut number = [0; 4];
            number.copy_from_slice(payload);
            Id(u32::from_be_bytes(number))
        });
        let id = self.judge.seen_in_l2(key, value, self.now);
        let age = life.map(|life| life.saturating_sub(left));
        Some((Seen { value, left, age }, id))
    }

    /// The reply arrives, in time or late.
    pub(super) fn reply(&mut self, id: CommandId) {
        if self.commands[id].is_orphaned(&self.nodes) {
            return;
        }
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
            Sender::Repair(repair) => {
                self.acknowledged(id, &reply);
                self.repaired(id, repair, reply.is_ok());
            }
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

    /// Its sender knows that L2 took it.
    fn acknowledged(&mut self, id: CommandId, reply: &Result<Told, Fault>) {
        if let Ok(told) = reply
            && let Some(said) = self.said(id, told)
        {
            self.tell_of(id, said);
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
            self.acknowledged(id, &reply);
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
            Self::Settle { .. } => Spot::Settle,
            Self::Remove { .. } => Spot::Remove,
        }
    }

    /// Whether it writes under the key.
    fn touches(self, told: &Told) -> bool {
        matches!(
            (self, told),
            (Self::Remove { .. } | Self::Settle { .. }, _)
                | (Self::Claim { .. }, Told::Claimed(true))
                | (Self::Fill { .. }, Told::Filled(Filled::Stored))
        )
    }
}

impl Command {
    /// The node and the life of it that sent it.
    pub(super) fn source(&self) -> (usize, u32) {
        (self.node, self.life)
    }

    pub(super) fn key(&self) -> Key {
        self.key
    }

    pub(super) fn ask(&self) -> usize {
        self.ask
    }

    /// Nobody waits for it any more, if the node has died.
    pub(super) fn orphan(&mut self, node: usize) {
        if self.node == node {
            self.sender = Sender::Nobody;
        }
    }

    fn is_orphaned(&self, nodes: &[Node]) -> bool {
        nodes[self.node].life != self.life
    }
}

/// The name of a key.
pub(super) fn name(key: Key) -> &'static str {
    ["a", "b"][usize::from(key)]
}
