//! What is under way, key by key.

use core::hash::{BuildHasher, Hash};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use slab::Slab;

use crate::machine::table::unconfirmed::Doubt;

/// The keys on which something is under way: a flight, a read's write, a change, or doubt about L2.
///
/// Each has an **era**. A change that ends begins a new one, and what began in an older era is
/// superseded: it may answer those who wait for it and must keep nothing in L1.
#[derive(Debug)]
pub(in crate::machine) struct Slots<K, S> {
    hasher: S,
    by_key: HashTable<usize>,
    slots: Slab<Slot<K>>,
}

#[derive(Debug)]
pub(in crate::machine) struct Slot<K> {
    key: K,
    pub(in crate::machine) hash: u64,
    /// The bucket of its text in L2, with which it is raised.
    pub(in crate::machine) bucket: u16,
    /// Grows with every change that ends.
    pub(in crate::machine) era: u32,
    /// The flight that new callers join.
    pub(in crate::machine) flight: Option<usize>,
    /// What keeps the slot: flights, reads' writes, changes, repairs.
    users: usize,
    pub(in crate::machine) doubt: Doubt,
}

impl<K> Slot<K> {
    pub(in crate::machine) fn key(&self) -> &K {
        &self.key
    }
}

impl<K: Hash + Eq + Clone, S: BuildHasher> Slots<K, S> {
    pub(in crate::machine) fn new(hasher: S) -> Self {
        Self {
            hasher,
            by_key: HashTable::new(),
            slots: Slab::new(),
        }
    }

    /// The slot of `key`, with one more user, and the key itself if it was not needed.
    pub(in crate::machine) fn open(&mut self, key: K, bucket: u16) -> (usize, Option<K>) {
        self.open_hashed(self.hasher.hash_one(&key), key, bucket)
    }

    /// The same for a key whose hash is known.
    pub(in crate::machine) fn open_hashed(
        &mut self,
        hash: u64,
        key: K,
        bucket: u16,
    ) -> (usize, Option<K>) {
        let slots = &mut self.slots;
        let entry = self
            .by_key
            .entry(hash, |&at| slots[at].key == key, |&at| slots[at].hash);
        match entry {
            Entry::Occupied(entry) => {
                let at = *entry.get();
                slots[at].users += 1;
                (at, Some(key))
            }
            Entry::Vacant(entry) => {
                let at = slots.insert(Slot {
                    key,
                    hash,
                    bucket,
                    era: 0,
                    flight: None,
                    users: 1,
                    doubt: Doubt::default(),
                });
                entry.insert(at);
                (at, None)
            }
        }
    }

    /// One user less; the last one closes the slot, unless L2 is in doubt about its key. Returns
    /// the key, to be dropped outside the lock.
    pub(in crate::machine) fn close(&mut self, at: usize) -> Option<K> {
        let slot = &mut self.slots[at];
        slot.users -= 1;
        self.sweep(at)
    }

    /// Closes a slot that nobody uses any more.
    pub(in crate::machine) fn sweep(&mut self, at: usize) -> Option<K> {
        let slot = &self.slots[at];
        if slot.users > 0 || slot.doubt.is_unconfirmed() {
            return None;
        }
        let slot = self.slots.remove(at);
        if let Ok(entry) = self.by_key.find_entry(slot.hash, |&other| other == at) {
            entry.remove();
        }
        Some(slot.key)
    }

    pub(in crate::machine) fn use_again(&mut self, at: usize) -> K {
        let slot = &mut self.slots[at];
        slot.users += 1;
        slot.key.clone()
    }

    pub(in crate::machine) fn hash(&self, key: &K) -> u64 {
        self.hasher.hash_one(key)
    }

    pub(in crate::machine) fn find(&self, key: &K) -> Option<usize> {
        self.find_by(self.hash(key), |other| other == key)
    }

    pub(in crate::machine) fn find_by(
        &self,
        hash: u64,
        is_key: impl Fn(&K) -> bool,
    ) -> Option<usize> {
        let found = self.by_key.find(hash, |&at| is_key(&self.slots[at].key));
        found.copied()
    }

    /// Only a counted user of a slot, or its doubt, has its index: both keep the slot, so the index
    /// holds.
    pub(in crate::machine) fn at(&mut self, at: usize) -> &mut Slot<K> {
        &mut self.slots[at]
    }

    pub(in crate::machine) fn look(&self, at: usize) -> &Slot<K> {
        &self.slots[at]
    }

    pub(in crate::machine) fn all(&mut self) -> impl Iterator<Item = &mut Slot<K>> {
        self.slots.iter_mut().map(|(_, slot)| slot)
    }

    pub(in crate::machine) fn len(&self) -> usize {
        self.slots.len()
    }
}
