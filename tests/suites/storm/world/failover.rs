//! A replica of L2 takes over that is a while behind. What is on its way to the old primary is lost.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use jetcache_adapters::memory::Table;

#[derive(Default)]
pub(crate) struct Primaries {
    /// What the replica knows.
    replica: Mutex<Option<Table>>,
    /// How often one took over.
    count: AtomicU64,
}

impl Primaries {
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// The replica learns what the primary knows, and falls behind from here on; or takes over, if it is
    /// behind.
    pub(crate) fn go_on(&self, table: &Mutex<Table>) {
        let (mut replica, mut table) = (self.replica.lock().unwrap(), table.lock().unwrap());
        match replica.take() {
            None => *replica = Some(table.clone()),
            Some(behind) => {
                *table = behind;
                self.count.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}
