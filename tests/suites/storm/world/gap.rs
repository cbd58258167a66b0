//! An L1 with gaps in its calls, in which others go on, as other threads would.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use jetcache_core::Entry;
use jetcache_core::ports::local::{Local, Probe};

use crate::fate::ledger::Key;
use crate::world::time::World;

/// There is no gap in its writes: whoever waits for a write to end blocks the thread, and a storm
/// has only one.
pub(crate) struct Gap {
    entries: Mutex<BTreeMap<Key, Entry<u64>>>,
    world: World,
    width: Width,
}

#[derive(Clone, Copy)]
pub(crate) enum Width {
    /// A few ready tasks are polled, and no time passes.
    Few,
    /// Everybody goes on for so long, but only inside removals.
    Long(Duration),
}

impl Gap {
    pub(crate) fn new(world: &World, width: Width) -> Self {
        Self {
            entries: Mutex::default(),
            world: world.clone(),
            width,
        }
    }

    fn opens(&self, removal: bool) {
        let (world, now) = (&self.world, self.world.time());
        match self.width {
            Width::Few => {
                for _ in 0..world.below(4) {
                    world.step_aside(now);
                }
            }
            Width::Long(span) if removal => while world.step_aside(now + span) {},
            Width::Long(_) => {}
        }
    }
}

impl Local<Key, u64> for Gap {
    fn get(&self, key: &dyn Probe<Key>) -> Option<Entry<u64>> {
        let found = {
            let entries = self.entries.lock().unwrap();
            let mut entries = entries.iter().filter(|(own, _)| key.is(own));
            entries.next().map(|(_, entry)| entry.clone())
        };
        self.opens(false);
        found
    }

    fn insert(&self, key: Key, entry: Entry<u64>) {
        self.entries.lock().unwrap().insert(key, entry);
    }

    fn remove(&self, key: &dyn Probe<Key>) {
        self.entries.lock().unwrap().retain(|own, _| !key.is(own));
        self.opens(true);
    }

    fn clear(&self) {
        self.entries.lock().unwrap().clear();
        self.opens(true);
    }

    fn len(&self) -> usize {
        self.entries.lock().unwrap().len()
    }

    fn weight(&self) -> u64 {
        self.len() as u64
    }
}
