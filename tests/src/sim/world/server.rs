//! L2 itself: carries out a command on the table that ships, and shows the judge what it did.

use core::time::Duration;

use jetcache_core::machine::generations::scope;
use jetcache_core::machine::generations::tags::Tags;
use jetcache_core::machine::lookup::step::Seen;
use jetcache_core::machine::tier::envelope;
use jetcache_core::machine::tier::mark::Mark;
use jetcache_core::machine::tier::verb::{Announce, Times};
use jetcache_core::machine::tier::wire::PLACEHOLDER;
use jetcache_core::ports::bus::Kind;
use jetcache_core::ports::remote::{
    Claim, Claimed, Extend, Extended, Fill, Found, Granted, Header, Hold, LeaseAsk, Life, Placed,
    Put, Settle, Stored, Wire,
};

use crate::sim::fate::judge::{Fact, Id};
use crate::sim::fate::plan::{Key, What};
use crate::sim::fate::promise::Promise;
use crate::sim::world::foreign::junk;
use crate::sim::world::net::CommandId;
use crate::sim::world::time::{World, whole_millis};
use crate::sim::world::verb::{Receipt, Verb};

impl World {
    pub(crate) fn applied(&mut self, command: CommandId, key: Key, verb: Verb) -> Receipt {
        let now = self.server_clock();
        let wire = self.plan.fleet.wire;
        let name = name(key);
        match verb {
            Verb::Read => {
                // On one server, in the same command.
                if self.plan.policy.log && !self.plan.fleet.cluster {
                    self.commands[command].top = Some(self.top());
                }
                let found = self.table.read(now, name, wire);
                Receipt::Read(self.seen(command, key, found))
            }
            Verb::Lease { token, life } => {
                let ask = LeaseAsk {
                    key: name,
                    token,
                    life,
                };
                let leased = self.table.lease(now, &ask, wire);
                match leased.granted {
                    Granted::Yes => {
                        let until = self.now + whole_millis(life);
                        self.judge.lease_applied(key, token, until, self.now);
                    }
                    Granted::No => self.judge.lease_refused(key, token, self.now),
                    Granted::Failing => self.judge.is_failing(key, self.now),
                }
                Receipt::Leased(leased.granted, self.seen(command, key, leased.found))
            }
            Verb::Renew { token, life } => {
                let ask = LeaseAsk {
                    key: name,
                    token,
                    life,
                };
                let stands = self.table.renew(now, &ask);
                if stands {
                    let until = self.now + whole_millis(life);
                    self.judge.renewed(key, token, until);
                }
                Receipt::Renewed(stands)
            }
            Verb::Fill {
                token,
                id,
                times:
                    Times {
                        life,
                        stale,
                        lease,
                        age,
                        ..
                    },
                born,
                junk: replaces,
                ..
            } => {
                let bytes = self.encode(id, born, life, stale);
                let replaces = replaces.map(junk);
                let value = Stored {
                    replaces: replaces.as_deref(),
                    bytes: &bytes,
                    life,
                    stale,
                    lease,
                    age,
                };
                let fill = Fill {
                    key: name,
                    token,
                    value,
                    kind: Kind::SetByOnce,
                };
                let filled = self.table.fill(now, &fill, wire);
                self.judge.fill_applied(key, token, id, filled);
                Receipt::Filled(filled)
            }
            Verb::Extend {
                token,
                header,
                id,
                times: Times {
                    life, lease, age, ..
                },
                ..
            } => {
                let header = Header::of(&header).expect("it was shown");
                let extend = Extend {
                    key: name,
                    token,
                    header: &header,
                    life,
                    lease,
                    age,
                    kind: Kind::SetByOnce,
                };
                let extended = self.table.extend(now, &extend);
                self.judge.extend_applied(key, token, id, extended);
                if extended == Extended::Stored {
                    self.is_fresh_in_l2(key, id);
                }
                Receipt::Extended(extended)
            }
            Verb::Release { token, failing } => {
                let hold = Hold {
                    key: name,
                    token,
                    failing,
                };
                self.table.release(now, &hold);
                let until = failing.map(|span| self.now + whole_millis(span));
                self.judge.released(key, token, until, self.now);
                Receipt::Done
            }
            Verb::Claim {
                token,
                life,
                condition,
                dead,
                spares,
                value,
            } => {
                let claim = Claim {
                    key: name,
                    token,
                    life,
                    condition,
                    dead,
                    spares,
                };
                self.commands[command].stood = self.judge.content(key);
                let before = self.table.read(now, name, wire);
                let claimed = self.table.claim(now, &claim, wire);
                if matches!(claimed, Claimed::Granted(..)) {
                    let until = self.now + whole_millis(life);
                    if spares {
                        let after = self.table.read(now, name, wire);
                        self.judge.claim_spares(key, token, until, before == after);
                    } else {
                        self.judge.claim_applied(key, token, until, self.index);
                    }
                    if let Some(value) = value {
                        self.judge.at(value).birth = self.index;
                    }
                }
                Receipt::Claimed(claimed)
            }
            Verb::Put {
                token,
                id,
                times:
                    Times {
                        life,
                        stale,
                        lease,
                        age,
                        ..
                    },
                born,
                condition,
                dead,
                spared,
                ..
            } => {
                let bytes = self.encode(id, born, life, stale);
                let value = Stored {
                    replaces: None,
                    bytes: &bytes,
                    life,
                    stale,
                    lease,
                    age,
                };
                let put = Put {
                    key: name,
                    token,
                    value,
                    condition,
                    dead,
                    spared,
                };
                let placed = self.table.put(now, &put, wire);
                let removed = placed == Placed::Refused && condition.is_none();
                let outcome = (placed, removed);
                self.judge.put_applied(key, token, id, outcome, self.index);
                Receipt::Put(placed, removed)
            }
            Verb::Settle {
                token,
                id,
                times:
                    Times {
                        life,
                        stale,
                        lease,
                        age,
                        ..
                    },
                born,
                ..
            } => {
                let bytes = self.encode(id, born, life, stale);
                let value = Stored {
                    replaces: None,
                    bytes: &bytes,
                    life,
                    stale,
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
                Receipt::Filled(filled)
            }
            Verb::Remove { announce } => {
                let node = self.commands[command].source().0;
                // Whoever has heard of a change may have to make it again after a failover.
                let failed_over = self.primaries.count > 0;
                let changes = announce == Announce::No && failed_over || self.changes(node, key);
                self.judge.rule(changes, Promise::P2, || {
                    format!("node {node} removes key {key}, which it never changed")
                });
                self.table.remove(name);
                self.judge.wiped(key, self.index);
                Receipt::Done
            }
            Verb::Unload => {
                let leases = self.table.leases(now);
                let value = self.table.unload(now, name);
                let lease = self.table.leases(now) < leases;
                self.judge.unloaded(key, value, lease, self.index);
                Receipt::Done
            }
            Verb::Top | Verb::Raise { .. } | Verb::News { .. } | Verb::Ensure { .. } => {
                self.applied_to_log(command, verb)
            }
        }
    }

    /// What was extended just now has some life left, and no more than its header says.
    fn is_fresh_in_l2(&mut self, key: Key, id: Id) {
        let now = self.server_clock();
        let found = self.table.read(now, name(key), Wire::Native);
        let left = found.and_then(|found| Some(envelope::parse(&found.bytes).ok()?.left(now)));
        let fresh = left.is_some_and(|left| !left.is_zero());
        self.judge.rule(fresh, Promise::P7, || {
            format!("L2 has extended {id:?}, and {left:?} of its life is left")
        });
    }

    /// Whether the node was ever asked to change the key.
    fn changes(&self, node: usize, key: Key) -> bool {
        self.plan.asks.iter().any(|ask| {
            let changes = matches!(
                ask.what,
                What::Invalidate | What::Insert(..) | What::WriteThrough(..)
            );
            (ask.node, ask.key) == (node, key) && changes
        })
    }

    pub(crate) fn encode(
        &mut self,
        id: Id,
        born: scope::Mark,
        life: Duration,
        stale: Duration,
    ) -> Vec<u8> {
        let Fact {
            absent, mark, tags, ..
        } = *self.judge.at(id);
        if self.plan.fleet.wire == Wire::JetcacheGo {
            return match absent {
                true => PLACEHOLDER.to_vec(),
                false => [&b"v"[..], &id.0.to_be_bytes()].concat(),
            };
        }
        let mut bytes = Vec::new();
        envelope::open(&mut bytes, (!absent).then_some(1));
        envelope::born(&mut bytes, born);
        envelope::tagged(&mut bytes, &tags.tags());
        if let Some(mark) = mark.and_then(|mark| Mark::new(&mark.0.to_be_bytes())) {
            envelope::mark(&mut bytes, &mark);
        }
        if !absent {
            bytes.extend_from_slice(&id.0.to_be_bytes());
        }
        envelope::seal(&mut bytes, life, stale);
        bytes
    }

    fn seen(
        &mut self,
        command: CommandId,
        key: Key,
        found: Option<Found>,
    ) -> Option<(Seen<Id>, Id)> {
        let Some(found) = found else {
            // If there was a value, it has expired.
            self.vanished(key);
            return None;
        };
        let (mut over, mut window) = (Duration::ZERO, None);
        let (mut mark, header) = (None, Header::of(&found.bytes));
        let (mut tags, mut born) = (Tags::NONE, None);
        let (left, life, payload) = match found.life {
            Life::Clock(clock) => {
                let envelope = envelope::parse(&found.bytes).ok()?;
                let payload = envelope.value.map(|(_, payload)| payload);
                mark = envelope.mark.and_then(Mark::new);
                (tags, born) = (envelope.tags(), Some(envelope.born));
                let stale = envelope.over(clock);
                (over, window) = (stale.0, Some(stale.1));
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
        if left.is_zero() && window.unwrap_or_default() <= over {
            return None;
        }
        let value = payload.map(|payload| {
            let mut number = [0; 4];
            number.copy_from_slice(payload);
            Id(u32::from_be_bytes(number))
        });
        let id = (self.judge).seen_in_l2(key, value, !left.is_zero(), self.now);
        let fact = *self.judge.at(id);
        let known = fact.mark_is(mark.as_ref().map(Mark::bytes)) && tags == fact.tags.tags();
        self.judge.rule(known, Promise::P6, || {
            format!("L2 shows {id:?} with {mark:?} and {tags:?}: {fact:?}")
        });
        let age = life.map(|life| life.saturating_sub(left));
        let seen = Seen {
            // The value that was sent may have been renewed since.
            value: value.map(|_| id),
            left,
            over,
            window,
            cost: Duration::from_millis(3),
            age,
            mark,
            tags,
            born,
            header,
        };
        Some((seen, id))
    }
}

/// The bucket of a key.
pub(crate) fn bucket(key: Key) -> u16 {
    scope::bucket(name(key))
}

/// The name of a key.
pub(crate) fn name(key: Key) -> &'static str {
    ["a", "b"][usize::from(key)]
}
