//! The leases of flights: how they are renewed, and those that come late (PROTOCOL.md, R1).

use core::hash::{BuildHasher, Hash};

use crate::machine::effects::Effects;
use crate::machine::error::Fault;
use crate::machine::event::Event;
use crate::machine::lookup::step::Renewal;
use crate::machine::shard::{Context, Shard};
use crate::machine::table::flight::Ticket;
use crate::machine::token::Token;

impl<K: Hash + Eq + Clone, V: Clone, S: BuildHasher> Shard<K, V, S> {
    /// When the lease of the flight that this seat leads is to be renewed, and how; `None` while it is
    /// not loading, or has no lease to renew.
    pub fn renewal(&self, ticket: &Ticket, context: &Context<'_>) -> Option<Renewal> {
        let flight = &self.flights[ticket.flight];
        let leads = flight.leader == Some(ticket.seat) && flight.answer.is_none();
        leads
            .then(|| flight.lookup.renewal(context.policy))
            .flatten()
    }

    /// The renewal of this token is sent; what comes of it is to be [said](Self::renewed).
    pub fn renews(&mut self, ticket: &Ticket, token: Token) {
        self.flights[ticket.flight].lookup.renew(token);
    }

    /// L2's answer to a renewal. Not knowing whether it was carried out, the flight sends L2 nothing
    /// more: how old the lease is nobody could say.
    pub fn renewed(
        &mut self,
        ticket: &Ticket,
        token: Token,
        renewed: Result<bool, Fault>,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) {
        let lookup = &mut self.flights[ticket.flight].lookup;
        let fault = lookup.on_renewed(token, renewed, context.now);
        effects.events.extend(fault.map(Event::RemoteFault));
    }

    /// A lease was granted after its asker had given up or left. Returns whether it is to be
    /// released: a flight that can still use it keeps it.
    #[must_use]
    pub fn late_lease(&mut self, token: Token, context: &Context<'_>) -> bool {
        let mut flights = self.flights.iter_mut().map(|(_, flight)| flight);
        !flights.any(|flight| {
            flight.answer.is_none() && flight.lookup.on_late_lease(token, context.now)
        })
    }
}
