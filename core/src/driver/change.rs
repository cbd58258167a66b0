//! A change of one key under way.

pub(super) mod carry_out;
pub(super) mod heard;
pub(super) mod repair;
pub(super) mod writer;

use core::ops::ControlFlow;
use std::sync::Arc;

use crate::driver::change::repair::ensure_repairs;
use crate::driver::change::writer::Writer;
use crate::driver::shared::Shared;
use crate::driver::shared::address::Address;
use crate::driver::shared::sweep::sweep;
use crate::driver::world::bounds::{CacheKey, CacheValue};
use crate::machine::change::{ChangeOutcome, ChangeReply, ChangeStep, ChangeTicket, Plan, Wish};
use crate::machine::shard::Pending;
use crate::machine::tier::entry::Entry;

/// A change under way. Dropped before its end it is abandoned: what it had sent counts as not
/// acknowledged, and L1 forgets the key.
pub(super) struct Change<K: CacheKey, V: CacheValue> {
    shared: Arc<Shared<K, V>>,
    address: Address<K>,
    /// The encoded value on its way to L2.
    bytes: Vec<u8>,
    /// The caller of a write-through, until it has written.
    writer: Option<Writer<V>>,
    /// There until the change is closed or abandoned.
    ticket: Option<ChangeTicket>,
}

impl<K: CacheKey, V: CacheValue> Change<K, V> {
    /// Opens a change. `bytes` is the encoded value of an insert.
    pub(super) fn open(
        shared: &Arc<Shared<K, V>>,
        address: Address<K>,
        plan: Plan<Arc<V>>,
        bytes: Vec<u8>,
    ) -> Self {
        let ticket = shared.ask(address.shard, |table, context, effects| {
            table.open(
                Arc::clone(&address.key),
                address.bucket,
                plan,
                context,
                effects,
            )
        });
        Self {
            shared: Arc::clone(shared),
            address,
            bytes,
            writer: None,
            ticket: Some(ticket),
        }
    }

    /// Whether it is an insert: its value is at hand.
    pub(crate) fn inserts(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// The same change with a caller that writes when the change asks for it.
    pub(super) fn written_by(mut self, writer: Writer<V>) -> Self {
        self.writer = Some(writer);
        self
    }

    /// Hands the change a reply and does what is done at once, until it needs the world.
    fn go_on(
        &mut self,
        mut reply: ChangeReply<Arc<V>>,
    ) -> ControlFlow<ChangeOutcome, Wish<Arc<V>>> {
        loop {
            reply = match self.advance(reply) {
                ChangeStep::Ask(wish) => return ControlFlow::Continue(wish),
                ChangeStep::Wait(pending) => {
                    let shard = self.address.shard;
                    self.shared.tables.wait_written(shard, &pending);
                    ChangeReply::Waited
                }
                ChangeStep::ReadLocal => {
                    let clock = &*self.shared.runtime;
                    let entry = self.shared.level1.fresh(&&*self.address.key, clock);
                    let is_present =
                        |entry: &Entry<V>| entry.value().is_some() && !entry.is_stale();
                    ChangeReply::Local(entry.as_ref().is_some_and(is_present))
                }
                ChangeStep::Apply { after, entry } => {
                    self.apply(&after, entry);
                    ChangeReply::Applied
                }
                ChangeStep::Finish(outcome) => {
                    self.close();
                    return ControlFlow::Break(outcome);
                }
            }
        }
    }

    fn advance(&self, reply: ChangeReply<Arc<V>>) -> ChangeStep<Arc<V>> {
        let Some(ticket) = &self.ticket else {
            return ChangeStep::Finish(ChangeOutcome::Undecided);
        };
        self.shared
            .ask(self.address.shard, |table, context, effects| {
                table.advance(ticket, context, reply, effects)
            })
    }

    fn apply(&self, after: &Pending, entry: Option<Entry<Arc<V>>>) {
        self.shared.tables.wait_written(self.address.shard, after);
        match entry {
            None => self.shared.level1.remove(&self.address.key),
            Some(entry) => self.shared.level1.write(&self.address.key, entry),
        }
    }

    fn close(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.shared.ask(self.address.shard, |table, _, effects| {
                table.close(ticket, effects);
            });
        }
        ensure_repairs(&self.shared);
    }
}

impl<K: CacheKey, V: CacheValue> Drop for Change<K, V> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        let Address { key, shard, .. } = &self.address;
        let left = self.shared.ask(*shard, |table, context, effects| {
            table.abandon(ticket, context, effects)
        });
        sweep(&self.shared, *shard, key, left);
        ensure_repairs(&self.shared);
    }
}
