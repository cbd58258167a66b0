//! What is under way about one key.

use core::hash::{BuildHasher, Hash};

use crate::machine::shard::Shard;
use crate::machine::tier::inspection::UnderWay;
use crate::machine::time::Timestamp;

impl<K: Hash + Eq + Clone, V: Clone, S: BuildHasher> Shard<K, V, S> {
    /// What is under way about a key at `now`. The key is given by its hash, which the shard's hasher
    /// made, and by what it equals. Who keeps keys fresh is not known here.
    pub fn under_way(&self, hash: u64, is_key: impl Fn(&K) -> bool, now: Timestamp) -> UnderWay {
        let slot = self.slots.find_by(hash, is_key);
        let slot = slot.map(|slot| self.slots.look(slot));
        let flight = slot.and_then(|slot| slot.flight);
        UnderWay {
            flight: flight.map(|flight| self.flights[flight].waiters.len()),
            unconfirmed: slot.is_some_and(|slot| slot.doubt.is_unconfirmed())
                || self.doubts.bypassed(now),
            kept_fresh: false,
        }
    }
}
