//! The bus: who is told of what, when, and what gets lost on the way.
//!
//! A node that is cut off hears nothing and does not know; some time later it notices, subscribes
//! anew, and forgets everything when that is acknowledged (PROTOCOL.md, H3). What was sent to its old
//! subscription and has not arrived by the cut is lost.

use jetcache_core::machine::tier::verb::Announce;

use super::judge::Index;
use super::plan::Key;
use super::script::Spot;
use super::wire::{CommandId, Verb};
use super::world::{Happening, World};

/// Who tells the nodes of a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bus {
    /// Nobody.
    #[default]
    None,
    /// L2, in the same step as the change.
    Announced,
    /// The node that made the change, after L2 has acknowledged it.
    Told,
    /// L2, of whatever is written under the key, by whomsoever.
    Watched,
}

pub(super) type MessageId = usize;

/// What is said: that a key has changed, or anything may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message {
    pub(super) key: Key,
    /// It was removed.
    pub(super) removed: bool,
    /// The node that says so, and which life of it.
    pub(super) source: Option<(usize, u32)>,
    /// When somebody who knows nothing of leases made the change.
    pub(super) foreign: Option<Index>,
    /// What is older must not be read when it has arrived everywhere.
    due: Index,
    ask: usize,
}

impl Message {
    /// The key has changed, says nobody.
    pub(super) fn of(key: Key) -> Self {
        Self {
            key,
            removed: false,
            source: None,
            foreign: None,
            due: 0,
            ask: usize::MAX,
        }
    }
}

/// How a node hears.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ear {
    /// The number of its subscription.
    subscription: u32,
    /// Whether what is said now will be heard.
    pub(super) stands: bool,
    /// Since when the node knows that it hears nothing.
    pub(super) down: Option<u64>,
}

/// What happens to the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Moment {
    Publish(MessageId, usize, u32),
    Foreign(MessageId),
    /// To a subscription of a node's life.
    Deliver(MessageId, usize, u32, u32),
    Cut(usize),
    Notice(usize, u32, u32),
    /// It has been deaf since then for as long as L1 may keep what it has.
    Blind(usize, u32, u64),
    Subscribe(usize, u32),
    Subscribed(usize, u32, u32),
}

impl World {
    pub(super) fn bus(&mut self, moment: Moment) {
        let now = self.now;
        match moment {
            Moment::Publish(message, node, life) => {
                if self.nodes[node].life == life && self.nodes[node].alive {
                    self.publish(message);
                }
            }
            Moment::Foreign(message) => self.publish(message),
            Moment::Deliver(message, node, life, subscription) => {
                self.deliver(message, node, life, subscription);
            }
            Moment::Cut(which) => self.cut(which),
            Moment::Notice(node, life, subscription) => {
                if let Some(ear) = self.ear(node, life)
                    && ear.subscription == subscription
                {
                    ear.down = Some(now);
                    self.is_deaf(node, life);
                }
            }
            Moment::Blind(node, life, since) => {
                if let Some(ear) = self.ear(node, life)
                    && ear.down == Some(since)
                {
                    self.note(|| format!("node {node} has been deaf for too long"));
                    self.hear_of_everything(node);
                }
            }
            Moment::Subscribe(node, life) => self.subscribe(node, life),
            Moment::Subscribed(node, life, subscription) => {
                let Some(ear) = self.ear(node, life) else {
                    return;
                };
                if ear.subscription == subscription {
                    ear.down = None;
                    self.note(|| format!("node {node} has subscribed"));
                    self.hear_of_everything(node);
                }
            }
        }
    }

    fn ear(&mut self, node: usize, life: u32) -> Option<&mut Ear> {
        let node = &mut self.nodes[node];
        (node.life == life && node.alive).then_some(&mut node.ear)
    }

    fn is_deaf(&mut self, node: usize, life: u32) {
        self.note(|| format!("node {node} notices that it hears nothing"));
        let now = self.now;
        let pause = self.plan.fleet.air.pause(&mut self.plan.chance);
        self.queue(now + pause, Happening::Bus(Moment::Subscribe(node, life)));
        if let Some(blind) = &self.plan.fleet.blind {
            let cap = super::world::whole_millis(blind.local_cap);
            let blind = Moment::Blind(node, life, now);
            self.queue(now + cap, Happening::Bus(blind));
        }
    }

    /// The server takes the subscription; its acknowledgement is on its way.
    fn subscribe(&mut self, node: usize, life: u32) {
        let back = self.plan.fleet.air.way(&mut self.plan.chance);
        let Some(ear) = self.ear(node, life) else {
            return;
        };
        ear.subscription += 1;
        ear.stands = true;
        let subscription = ear.subscription;
        self.note(|| format!("node {node} subscribes"));
        self.queue(
            self.now + back,
            Happening::Bus(Moment::Subscribed(node, life, subscription)),
        );
    }

    fn cut(&mut self, which: usize) {
        let cut = self.plan.fleet.cuts[which];
        let life = self.nodes[cut.node].life;
        let Some(ear) = self.ear(cut.node, life) else {
            return;
        };
        ear.stands = false;
        let subscription = ear.subscription;
        self.note(|| format!("node {} is cut off from the bus", cut.node));
        self.queue(
            self.now + cut.noticed,
            Happening::Bus(Moment::Notice(cut.node, life, subscription)),
        );
    }

    /// L2 took a command: whoever hears of that in the same step is told.
    pub(super) fn announce(&mut self, command: CommandId, change: Option<Said>, touched: bool) {
        let sender = self.commands[command].source();
        let key = self.commands[command].key();
        let said = match self.plan.fleet.bus {
            Bus::Announced => change,
            Bus::Watched if touched => Some(change.unwrap_or_default()),
            _ => None,
        };
        let Some(Said { removed, due }) = said else {
            return;
        };
        let watched = self.plan.fleet.bus == Bus::Watched;
        let ask = self.commands[command].ask();
        let message = self.message(Message {
            key,
            removed: removed && !watched,
            source: (!watched).then_some(sender),
            foreign: None,
            due,
            ask,
        });
        self.publish(message);
    }

    /// A key has vanished from L2, of which only who watches hears.
    pub(super) fn vanished(&mut self, key: Key) {
        if self.judge.emptied(key) && self.plan.fleet.bus == Bus::Watched {
            let message = self.message(Message::of(key));
            self.publish(message);
        }
    }

    /// The node knows that L2 took its change, and tells.
    pub(super) fn tell_of(&mut self, command: CommandId, Said { removed, due }: Said) {
        if self.plan.fleet.bus != Bus::Told {
            return;
        }
        let (node, life) = self.commands[command].source();
        let key = self.commands[command].key();
        let ask = self.commands[command].ask();
        let message = self.message(Message {
            key,
            removed,
            source: Some((node, life)),
            foreign: None,
            due,
            ask,
        });
        let pause = self.pause(ask, Spot::Publish);
        self.queue(
            self.now + pause,
            Happening::Bus(Moment::Publish(message, node, life)),
        );
    }

    /// Somebody who is none of the nodes tells, after a while.
    pub(super) fn tell_of_foreign(&mut self, key: Key, removed: bool, change: Index, after: u64) {
        let message = self.message(Message {
            key,
            removed,
            source: None,
            foreign: Some(change),
            due: 0,
            ask: usize::MAX,
        });
        self.queue(self.now + after, Happening::Bus(Moment::Foreign(message)));
    }

    fn message(&mut self, message: Message) -> MessageId {
        self.messages.push(message);
        self.messages.len() - 1
    }

    /// On its way to all who have subscribed.
    pub(super) fn publish(&mut self, id: MessageId) {
        let message = self.messages[id];
        self.judge.is_due(message.key, message.due, None);
        self.note(|| format!("    the bus takes {message:?}"));
        let said = self.pause(message.ask, Spot::Hear);
        for node in 0..self.nodes.len() {
            let its = &self.nodes[node];
            if !(its.alive && its.ear.stands) {
                continue;
            }
            let to = Moment::Deliver(id, node, its.life, its.ear.subscription);
            let (air, slow) = (self.plan.fleet.air, self.plan.fleet.slow[node]);
            for _ in 0..=u8::from(self.plan.chance.percent(air.doubled)) {
                let way = said + slow + air.way(&mut self.plan.chance);
                self.queue(self.now + way, Happening::Bus(to));
            }
        }
    }

    fn deliver(&mut self, id: MessageId, node: usize, life: u32, subscription: u32) {
        let overflow = self.plan.fleet.air.overflow;
        let Some(ear) = self.ear(node, life) else {
            return;
        };
        if ear.subscription != subscription || !ear.stands {
            return;
        }
        if self.plan.chance.percent(overflow) {
            self.note(|| format!("node {node} hears that anything may have changed"));
            return self.hear_of_everything(node);
        }
        let message = self.messages[id];
        if message.source == Some((node, life)) {
            return;
        }
        self.note(|| format!("node {node} hears {message:?}"));
        self.hear(node, message);
    }
}

/// What a change says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said {
    removed: bool,
    due: Index,
}

impl Verb {
    /// What is said of a command with this outcome, if anything is; `sent` is when.
    pub(super) fn said(
        self,
        outcome: &super::wire::Told,
        sent: Index,
        birth: Index,
    ) -> Option<Said> {
        use super::wire::Told;
        use Announce::Yes;
        use jetcache_core::ports::remote::Filled::{Refused, Stored};

        let (removed, due) = match (self, outcome) {
            (Self::Remove { announce: Yes }, Told::Done) => (true, sent),
            (Self::Claim { announce: Yes, .. }, Told::Claimed(true)) => (false, sent),
            (Self::Fill { announce: Yes, .. }, Told::Filled(Stored)) => (false, 0),
            (Self::Settle { announce: Yes, .. }, Told::Filled(Stored)) => (false, birth),
            (Self::Settle { announce: Yes, .. }, Told::Filled(Refused)) => (true, sent),
            _ => return None,
        };
        Some(Said { removed, due })
    }
}

/// What the bus is like.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Air {
    /// How long a way takes at most; of a hundred messages, how many take up to `late`.
    pub(super) latency: u64,
    pub(super) lates: u8,
    pub(super) late: u64,
    pub(super) doubled: u8,
    pub(super) overflow: u8,
    /// How long a node waits at most before it subscribes again.
    pub(super) again: u64,
}

impl Air {
    fn way(self, chance: &mut super::chance::Chance) -> u64 {
        if chance.script.is_some() {
            return 1;
        }
        if chance.percent(self.lates) {
            return chance.rng.u64(..=self.late);
        }
        chance.rng.u64(..=self.latency)
    }

    fn pause(self, chance: &mut super::chance::Chance) -> u64 {
        match chance.script {
            Some(_) => self.again,
            None => chance.rng.u64(..=self.again),
        }
    }
}
