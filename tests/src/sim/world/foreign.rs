//! What happens to L2 that no node of ours does: it evicts, and a service in Go that knows nothing
//! of leases sets and deletes (PROTOCOL.md, G1, G2).

use core::time::Duration;

use jetcache_core::machine::generations::scope::Mark;
use jetcache_core::ports::remote::Hold;

use crate::sim::fate::judge::Index;
use crate::sim::fate::plan::Key;
use crate::sim::world::server::name;
use crate::sim::world::time::{World, whole_millis};

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// The value goes.
    EvictValue,
    /// The lease goes.
    EvictLease,
    /// A value is set, for so many milliseconds.
    Set(u64),
    /// What no codec can read is set.
    SetJunk,
    Delete,
}

/// When, and how long after that somebody tells of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Foreign {
    pub(crate) at: u64,
    pub(crate) key: Key,
    pub(crate) deed: Deed,
    pub(crate) told: u64,
}

impl World {
    pub(crate) fn meddle(&mut self, which: usize) {
        let Foreign {
            key, deed, told, ..
        } = self.plan.fleet.foreign[which];
        self.note(|| format!("L2, key {key}: {deed:?}"));
        let (index, clock) = (self.index, self.server_clock());
        match deed {
            Deed::EvictValue => {
                self.table.delete(name(key));
                self.vanished(key);
            }
            Deed::EvictLease => {
                if let Some((token, _)) = self.judge.holder(key, self.now) {
                    let now = self.server_clock();
                    self.table.release(now, &Hold::of(name(key), token));
                    self.judge.given_back(key, token);
                }
            }
            Deed::Set(life) => {
                let now = self.now;
                let id = self.judge.fact(key, false, index);
                let window = whole_millis(self.plan.policy.stale_for);
                let fact = self.judge.at(id);
                (fact.ends, fact.foreign) = (now + life, true);
                fact.window = window;
                let bytes =
                    self.encode(id, Mark::NONE, Duration::from_millis(life), Duration::ZERO);
                self.table
                    .set(clock, name(key), &bytes, Duration::from_millis(life));
                self.judge.foreign_set(key, Some(id));
                self.tell_of_foreign(key, false, index, told);
            }
            Deed::SetJunk => {
                self.table.set(clock, name(key), &junk(index), JUNK_STANDS);
                self.judge.foreign_set(key, None);
                self.tell_of_foreign(key, false, index, told);
            }
            Deed::Delete => {
                self.table.delete(name(key));
                self.judge.foreign_delete(key, index);
                self.tell_of_foreign(key, true, index, told);
            }
        }
    }
}

/// Bytes that no codec can read, and that nobody has ever set before.
pub(crate) fn junk(number: Index) -> Vec<u8> {
    format!("?{number}").into_bytes()
}

/// Longer than any fill may be on its way that was loaded before.
const JUNK_STANDS: Duration = Duration::from_secs(60);
