//! The verbs over plain data: one method a verb, one key a call, the time an argument.

mod claims;
mod extension;
mod generations;
mod inspection;
mod life;
mod log;

use core::fmt;
use core::num::NonZeroUsize;
use core::time::Duration;

use jetcache_core::Token;
use jetcache_core::machine::tier::envelope::{HEADER, PREFIX, stamp};
use jetcache_core::machine::time::millis;
use jetcache_core::ports::bus::Kind;
use jetcache_core::ports::remote::{
    Fill, Filled, Found, Granted, Hold, LeaseAsk, Leased, Life, MARKED, Settle, Stored, Wire,
};
use lru::LruCache;

use crate::memory::table::life::left;
use crate::memory::table::log::Logs;

/// Values and leases under text keys, each with its end, as a server holds them.
///
/// It has no lock and no clock: `now` is the server's clock in milliseconds. [`Memory`] puts both
/// around it; a simulator brings its own. Values and leases are bounded by the same number; the
/// least recently used go first. What has ended is removed when it is touched. Logs of generations stay:
/// one for each namespace in which something was raised, with a mark for each of 131,073 scopes at most.
///
/// [`Memory`]: crate::memory::Memory
#[derive(Clone)]
pub struct Table {
    values: LruCache<String, Row>,
    leases: LruCache<String, Lease>,
    logs: Logs,
}

/// Stands while `now < until`.
#[derive(Clone)]
struct Row {
    bytes: Vec<u8>,
    until: u64,
    /// While `now` is less, it is known that a load put it there.
    loaded_until: u64,
}

/// Stands while `now < until`.
#[derive(Clone)]
struct Lease {
    token: Token,
    until: u64,
    /// The claims that spare, each with the time at which it was made: the token's own, then those
    /// in whose place it came. None if this is a lease, or a claim that removes.
    claims: Vec<(Token, u64)>,
    /// Whether the value of one of them stands there now.
    put: bool,
    /// It is nobody's: a load has failed, and nobody is to try again while it stands.
    failing: bool,
}

/// The token of nobody: real ones are random.
const NOBODY: Token = Token::from_bits(0);

impl Table {
    /// The bound of [`Table::new`].
    pub const CAPACITY: usize = 100_000;

    /// A table of at most 100,000 values and as many leases.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(Self::CAPACITY)
    }

    /// A table of at most `entries` values and as many leases. Zero counts as one.
    #[must_use]
    pub fn with_capacity(entries: usize) -> Self {
        let bound = NonZeroUsize::new(entries).unwrap_or(NonZeroUsize::MIN);
        Self {
            // Sparse: memory is reserved as it is needed.
            values: LruCache::sparse(bound),
            leases: LruCache::sparse(bound),
            logs: Logs::default(),
        }
    }

    /// What stands under `key`.
    pub fn read(&mut self, now: u64, key: &str, wire: Wire) -> Option<Found> {
        if let Some(top) = self.logs.top(now, key, wire) {
            return Some(top);
        }
        self.value(now, key).map(|row| Found {
            bytes: row.bytes.clone(),
            life: match wire {
                Wire::JetcacheGo => Life::Left(Duration::from_millis(row.until - now)),
                _ => Life::Clock(now),
            },
        })
    }

    /// Takes the lease if nobody has it, and looks at the value.
    pub fn lease(&mut self, now: u64, ask: &LeaseAsk<'_>, wire: Wire) -> Leased {
        let holder = self.holder(now, ask.key);
        let failing = (self.leases.peek(ask.key)).is_some_and(|lease| lease.failing);
        if holder.is_none() {
            self.grant(now, ask.key, ask.token, millis(ask.life));
        }
        Leased {
            granted: match holder {
                Some(_) if failing => Granted::Failing,
                Some((token, _)) if token != ask.token => Granted::No,
                Some(_) | None => Granted::Yes,
            },
            found: self.read(now, ask.key, wire),
        }
    }

    /// Lets the lease stand for another while if it is the token's. Whether it is.
    pub fn renew(&mut self, now: u64, ask: &LeaseAsk<'_>) -> bool {
        let stands = self.is_holder(now, ask.key, ask.token);
        if stands && let Some(lease) = self.leases.peek_mut(ask.key) {
            lease.until = now.saturating_add(millis(ask.life).max(1));
        }
        stands
    }

    /// Stores the value if the lease is the token's, and gives the lease back.
    pub fn fill(&mut self, now: u64, fill: &Fill<'_>, wire: Wire) -> Filled {
        let left = match self.holder(now, fill.key) {
            Some((token, left)) if token == fill.token => left,
            _ => return Filled::Refused,
        };
        self.leases.pop(fill.key);
        let stands = self.value(now, fill.key).map(|row| &*row.bytes);
        if wire == Wire::JetcacheGo && stands != fill.value.replaces {
            return Filled::Refused;
        }
        let aged = millis(fill.value.lease).saturating_sub(left);
        self.store(now, fill.key, &fill.value, aged, wire, true)
    }

    /// Gives the lease back if it is the token's; for a while nobody has it then, if the holder's load
    /// has failed.
    pub fn release(&mut self, now: u64, hold: &Hold<'_>) {
        if !self.is_holder(now, hold.key, hold.token) {
            return;
        }
        self.leases.pop(hold.key);
        if let Some(failing) = hold.failing {
            self.grant(now, hold.key, NOBODY, millis(failing));
            if let Some(lease) = self.leases.peek_mut(hold.key) {
                lease.failing = true;
            }
        }
    }

    /// As [`fill`](Self::fill) if there is a token; what is not stored is removed, value and lease.
    pub fn settle(&mut self, now: u64, settle: &Settle<'_>, wire: Wire) -> Filled {
        let &Settle { key, token, value } = settle;
        let filled = token.map(|token| {
            let fill = Fill {
                key,
                token,
                value,
                kind: Kind::Set,
            };
            self.fill(now, &fill, wire)
        });
        if filled != Some(Filled::Stored) {
            self.remove(key);
        }
        filled.unwrap_or(Filled::Refused)
    }

    /// Removes value and lease.
    pub fn remove(&mut self, key: &str) {
        self.values.pop(key);
        self.leases.pop(key);
    }

    /// Removes what a load may have put there: the lease unless it is an insert's, and the value if a
    /// load did put it there. Whether there was such a value.
    pub fn unload(&mut self, now: u64, key: &str) -> bool {
        if (self.leases.peek(key)).is_some_and(|lease| lease.claims.is_empty()) {
            self.leases.pop(key);
        }
        let loaded = (self.value(now, key)).is_some_and(|row| now < row.loaded_until);
        if loaded {
            self.values.pop(key);
        }
        loaded
    }

    /// Takes the lock of this name for `life` if nobody has it, be it a lock or a value that stands
    /// there. Whether this token has it now.
    pub fn lock(&mut self, now: u64, name: &str, token: Token, life: Duration) -> bool {
        let text = token.to_string().into_bytes();
        match self.value(now, name) {
            Some(row) => row.bytes == text,
            None => {
                let until = now.saturating_add(millis(life).max(1));
                let row = Row {
                    bytes: text,
                    until,
                    loaded_until: 0,
                };
                self.values.push(name.to_owned(), row);
                true
            }
        }
    }

    /// Gives a lock back if it is the token's.
    pub fn unlock(&mut self, now: u64, name: &str, token: Token) {
        let text = token.to_string().into_bytes();
        if self.value(now, name).is_some_and(|row| row.bytes == text) {
            self.values.pop(name);
        }
    }

    /// Puts bytes there for `life`, as a writer does who knows nothing of leases.
    pub fn set(&mut self, now: u64, key: &str, bytes: &[u8], life: Duration) {
        let row = Row {
            bytes: bytes.to_vec(),
            until: now.saturating_add(millis(life).max(1)),
            loaded_until: 0,
        };
        self.values.push(key.to_owned(), row);
    }

    /// Removes the value alone, as such a writer does, or an eviction.
    pub fn delete(&mut self, key: &str) {
        self.values.pop(key);
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        self.values.clear();
        self.leases.clear();
        self.logs = Logs::default();
    }

    /// How many values stand. It counts them one by one.
    #[must_use]
    pub fn len(&self, now: u64) -> usize {
        self.values
            .iter()
            .filter(|(_, row)| now < row.until)
            .count()
    }

    /// Whether no value stands.
    #[must_use]
    pub fn is_empty(&self, now: u64) -> bool {
        self.len(now) == 0
    }

    /// How many leases stand. It counts them one by one.
    #[must_use]
    pub fn leases(&self, now: u64) -> usize {
        self.leases
            .iter()
            .filter(|(_, lease)| now < lease.until)
            .count()
    }

    fn value(&mut self, now: u64, key: &str) -> Option<&Row> {
        if self.values.peek(key)?.until <= now {
            self.values.pop(key);
        }
        self.values.get(key)
    }

    /// Who holds the lease, and for how many milliseconds yet.
    fn holder(&mut self, now: u64, key: &str) -> Option<(Token, u64)> {
        let lease = self.leases.get(key)?;
        let holder = (lease.token, lease.until.saturating_sub(now));
        if holder.1 > 0 {
            return Some(holder);
        }
        self.leases.pop(key);
        None
    }

    fn is_holder(&mut self, now: u64, key: &str, token: Token) -> bool {
        self.holder(now, key)
            .is_some_and(|holder| holder.0 == token)
    }

    fn grant(&mut self, now: u64, key: &str, token: Token, life: u64) {
        let lease = Lease {
            token,
            until: now.saturating_add(life.max(1)),
            claims: Vec::new(),
            put: false,
            failing: false,
        };
        self.leases.push(key.to_owned(), lease);
    }

    /// `aged` is how old the lease is: the time it aged beyond what its holder knew when it sent the
    /// value is the time that the value was on its way.
    fn store(
        &mut self,
        now: u64,
        key: &str,
        value: &Stored<'_>,
        aged: u64,
        wire: Wire,
        loaded: bool,
    ) -> Filled {
        let life = left(value.life, aged, value.age);
        if life == 0 {
            return Filled::Refused;
        }
        let end = now.saturating_add(life);
        let mut bytes = value.bytes.to_vec();
        let mut until = end;
        if wire != Wire::JetcacheGo {
            // Only our own header has a place for it.
            if bytes.len() >= HEADER && bytes.starts_with(&PREFIX[..2]) {
                stamp(&mut bytes, end);
            }
            until = end.saturating_add(millis(value.stale));
        }
        let marked = now.saturating_add(millis(MARKED));
        let row = Row {
            bytes,
            until,
            loaded_until: if loaded { marked } else { 0 },
        };
        self.values.push(key.to_owned(), row);
        Filled::Stored
    }
}

impl Default for Table {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("values", &self.values.len())
            .field("leases", &self.leases.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use jetcache_core::ports::remote::Stored;

    use super::*;

    const T: Token = Token::from_bits(1);
    const U: Token = Token::from_bits(2);

    fn ask(key: &str, token: Token) -> LeaseAsk<'_> {
        LeaseAsk {
            key,
            token,
            life: Duration::from_secs(1),
        }
    }

    fn fill(key: &str, token: Token, life: u64, age: u64) -> Fill<'_> {
        Fill {
            key,
            token,
            value: Stored {
                replaces: None,
                bytes: b"v",
                life: Duration::from_millis(life),
                stale: Duration::ZERO,
                lease: Duration::from_secs(1),
                age: Duration::from_millis(age),
            },
            kind: Kind::SetByOnce,
        }
    }

    #[test]
    fn the_time_on_the_way_is_taken_off_the_life() {
        let mut table = Table::new();
        assert!(table.lease(0, &ask("k", T), Wire::Native).is_granted());
        // The holder knew of 100 ms when it sent; the lease aged 300.
        assert_eq!(
            table.fill(300, &fill("k", T, 500, 100), Wire::Native),
            Filled::Stored
        );
        assert!(table.read(599, "k", Wire::Native).is_some());
        assert!(table.read(600, "k", Wire::Native).is_none());
    }

    #[test]
    fn a_value_with_no_life_left_is_released_and_not_stored() {
        let mut table = Table::new();
        table.lease(0, &ask("k", T), Wire::Native);
        assert_eq!(
            table.fill(300, &fill("k", T, 200, 100), Wire::Native),
            Filled::Refused
        );
        assert_eq!((table.len(300), table.leases(300)), (0, 0));
    }

    #[test]
    fn a_lease_ends_by_itself() {
        let mut table = Table::new();
        table.lease(0, &ask("k", T), Wire::Native);
        assert!(!table.lease(999, &ask("k", U), Wire::Native).is_granted());
        assert!(table.lease(1000, &ask("k", U), Wire::Native).is_granted());
        assert_eq!(
            table.fill(1000, &fill("k", T, 9, 0), Wire::Native),
            Filled::Refused
        );
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut table = Table::with_capacity(2);
        for key in ["a", "b"] {
            table.lease(0, &ask(key, T), Wire::Native);
            table.fill(0, &fill(key, T, 10, 0), Wire::Native);
        }
        table.read(0, "a", Wire::Native);
        table.lease(0, &ask("c", T), Wire::Native);
        table.fill(0, &fill("c", T, 10, 0), Wire::Native);
        assert!(table.read(0, "a", Wire::Native).is_some());
        assert!(table.read(0, "b", Wire::Native).is_none());
        assert!(table.read(0, "c", Wire::Native).is_some());
    }
}
