//! Reads without a loader (PROTOCOL.md, R6): they wait for nobody, nobody waits for them, and they
//! leave no trace in the tables while they are under way.
//!
//! What such a read finds in L2 enters L1 under the rules of a flight's value: only if no change of
//! its key has ended since it began. A shard remembers the last few changes that ended, by the hash
//! of their key; a read that more of them overtake keeps nothing.

use core::hash::{BuildHasher, Hash};

use crate::machine::effects::Effects;
use crate::machine::error::Fault;
use crate::machine::event::Event;
use crate::machine::lookup::step::Seen;
use crate::machine::policy::call::Call;
use crate::machine::shard::failover::taken_over;
use crate::machine::shard::{Context, Shard};
use crate::machine::table::eras::Era;
use crate::machine::table::writes::Write;
use crate::machine::tier::entry::{Cached, Entry};
use crate::machine::time::Timestamp;

/// A read of L2 under way.
#[derive(Clone, Debug)]
pub struct Glance {
    hash: u64,
    bucket: u16,
    began: Era,
    /// Under which primary L2 is asked.
    reign: u32,
    sent: Timestamp,
    call: Call,
}

/// What came of it.
#[derive(Debug)]
#[must_use = "an announced write must be made and sealed"]
pub enum Glanced<V> {
    /// The answer.
    Answer(Cached<V>),
    /// The answer, and an entry to write to L1 at once, without any await. Then call
    /// [`Shard::kept`], whether or not the write succeeded.
    Keep(Cached<V>, Kept, Entry<V>),
}

/// The announced L1 write of such a read.
#[derive(Debug)]
#[must_use = "an announced write must be sealed"]
pub struct Kept {
    slot: usize,
    write: Write,
}

impl Glance {
    /// When the life of what it found ends.
    pub fn end_of<V>(&self, seen: &Seen<V>) -> Timestamp {
        self.sent + seen.left
    }
}

impl<K: Hash + Eq + Clone, V: Clone, S: BuildHasher> Shard<K, V, S> {
    /// Begins a read of L2. The key is given by its hash, which the shard's hasher made, by its bucket, and
    /// by what it equals. `None` if L2 is not to be asked: the answer is a miss.
    pub fn glance(
        &self,
        hash: u64,
        bucket: u16,
        is_key: impl Fn(&K) -> bool,
        call: Call,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) -> Option<Glance> {
        let kind = context.policy.kind;
        if kind.has_local() && !call.skip_local && !call.looked_up_again {
            effects.events.push(Event::LocalMiss);
        }
        let slot = self.slots.find_by(hash, is_key);
        let doubted = slot.is_some_and(|slot| self.slots.look(slot).doubt.is_unconfirmed());
        let believed = !doubted && !self.avoids_l2(bucket, context);
        if !kind.has_remote() || call.skip_remote || !believed {
            if !call.looked_up_again {
                effects.events.push(Event::Miss);
            }
            return None;
        }
        Some(Glance {
            hash,
            bucket,
            began: self.eras.now(),
            reign: self.reign,
            sent: context.now,
            call,
        })
    }

    /// Ends a read of L2. The key is needed if its entry is to enter L1.
    pub fn glanced(
        &mut self,
        glance: &Glance,
        key: impl FnOnce() -> K,
        read: Result<Option<Seen<V>>, Fault>,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) -> Glanced<V> {
        let took = context.now.since(glance.sent);
        let read = match read {
            Ok(found)
                if glance.reign != self.reign
                    && (self.eras.has_ended(glance.hash, glance.began)
                        || self.doubts.bypassed(glance.bucket, context.now)) =>
            {
                let found = found.and_then(|seen| seen.value);
                effects.spent_values.extend(found);
                Err(taken_over())
            }
            read => read,
        };
        let read = match read {
            // What is dead is absent (T2).
            Ok(Some(seen)) if seen.is_dead(glance.bucket, context.generations) => {
                effects.events.push(Event::DeadInL2);
                effects.spent_values.extend(seen.value);
                Ok(None)
            }
            read => read,
        };
        let mut seen = match read {
            Ok(Some(seen)) if seen.is_fresh(glance.sent, context.now) => seen,
            Ok(ended) => {
                effects
                    .spent_values
                    .extend(ended.and_then(|seen| seen.value));
                if !glance.call.looked_up_again {
                    effects
                        .events
                        .extend([Event::RemoteMiss { took }, Event::Miss]);
                }
                return Glanced::Answer(Cached::Miss);
            }
            Err(fault) => {
                effects.events.push(Event::RemoteFault(fault));
                if !glance.call.looked_up_again {
                    effects.events.push(Event::Miss);
                }
                return Glanced::Answer(Cached::Miss);
            }
        };
        let call = &glance.call;
        if call.looked_up_again && context.policy.kind.has_local() && !call.skip_local {
            effects.events.push(Event::LocalMiss);
        }
        effects.events.push(Event::RemoteHit { took });
        let end = context
            .policy
            .local_end(call, glance.sent, seen.left, context.roll.bits());
        let wanted = context.policy.kind.has_local() && !call.skip_local && !call.no_store;
        let superseded = self.eras.has_ended(glance.hash, glance.began);
        if !wanted || superseded || context.now >= end {
            return Glanced::Answer(Cached::known(seen.value));
        }
        let (slot, spare) = self.slots.open(key(), glance.bucket);
        effects.spent_keys.extend(spare);
        if let Some(flight) = self.slots.look(slot).flight {
            let lookup = &mut self.flights[flight].lookup;
            if lookup.is_keeping_stale() {
                // Nobody knows which of two writes comes last, and a stale value must not be it.
                effects.spent_keys.extend(self.slots.close(slot));
                return Glanced::Answer(Cached::known(seen.value));
            }
            lookup.on_fed();
        }
        let kept = Kept {
            slot,
            write: self.writes.announce(slot),
        };
        let answer = Cached::known(seen.value.clone());
        let stale_end = seen.copy_end(end, glance.sent, context.policy);
        let life = seen.left.saturating_add(seen.age.unwrap_or_default());
        let note = seen.note(glance.sent);
        let entry = Entry::new(seen.value, end)
            .stale_until(stale_end)
            .noted(note)
            .tagged(&seen.tags, context.generations.heard());
        let entry = (context.policy).led(entry, seen.cost, life, context.roll);
        Glanced::Keep(answer, kept, entry)
    }

    /// The write to L1 is done, or will not be.
    pub fn kept(&mut self, kept: &Kept, effects: &mut Effects<K, V>) {
        self.writes.seal(&kept.write);
        let closed = self.slots.close(kept.slot);
        effects.spent_keys.extend(closed);
    }
}
