//! Judges what a cache of one thread answers: P1, P2, P6 and P7.

use jetcache_core::Cached;

use crate::sim::alone::world::Value;
use crate::sim::fate::plan::{KEYS, Key};
use crate::sim::fate::promise::{Broken, Promise};

#[derive(Default)]
pub(crate) struct Judge {
    rows: [Row; KEYS],
    running: Vec<Running>,
    pub(crate) broken: Option<Broken>,
}

/// A row of the database, and what the cache was told of it.
#[derive(Default)]
struct Row {
    version: u64,
    /// That of the last change that has returned.
    settled: u64,
    /// How often what was under way was superseded.
    era: u64,
    absent: Option<Absence>,
}

/// What the loads that found nothing allow.
#[derive(Clone, Copy, Default)]
struct Absence {
    version: u64,
    began: u64,
    until: u64,
}

/// A loader that runs.
struct Running {
    ask: usize,
    key: Key,
    era: u64,
    /// Its caller is not always polled.
    held: bool,
}

/// What is due to a caller that came then.
#[derive(Clone, Copy)]
pub(crate) struct Claim {
    pub(crate) key: Key,
    came: u64,
    settled: u64,
    era: u64,
}

impl Judge {
    pub(crate) fn rule(&mut self, holds: bool, promise: Promise, how: impl FnOnce() -> String) {
        if !holds && self.broken.is_none() {
            self.broken = Some(Broken {
                promise,
                how: how(),
            });
        }
    }

    fn row(&mut self, key: Key) -> &mut Row {
        &mut self.rows[usize::from(key) % KEYS]
    }

    pub(crate) fn comes(&mut self, key: Key, came: u64) -> Claim {
        let Row { settled, era, .. } = *self.row(key);
        Claim {
            key,
            came,
            settled,
            era,
        }
    }

    /// The row changes, and the cache is told next.
    pub(crate) fn changes(&mut self, key: Key) -> u64 {
        let row = self.row(key);
        row.version += 1;
        row.era += 1;
        row.version
    }

    /// The cache has taken that change.
    pub(crate) fn settles(&mut self, key: Key, version: u64) {
        self.row(key).settled = version;
    }

    pub(crate) fn clears(&mut self) {
        self.rows.iter_mut().for_each(|row| row.era += 1);
    }

    /// A loader begins, and reads the row. Those who came before a change may load once more among
    /// themselves: their flight was superseded.
    pub(crate) fn begins(&mut self, ask: usize, claim: Claim, held: bool) -> u64 {
        let Claim { key, era, .. } = claim;
        let version = self.row(key).version;
        let same = |other: &Running| other.key == key && other.era == era && !other.held;
        let other = self.running.iter().find(|other| same(other));
        let other = other.map(|other| other.ask);
        self.rule(other.is_none(), Promise::P1, || {
            format!("ask {ask} loads key {key} while ask {other:?} does")
        });
        self.running.push(Running {
            ask,
            key,
            era,
            held,
        });
        version
    }

    pub(crate) fn ends(&mut self, ask: usize) {
        self.running.retain(|running| running.ask != ask);
    }

    /// A loader says that there is no row.
    pub(crate) fn is_absent(&mut self, key: Key, version: u64, began: u64, until: u64) {
        let row = self.row(key);
        // One that a change has overtaken may end later.
        let absent = row.absent.get_or_insert(Absence::default());
        absent.version = absent.version.max(version);
        absent.began = absent.began.max(began);
        absent.until = absent.until.max(until);
    }

    pub(crate) fn answers(&mut self, claim: Claim, found: &Cached<Value>, now: u64) {
        let Claim {
            key, came, settled, ..
        } = claim;
        let fed = |began: Option<u64>| began.is_some_and(|began| came <= began);
        match found {
            Cached::Miss => {}
            Cached::Hit(value) | Cached::Stale(value) => {
                let window = if found.is_stale() { value.window } else { 0 };
                self.rule(value.version >= settled, Promise::P2, || {
                    format!("key {key}: {value:?} at {now}, and version {settled} was settled")
                });
                let end = value.born + value.ttl + window;
                self.rule(now < end || fed(value.began), Promise::P7, || {
                    format!("key {key}: {value:?} at {now}, for who came at {came}")
                });
            }
            Cached::Absent => {
                let Some(absent) = self.row(key).absent else {
                    return self.rule(false, Promise::P6, || {
                        format!("key {key} is absent at {now}, and no loader has said so")
                    });
                };
                self.rule(absent.version >= settled, Promise::P2, || {
                    format!("key {key} is absent at {now}, and version {settled} was settled")
                });
                let lives = now < absent.until || fed(Some(absent.began));
                self.rule(lives, Promise::P7, || {
                    format!("key {key} is absent at {now}, for who came at {came}")
                });
            }
        }
    }
}
