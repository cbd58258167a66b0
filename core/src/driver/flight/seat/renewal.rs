//! The lease of the flight that a seat leads, while its loader runs.

use crate::driver::flight::seat::Seat;
use crate::driver::world::bounds::{CacheKey, CacheValue};
use crate::machine::error::Fault;
use crate::machine::lookup::step::Renewal;
use crate::machine::token::Token;

impl<K: CacheKey, V: CacheValue> Seat<K, V> {
    /// When its lease is to be renewed, while it loads.
    pub(crate) fn renewal(&self) -> Option<Renewal> {
        let ticket = self.ticket.as_ref()?;
        let shard = self.address.shard;
        (self.shared).ask(shard, |table, context, _| table.renewal(ticket, context))
    }

    /// That is sent.
    pub(crate) fn renews(&self, token: Token) {
        if let Some(ticket) = &self.ticket {
            let shard = self.address.shard;
            (self.shared).ask(shard, |table, _, _| table.renews(ticket, token));
        }
    }

    /// L2's answer to that.
    pub(crate) fn renewed(&self, token: Token, renewed: Result<bool, Fault>) {
        if let Some(ticket) = &self.ticket {
            self.shared
                .ask(self.address.shard, |table, context, effects| {
                    table.renewed(ticket, token, renewed, context, effects);
                });
        }
    }
}
