//! The keys that are kept fresh, and whose turn it is.
//!
//! A refresh is a lookup of the same machine; its [`Aim`] says whether it loads or copies. Only the
//! time is decided here. Each key has a **turn**: then it is refreshed if it was asked for lately,
//! and forgotten if it was not. The first turn comes at random in the second half of the period, so
//! that keys which were asked for together are not loaded together; the next ones come a period
//! after each load, whichever node did it. A loader that fails is given longer and longer pauses.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::hash::Hash;
use core::time::Duration;

use hashbrown::HashTable;
use slab::Slab;

use crate::machine::policy::Policy;
use crate::machine::policy::backoff::Backoff;
use crate::machine::policy::call::Call;
use crate::machine::policy::pace::{Aim, Pace, RefreshOutcome};
use crate::machine::time::{self, Timestamp};

/// One shard of the table of keys that are kept fresh. The caller of [`insert`](Self::insert) keeps
/// its bound.
#[derive(Debug)]
pub struct Refreshes<K> {
    by_key: HashTable<usize>,
    rows: Slab<Row<K>>,
    /// When the next turn of each key that waits for one comes.
    waiting: BTreeSet<(Timestamp, usize)>,
    /// When each refresh under way counts as lost.
    running: BTreeSet<(Timestamp, usize)>,
    last: u64,
}

#[derive(Debug)]
struct Row<K> {
    key: K,
    hash: u64,
    /// The wishes of whoever asked for it last.
    call: Call,
    asked: Timestamp,
    /// When it is to be refreshed; it may have to be looked at before that.
    due: Timestamp,
    /// When it is looked at, as `waiting` or `running` says.
    turn: Timestamp,
    /// A value of this age is old.
    limit: Duration,
    failures: u32,
    /// The number of the refresh under way.
    run: Option<u64>,
}

/// A refresh to be done now. Its holder gives it back with [`Refreshes::done`].
#[derive(Debug)]
#[must_use = "a refresh must be reported"]
pub struct Refresh<K> {
    row: usize,
    run: u64,
    key: K,
    call: Call,
    limit: Duration,
}

impl<K> Refresh<K> {
    /// The key.
    pub fn key(&self) -> &K {
        &self.key
    }

    /// The wishes of whoever asked for it last.
    pub fn call(&self) -> Call {
        self.call.clone()
    }

    /// What to make of L2's value, in a format that shows its age.
    #[must_use]
    pub fn aim(&self) -> Aim {
        Aim::Younger(self.limit)
    }
}

impl<K: Hash + Eq + Clone> Refreshes<K> {
    /// An empty table.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            by_key: HashTable::new(),
            rows: Slab::new(),
            waiting: BTreeSet::new(),
            running: BTreeSet::new(),
            last: 0,
        }
    }

    /// Notes that somebody asks for a key, given by its hash and what it equals. Returns whether
    /// the key is in the table.
    pub fn touch(
        &mut self,
        hash: u64,
        is_key: impl Fn(&K) -> bool,
        call: &Call,
        now: Timestamp,
    ) -> bool {
        let Some(row) = self.find(hash, is_key) else {
            return false;
        };
        let row = &mut self.rows[row];
        row.call = call.clone();
        row.asked = row.asked.max(now);
        true
    }

    /// Whether a key is kept fresh. Nobody has asked for it by that.
    pub fn contains(&self, hash: u64, is_key: impl Fn(&K) -> bool) -> bool {
        self.find(hash, is_key).is_some()
    }

    /// Keeps a key fresh from now on that [`touch`](Self::touch) did not find. Returns the key if
    /// somebody else has put it there meanwhile.
    pub fn insert(
        &mut self,
        hash: u64,
        key: K,
        call: Call,
        now: Timestamp,
        dice: u128,
        pace: &Pace,
    ) -> Option<K> {
        if self.touch(hash, |other| *other == key, &call, now) {
            return Some(key);
        }
        let half = pace.every / 2;
        let limit = half + part(pace.every - half, dice);
        let due = now + limit;
        let row = self.rows.insert(Row {
            key,
            hash,
            call,
            asked: now,
            due,
            turn: due,
            limit,
            failures: 0,
            run: None,
        });
        let rows = &self.rows;
        self.by_key.insert_unique(hash, row, |&at| rows[at].hash);
        self.wait(row, pace);
        None
    }

    /// Stops keeping the key fresh. Returns the key as it was in the table, to be dropped outside
    /// the lock.
    pub fn remove(&mut self, hash: u64, is_key: impl Fn(&K) -> bool) -> Option<K> {
        let row = self.find(hash, is_key)?;
        Some(self.forget(row))
    }

    /// The refreshes whose turn has come, `room` at most, and the keys that nobody asked for any
    /// more, to be dropped outside the lock. A refresh that has been under way for too long,
    /// because its task is gone or stands still with its runtime, counts as failed.
    pub fn due(
        &mut self,
        now: Timestamp,
        room: usize,
        policy: &Policy,
        pace: &Pace,
    ) -> (Vec<Refresh<K>>, Vec<K>) {
        let (mut refreshes, mut forgotten) = (Vec::new(), Vec::new());
        while let Some(&(_, row)) = self.running.first().filter(|&&(lost, _)| lost <= now) {
            self.end(row, RefreshOutcome::Failed, now, 0, pace);
        }
        while let Some(&(_, at)) = self.waiting.first().filter(|&&(turn, _)| turn <= now) {
            let row = &self.rows[at];
            if now.since(row.asked) >= pace.stop_after {
                forgotten.push(self.forget(at));
            } else if row.due > now {
                self.leave(at);
                self.wait(at, pace);
            } else if refreshes.len() < room {
                let key = row.key.clone();
                refreshes.push(self.begin(at, key, now, policy));
            } else {
                break;
            }
        }
        (refreshes, forgotten)
    }

    /// Takes in what became of a refresh. Returns the key, to be dropped outside the lock.
    pub fn done(
        &mut self,
        refresh: Refresh<K>,
        outcome: RefreshOutcome,
        now: Timestamp,
        dice: u128,
        pace: &Pace,
    ) -> K {
        let Refresh { row, run, key, .. } = refresh;
        // It may have been taken for lost, and its key forgotten.
        if self.rows.get(row).is_some_and(|row| row.run == Some(run)) {
            self.end(row, outcome, now, dice, pace);
        }
        key
    }

    /// When to look again, depending on whether there is `room` for a refresh; `None` if there is
    /// nothing to wait for.
    #[must_use]
    pub fn next(&self, room: bool) -> Option<Timestamp> {
        let lost = self.running.first();
        let turn = self.waiting.first().filter(|_| room);
        lost.into_iter().chain(turn).map(|&(at, _)| at).min()
    }

    /// How many refreshes are under way.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// How many keys are kept fresh.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no key is kept fresh.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn find(&self, hash: u64, is_key: impl Fn(&K) -> bool) -> Option<usize> {
        let found = self.by_key.find(hash, |&at| is_key(&self.rows[at].key));
        found.copied()
    }

    fn begin(&mut self, at: usize, key: K, now: Timestamp, policy: &Policy) -> Refresh<K> {
        self.leave(at);
        self.last += 1;
        let row = &mut self.rows[at];
        row.run = Some(self.last);
        row.turn = now + patience(policy);
        self.running.insert((row.turn, at));
        Refresh {
            row: at,
            run: self.last,
            key,
            call: row.call.clone(),
            // A little less: clocks are coarse, and one of them is the server's.
            limit: row.limit - row.limit / 20,
        }
    }

    fn end(&mut self, at: usize, outcome: RefreshOutcome, now: Timestamp, dice: u128, pace: &Pace) {
        self.leave(at);
        let row = &mut self.rows[at];
        row.run = None;
        let every = pace.every;
        let after = match outcome {
            RefreshOutcome::Loaded => every,
            // A little later than the node that loaded it, so that the same node loads it again.
            RefreshOutcome::Copied(Some(age)) => every.saturating_sub(age) + part(every / 16, dice),
            // The node that has the lock may be about to replace it.
            RefreshOutcome::Copied(None) => every / 2,
            // By then whoever is loading now may have stored something to copy.
            RefreshOutcome::Passed => every / 4,
            RefreshOutcome::Failed => {
                let failures = row.failures;
                row.failures = failures.saturating_add(1);
                Backoff::of_refreshes(every).pause(failures)
            }
        };
        if let RefreshOutcome::Loaded | RefreshOutcome::Copied(_) = outcome {
            row.failures = 0;
            row.limit = every;
        }
        row.due = now + after.max(every / 20);
        self.wait(at, pace);
    }

    /// Queues the key: for when it is due, or for when it is to be forgotten, if that is sooner.
    fn wait(&mut self, at: usize, pace: &Pace) {
        let row = &mut self.rows[at];
        row.turn = row.due.min(row.asked + pace.stop_after);
        self.waiting.insert((row.turn, at));
    }

    fn leave(&mut self, at: usize) {
        let row = &self.rows[at];
        let turns = match row.run {
            Some(_) => &mut self.running,
            None => &mut self.waiting,
        };
        turns.remove(&(row.turn, at));
    }

    fn forget(&mut self, at: usize) -> K {
        self.leave(at);
        let row = self.rows.remove(at);
        if let Ok(entry) = self.by_key.find_entry(row.hash, |&other| other == at) {
            entry.remove();
        }
        row.key
    }
}

impl<K: Hash + Eq + Clone> Default for Refreshes<K> {
    fn default() -> Self {
        Self::new()
    }
}

/// How long a refresh may take: a lock and three verbs, the wait for somebody's lease, the load.
fn patience(policy: &Policy) -> Duration {
    policy
        .load_timeout
        .saturating_add(policy.lease_wait)
        .saturating_add(policy.remote_timeout.saturating_mul(8))
        .saturating_add(Duration::from_secs(1))
}

/// A random part of a span.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the low bits are what is wanted"
)]
fn part(span: Duration, dice: u128) -> Duration {
    time::part(span, dice as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::policy::Kind;

    const SECOND: Duration = Duration::from_secs(1);
    const MOST_DICE: u128 = u32::MAX as u128;

    struct World {
        table: Refreshes<u64>,
        now: Timestamp,
        policy: Policy,
        pace: Pace,
    }

    impl World {
        /// Refreshes every 10 s, stops after 60.
        fn new() -> Self {
            let mut pace = Pace::new(10 * SECOND);
            pace.stop_after = 60 * SECOND;
            Self {
                table: Refreshes::new(),
                now: Timestamp::from_nanos(0),
                policy: Policy::new(Kind::Both),
                pace,
            }
        }

        /// With this key, which is due after 5 s.
        fn with(keys: impl IntoIterator<Item = u64>) -> Self {
            let mut world = Self::new();
            keys.into_iter().for_each(|key| world.ask(key, 0));
            world
        }

        fn ask(&mut self, key: u64, dice: u128) {
            let (table, now) = (&mut self.table, self.now);
            if !table.touch(key, |other| *other == key, &Call::new(), now) {
                let spare = table.insert(key, key, Call::new(), now, dice, &self.pace);
                assert_eq!(spare, None);
            }
        }

        fn advance(&mut self, span: Duration) {
            self.now = self.now + span;
        }

        fn due(&mut self, room: usize) -> Vec<Refresh<u64>> {
            let (due, _) = self.table.due(self.now, room, &self.policy, &self.pace);
            due
        }

        fn done(&mut self, refresh: Refresh<u64>, outcome: RefreshOutcome) {
            self.table.done(refresh, outcome, self.now, 0, &self.pace);
        }

        /// How long until there is something to look at, with room for it.
        fn rest(&self) -> Duration {
            self.table.next(true).unwrap().since(self.now)
        }

        /// Waits for the next turn of the only key.
        fn next(&mut self) -> Refresh<u64> {
            self.advance(self.rest());
            self.due(1).pop().unwrap()
        }
    }

    #[test]
    fn the_first_turns_are_spread_over_half_a_period() {
        let mut world = World::new();
        for key in 0..100 {
            world.ask(key, u128::from(key * u64::from(u32::MAX) / 99));
        }
        world.advance(SECOND * 5 - Duration::from_millis(1));
        assert!(world.due(1000).is_empty());
        let mut most = 0;
        let mut all = 0;
        for _ in 0..=50 {
            world.advance(SECOND / 10);
            let due = world.due(1000);
            most = most.max(due.len());
            all += due.len();
            for refresh in due {
                world.done(refresh, RefreshOutcome::Loaded);
            }
        }
        assert_eq!(all, 100);
        assert!(most <= 4, "{most} at once");
    }

    #[test]
    fn what_was_loaded_is_due_a_period_later() {
        let mut world = World::with([1]);
        let refresh = world.next();
        assert_eq!(world.now, Timestamp::default() + 5 * SECOND);
        world.advance(SECOND);
        world.done(refresh, RefreshOutcome::Loaded);
        assert_eq!(world.rest(), 10 * SECOND);
    }

    #[test]
    fn what_was_copied_is_due_when_it_is_a_period_old() {
        let mut world = World::with([1]);
        let refresh = world.next();
        world.done(refresh, RefreshOutcome::Copied(Some(3 * SECOND)));
        assert_eq!(world.rest(), 7 * SECOND);
        let refresh = world.next();
        assert_eq!(refresh.aim(), Aim::Younger(Duration::from_millis(9500)));
        world.done(refresh, RefreshOutcome::Copied(None));
        assert_eq!(world.rest(), 5 * SECOND, "nobody knows how old it is");
        // Those that copied come a little later than the one that loaded.
        let refresh = world.next();
        let copied = RefreshOutcome::Copied(Some(3 * SECOND));
        let (now, pace) = (world.now, world.pace);
        world.table.done(refresh, copied, now, MOST_DICE, &pace);
        let rest = world.rest();
        assert!(7 * SECOND < rest && rest < 8 * SECOND, "{rest:?}");
    }

    /// Nodes that take up a key one after the other, each with a phase of its own.
    #[test]
    fn a_fleet_loads_once_a_period_whatever_the_phases() {
        for seed in 1..200_u128 {
            // Multiplied by the odd part of the golden ratio, for numbers far apart.
            let dice = |n: u128| ((seed * 100 + n) * 0x9E37_79B9_7F4A_7C15) >> 32;
            let mut nodes: Vec<World> = (0..5).map(|_| World::new()).collect();
            let mut born = Timestamp::default();
            for (n, node) in nodes.iter_mut().enumerate() {
                node.pace.stop_after = 10_000 * SECOND;
                node.now = born + part(20 * SECOND, dice(n as u128));
                node.ask(1, dice(10 + n as u128));
            }
            let mut gaps = Vec::new();
            for turn in 0..300 {
                let next = |node: &World| node.table.next(true).unwrap();
                let node = nodes.iter_mut().min_by_key(|node| next(node)).unwrap();
                node.now = next(node);
                let (now, pace) = (node.now, node.pace);
                let refresh = node.due(1).pop().unwrap();
                let age = now.since(born);
                let outcome = if refresh.aim().copies(Some(age), Duration::ZERO) {
                    RefreshOutcome::Copied(Some(age))
                } else {
                    born = now;
                    gaps.push(age);
                    RefreshOutcome::Loaded
                };
                let _ = node
                    .table
                    .done(refresh, outcome, now, dice(50 + turn), &pace);
            }
            // Each node that comes may shorten a period, once.
            let settled = &gaps[nodes.len()..];
            assert!(settled.len() > 30, "{} loads", settled.len());
            for gap in settled {
                let spread = 10 * SECOND + 10 * SECOND / 16;
                assert!(
                    (Duration::from_millis(9500)..=spread).contains(gap),
                    "seed {seed}: {gaps:?}"
                );
            }
        }
    }

    #[test]
    fn a_key_that_is_not_asked_for_is_forgotten() {
        let mut world = World::with([1]);
        world.advance(30 * SECOND);
        world.ask(1, 0);
        for _ in 0..20 {
            let Some(next) = world.table.next(true) else {
                break;
            };
            world.now = world.now.max(next);
            for refresh in world.due(1) {
                world.done(refresh, RefreshOutcome::Loaded);
            }
        }
        assert!(world.table.is_empty());
        assert_eq!(world.now, Timestamp::default() + 90 * SECOND);
        assert_eq!(world.table.next(true), None);
        world.ask(1, 0);
        assert_eq!(world.table.len(), 1);
    }

    #[test]
    fn a_failing_loader_gets_longer_pauses_until_it_succeeds() {
        let mut world = World::with([1]);
        for pause in [20, 40, 80, 80] {
            world.ask(1, 0);
            let refresh = world.next();
            world.pace.stop_after = 1000 * SECOND;
            world.done(refresh, RefreshOutcome::Failed);
            assert_eq!(world.rest(), pause * SECOND);
        }
        let refresh = world.next();
        world.done(refresh, RefreshOutcome::Loaded);
        assert_eq!(world.rest(), 10 * SECOND);
        let refresh = world.next();
        world.done(refresh, RefreshOutcome::Failed);
        assert_eq!(world.rest(), 20 * SECOND);
    }

    #[test]
    fn no_more_than_there_is_room_for_begin() {
        let mut world = World::with(0..10);
        world.advance(6 * SECOND);
        let mut first = world.due(4);
        assert_eq!((first.len(), world.table.running()), (4, 4));
        assert!(world.due(0).is_empty());
        // Without room the turns that have come are nothing to wake up for.
        assert!(world.table.next(false).unwrap().since(world.now) > 10 * SECOND);
        assert!(world.table.next(true).unwrap() <= world.now);
        world.done(first.pop().unwrap(), RefreshOutcome::Loaded);
        assert_eq!((world.due(1).len(), world.table.running()), (1, 4));
    }

    #[test]
    fn a_refresh_that_nobody_reports_is_lost_after_a_while() {
        let mut world = World::with([1]);
        world.pace.stop_after = 1000 * SECOND;
        let lost = world.next();
        world.advance(world.rest());
        assert!(world.due(1).is_empty(), "it failed, and pauses");
        assert_eq!((world.table.running(), world.rest()), (0, 20 * SECOND));
        let again = world.next();
        world.done(lost, RefreshOutcome::Loaded);
        assert_eq!(world.table.running(), 1, "the report of another");
        world.done(again, RefreshOutcome::Loaded);
        assert_eq!((world.table.running(), world.rest()), (0, 10 * SECOND));
    }

    #[test]
    fn a_key_may_be_taken_out_while_it_is_refreshed() {
        let mut world = World::with([1, 2]);
        let refresh = world.next();
        let key = *refresh.key();
        assert_eq!(world.table.remove(key, |other| *other == key), Some(key));
        world.done(refresh, RefreshOutcome::Loaded);
        assert_eq!((world.table.len(), world.table.running()), (1, 0));
        assert_eq!(world.table.remove(key, |other| *other == key), None);
    }
}
