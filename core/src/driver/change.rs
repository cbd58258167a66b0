//! A change under way, of one key.

pub(super) mod carry_out;
mod heard;
pub(super) mod repair;

use core::hash::Hash;
use core::time::Duration;
use std::sync::Arc;

use crate::driver::change::repair::ensure_repairs;
use crate::driver::link::Times;
use crate::driver::shared::Shared;
use crate::machine::change::{ChangeReply, ChangeStep, ChangeTicket, Outcome, Plan};
use crate::machine::shard::Pending;
use crate::machine::tier::entry::Entry;
use crate::machine::token::Token;
use crate::ports::remote::Condition;

/// A change under way. Dropped before its end, it is abandoned: what it had sent counts as not
/// acknowledged, and L1 forgets the key.
pub(super) struct Run<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    shared: Arc<Shared<K, V>>,
    key: Arc<K>,
    pub(super) text: Option<Arc<str>>,
    /// The encoded value of an insert.
    pub(super) bytes: Vec<u8>,
    shard: usize,
    /// There until the change is closed or abandoned.
    ticket: Option<ChangeTicket>,
}

/// What a change needs of L2.
pub(super) enum Wish<V> {
    /// Its key is to be removed; [`ChangeReply::Removed`].
    Remove,
    /// Its key is to be claimed; [`ChangeReply::Claimed`].
    Claim {
        token: Token,
        life: Duration,
        condition: Option<Condition>,
        told: bool,
    },
    /// Its value is to be filled in; [`ChangeReply::Filled`].
    Fill { token: Token, times: Times },
    /// The caller is to write; [`ChangeReply::Written`].
    Write,
    /// What was written is to be settled; [`ChangeReply::Settled`].
    Settle {
        token: Token,
        value: Option<Arc<V>>,
        times: Times,
    },
    /// Nothing more.
    Over(Outcome),
}

impl<K, V> Run<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(super) fn open(
        shared: &Arc<Shared<K, V>>,
        key: Arc<K>,
        text: Option<Arc<str>>,
        plan: Plan<Arc<V>>,
        bytes: Vec<u8>,
    ) -> Self {
        let shard = shared.shard(&key);
        let ticket = shared.ask(shard, |table, context, effects| {
            table.open(Arc::clone(&key), plan, context, effects)
        });
        Self {
            shared: Arc::clone(shared),
            key,
            text,
            bytes,
            shard,
            ticket: Some(ticket),
        }
    }

    /// Tells the change what happened and does what is done at once, until it needs L2.
    pub(super) fn go_on(&mut self, mut reply: ChangeReply<Arc<V>>) -> Wish<V> {
        loop {
            reply = match self.advance(reply) {
                ChangeStep::Remove => return Wish::Remove,
                ChangeStep::Claim {
                    token,
                    life,
                    condition,
                    told,
                } => {
                    return Wish::Claim {
                        token,
                        life,
                        condition,
                        told,
                    };
                }
                ChangeStep::Fill {
                    token,
                    life,
                    lease,
                    age,
                } => {
                    let times = Times { life, lease, age };
                    return Wish::Fill { token, times };
                }
                ChangeStep::Write => return Wish::Write,
                ChangeStep::Settle {
                    token,
                    value,
                    life,
                    lease,
                    age,
                } => {
                    return Wish::Settle {
                        token,
                        value,
                        times: Times { life, lease, age },
                    };
                }
                ChangeStep::Wait(pending) => {
                    self.shared.wait_written(self.shard, &pending);
                    ChangeReply::Waited
                }
                ChangeStep::ReadLocal => ChangeReply::Local(self.is_in_local()),
                ChangeStep::Apply { after, entry } => {
                    self.apply(&after, entry);
                    ChangeReply::Applied
                }
                ChangeStep::Finish(outcome) => {
                    self.close();
                    return Wish::Over(outcome);
                }
            }
        }
    }

    fn advance(&self, reply: ChangeReply<Arc<V>>) -> ChangeStep<Arc<V>> {
        let Some(ticket) = &self.ticket else {
            return ChangeStep::Finish(Outcome::Undecided);
        };
        let step = self.shared.ask(self.shard, |table, context, effects| {
            table.advance(ticket, context, reply, effects)
        });
        self.shared.shards[self.shard].notify_sealed();
        step
    }

    fn is_in_local(&self) -> bool {
        let now = self.shared.runtime.now();
        let local = self.shared.local.as_ref();
        let entry = local.and_then(|local| local.get(&&*self.key));
        entry.is_some_and(|entry| entry.is_fresh(now) && entry.value().is_some())
    }

    fn apply(&self, after: &Pending, entry: Option<Entry<Arc<V>>>) {
        self.shared.wait_written(self.shard, after);
        let Some(local) = &self.shared.local else {
            return;
        };
        match entry {
            None => local.remove(&&*self.key),
            Some(entry) => {
                let expires = entry.expires();
                let value = entry.into_value().map(|value| (*value).clone());
                local.insert((*self.key).clone(), Entry::new(value, expires));
            }
        }
    }

    fn close(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.shared
                .ask(self.shard, |table, _, effects| table.close(ticket, effects));
        }
        ensure_repairs(&self.shared);
    }
}

impl<K, V> Drop for Run<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        let pending = self.shared.ask(self.shard, |table, context, effects| {
            table.abandon(ticket, context, effects)
        });
        self.shared.shards[self.shard].notify_sealed();
        self.shared.wait_written(self.shard, &pending);
        if let Some(local) = &self.shared.local {
            local.remove(&&*self.key);
        }
        self.shared
            .ask(self.shard, |table, _, _| table.swept(&self.key));
        ensure_repairs(&self.shared);
    }
}
