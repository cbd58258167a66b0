//! What is under way about one key.

use core::hash::{BuildHasher, Hash};

use crate::machine::shard::Shard;
use crate::machine::tier::inspection::UnderWay;
use crate::machine::time::Timestamp;

impl<K: Hash + Eq + Clone, V: Clone, S: BuildHasher> Shard<K, V, S> {
    /// What is under way about a key. It is given by its hash, which the shard's hasher made, by what it
    /// equals, and by its bucket. Who keeps keys fresh is not known here, nor what was raised.
    pub fn under_way(
        &self,
        hash: u64,
        is_key: impl Fn(&K) -> bool,
        bucket: u16,
        now: Timestamp,
    ) -> UnderWay {
        let slot = self.slots.find_by(hash, is_key);
        let slot = slot.map(|slot| self.slots.look(slot));
        let flight = slot.and_then(|slot| slot.flight);
        UnderWay {
            flight: flight.map(|flight| self.flights[flight].waiters.len()),
            unconfirmed: slot.is_some_and(|slot| slot.doubt.is_unconfirmed())
                || self.doubts.bypassed(bucket, now),
            kept_fresh: false,
        }
    }
}
