//! The commands on their way to L2 and back.

use jetcache_core::machine::error::Fault;
use jetcache_core::machine::generations::known::Known;
use jetcache_core::machine::generations::scope::Mark;
use jetcache_core::machine::lookup::step::Release;
use jetcache_core::machine::shard::repairs::{Cure, Repair};
use jetcache_core::machine::tier::verb::Granted;
use jetcache_core::machine::tier::verb::{Announce, Extended, Filled};
use jetcache_core::ports::remote::Wire;

use crate::sim::fate::judge::{ActorId, Id, Index};
use crate::sim::fate::plan::{Key, What};
use crate::sim::fate::script::{Fate, Point};
use crate::sim::generations::judging::Floors;
use crate::sim::world::bus::Bus;
use crate::sim::world::nodes::Node;
use crate::sim::world::time::{Happening, World, whole_millis};
use crate::sim::world::verb::{Receipt, Said, Verb};

pub(crate) type CommandId = usize;

pub(crate) struct Command {
    node: usize,
    /// Which life of it.
    life: u32,
    key: Key,
    ask: usize,
    verb: Verb,
    sent: Index,
    /// The primary that its sender knew, and the one to which it goes.
    pub(crate) known: u64,
    primary: u64,
    /// The number of the junk that it found.
    pub(crate) junk: Option<Index>,
    sender: Sender,
    fate: Fate,
    deadline: u64,
    applied: u8,
    receipt: Option<Receipt>,
    /// When it was applied, if the reply says so.
    pub(crate) applied_at: Option<Index>,
    /// The highest number of the log that it showed, if it did, and what its sender had heard of then.
    pub(crate) top: Option<Option<Mark>>,
    pub(crate) asked: Known,
    /// When it was sent, in milliseconds.
    pub(crate) sent_at: u64,
    /// What stood there when a claim was judged.
    pub(crate) stood: Option<Id>,
    /// What a raise is about.
    pub(crate) floors: Floors,
    /// Which raises had been acknowledged anywhere when it was sent.
    pub(crate) raised: Floors,
    pub(crate) reply: Option<Result<Receipt, Fault>>,
}

/// Who waits for the reply.
pub(crate) enum Sender {
    Actor(ActorId),
    Repair(Repair<Key>),
    /// The sender has given up or gone, or never waited.
    Nobody,
}

impl World {
    pub(crate) fn send(&mut self, node: usize, key: Key, verb: Verb, sender: Sender) -> CommandId {
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
        let mut fate = self.fate(ask, verb.point());
        if matches!(verb, Verb::Renew { .. }) {
            // Nobody sends it twice, and a connection doubles nothing (PROTOCOL.md, Sent once).
            fate.again = None;
        }
        let id = self.commands.len();
        // Of the leases that fail by the dice L2 refuses some, since it is full or read-only.
        let drawn = self.plan.chance.script.is_none();
        let fails = drawn && fate.error.is_some() && fate.applied.is_none();
        fate.refused |= fails && matches!(verb, Verb::Lease { .. }) && id % 2 == 1;
        self.note(|| format!("    command {id} of node {node}: {verb:?}, {fate:?}"));
        self.excuse_if_lost(verb, fate);
        let timeout = whole_millis(self.plan.policy.remote_timeout);
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
            known: self.nodes[node].known,
            primary: self.primaries.count,
            junk: None,
            sender,
            fate,
            deadline,
            applied: 0,
            receipt: None,
            applied_at: None,
            top: None,
            sent_at: self.now,
            stood: None,
            floors: Floors::default(),
            asked: self.nodes[node].generations.known(),
            raised: self.judge.acknowledged(),
            reply: None,
        });
        id
    }

    /// A command that is lost, fails or arrives twice may leave a lease behind that nobody knows
    /// of.
    fn excuse_if_lost(&mut self, verb: Verb, fate: Fate) {
        let lost = fate.applied.is_none() || fate.replied.is_none();
        match verb {
            Verb::Lease { token, .. } if lost || fate.error.is_some() || fate.again.is_some() => {
                self.judge.excuse(token);
            }
            // Nobody knows how long the lease stands, so nobody asks for another one in its place.
            Verb::Renew { token, .. } if lost => self.judge.excuse(token),
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

    /// Gives a lease back. Nobody waits for the reply.
    pub(crate) fn release(&mut self, node: usize, key: Key, lease: Release, ask: usize) {
        let Release { token, failing } = lease;
        let verb = Verb::Release { token, failing };
        self.send_for(node, key, verb, Sender::Nobody, ask);
    }

    pub(crate) fn send_repair(&mut self, node: usize, repair: Repair<Key>) {
        let key = *repair.key();
        let verb = match repair.cure() {
            Cure::Remove => Verb::Remove {
                announce: Announce::Yes,
            },
            Cure::Clear => Verb::Remove {
                announce: Announce::No,
            },
            Cure::Unload => Verb::Unload,
        };
        self.send(node, key, verb, Sender::Repair(repair));
    }

    /// The command arrives at L2.
    pub(crate) fn apply(&mut self, id: CommandId) {
        let Command {
            node,
            key,
            verb,
            primary,
            ..
        } = self.commands[id];
        if primary != self.primaries.count {
            return self.excuse_if_lost(verb, Fate::lost());
        }
        self.meet_primary(node);
        let receipt = self.applied(id, key, verb);
        self.note(|| format!("L2 applies command {id} of node {node}: {receipt:?}"));
        let said = self.said(id, &receipt);
        self.owe_fill(id, &receipt);
        self.announce(id, said, verb.touches(&receipt));
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
            command.receipt = Some(receipt);
            command.applied_at = Some(self.index);
            self.queue(self.now + back, Happening::Reply(id));
        }
    }

    /// L2 was filled with what a load brought, and that is to be told: in the end the other nodes
    /// have nothing older.
    fn owe_fill(&mut self, id: CommandId, receipt: &Receipt) {
        let Command {
            node,
            key,
            verb,
            ask,
            ..
        } = self.commands[id];
        let stored = matches!(
            receipt,
            Receipt::Filled(Filled::Stored) | Receipt::Extended(Extended::Stored)
        );
        let refreshes =
            matches!(self.plan.asks.get(ask), Some(ask) if matches!(ask.what, What::Refresh(..)));
        let told = refreshes || self.plan.fleet.wire == Wire::JetcacheGo;
        // A node that publishes may not know that L2 took it.
        let always = matches!(self.plan.fleet.bus, Bus::WithChange | Bus::Watched);
        if let Verb::Fill { id, .. } | Verb::Extend { id, .. } = verb
            && verb.is_loads_fill()
            && stored
            && told
            && always
        {
            let birth = self.judge.at(id).birth;
            self.judge.is_due_elsewhere(key, birth, node);
        }
    }

    /// What the others are told of it, if anything.
    fn said(&mut self, id: CommandId, receipt: &Receipt) -> Option<Said> {
        let Command {
            verb, sent, ask, ..
        } = self.commands[id];
        // A repeated removal is no new change.
        let sent = if ask == usize::MAX { 0 } else { sent };
        let birth = match verb {
            Verb::Settle { id, .. }
            | Verb::Put { id, .. }
            | Verb::Fill { id, .. }
            | Verb::Extend { id, .. } => self.judge.at(id).birth,
            _ => sent,
        };
        verb.said(receipt, sent, birth)
    }

    /// The reply arrives, in time or late.
    pub(crate) fn reply(&mut self, id: CommandId) {
        if self.commands[id].is_orphaned(&self.nodes) {
            return;
        }
        let command = &mut self.commands[id];
        let reply = match (command.fate.error, command.receipt.take()) {
            (None, Some(receipt)) => {
                let node = &mut self.nodes[command.node];
                if node.met == command.known {
                    node.answered = self.now;
                }
                Ok(receipt)
            }
            _ if command.fate.refused => Err(Fault::Refused("L2 is full".into())),
            _ if command.fate.unsent => Err(Fault::NotAsked("the breaker is open".into())),
            _ => Err(Fault::Unreachable("the connection broke".into())),
        };
        self.note(|| format!("reply to command {id}: {reply:?}"));
        match core::mem::replace(&mut self.commands[id].sender, Sender::Nobody) {
            Sender::Actor(actor) => {
                let command = &mut self.commands[id];
                command.reply = Some(reply);
                command.sender = Sender::Actor(actor);
                self.turn_after(actor, Point::Step);
            }
            Sender::Repair(repair) => {
                self.acknowledged(id, &reply);
                self.repaired(id, repair, reply.is_ok());
            }
            Sender::Nobody => {
                if matches!(reply, Ok(Receipt::Leased(Granted::Yes, _))) {
                    self.late_lease(id);
                }
            }
        }
    }

    pub(crate) fn time_out(&mut self, id: CommandId) {
        let command = &mut self.commands[id];
        if command.reply.is_some() {
            return;
        }
        match core::mem::replace(&mut command.sender, Sender::Nobody) {
            Sender::Actor(actor) => {
                command.sender = Sender::Actor(actor);
                self.turn_after(actor, Point::Step);
            }
            Sender::Repair(repair) => {
                self.note(|| format!("command {id} has timed out"));
                self.repaired(id, repair, false);
            }
            Sender::Nobody => {}
        }
    }

    /// The sender knows now that L2 took it.
    fn acknowledged(&mut self, id: CommandId, reply: &Result<Receipt, Fault>) {
        if let Ok(receipt) = reply
            && let Some(said) = self.said(id, receipt)
        {
            self.tell_of(id, said);
        }
    }

    pub(crate) fn verb(&self, id: CommandId) -> Verb {
        self.commands[id].verb
    }

    fn repaired(&mut self, id: CommandId, repair: Repair<Key>, acknowledged: bool) {
        let node = self.commands[id].node;
        self.machine(node, |shard, context, effects| {
            shard.repaired(repair, acknowledged, context, effects);
        });
    }

    /// What the sender finds when it looks: the reply, a timeout, or nothing yet (`None`).
    pub(crate) fn awaited(&mut self, id: CommandId) -> Option<Result<Receipt, Fault>> {
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

    /// The sender is gone. If a lease was granted, it must still be given back.
    pub(crate) fn forsaken(&mut self, id: CommandId) {
        self.commands[id].sender = Sender::Nobody;
        if self.commands[id].is_granted() {
            self.late_lease(id);
        }
    }

    /// A lease was granted to an asker that has given up, gone or been deposed.
    pub(crate) fn late_lease(&mut self, id: CommandId) {
        let Command {
            node, key, verb, ..
        } = self.commands[id];
        let Verb::Lease { token, .. } = verb else {
            return;
        };
        let release = self.machine(node, |shard, context, _| shard.late_lease(token, context));
        self.note(|| format!("    late lease {token} of node {node}, to be released: {release}"));
        if release {
            self.release(node, key, Release::of(token), usize::MAX);
        } else {
            self.judge.adopted(token);
        }
    }
}

impl Command {
    /// The node and the life of it that sent it.
    pub(crate) fn source(&self) -> (usize, u32) {
        (self.node, self.life)
    }

    /// Whether its sender has heard that it has the lease.
    pub(crate) fn is_granted(&self) -> bool {
        matches!(self.reply, Some(Ok(Receipt::Leased(Granted::Yes, _))))
    }

    pub(crate) fn key(&self) -> Key {
        self.key
    }

    pub(crate) fn ask(&self) -> usize {
        self.ask
    }

    /// Its node has died, so nobody waits for it.
    pub(crate) fn orphan(&mut self, node: usize) {
        if self.node == node {
            self.sender = Sender::Nobody;
        }
    }

    fn is_orphaned(&self, nodes: &[Node]) -> bool {
        nodes[self.node].life != self.life
    }
}
