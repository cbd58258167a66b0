//! The promises P1 to P7, checked at every event.
//!
//! The judge knows what no node knows: for every value that was ever loaded or inserted, the event
//! of its birth; for every key, what L2 took and when; for every node, what its changes promised
//! when they returned. Events are numbered, and "older" means "of a smaller number".

use core::fmt;
use std::collections::BTreeMap;

use jetcache_core::Token;
use jetcache_core::ports::remote::Filled;

use super::plan::{KEYS, Key};

/// The number of an event.
pub(super) type Index = usize;

/// The number of an actor: a caller, a change, or what cleans up after one.
pub(super) type ActorId = usize;

/// What a loader or an insert brought, "does not exist" included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id(pub(super) u32);

/// One of the promises P1 to P7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// One load.
    P1,
    /// No stale fill.
    P2,
    /// Everyone is answered.
    P4,
    /// Bounded, nothing leaks.
    P5,
    /// Nothing invented.
    P6,
    /// Never past its time.
    P7,
}

/// A promise that was broken.
#[derive(Clone, Debug)]
pub struct Broken {
    /// Which.
    pub promise: Promise,
    /// How.
    pub how: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is broken: {}", self.promise, self.how)
    }
}

/// What is known of a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fact {
    pub(super) key: Key,
    pub(super) absent: bool,
    /// When its loading began, or when L2 took its claim.
    pub(super) birth: Index,
    /// When its life is over, in milliseconds.
    pub(super) ends: u64,
    /// What a conditional insert brought is nobody's business before it was granted.
    pub(super) barred: bool,
    /// L2 refused it, and said so.
    pub(super) refused: bool,
}

/// Who wrote an entry into L1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Writer {
    pub(super) actor: ActorId,
    /// When its flight, read or change began.
    pub(super) opened: Index,
}

/// A flight, as seen from outside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    pub(super) node: usize,
    pub(super) key: Key,
    pub(super) opened: Index,
    pub(super) leader: Option<ActorId>,
    /// Before this its leader may not be deposed.
    pub(super) deadline: u64,
    pub(super) leased: bool,
    pub(super) faulted: bool,
    pub(super) refused_since: Option<u64>,
    pub(super) failed: bool,
}

/// A loader that runs.
#[derive(Clone, Copy, Debug)]
struct Running {
    actor: ActorId,
    flight: usize,
}

/// What is older must not be the answer of who begins to read now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Floor {
    own: Index,
    /// The same for foreign changes, and the last foreign removal then.
    foreign: Option<(Index, Index)>,
}

/// That something is to vanish everywhere.
#[derive(Clone, Copy, Debug)]
struct Due {
    key: Key,
    floor: Index,
    /// The node whose change it is, and which life of it, if it falls due only should that live.
    of: Option<(usize, u32)>,
}

/// What a node's changes of a key promised.
#[derive(Clone, Debug, Default)]
struct Local {
    /// The foreign changes and removals of which it has heard.
    heard: Index,
    heard_removal: Index,
    /// What is older must not be read any more.
    floor: Index,
    /// When the last one superseded what was under way.
    superseded: Index,
    /// When those that have returned superseded, and who they were.
    returned: Vec<(Index, ActorId)>,
}

/// What L2 holds of a key.
#[derive(Clone, Debug, Default)]
struct Shared {
    content: Option<Id>,
    lease: Option<(Token, u64)>,
    /// When the last removal or claim was applied.
    wiped: Index,
    /// What is older was removed or overwritten.
    newest: Index,
    /// The last removal by somebody who knows nothing of leases.
    foreign_removal: Index,
}

/// A lease or claim that L2 ever granted.
#[derive(Clone, Copy, Debug, Default)]
struct Granted {
    standing: bool,
    until: u64,
    /// Something happened to its commands that may leave it standing.
    excused: bool,
}

#[derive(Debug, Default)]
pub(super) struct Judge {
    pub(super) facts: Vec<Fact>,
    pub(super) flights: Vec<Flight>,
    running: Vec<Running>,
    local: BTreeMap<(usize, Key), Local>,
    shared: [Shared; KEYS],
    granted: BTreeMap<Token, Granted>,
    asked: BTreeMap<Token, usize>,
    due: Vec<Due>,
    pub(super) broken: Option<Broken>,
}

impl Judge {
    /// The first promise broken is the one that counts.
    pub(super) fn rule(&mut self, kept: bool, promise: Promise, how: impl FnOnce() -> String) {
        if !kept && self.broken.is_none() {
            self.broken = Some(Broken {
                promise,
                how: how(),
            });
        }
    }

    pub(super) fn fact(&mut self, key: Key, absent: bool, birth: Index) -> Id {
        let id = Id(u32::try_from(self.facts.len()).unwrap_or(u32::MAX));
        self.facts.push(Fact {
            key,
            absent,
            birth,
            ends: u64::MAX,
            barred: false,
            refused: false,
        });
        id
    }

    pub(super) fn at(&mut self, id: Id) -> &mut Fact {
        &mut self.facts[id.0 as usize]
    }

    fn of(&mut self, node: usize, key: Key) -> &mut Local {
        self.local.entry((node, key)).or_default()
    }

    // ---- reads ----

    /// What is older than this must not be read any more by who begins to read now.
    pub(super) fn floor(&self, node: usize, key: Key) -> Floor {
        let removal = self.shared[usize::from(key)].foreign_removal;
        let Some(local) = self.local.get(&(node, key)) else {
            return Floor::default();
        };
        // A foreign removal of which the node has not heard may have let anything in.
        let sure = local.heard_removal >= removal;
        Floor {
            own: local.floor,
            foreign: sure.then_some((local.heard, removal)),
        }
    }

    /// A caller got this value, and had begun to ask when the floor was there.
    pub(super) fn answered(&mut self, node: usize, key: Key, floor: Floor, id: Id) {
        let fact = *self.at(id);
        self.rule(fact.key == key, Promise::P6, || {
            format!("{id:?} is of another key")
        });
        self.rule(!fact.barred, Promise::P2, || {
            format!("node {node} answers {id:?}, which a refused or undecided insert brought")
        });
        let Floor { own, foreign } = floor;
        self.rule(fact.birth >= own, Promise::P2, || {
            format!(
                "node {node} answers {id:?}, born at {}, to a read that began after a change \
                 returned or was heard of: nothing older than {own} was to be read",
                fact.birth
            )
        });
        let removal = self.shared[usize::from(key)].foreign_removal;
        let (heard, _) = foreign.filter(|then| then.1 == removal).unwrap_or_default();
        self.rule(fact.birth >= heard, Promise::P2, || {
            format!(
                "node {node} answers {id:?}, born at {}, to a read that began after it had heard of \
                 the foreign change at {heard}",
                fact.birth
            )
        });
    }

    /// L1 has a fresh entry.
    pub(super) fn seen_in_l1(&mut self, node: usize, key: Key, id: Id, writer: Writer, now: u64) {
        let fact = *self.at(id);
        self.rule(now < fact.ends, Promise::P7, || {
            format!(
                "L1 of node {node} has {id:?} at {now} ms, its life ended at {}",
                fact.ends
            )
        });
        self.rule(!fact.refused, Promise::P2, || {
            format!("L1 of node {node} has {id:?}, which L2 refused")
        });
        let mut late = self.of(node, key).returned.iter().copied();
        let late = late.rfind(|&(at, who)| who != writer.actor && writer.opened <= at);
        self.rule(late.is_none(), Promise::P2, || {
            format!(
                "L1 of node {node} has {id:?}, written by a flight, read or change begun at {}, which \
                 a change superseded ({late:?}) that has returned",
                writer.opened
            )
        });
    }

    /// L2 showed this.
    pub(super) fn seen_in_l2(&mut self, key: Key, value: Option<Id>, now: u64) -> Id {
        let content = self.shared[usize::from(key)].content;
        let absent = content.is_some_and(|id| self.at(id).absent);
        let same = match value {
            Some(id) => content == Some(id) && !absent,
            None => absent,
        };
        self.rule(same, Promise::P6, || {
            format!("L2 shows {value:?}, and was given {content:?}")
        });
        let id = content.or(value).unwrap_or(Id(0));
        let ends = self.at(id).ends;
        self.rule(now < ends, Promise::P7, || {
            format!("L2 shows {id:?} as fresh at {now} ms, its life ended at {ends}")
        });
        id
    }

    // ---- loads ----

    pub(super) fn flight(&mut self, flight: Flight) -> usize {
        self.flights.push(flight);
        self.flights.len() - 1
    }

    /// The flight that a caller joins who does not open one.
    pub(super) fn joined(&self, node: usize, key: Key) -> Option<usize> {
        let mine = |flight: &Flight| (flight.node, flight.key) == (node, key);
        self.flights.iter().rposition(mine)
    }

    /// A waiting caller leads from now on.
    pub(super) fn leads(&mut self, flight: usize, actor: ActorId, now: u64) {
        let Flight {
            leader, deadline, ..
        } = self.flights[flight];
        self.rule(leader.is_none() || now >= deadline, Promise::P1, || {
            format!("a leader was deposed at {now} ms, before its deadline {deadline}")
        });
        // Its time ran from when it was chosen; until its first step that may be over at once.
        (self.flights[flight].leader, self.flights[flight].deadline) = (Some(actor), now);
    }

    /// A loader begins. `excuse`: why it may do so without a lease.
    pub(super) fn load_begins(&mut self, actor: ActorId, flight: usize, excuse: bool, now: u64) {
        let Flight {
            node, key, opened, ..
        } = self.flights[flight];
        let superseded = self.of(node, key).superseded;
        let current = opened > superseded;
        for other in self.running.clone() {
            let its = self.flights[other.flight];
            let same = (its.node, its.key) == (node, key);
            let leads = its.leader == Some(other.actor) && its.opened > superseded;
            self.rule(!same || !leads || !current, Promise::P1, || {
                format!(
                    "node {node} runs the loaders of actors {} and {actor} for one key",
                    other.actor
                )
            });
        }
        let leased = self.flights[flight].leased;
        self.rule(leased || excuse, Promise::P1, || {
            format!("actor {actor} loads at {now} ms without a lease, and nothing excuses it")
        });
        self.running.push(Running { actor, flight });
    }

    /// A flight asks for a lease. One that it had and that ended by itself needs no giving back.
    pub(super) fn asked(&mut self, token: Token, flight: usize, now: u64) {
        for (old, _) in self.asked.iter().filter(|(_, its)| **its == flight) {
            if let Some(granted) = self.granted.get_mut(old) {
                granted.standing &= now < granted.until;
            }
        }
        self.asked.insert(token, flight);
    }

    /// A flight took a lease that was granted after its asker had gone.
    pub(super) fn adopted(&mut self, token: Token) {
        if let Some(&flight) = self.asked.get(&token) {
            self.flights[flight].leased = true;
        }
    }

    pub(super) fn load_ends(&mut self, actor: ActorId) {
        self.running.retain(|running| running.actor != actor);
    }

    // ---- changes ----

    /// Whatever was under way on the key is nobody's any more.
    pub(super) fn superseded(&mut self, node: usize, key: Key, index: Index) {
        self.of(node, key).superseded = index;
    }

    /// A change returned. `floor`: what is older must not be read any more.
    pub(super) fn returned(
        &mut self,
        node: usize,
        key: Key,
        floor: Index,
        superseded: Option<Index>,
        actor: ActorId,
    ) {
        let local = self.of(node, key);
        local.floor = local.floor.max(floor);
        local.returned.extend(superseded.map(|at| (at, actor)));
    }

    /// What is older than this is gone from L2.
    pub(super) fn newest(&self) -> [Index; KEYS] {
        self.shared.each_ref().map(|shared| shared.newest)
    }

    /// What is older is to be gone everywhere when all is said and heard; if it is a node's own
    /// change that says so, unless that dies.
    pub(super) fn is_due(&mut self, key: Key, floor: Index, of: Option<(usize, u32)>) {
        self.due.push(Due { key, floor, of });
    }

    /// All is said and heard.
    pub(super) fn all_is_heard(&mut self, node: usize) {
        for Due { key, floor, .. } in self.due.clone() {
            let local = self.of(node, key);
            local.floor = local.floor.max(floor);
        }
    }

    /// What the node has said, if it was the node that had to, is perhaps never heard; nor is what
    /// L2 did not acknowledge.
    pub(super) fn died(&mut self, node: usize, life: u32) {
        self.due.retain(|due| due.of != Some((node, life)));
        self.local.retain(|(its, _), _| *its != node);
        for (token, flight) in &self.asked {
            if self.flights[*flight].node == node {
                self.granted.entry(*token).or_default().excused = true;
            }
        }
        for flight in &mut self.flights {
            if flight.node == node {
                flight.leader = None;
            }
        }
    }

    /// The node has heard of a foreign change.
    pub(super) fn heard_foreign(&mut self, node: usize, key: Key, change: Index, removed: bool) {
        let local = self.of(node, key);
        local.heard = local.heard.max(change);
        if removed {
            local.heard_removal = local.heard_removal.max(change);
        }
    }

    // ---- L2 ----

    /// Who has the lease, and for how long yet.
    pub(super) fn holder(&self, key: Key, now: u64) -> Option<(Token, u64)> {
        let (token, until) = self.shared[usize::from(key)].lease?;
        (now < until).then(|| (token, until - now))
    }

    /// The value vanished. Whether there was one.
    pub(super) fn emptied(&mut self, key: Key) -> bool {
        self.shared[usize::from(key)].content.take().is_some()
    }

    pub(super) fn foreign_set(&mut self, key: Key, id: Option<Id>) {
        self.shared[usize::from(key)].content = id;
    }

    pub(super) fn foreign_delete(&mut self, key: Key, index: Index) {
        let shared = &mut self.shared[usize::from(key)];
        shared.content = None;
        shared.foreign_removal = index;
    }

    pub(super) fn lease_applied(&mut self, key: Key, token: Token, until: u64, now: u64) {
        let lease = &mut self.shared[usize::from(key)].lease;
        let other = lease.filter(|&(holder, until)| now < until && holder != token);
        if lease.is_none_or(|(holder, until)| now >= until || holder != token) {
            *lease = Some((token, until));
        }
        let granted = self.granted.entry(token).or_default();
        (granted.standing, granted.until) = (true, until);
        self.rule(other.is_none(), Promise::P1, || {
            format!("L2 granted {token}, and {other:?} had the lease")
        });
    }

    pub(super) fn lease_refused(&mut self, key: Key, token: Token, now: u64) {
        let lease = self.shared[usize::from(key)].lease;
        let taken = lease.is_some_and(|(holder, until)| now < until && holder != token);
        self.rule(taken, Promise::P5, || {
            format!("L2 refused {token}, and nobody had the lease")
        });
        // If it ever was its own, it has ended.
        self.given_back(key, token);
    }

    pub(super) fn claim_applied(&mut self, key: Key, token: Token, until: u64, index: Index) {
        self.wiped(key, index);
        self.shared[usize::from(key)].lease = Some((token, until));
        self.granted.entry(token).or_default().standing = true;
    }

    pub(super) fn wiped(&mut self, key: Key, index: Index) {
        let shared = &mut self.shared[usize::from(key)];
        shared.content = None;
        (shared.wiped, shared.newest) = (index, index);
        if let Some((token, _)) = shared.lease.take() {
            self.granted.entry(token).or_default().standing = false;
        }
    }

    pub(super) fn fill_applied(&mut self, key: Key, token: Token, id: Id, filled: Filled) {
        self.given_back(key, token);
        if filled == Filled::Refused {
            return;
        }
        let shared = &mut self.shared[usize::from(key)];
        let before = shared.content.replace(id);
        let wiped = shared.wiped;
        let displaced = before.map(|before| (before, self.at(before).birth));
        let Fact { birth, barred, .. } = *self.at(id);
        self.rule(birth >= wiped, Promise::P2, || {
            format!("L2 took {id:?}, born at {birth}, after the change that it took at {wiped}")
        });
        let newer = displaced.is_none_or(|(_, before)| birth >= before);
        self.rule(newer, Promise::P2, || {
            format!("L2 took {id:?}, born at {birth}, in the place of {displaced:?}")
        });
        self.rule(!barred, Promise::P2, || {
            format!("L2 took {id:?}, which a refused or undecided insert brought")
        });
    }

    /// What was written through is settled: stored, or the key removed.
    pub(super) fn settle_applied(
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

    /// A release or a fill of this token arrived, in time or not.
    pub(super) fn given_back(&mut self, key: Key, token: Token) {
        let lease = &mut self.shared[usize::from(key)].lease;
        lease.take_if(|(holder, _)| *holder == token);
        self.granted.entry(token).or_default().standing = false;
    }

    /// Something happened to a command with this token that may leave its lease standing.
    pub(super) fn excuse(&mut self, token: Token) {
        self.granted.entry(token).or_default().excused = true;
    }

    /// The end: nobody has a lease any more.
    pub(super) fn nothing_stands(&mut self) {
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
