//! The ledger: what L2 took, which leases it granted, and what must follow from that.

use jetcache_core::Token;
use jetcache_core::ports::remote::{Extended, Filled, Placed};

use crate::sim::fate::judge::{Fact, Id, Index, Judge};
use crate::sim::fate::plan::{KEYS, Key};
use crate::sim::fate::promise::Promise;

/// What L2 holds of a key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared {
    content: Option<Id>,
    /// Whose bytes these are: of what it was when it was sent.
    bytes: Option<Id>,
    lease: Option<(Token, u64)>,
    /// When the last removal or claim was applied.
    wiped: Index,
    /// Everything older was removed or overwritten.
    pub(crate) newest: Index,
    /// When what loads may have put there was removed last.
    unloaded: Index,
    /// Until when nobody is to load, since a load has failed.
    failing: Option<u64>,
    /// Whether a load or a write-through has stored the content.
    loaded: bool,
    /// The last removal by somebody who knows nothing of leases.
    pub(crate) foreign_removal: Index,
}

/// A lease or claim that L2 ever granted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Granted {
    pub(crate) standing: bool,
    pub(crate) until: u64,
    /// It is the claim of an insert.
    inserts: bool,
    /// A command of it was lost or doubled, so it may be left standing.
    pub(crate) excused: bool,
}

/// What L2 holds of all keys.
pub(crate) type Ledger = [Shared; KEYS];

impl Judge {
    pub(crate) fn ledger(&self) -> Ledger {
        self.shared.clone()
    }

    /// L2 has forgotten what it took since. A change that a node made or heard of stands all the same,
    /// if it can be `told` again; that others have it from L2 is nothing that they were promised.
    pub(crate) fn failed_over(&mut self, ledger: Ledger, told: bool) {
        self.shared = ledger;
        self.failovers += 1;
        for local in self.local.values_mut() {
            local.floor = local.lasting;
        }
        self.due.retain(|due| told && due.of.is_some());
        for granted in self.granted.values_mut() {
            granted.excused = true;
        }
    }

    /// L2 showed this value.
    pub(crate) fn seen_in_l2(&mut self, key: Key, value: Option<Id>, fresh: bool, now: u64) -> Id {
        let Shared { content, bytes, .. } = self.shared[usize::from(key)];
        let absent = content.is_some_and(|id| self.at(id).absent);
        let same = match value {
            Some(id) => content.is_some() && bytes == Some(id) && !absent,
            None => absent,
        };
        self.rule(same, Promise::P6, || {
            format!("L2 shows {value:?}, and was given {content:?}")
        });
        let id = content.or(value).unwrap_or(Id(0));
        let fact = *self.at(id);
        let in_time = now < if fresh { fact.ends } else { fact.stale_ends() };
        self.rule(in_time, Promise::P7, || {
            format!("L2 shows {id:?} (fresh: {fresh}) at {now} ms: {fact:?}")
        });
        id
    }

    /// Who has the lease, and how long it still lasts.
    pub(crate) fn holder(&self, key: Key, now: u64) -> Option<(Token, u64)> {
        let (token, until) = self.shared[usize::from(key)].lease?;
        (now < until).then(|| (token, until - now))
    }

    /// What stands there.
    pub(crate) fn content(&self, key: Key) -> Option<Id> {
        self.shared[usize::from(key)].content
    }

    /// The value vanished. Returns whether there was one.
    pub(crate) fn emptied(&mut self, key: Key) -> bool {
        self.shared[usize::from(key)].content.take().is_some()
    }

    pub(crate) fn foreign_set(&mut self, key: Key, id: Option<Id>) {
        let shared = &mut self.shared[usize::from(key)];
        (shared.content, shared.bytes, shared.loaded) = (id, id, false);
    }

    /// What a load may have put there was removed; `value`: there was one.
    pub(crate) fn unloaded(&mut self, key: Key, value: bool, lease: bool, index: Index) {
        let shared = &mut self.shared[usize::from(key)];
        let (content, loaded) = (shared.content, shared.loaded);
        shared.unloaded = index;
        if value {
            shared.content = None;
        }
        let gone = shared.lease.take_if(|_| lease);
        shared.failing = None;
        let inserts = gone.is_some_and(|(token, _)| {
            let granted = self.granted.entry(token).or_default();
            granted.standing = false;
            granted.inserts
        });
        self.rule(!value || loaded, Promise::P2, || {
            format!("what answers a foreign removal removed {content:?}, which no load stored")
        });
        self.rule(!inserts, Promise::P2, || {
            format!("what answers a foreign removal removed the claim of an insert, {gone:?}")
        });
    }

    pub(crate) fn foreign_delete(&mut self, key: Key, index: Index) {
        let shared = &mut self.shared[usize::from(key)];
        shared.content = None;
        shared.foreign_removal = index;
    }

    pub(crate) fn lease_applied(&mut self, key: Key, token: Token, until: u64, now: u64) {
        let lease = &mut self.shared[usize::from(key)].lease;
        let other = lease.filter(|&(holder, until)| now < until && holder != token);
        if lease.is_none_or(|(holder, until)| now >= until || holder != token) {
            *lease = Some((token, until));
        }
        let granted = self.granted.entry(token).or_default();
        (granted.standing, granted.until) = (true, until);
        let failing = self.shared[usize::from(key)].failing;
        self.rule(
            failing.is_none_or(|until| now >= until),
            Promise::P1,
            || format!("L2 granted {token}, and a load has failed: until {failing:?} nobody is to"),
        );
        self.rule(other.is_none(), Promise::P1, || {
            format!("L2 granted {token}, and {other:?} had the lease")
        });
    }

    pub(crate) fn renewed(&mut self, key: Key, token: Token, until: u64) {
        self.shared[usize::from(key)].lease = Some((token, until));
        self.granted.entry(token).or_default().until = until;
    }

    pub(crate) fn lease_refused(&mut self, key: Key, token: Token, now: u64) {
        let lease = self.shared[usize::from(key)].lease;
        let taken = lease.is_some_and(|(holder, until)| now < until && holder != token);
        self.rule(taken, Promise::P5, || {
            format!("L2 refused {token}, and nobody had the lease")
        });
        // If the flight ever had it, it has expired.
        self.given_back(key, token);
    }

    pub(crate) fn claim_applied(&mut self, key: Key, token: Token, until: u64, index: Index) {
        self.wiped(key, index);
        self.shared[usize::from(key)].lease = Some((token, until));
        let granted = self.granted.entry(token).or_default();
        (granted.standing, granted.inserts) = (true, false);
    }

    /// A claim was granted that is to leave everything as it is.
    pub(crate) fn claim_spares(&mut self, key: Key, token: Token, until: u64, spared: bool) {
        self.rule(spared, Promise::P2, || {
            "an insert takes the old value away before the new one is there".into()
        });
        let lease = &mut self.shared[usize::from(key)].lease;
        let before = lease.replace((token, until));
        self.shared[usize::from(key)].failing = None;
        if let Some((before, _)) = before {
            self.granted.entry(before).or_default().standing = false;
        }
        let granted = self.granted.entry(token).or_default();
        (granted.standing, granted.inserts) = (true, true);
    }

    /// An insert's value takes the place of what stands there, or is refused; then what its claim
    /// had spared may have been `removed`.
    pub(crate) fn put_applied(
        &mut self,
        key: Key,
        token: Token,
        id: Id,
        (placed, removed): (Placed, bool),
        index: Index,
    ) {
        let birth = self.at(id).birth;
        if placed == Placed::Stored {
            self.at(id).put = index;
            self.fill_applied(key, token, id, Filled::Stored);
            let newest = &mut self.shared[usize::from(key)].newest;
            *newest = birth.max(*newest);
            return;
        }
        if removed {
            let shared = &mut self.shared[usize::from(key)];
            shared.content = None;
            shared.newest = shared.newest.max(birth);
        }
        self.given_back(key, token);
    }

    pub(crate) fn wiped(&mut self, key: Key, index: Index) {
        let shared = &mut self.shared[usize::from(key)];
        (shared.content, shared.failing) = (None, None);
        (shared.wiped, shared.newest) = (index, index);
        if let Some((token, _)) = shared.lease.take() {
            self.granted.entry(token).or_default().standing = false;
        }
    }

    pub(crate) fn fill_applied(&mut self, key: Key, token: Token, id: Id, filled: Filled) {
        self.given_back(key, token);
        if filled == Filled::Refused {
            return;
        }
        let inserts = self.granted.entry(token).or_default().inserts;
        let shared = &mut self.shared[usize::from(key)];
        let before = shared.content.replace(id);
        shared.bytes = Some(id);
        shared.loaded = !inserts;
        let wiped = match inserts {
            true => shared.wiped,
            false => shared.wiped.max(shared.unloaded),
        };
        let displaced = before.map(|before| (before, self.at(before).birth));
        let Fact { birth, barred, .. } = *self.at(id);
        self.rule(birth >= wiped, Promise::P2, || {
            format!("L2 took {id:?}, born at {birth}, after the change that it took at {wiped}")
        });
        // What a stranger has set since the claim is overwritten: the insert counts as newer.
        let by_stranger =
            before.is_some_and(|before| self.at(before).foreign) && self.at(id).put > 0;
        let newer = by_stranger || displaced.is_none_or(|(_, before)| birth >= before);
        self.rule(newer, Promise::P2, || {
            format!("L2 took {id:?}, born at {birth}, in the place of {displaced:?}")
        });
        self.rule(!barred, Promise::P2, || {
            format!("L2 took {id:?}, which a refused or undecided insert brought")
        });
    }

    /// What stands there is fresh again, as `id`: its bytes are those of what that renews.
    pub(crate) fn extend_applied(&mut self, key: Key, token: Token, id: Id, extended: Extended) {
        let Shared { content, bytes, .. } = self.shared[usize::from(key)];
        match extended {
            Extended::Stored => {
                let renews = self.at(id).renews;
                self.rule(content.is_some() && content == renews, Promise::P2, || {
                    format!("L2 extends {content:?} as {id:?}, which renews {renews:?}")
                });
                self.fill_applied(key, token, id, Filled::Stored);
                self.shared[usize::from(key)].bytes = bytes;
            }
            Extended::Refused => self.fill_applied(key, token, id, Filled::Refused),
            Extended::Unlike => {}
        }
    }

    /// A write-through is settled: its value is stored, or the key removed.
    pub(crate) fn settle_applied(
        &mut self,
        key: Key,
        token: Token,
        id: Id,
        filled: Filled,
        index: Index,
    ) {
        self.fill_applied(key, token, id, filled);
        if filled == Filled::Refused {
            return self.wiped(key, index);
        }
        let birth = self.at(id).birth;
        let newest = &mut self.shared[usize::from(key)].newest;
        *newest = birth.max(*newest);
    }

    /// A release arrived. If it says that the load has failed, nobody is granted the lease for so long.
    pub(crate) fn released(&mut self, key: Key, token: Token, failing: Option<u64>, now: u64) {
        let holder = self.holder(key, now);
        if holder.is_some_and(|(holder, _)| holder == token) {
            self.shared[usize::from(key)].failing = failing;
        }
        self.given_back(key, token);
    }

    /// L2 says that a load has failed lately.
    pub(crate) fn is_failing(&mut self, key: Key, now: u64) {
        let until = self.shared[usize::from(key)].failing;
        let failing = until.is_some_and(|until| now < until);
        self.rule(failing, Promise::P5, || {
            format!("L2 says at {now} ms that a load of key {key} has failed, until {until:?}")
        });
    }

    /// A release or a fill of this token arrived, in time or not.
    pub(crate) fn given_back(&mut self, key: Key, token: Token) {
        let lease = &mut self.shared[usize::from(key)].lease;
        lease.take_if(|(holder, _)| *holder == token);
        self.granted.entry(token).or_default().standing = false;
    }

    /// A command with this token was lost or doubled, so its lease may be left standing.
    pub(crate) fn excuse(&mut self, token: Token) {
        self.granted.entry(token).or_default().excused = true;
    }

    /// At the end nobody has a lease any more.
    pub(crate) fn nothing_stands(&mut self) {
        let orphans = self
            .granted
            .iter()
            .filter(|(_, g)| g.standing && !g.excused);
        let orphan = orphans.map(|(token, _)| *token).next();
        self.rule(orphan.is_none(), Promise::P5, || {
            format!("the lease {orphan:?} was never given back")
        });
    }
}
