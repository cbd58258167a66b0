//! The bus: who tells whom of a change, when, and what gets lost on the way.
//!
//! A node that is cut off hears nothing and does not know it. Some time later it notices,
//! subscribes anew, and forgets everything once that is acknowledged (PROTOCOL.md, H3). What was
//! sent to its old subscription and had not arrived by the cut is lost.

use crate::sim::fate::judge::Index;
use crate::sim::fate::plan::Key;
use crate::sim::fate::script::Point;
use crate::sim::generations::log::Word;
use crate::sim::world::net::CommandId;
use crate::sim::world::time::{Happening, World, whole_millis};
use crate::sim::world::verb::Said;

/// Who tells the nodes of a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bus {
    /// Nobody.
    #[default]
    None,
    /// L2, in the same step as the change.
    WithChange,
    /// The node that made the change, after L2 has acknowledged it.
    Publish,
    /// L2, of whatever is written under the key, by whomsoever.
    Watched,
}

pub(crate) type MessageId = usize;

/// A word on the bus: that a key has changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    pub(crate) key: Key,
    /// It was removed.
    pub(crate) removed: bool,
    /// It is about a raise instead.
    pub(crate) raise: Option<Word>,
    /// The log of raises has changed, as a bus that watches shows.
    pub(crate) log: bool,
    /// The node that says so, in which life.
    pub(crate) source: Option<(usize, u32)>,
    /// When the change was made, if a service in Go made it.
    pub(crate) foreign: Option<Index>,
    /// The birth of what a load brought, if the key was filled with that.
    pub(crate) filled: Option<Index>,
    /// When it has arrived everywhere, nothing older may be read.
    pub(crate) due: Index,
    pub(crate) ask: usize,
    /// When it was said, in milliseconds.
    pub(crate) said: u64,
}

impl Message {
    /// That a key has changed, from nobody in particular.
    pub(crate) fn of(key: Key) -> Self {
        Self {
            key,
            removed: false,
            raise: None,
            log: false,
            source: None,
            foreign: None,
            filled: None,
            due: 0,
            ask: usize::MAX,
            said: 0,
        }
    }
}

/// How a node hears.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ear {
    /// The number of its subscription.
    subscription: u32,
    /// Whether what is said now will be heard.
    pub(crate) stands: bool,
    /// Whether the node knows that.
    pub(crate) knows: bool,
    /// Since when the node knows that it hears nothing.
    pub(crate) down: Option<u64>,
}

/// What happens to the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Moment {
    Publish(MessageId, usize, u32),
    Foreign(MessageId),
    /// To a subscription of a node's life.
    Deliver(MessageId, usize, u32, u32),
    Cut(usize),
    Notice(usize, u32, u32),
    /// It has been deaf since then, for as long as L1 may keep anything while blind.
    Blind(usize, u32, u64),
    Subscribe(usize, u32),
    Subscribed(usize, u32, u32),
}

impl World {
    pub(crate) fn bus(&mut self, moment: Moment) {
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
                    (ear.down, ear.knows) = (Some(now), false);
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
                    (ear.down, ear.knows) = (None, true);
                    self.note(|| format!("node {node} has subscribed"));
                    self.hear_of_all_again(node);
                    self.subscribed_to_primary(node);
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
            let cap = whole_millis(blind.local_cap);
            let blind = Moment::Blind(node, life, now);
            self.queue(now + cap, Happening::Bus(blind));
        }
    }

    /// The server takes the subscription, and sends its acknowledgement.
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
        let Some(subscription) = self.deafen(cut.node, life) else {
            return;
        };
        self.note(|| format!("node {} is cut off from the bus", cut.node));
        self.queue(
            self.now + cut.noticed,
            Happening::Bus(Moment::Notice(cut.node, life, subscription)),
        );
    }

    /// Whatever is said from now on is not heard. Returns the number of the subscription that is over.
    pub(crate) fn deafen(&mut self, node: usize, life: u32) -> Option<u32> {
        let ear = self.ear(node, life)?;
        ear.stands = false;
        Some(ear.subscription)
    }

    /// L2 took a command, and tells the others in the same step, if this bus works so.
    pub(crate) fn announce(&mut self, command: CommandId, change: Option<Said>, touched: bool) {
        let sender = self.commands[command].source();
        let key = self.commands[command].key();
        let said = match self.plan.fleet.bus {
            Bus::WithChange => change,
            Bus::Watched if touched => Some(change.unwrap_or_default()),
            _ => None,
        };
        let Some(Said {
            removed,
            filled,
            due,
        }) = said
        else {
            return;
        };
        let watched = self.plan.fleet.bus == Bus::Watched;
        let ask = self.commands[command].ask();
        let message = self.message(Message {
            key,
            removed: removed && !watched,
            raise: None,
            log: false,
            source: (!watched).then_some(sender),
            foreign: None,
            filled: filled.filter(|_| !watched),
            due,
            ask,
            said: self.now,
        });
        self.publish(message);
    }

    /// A key has vanished from L2. Only a bus that watches tells of it.
    pub(crate) fn vanished(&mut self, key: Key) {
        if self.judge.emptied(key) && self.plan.fleet.bus == Bus::Watched {
            let message = self.message(Message::of(key));
            self.publish(message);
        }
    }

    /// The node knows that L2 took its change, and publishes it, if this bus works so.
    pub(crate) fn tell_of(&mut self, command: CommandId, said: Said) {
        if self.plan.fleet.bus != Bus::Publish {
            return;
        }
        let (node, life) = self.commands[command].source();
        let key = self.commands[command].key();
        let ask = self.commands[command].ask();
        let Said {
            removed,
            filled,
            due,
        } = said;
        let message = self.message(Message {
            key,
            removed,
            raise: None,
            log: false,
            source: Some((node, life)),
            foreign: None,
            filled,
            due,
            ask,
            said: self.now,
        });
        let pause = self.pause(ask, Point::Publish);
        self.queue(
            self.now + pause,
            Happening::Bus(Moment::Publish(message, node, life)),
        );
    }

    /// A service in Go tells of its change, after a while.
    pub(crate) fn tell_of_foreign(&mut self, key: Key, removed: bool, change: Index, after: u64) {
        let message = self.message(Message {
            key,
            removed,
            raise: None,
            log: false,
            source: None,
            foreign: Some(change),
            // Half of what it sets it has loaded.
            filled: Some(change).filter(|change| !removed && change % 2 == 0),
            due: 0,
            ask: usize::MAX,
            said: self.now,
        });
        self.queue(self.now + after, Happening::Bus(Moment::Foreign(message)));
    }

    pub(crate) fn message(&mut self, message: Message) -> MessageId {
        self.messages.push(message);
        self.messages.len() - 1
    }

    /// Sends a message to all who have subscribed.
    pub(crate) fn publish(&mut self, id: MessageId) {
        let message = self.messages[id];
        // What it tells of may be lost since, and its node with it.
        if !self.has_failed_over_since(message.said) {
            self.judge.is_due(message.key, message.due, None);
        }
        self.note(|| format!("    the bus takes {message:?}"));
        let said = self.pause(message.ask, Point::Hear);
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
        let own = message.source == Some((node, life));
        if own && message.raise.is_none() {
            return;
        }
        self.note(|| format!("node {node} hears {message:?}"));
        if let Some(word) = message.raise {
            return self.hear_raise(node, word, (own, message.said));
        }
        if message.log {
            return self.look_for_log(node, true);
        }
        self.hear(node, message);
    }
}
