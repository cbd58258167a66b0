//! The ledger: what L2 took and what the nodes were told, and hence what nobody may see at rest.

use std::collections::{BTreeMap, BTreeSet};

use jetcache_core::Token;

use crate::world::bus::Bus;

pub(crate) type Key = u8;

/// A key on a node, in one life of it.
pub(crate) type Place = (usize, Key);

/// Nothing older than this may be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Floor {
    /// Because of a change of the key.
    pub(crate) change: u64,
    /// Because of a raise. It does not concern an insert that was under way.
    pub(crate) raise: u64,
}

#[derive(Default)]
pub(crate) struct Ledger {
    /// L2 holds nothing older than this.
    applied: BTreeMap<Key, Floor>,
    /// What a node told together with its change.
    told: BTreeMap<Place, Floor>,
    /// Changes that returned: at rest, no node may show anything older.
    returned: BTreeMap<Place, Floor>,
    rows: Vec<Row>,
    claims: BTreeMap<Token, u64>,
    /// When L2 gave out each number of its log.
    numbers: BTreeMap<u64, u64>,
    /// When L2 took the last raise of each key by each node.
    raised: BTreeMap<Place, Floor>,
    dead: BTreeSet<usize>,
}

/// A row that a write-through wrote to the database.
struct Row {
    at: Place,
    tick: u64,
    /// Since then its node has made L2 hold nothing older.
    settled: bool,
    /// And the others were told so in the same step.
    told: bool,
}

/// What a command did to a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Applied {
    pub(crate) at: Place,
    /// The key now holds nothing older than this.
    pub(crate) age: Floor,
    /// Whether L2 told the others in the same step.
    pub(crate) told: bool,
}

impl Ledger {
    pub(crate) fn apply(&mut self, applied: Applied) {
        let Applied { at, age, .. } = applied;
        raise(&mut self.applied, at.1, age);
        if applied.told {
            raise(&mut self.told, at, age);
        }
        for row in &mut self.rows {
            let since = row.at == at && row.tick <= age.change.max(age.raise);
            row.settled |= since;
            row.told |= since && applied.told;
        }
    }

    pub(crate) fn applied(&self, key: Key) -> Floor {
        self.applied.get(&key).copied().unwrap_or_default()
    }

    pub(crate) fn claim(&mut self, token: Token, tick: u64) {
        self.claims.insert(token, tick);
    }

    pub(crate) fn claimed(&self, token: Token) -> Option<u64> {
        self.claims.get(&token).copied()
    }

    /// L2 takes a raise by this life, of these keys: it shows nothing older.
    pub(crate) fn raise(&mut self, life: usize, number: u64, keys: &[Key], tick: u64, told: bool) {
        self.numbers.insert(number, tick);
        for &key in keys {
            let at = (life, key);
            let age = Floor::of_raise(tick);
            self.apply(Applied { at, age, told });
            raise(&mut self.raised, at, age);
        }
    }

    /// When L2 gave out this number.
    pub(crate) fn numbered(&self, number: u64) -> u64 {
        self.numbers.get(&number).copied().unwrap_or_default()
    }

    /// When L2 took the last raise of this key.
    pub(crate) fn raised(&self, key: Key) -> Floor {
        self.raised_by(key, |_| true)
    }

    fn raised_by(&self, key: Key, counts: impl Fn(usize) -> bool) -> Floor {
        let raised = self.raised.iter();
        let raised = raised.filter(|((life, its), _)| *its == key && counts(*life));
        highest(raised.map(|(_, floor)| *floor))
    }

    pub(crate) fn write(&mut self, at: Place, tick: u64) {
        self.rows.push(Row {
            at,
            tick,
            settled: false,
            told: false,
        });
    }

    pub(crate) fn return_from(&mut self, at: Place, floor: Floor) {
        raise(&mut self.returned, at, floor);
    }

    /// A node dies: what it has not sent is never sent, and nobody tells the others in its place.
    pub(crate) fn die(&mut self, life: usize) {
        self.rows.retain(|row| row.at.0 != life || row.settled);
        self.returned.retain(|at, _| at.0 != life);
        self.dead.insert(life);
    }

    /// At rest L2 holds nothing older than this.
    pub(crate) fn floor_of_l2(&self, key: Key) -> Floor {
        self.floor_of_rows(key, |_| true)
            .max(self.floor_of_changes(key))
    }

    /// At rest, when every word has been heard, this node's L1 holds nothing older than this.
    pub(crate) fn floor_of_l1(&self, bus: Bus, (life, key): Place) -> Floor {
        let lives = |row: &Row| !self.dead.contains(&row.at.0);
        let changes = self.floor_of_changes(key);
        match bus {
            Bus::None => Floor::default(),
            Bus::Publish => changes.max(self.floor_of_rows(key, lives)),
            Bus::WithChange => {
                let others = (self.told.iter()).filter(|(at, _)| at.1 == key && at.0 != life);
                changes
                    .max(self.floor_of_rows(key, |row| lives(row) || row.told))
                    .max(highest(others.map(|(_, age)| *age)))
            }
            // A raise of its own that is repeated is no news to a node: what it has loaded since stays.
            Bus::Watched => self
                .floor_of_l2(key)
                .max(Floor::of_change(self.applied(key).change))
                .max(self.raised_by(key, |other| other != life)),
        }
    }

    fn floor_of_rows(&self, key: Key, counts: impl Fn(&Row) -> bool) -> Floor {
        let rows = self.rows.iter().filter(|row| row.at.1 == key);
        let rows = rows.filter(|row| counts(row));
        highest(rows.map(|row| Floor::of_change(row.tick)))
    }

    fn floor_of_changes(&self, key: Key) -> Floor {
        let returned = self.returned.iter().filter(|(at, _)| at.1 == key);
        highest(returned.map(|(_, floor)| *floor))
    }
}

impl Floor {
    pub(crate) fn of_change(change: u64) -> Self {
        Self { change, raise: 0 }
    }

    pub(crate) fn of_raise(raise: u64) -> Self {
        Self { change: 0, raise }
    }

    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            change: self.change.max(other.change),
            raise: self.raise.max(other.raise),
        }
    }
}

fn raise<K: Ord>(floors: &mut BTreeMap<K, Floor>, at: K, age: Floor) {
    let floor = floors.entry(at).or_default();
    *floor = (*floor).max(age);
}

fn highest(ages: impl Iterator<Item = Floor>) -> Floor {
    ages.fold(Floor::default(), Floor::max)
}
