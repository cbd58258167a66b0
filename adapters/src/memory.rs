//! An L2 in the process: the verbs over a table, for tests and for programs of one node.

mod table;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jetcache_core::ports::remote::{
    Claim, Claimed, Ensure, Ensured, Extend, Extended, Fill, Filled, Found, Hold, Inspected,
    LeaseAsk, Leased, Mark, NewsPage, Placed, Put, Raise, Raised, Settle, Wire,
};
use jetcache_core::{Fault, Remote, Token};

pub use crate::memory::table::Table;

/// An L2 that lives in the process. Clones share one table, so several caches (nodes, in a test)
/// can stand around it. It knows no runtime: every future is ready at once.
///
/// It holds a bounded number of entries, 100,000 unless said otherwise; the least recently used
/// go first. Times to live are honoured.
///
/// ```
/// # mod jetcache_tokio { pub use jetcache_adapters::*; pub use jetcache_core::*; }
/// use jetcache_tokio::{Memory, Remote};
///
/// let one = Memory::new();
/// let two = one.clone();
/// # let _ = two;
/// assert!(one.is_empty());
/// ```
#[derive(Clone)]
pub struct Memory(Arc<Shared>);

struct Shared {
    table: Mutex<Table>,
    clock: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl Memory {
    /// A table of at most 100,000 entries.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(Table::CAPACITY)
    }

    /// A table of at most `entries` entries, and as many leases. Zero counts as one.
    #[must_use]
    pub fn with_capacity(entries: usize) -> Self {
        let start = Instant::now();
        // From 1, since 0 in an entry means that nobody stamped it.
        let clock = move || 1 + u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        Self::made_of(Table::with_capacity(entries), Box::new(clock))
    }

    /// A table of at most 100,000 entries whose time, in milliseconds, is what `clock` says.
    #[must_use]
    pub fn with_clock(clock: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self::made_of(Table::new(), Box::new(clock))
    }

    fn made_of(table: Table, clock: Box<dyn Fn() -> u64 + Send + Sync>) -> Self {
        Self(Arc::new(Shared {
            table: Mutex::new(table),
            clock,
        }))
    }

    /// Forgets everything: values, leases, and logs of generations.
    pub fn flush(&self) {
        self.table().clear();
    }

    /// Forgets the highest number of a namespace's log, its list, or both, as an eviction does.
    pub fn forget_log(&self, namespace: &str, top: bool, list: bool) {
        self.table().forget_log(namespace, top, list);
    }

    /// How many values stand in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        let now = (self.0.clock)();
        self.table().len(now)
    }

    /// Whether no value stands in the table.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many leases stand.
    #[must_use]
    pub fn leases(&self) -> usize {
        let now = (self.0.clock)();
        self.table().leases(now)
    }

    /// The table is whole after every verb, so a panic elsewhere cannot have broken it.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn each<A: Copy, B>(
        &self,
        asks: &[A],
        mut verb: impl FnMut(&mut Table, u64, A) -> B,
    ) -> Vec<Result<B, Fault>> {
        let now = (self.0.clock)();
        let mut table = self.table();
        asks.iter()
            .map(|&ask| Ok(verb(&mut table, now, ask)))
            .collect()
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Memory").field(&*self.table()).finish()
    }
}

impl Remote for Memory {
    async fn read(&self, keys: &[&str], wire: Wire) -> Vec<Result<Option<Found>, Fault>> {
        self.each(keys, |table, now, key| table.read(now, key, wire))
    }

    async fn lease(&self, asks: &[LeaseAsk<'_>], wire: Wire) -> Vec<Result<Leased, Fault>> {
        self.each(asks, |table, now, ask| table.lease(now, &ask, wire))
    }

    async fn renew(&self, asks: &[LeaseAsk<'_>]) -> Vec<Result<bool, Fault>> {
        self.each(asks, |table, now, ask| table.renew(now, &ask))
    }

    async fn fill(&self, fills: &[Fill<'_>], wire: Wire) -> Vec<Result<Filled, Fault>> {
        self.each(fills, |table, now, fill| table.fill(now, &fill, wire))
    }

    async fn extend(&self, extends: &[Extend<'_>]) -> Vec<Result<Extended, Fault>> {
        self.each(extends, |table, now, extend| table.extend(now, &extend))
    }

    async fn release(&self, holds: &[Hold<'_>]) -> Vec<Result<(), Fault>> {
        self.each(holds, |table, now, hold| table.release(now, &hold))
    }

    async fn claim(&self, claims: &[Claim<'_>], wire: Wire) -> Vec<Result<Claimed, Fault>> {
        self.each(claims, |table, now, claim| table.claim(now, &claim, wire))
    }

    async fn put(&self, puts: &[Put<'_>], wire: Wire) -> Vec<Result<Placed, Fault>> {
        self.each(puts, |table, now, put| table.put(now, &put, wire))
    }

    async fn settle(&self, settles: &[Settle<'_>], wire: Wire) -> Vec<Result<Filled, Fault>> {
        self.each(settles, |table, now, settle| {
            table.settle(now, &settle, wire)
        })
    }

    async fn remove(&self, keys: &[&str]) -> Vec<Result<(), Fault>> {
        self.each(keys, |table, _, key| table.remove(key))
    }

    async fn unload(&self, keys: &[&str]) -> Vec<Result<(), Fault>> {
        self.each(keys, |table, now, key| {
            table.unload(now, key);
        })
    }

    fn keeps_log(&self) -> bool {
        true
    }

    async fn raise(&self, raise: &Raise<'_>) -> Result<Raised, Fault> {
        let now = (self.0.clock)();
        self.table().raise(now, raise)
    }

    async fn news(&self, namespace: &str, since: Mark) -> Result<NewsPage, Fault> {
        Ok(self.table().news(namespace, since, PAGE))
    }

    async fn ensure(&self, ensure: &Ensure<'_>) -> Result<Ensured, Fault> {
        let now = (self.0.clock)();
        self.table().ensure(now, ensure)
    }

    async fn inspect(&self, key: &str, wire: Wire) -> Result<Inspected, Fault> {
        let now = (self.0.clock)();
        Ok(self.table().inspect(now, key, wire))
    }

    async fn lock(&self, name: &str, token: Token, life: Duration) -> Result<bool, Fault> {
        let now = (self.0.clock)();
        Ok(self.table().lock(now, name, token, life))
    }

    async fn unlock(&self, name: &str, token: Token) -> Result<(), Fault> {
        let now = (self.0.clock)();
        self.table().unlock(now, name, token);
        Ok(())
    }
}

/// How many marks are a page of news, and those of the same raise as the last.
const PAGE: usize = 1000;
