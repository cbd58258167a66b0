//! Reads without a loader (PROTOCOL.md, R6): they wait for nobody, nobody waits for them, and they
//! leave no trace in the tables while they are under way.
//!
//! What such a read finds in L2 enters L1 under the rules of a flight's value: only if no change of
//! its key has ended since it began. Changes that ended are remembered by the hash of their key, the
//! last few of a shard; a read that outlasts them keeps nothing.

use core::hash::{BuildHasher, Hash};

use super::effects::Effects;
use super::entry::{Cached, Entry};
use super::error::Fault;
use super::event::Event;
use super::lookup::{Seen, cached};
use super::policy::Call;
use super::shard::{Context, Shard};
use super::time::Timestamp;
use super::writes::Write;

/// A read of L2 under way.
#[derive(Clone, Copy, Debug)]
pub struct Glance {
    hash: u64,
    began: Era,
    sent: Timestamp,
    call: Call,
}

/// What came of it.
#[derive(Debug)]
#[must_use = "an announced write must be made and sealed"]
pub enum Glanced<V> {
    /// The answer.
    Answer(Cached<V>),
    /// The answer, and an entry to write to L1 at once, without any await. Then, whatever became of
    /// that: [`Shard::kept`].
    Keep(Cached<V>, Kept, Entry<V>),
}

/// An announced write of a read's own.
#[derive(Debug)]
#[must_use = "an announced write must be sealed"]
pub struct Kept {
    slot: usize,
    write: Write,
}

impl<K: Hash + Eq + Clone, V: Clone, S: BuildHasher> Shard<K, V, S> {
    /// Begins a read of L2. The key is given by its hash, which the shard's hasher made, and by what
    /// it equals. `None` if L2 is not to be asked: the answer is a miss.
    pub fn glance(
        &self,
        hash: u64,
        is_key: impl Fn(&K) -> bool,
        call: Call,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) -> Option<Glance> {
        let kind = context.policy.kind;
        if kind.has_local() && !call.skip_local {
            effects.events.push(Event::LocalMiss);
        }
        let slot = self.slots.find_by(hash, is_key);
        let doubted = slot.is_some_and(|slot| self.slots.look(slot).doubt.is_unconfirmed());
        let believed = !doubted && !self.doubts.bypassed(context.now);
        if !kind.has_remote() || call.skip_remote || !believed {
            effects.events.push(Event::Miss);
            return None;
        }
        Some(Glance {
            hash,
            began: self.eras.now(),
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
        let seen = match read {
            Ok(Some(seen)) if !seen.left.is_zero() => seen,
            Ok(ended) => {
                effects
                    .spent_values
                    .extend(ended.and_then(|seen| seen.value));
                effects
                    .events
                    .extend([Event::RemoteMiss { took }, Event::Miss]);
                return Glanced::Answer(Cached::Miss);
            }
            Err(fault) => {
                effects
                    .events
                    .extend([Event::RemoteFault(fault), Event::Miss]);
                return Glanced::Answer(Cached::Miss);
            }
        };
        effects.events.push(Event::RemoteHit { took });
        let call = &glance.call;
        let end = context
            .policy
            .local_end(call, glance.sent, seen.left, context.roll);
        let wanted = context.policy.kind.has_local() && !call.skip_local && !call.no_store;
        let superseded = self.eras.has_ended(glance.hash, glance.began);
        if !wanted || superseded || context.now >= end {
            return Glanced::Answer(cached(seen.value));
        }
        let (slot, spare) = self.slots.open(key());
        effects.spent_keys.extend(spare);
        let kept = Kept {
            slot,
            write: self.writes.announce(slot),
        };
        let answer = cached(seen.value.clone());
        Glanced::Keep(answer, kept, Entry::new(seen.value, end))
    }

    /// The write to L1 is done, or will not be.
    pub fn kept(&mut self, kept: &Kept, effects: &mut Effects<K, V>) {
        self.writes.seal(&kept.write);
        let closed = self.slots.close(kept.slot);
        effects.spent_keys.extend(closed);
    }
}

/// How many changes had ended in a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Era(u64);

/// The changes that ended last, by the hashes of their keys.
#[derive(Debug)]
pub(super) struct Eras {
    now: Era,
    /// The change that began era `n` stands at `n % LAST`.
    last: [u64; LAST],
}

impl Default for Eras {
    fn default() -> Self {
        Self {
            now: Era::default(),
            last: [0; LAST],
        }
    }
}

impl Eras {
    fn now(&self) -> Era {
        self.now
    }

    /// A change of the key with this hash has ended.
    pub(super) fn begin(&mut self, hash: u64) {
        self.now.0 += 1;
        self.last[at(self.now.0)] = hash;
    }

    /// Every key has changed.
    pub(super) fn begin_all(&mut self) {
        self.now.0 += LAST as u64 + 1;
    }

    /// Whether a change of the key with this hash may have ended since.
    fn has_ended(&self, hash: u64, since: Era) -> bool {
        let (now, since) = (self.now.0, since.0);
        now - since > LAST as u64 || (since + 1..=now).any(|era| self.last[at(era)] == hash)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the remainder is below LAST"
)]
const fn at(era: u64) -> usize {
    (era % LAST as u64) as usize
}

/// How many changes of a shard may end during a read that is still to know which.
const LAST: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_the_key_is_remembered() {
        let mut eras = Eras::default();
        let before = eras.now();
        assert!(!eras.has_ended(7, before));
        eras.begin(8);
        assert!(!eras.has_ended(7, before));
        eras.begin(7);
        assert!(eras.has_ended(7, before));
        assert!(!eras.has_ended(7, eras.now()), "it ended before");
    }

    #[test]
    fn what_is_forgotten_counts_as_changed() {
        let mut eras = Eras::default();
        let before = eras.now();
        for hash in 0..LAST as u64 {
            eras.begin(1000 + hash);
            assert!(!eras.has_ended(7, before));
        }
        eras.begin(2000);
        assert!(eras.has_ended(7, before));
        let before = eras.now();
        eras.begin_all();
        assert!(eras.has_ended(7, before));
        assert!(!eras.has_ended(7, eras.now()));
    }
}
