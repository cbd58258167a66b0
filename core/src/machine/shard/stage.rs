//! A shard of one key, a policy and a clock: what unit tests of lookups play on.

use hashbrown::DefaultHashBuilder;

use crate::machine::effects::Effects;
use crate::machine::generations::Generations;
use crate::machine::lookup::step::{Reply, Step};
use crate::machine::policy::{Kind, Policy};
use crate::machine::shard::{Context, Shard};
use crate::machine::table::flight::Ticket;
use crate::machine::time::Timestamp;
use crate::machine::token::Roll;

pub(in crate::machine) const KEY: u32 = 7;

pub(in crate::machine) struct Stage {
    pub(in crate::machine) shard: Shard<u32, &'static str, DefaultHashBuilder>,
    pub(in crate::machine) policy: Policy,
    pub(in crate::machine) now: Timestamp,
    pub(in crate::machine) generations: Generations,
}

impl Stage {
    pub(in crate::machine) fn new(kind: Kind) -> Self {
        Self {
            shard: Shard::new(DefaultHashBuilder::default()),
            policy: Policy::new(kind),
            now: Timestamp::default(),
            generations: Generations::default(),
        }
    }

    /// Asks the shard, and carries out what follows.
    pub(in crate::machine) fn ask<T>(
        &mut self,
        ask: impl FnOnce(
            &mut Shard<u32, &'static str, DefaultHashBuilder>,
            &Context<'_>,
            &mut Effects<u32, &'static str>,
        ) -> T,
    ) -> T {
        let context = Context {
            now: self.now,
            roll: Roll::Bits(4),
            policy: &self.policy,
            generations: &self.generations,
        };
        let mut effects = Effects::default();
        let answer = ask(&mut self.shard, &context, &mut effects);
        effects.carry_out(|_| {});
        answer
    }

    pub(in crate::machine) fn tell(
        &mut self,
        ticket: &Ticket,
        reply: Reply<&'static str>,
    ) -> Step<&'static str> {
        self.ask(|shard, context, effects| shard.step(ticket, context, reply, effects))
    }
}
