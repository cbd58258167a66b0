//! Carries out a change. It runs as a task of its own: who waits for it may go.

use core::hash::Hash;
use std::sync::Arc;

use futures_channel::oneshot::{Sender, channel};
use futures_util::future::Either;

use super::link::{Times, only};
use super::repair::ensure_repairs;
use super::shared::Shared;
use crate::machine::change::{ChangeReply, ChangeStep, ChangeTicket, Outcome, Plan};
use crate::machine::entry::Entry;
use crate::machine::error::Fault;
use crate::machine::shard::Pending;
use crate::machine::token::Token;
use crate::ports::remote::{Claim, Fill, Filled};

/// A change under way. Dropped before its end, it is abandoned: what it had sent counts as not
/// acknowledged, and L1 forgets the key.
pub(super) struct Run<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    shared: Arc<Shared<K, V>>,
    key: Arc<K>,
    text: Option<Arc<str>>,
    /// The encoded value of an insert.
    bytes: Vec<u8>,
    shard: usize,
    /// There until the change is closed or abandoned.
    ticket: Option<ChangeTicket>,
}

/// A change and who waits for it. Dropped, it first abandons the change and then says so.
struct Job<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    run: Run<K, V>,
    told: Sender<Outcome>,
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

    /// Makes the change as a task of its own, and waits for it. `None` if the task is gone.
    pub(super) async fn detached(self) -> Option<Outcome> {
        if self.shared.link.is_none() {
            // Without L2 there is nothing to wait for.
            return Some(self.run().await);
        }
        let (told, outcome) = channel();
        let shared = Arc::clone(&self.shared);
        let job = Job { run: self, told };
        let task = shared.spawn(async move {
            let Job { run, told } = job;
            let _ = told.send(run.run().await);
        });
        let in_place = match task {
            Ok(()) => Either::Left(core::future::ready(())),
            Err(task) => Either::Right(task),
        };
        in_place.await;
        outcome.await.ok()
    }

    async fn run(mut self) -> Outcome {
        let mut reply = ChangeReply::Begin;
        loop {
            reply = match self.advance(reply) {
                ChangeStep::Remove => ChangeReply::Removed(match (&self.shared.link, &self.text) {
                    (Some(link), Some(text)) => {
                        only(link.remove(&*self.shared.runtime, &[text]).await)
                    }
                    _ => Ok(()),
                }),
                ChangeStep::Claim {
                    token,
                    life,
                    condition,
                } => ChangeReply::Claimed(match (&self.shared.link, &self.text) {
                    (Some(link), Some(text)) => {
                        let claim = Claim {
                            key: text,
                            token,
                            life,
                            condition,
                        };
                        only(link.claim(&*self.shared.runtime, &[claim]).await)
                    }
                    _ => Err(no_l2()),
                }),
                ChangeStep::Fill {
                    token,
                    life,
                    lease,
                    age,
                } => {
                    let times = Times { life, lease, age };
                    ChangeReply::Filled(self.fill(token, times).await)
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
                    return outcome;
                }
            }
        }
    }

    fn advance(&self, reply: ChangeReply) -> ChangeStep<Arc<V>> {
        let Some(ticket) = &self.ticket else {
            return ChangeStep::Finish(Outcome::Undecided);
        };
        let step = self.shared.ask(self.shard, |table, context, effects| {
            table.advance(ticket, context, reply, effects)
        });
        self.shared.shards[self.shard].notify_sealed();
        step
    }

    async fn fill(&mut self, token: Token, times: Times) -> Result<Filled, Fault> {
        match (&self.shared.link, &self.text) {
            (Some(link), Some(text)) => {
                link.format.seal(&mut self.bytes, times.life);
                let fill = Fill {
                    key: text,
                    token,
                    // The claim has emptied the key.
                    value: times.stored(&self.bytes, None),
                };
                only(link.fill(&*self.shared.runtime, &[fill]).await)
            }
            _ => Err(no_l2()),
        }
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

fn no_l2() -> Fault {
    Fault::Refused("there is no L2".into())
}
