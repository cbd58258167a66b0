//! The keys that changed lately: a primary that takes over may not know of that (PROTOCOL.md, F1).

use alloc::collections::BTreeSet;
use core::mem::{replace, take};
use core::time::Duration;

use hashbrown::HashTable;

use crate::machine::table::unconfirmed::Cure;
use crate::machine::time::Timestamp;

/// Remembers keys for one span at least and for two at most.
///
/// Time is that of the last answer of L2: while L2 is away nothing is forgotten, since nobody knows
/// yet what its next primary knows.
#[derive(Debug)]
pub(in crate::machine) struct Recents<K> {
    young: Page<K>,
    old: Page<K>,
    /// When the young page was begun.
    turned: Timestamp,
    /// How many keys both pages may have.
    room: usize,
}

#[derive(Debug)]
struct Page<K> {
    keys: HashTable<Recent<K>>,
    /// The buckets of those that did not fit.
    unfit: BTreeSet<u16>,
}

/// A key that changed, and how it is repaired in a primary that may not know.
#[derive(Debug)]
pub(in crate::machine) struct Recent<K> {
    pub(in crate::machine) hash: u64,
    pub(in crate::machine) key: K,
    pub(in crate::machine) bucket: u16,
    pub(in crate::machine) cure: Cure,
}

impl<K: Eq + Clone> Recents<K> {
    /// Remembers a key, if there is room.
    pub(in crate::machine) fn note_shown(&mut self, hash: u64, key: &K, bucket: u16) {
        // Whether there was room is no matter.
        let _ = self.remember(hash, key, bucket, Cure::Clear);
    }

    /// Remembers a key, or the bucket of one for which there is no room.
    pub(in crate::machine) fn note(&mut self, hash: u64, key: &K, bucket: u16, cure: Cure) {
        if !self.remember(hash, key, bucket, cure) {
            self.young.unfit.insert(bucket);
        }
    }

    fn remember(&mut self, hash: u64, key: &K, bucket: u16, cure: Cure) -> bool {
        let keys = &mut self.young.keys;
        if let Some(known) = keys.find_mut(hash, |known| known.key == *key) {
            known.cure = known.cure.max(cure);
            return true;
        }
        let fits = keys.len() + self.old.keys.len() < self.room;
        if fits {
            let recent = Recent {
                hash,
                key: key.clone(),
                bucket,
                cure,
            };
            keys.insert_unique(hash, recent, |known| known.hash);
        }
        fits
    }

    /// L2 has answered then, and there is so much room. Whether it is time to [turn](Self::turn).
    pub(in crate::machine) fn is_due(
        &mut self,
        answered: Timestamp,
        span: Duration,
        room: usize,
    ) -> bool {
        self.room = room;
        answered.since(self.turned) >= span
    }

    /// Begins a new page. Returns what is forgotten, to be dropped outside the lock.
    pub(in crate::machine) fn turn(
        &mut self,
        answered: Timestamp,
    ) -> impl Iterator<Item = K> + use<K> {
        self.turned = answered;
        let over = replace(&mut self.old, take(&mut self.young));
        over.keys.into_iter().map(|forgotten| forgotten.key)
    }

    /// All of them, which are remembered no more, and the buckets of others for which there was no room.
    pub(in crate::machine) fn take(
        &mut self,
    ) -> (impl Iterator<Item = Recent<K>> + use<K>, BTreeSet<u16>) {
        let (young, mut old) = (take(&mut self.young), take(&mut self.old));
        old.unfit.extend(young.unfit);
        (old.keys.into_iter().chain(young.keys), old.unfit)
    }

    pub(in crate::machine) fn len(&self) -> usize {
        self.young.keys.len() + self.old.keys.len()
    }
}

impl<K> Default for Recents<K> {
    fn default() -> Self {
        Self {
            young: Page::default(),
            old: Page::default(),
            turned: Timestamp::default(),
            room: 0,
        }
    }
}

impl<K> Default for Page<K> {
    fn default() -> Self {
        Self {
            keys: HashTable::new(),
            unfit: BTreeSet::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const SPAN: Duration = Duration::from_secs(2);

    /// What is forgotten once L2 has answered then.
    fn turn(recents: &mut Recents<u64>, answered: Timestamp, room: usize) -> Vec<u64> {
        match recents.is_due(answered, SPAN, room) {
            true => recents.turn(answered).collect(),
            false => Vec::new(),
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    fn keys(recents: &mut Recents<u64>) -> Vec<(u64, Cure)> {
        let (all, _) = recents.take();
        let mut keys: Vec<_> = all.map(|recent| (recent.key, recent.cure)).collect();
        keys.sort_unstable();
        keys
    }

    #[test]
    fn a_key_is_remembered_for_one_span_at_least_and_two_at_most() {
        let mut recents = Recents::default();
        assert_eq!(turn(&mut recents, at(10), 8), []);
        recents.note(1, &1, 1, Cure::Remove);
        assert_eq!(turn(&mut recents, at(11), 8), []);
        recents.note(2, &2, 2, Cure::Clear);
        assert_eq!(turn(&mut recents, at(12), 8), []);
        let forgotten = turn(&mut recents, at(14), 8);
        assert_eq!(forgotten.len(), 2);
        recents.note(3, &3, 3, Cure::Clear);
        assert_eq!(keys(&mut recents), [(3, Cure::Clear)]);
    }

    #[test]
    fn a_key_is_there_once_with_the_strongest_cure() {
        let mut recents = Recents::default();
        turn(&mut recents, at(10), 8);
        for cure in [Cure::Clear, Cure::Remove, Cure::Clear] {
            recents.note(1, &1, 1, cure);
        }
        assert_eq!(
            (recents.len(), keys(&mut recents)),
            (1, [(1, Cure::Remove)].into())
        );
        assert_eq!(recents.len(), 0);
    }

    #[test]
    fn what_does_not_fit_is_said_until_it_would_be_forgotten() {
        let mut recents = Recents::default();
        turn(&mut recents, at(10), 1);
        recents.note(1, &1, 1, Cure::Remove);
        recents.note(2, &2, 2, Cure::Remove);
        assert_eq!(recents.len(), 1);
        turn(&mut recents, at(12), 1);
        assert_eq!(recents.old.unfit.len(), 1);
        turn(&mut recents, at(14), 1);
        assert!(recents.take().1.is_empty());
        recents.note(1, &1, 1, Cure::Remove);
        recents.note(2, &2, 2, Cure::Remove);
        assert_eq!(recents.take().1.into_iter().collect::<Vec<_>>(), [2]);
        assert!(recents.take().1.is_empty());
    }

    #[test]
    fn while_l2_does_not_answer_nothing_is_forgotten() {
        let mut recents = Recents::default();
        turn(&mut recents, at(10), 8);
        recents.note(1, &1, 1, Cure::Remove);
        for _ in 0..9 {
            assert_eq!(turn(&mut recents, at(11), 8), []);
        }
        assert_eq!(recents.len(), 1);
    }
}
