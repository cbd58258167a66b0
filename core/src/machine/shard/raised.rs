//! What raises mean to what is under way (PROTOCOL.md, T2, T5, T6, T11).

use alloc::vec::Vec;
use core::hash::{BuildHasher, Hash};

use crate::machine::effects::Effects;
use crate::machine::event::Event;
use crate::machine::generations::Generations;
use crate::machine::generations::heard::Aftermath;
use crate::machine::lookup::step::{Release, Reply, Seen};
use crate::machine::shard::{Context, Shard};
use crate::machine::table::writes::Sweep;

impl<K: Hash + Eq + Clone, V: Clone, S: BuildHasher> Shard<K, V, S> {
    /// The namespace was cleared, or keys of some buckets were raised: [`supersede`](Self::supersede) for
    /// all those keys, but for a flight that has found nothing yet: what it finds in L2 is judged by its
    /// number, and what it loads began after the news. Then everything is removed from L1.
    ///
    /// Who loads gives its lease back at once, since what it brings is dead: these leases are to be
    /// released. A change would have removed them.
    pub fn supersede_raised(
        &mut self,
        news: &Aftermath,
        effects: &mut Effects<K, V>,
    ) -> (Sweep, Vec<(K, Release)>) {
        let mut leases = Vec::new();
        // Nor do changes whose values count from a claim that is still to be answered.
        for (_, change) in &mut self.changes {
            let slot = self.slots.look(change.slot);
            if news.concerns(slot.bucket) && change.era == slot.era && change.is_to_begin() {
                change.era += 1;
            }
        }
        let flights = &mut self.flights;
        for slot in self.slots.all() {
            if !news.concerns(slot.bucket) {
                continue;
            }
            slot.era += 1;
            match slot.flight.map(|at| &mut flights[at]) {
                Some(flight) if flight.lookup.has_nothing() => {
                    flight.era = slot.era;
                    // Nor does it answer what it has seen so far, before L1 is swept.
                    flight.lookup.on_swept();
                }
                Some(flight) => {
                    slot.flight = None;
                    effects.events.push(Event::Superseded);
                    let lease = flight.lookup.loads_in_vain();
                    leases.extend(lease.map(|lease| (slot.key().clone(), lease)));
                }
                None => {}
            }
        }
        let pending = self.writes.all();
        (self.begin_sweep(pending), leases)
    }

    /// Whether L2 is neither read nor filled for the keys of this bucket.
    pub(super) fn avoids_l2(&self, bucket: u16, context: &Context<'_>) -> bool {
        self.doubts.bypassed(bucket, context.now) || context.generations.is_blocked(bucket)
    }

    /// A change of a key of this bucket was not acknowledged, and did not fit: the bucket is raised
    /// (PROTOCOL.md, T11), or does without L2 until everything that may stand there has ended.
    pub(super) fn unfit(
        &mut self,
        bucket: u16,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) {
        if context.policy.log {
            effects.overflows.push(bucket);
            effects.events.push(Event::Overflowed);
        } else {
            self.doubts.bypass(bucket, context.now);
            effects.events.push(Event::Bypassed);
        }
    }
}

/// What L2 has shown, if it is alive: what is dead is absent (T2). `first`: a lease's look is the first one.
pub(super) fn bury<K, V>(
    reply: Reply<V>,
    bucket: u16,
    generations: &Generations,
    first: bool,
    effects: &mut Effects<K, V>,
) -> Reply<V> {
    let mut alive = |seen: Option<Seen<V>>, counts: bool| match seen {
        Some(seen) if seen.is_dead(bucket, generations) => {
            effects.events.extend(counts.then_some(Event::DeadInL2));
            effects.spent_values.extend(seen.value);
            None
        }
        seen => seen,
    };
    match reply {
        Reply::Remote(Ok(seen)) => Reply::Remote(Ok(alive(seen, true))),
        // A second look sees what the first one has counted.
        Reply::Leased(Ok((granted, seen))) => Reply::Leased(Ok((granted, alive(seen, first)))),
        reply => reply,
    }
}
