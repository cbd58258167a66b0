//! The log of raises in L2: what becomes of a command to it, and who is told.

use jetcache_core::machine::generations::scope::{Mark, top_key};
use jetcache_core::ports::remote::{Ensure, Raise, Wire};

use crate::sim::generations::scopes::{Scopes, list_of};
use crate::sim::world::bus::{Bus, Message};
use crate::sim::world::net::CommandId;
use crate::sim::world::time::World;
use crate::sim::world::verb::{Receipt, Verb};

/// L2 loses the highest number of the log, its list, or both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loss {
    pub(crate) at: u64,
    pub(crate) top: bool,
    pub(crate) list: bool,
}

/// What the nodes are told of a raise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word {
    pub(crate) before: Mark,
    pub(crate) number: Mark,
    pub(crate) scopes: Scopes,
}

impl World {
    /// The highest number of the log.
    pub(crate) fn top(&mut self) -> Option<Mark> {
        let now = self.server_clock();
        let found = self.table.read(now, &top_key(NAMESPACE), Wire::Native)?;
        Mark::parse(core::str::from_utf8(&found.bytes).ok()?)
    }

    pub(crate) fn applied_to_log(&mut self, command: CommandId, verb: Verb) -> Receipt {
        // A failover takes some time, so that no number is given out twice.
        let now = self.server_clock() + self.primaries.count;
        let namespace = NAMESPACE;
        match verb {
            Verb::Raise { clock, scopes } => {
                let list = scopes.list();
                let raise = Raise {
                    namespace,
                    clock,
                    scopes: &list,
                };
                let raised = self.table.raise(now, &raise);
                let raised = raised.expect("there are numbers left");
                let node = self.commands[command].source().0;
                let begun = self.judge.floors_of(node);
                let begun = begun.or(self.commands[command].floors);
                self.judge.raise_applied(raised.number, scopes, begun);
                let all = if raised.anew {
                    Scopes::ALL
                } else {
                    Scopes::NONE
                };
                self.announce_raise(
                    command,
                    Word {
                        before: raised.before,
                        number: raised.number,
                        scopes: scopes.and(all),
                    },
                );
                Receipt::Raised(raised)
            }
            Verb::News { since } => {
                let most = self.plan.fleet.page;
                Receipt::News(self.table.news(namespace, since, most))
            }
            Verb::Ensure { clock, marks } => {
                let marks = list_of(&marks);
                let ensure = Ensure {
                    namespace,
                    clock,
                    marks: &marks,
                };
                let ensured = self.table.ensure(now, &ensure);
                let ensured = ensured.expect("there are numbers left");
                if let Some(event) = &ensured.raised
                    && let Some((before, number)) = event.numbers
                {
                    let scopes = Scopes::of(&event.scopes);
                    let node = self.commands[command].source().0;
                    let begun = self.judge.floors_of(node);
                    self.judge.raise_applied(number, scopes, begun);
                    self.announce_raise(
                        command,
                        Word {
                            before,
                            number,
                            scopes,
                        },
                    );
                }
                Receipt::Ensured(ensured)
            }
            _ => {
                self.commands[command].top = Some(self.top());
                Receipt::Done
            }
        }
    }

    /// L2 tells of a raise in the same step, if this bus works so.
    fn announce_raise(&mut self, command: CommandId, word: Word) {
        let source = self.commands[command].source();
        let watched = match self.plan.fleet.bus {
            Bus::WithChange => false,
            Bus::Watched => true,
            Bus::None | Bus::Publish => return,
        };
        let message = self.message(Message {
            // A bus that watches shows that the highest number has changed, and no more.
            raise: (!watched).then_some(word),
            log: watched,
            source: (!watched).then_some(source),
            said: self.now,
            ask: self.commands[command].ask(),
            ..Message::of(0)
        });
        self.publish(message);
    }

    /// The log is evicted.
    pub(crate) fn lose_log(&mut self, which: usize) {
        let Loss { top, list, .. } = self.plan.fleet.losses[which];
        self.note(|| format!("L2 loses its log: top {top}, list {list}"));
        self.table.forget_log(NAMESPACE, top, list);
    }
}

pub(crate) const NAMESPACE: &str = "ns:";
