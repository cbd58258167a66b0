//! What happens to L2 that no node of ours does: it evicts, and a service in Go that knows nothing
//! of leases sets and deletes (PROTOCOL.md, G1, G2). The table has no verbs for that, so both are
//! put together from those it has: a lease that must survive is taken off and put back.

use core::time::Duration;

use jetcache_core::Token;
use jetcache_core::ports::bus::Kind;
use jetcache_core::ports::remote::{Fill, Hold, LeaseAsk, Stored, Wire};

use crate::sim::fate::judge::Index;
use crate::sim::fate::plan::Key;
use crate::sim::world::server::name;
use crate::sim::world::time::World;

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
        let index = self.index;
        match deed {
            Deed::EvictValue => {
                self.delete(key);
                self.vanished(key);
            }
            Deed::EvictLease => {
                if let Some((token, _)) = self.judge.holder(key, self.now) {
                    let now = self.server_clock();
                    self.table.release(
                        now,
                        &Hold {
                            key: name(key),
                            token,
                        },
                    );
                    self.judge.given_back(key, token);
                }
            }
            Deed::Set(life) => {
                let id = self.judge.fact(key, false, index);
                self.judge.at(id).ends = self.now + life;
                let bytes = self.encode(id, Duration::from_millis(life));
                self.set(key, &bytes, life);
                self.judge.foreign_set(key, Some(id));
                self.tell_of_foreign(key, false, index, told);
            }
            Deed::SetJunk => {
                self.set(key, &junk(index), JUNK_STANDS);
                self.judge.foreign_set(key, None);
                self.tell_of_foreign(key, false, index, told);
            }
            Deed::Delete => {
                self.delete(key);
                self.judge.foreign_delete(key, index);
                self.tell_of_foreign(key, true, index, told);
            }
        }
    }

    /// Removes the value, whoever has the lease.
    fn delete(&mut self, key: Key) {
        self.table.remove(name(key));
        self.lease_again(key);
    }

    /// Puts a value in place, whoever has the lease.
    fn set(&mut self, key: Key, bytes: &[u8], life: u64) {
        let now = self.server_clock();
        self.table.remove(name(key));
        let lease = Duration::from_secs(1);
        let ask = LeaseAsk {
            key: name(key),
            token: NOBODY,
            life: lease,
        };
        self.table.lease(now, &ask, Wire::JetcacheGo);
        let value = Stored {
            replaces: None,
            bytes,
            life: Duration::from_millis(life),
            stale: Duration::ZERO,
            lease,
            age: Duration::ZERO,
        };
        let fill = Fill {
            key: name(key),
            token: NOBODY,
            value,
            kind: Kind::SetByOnce,
        };
        self.table.fill(now, &fill, Wire::JetcacheGo);
        self.table.release(
            now,
            &Hold {
                key: name(key),
                token: NOBODY,
            },
        );
        self.lease_again(key);
    }

    fn lease_again(&mut self, key: Key) {
        if let Some((token, left)) = self.judge.holder(key, self.now) {
            let ask = LeaseAsk {
                key: name(key),
                token,
                life: Duration::from_millis(left),
            };
            let now = self.server_clock();
            self.table.lease(now, &ask, Wire::JetcacheGo);
        }
    }
}

/// Bytes that no codec can read, and that nobody has ever set before.
pub(crate) fn junk(number: Index) -> Vec<u8> {
    format!("?{number}").into_bytes()
}

const NOBODY: Token = Token::of_insert(0);

/// Longer than any fill may be on its way that was loaded before.
const JUNK_STANDS: u64 = 60_000;
