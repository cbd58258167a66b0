//! The judge: checks the promises P1 to P7 at every event.
//!
//! It knows what no node knows: for every value that was ever loaded or inserted, the event of its
//! birth; for every key, what L2 took and when (the ledger); for every node, what its changes
//! promised when they returned. Events are numbered, and "older" means "of a smaller number".

pub(crate) mod ledger;
pub(crate) mod loads;

use std::collections::BTreeMap;

use jetcache_core::Token;

use crate::sim::fate::judge::ledger::{Granted, Shared};
use crate::sim::fate::judge::loads::{Flight, Running};
use crate::sim::fate::plan::{KEYS, Key};
use crate::sim::fate::promise::{Broken, Promise};
use crate::sim::generations::judging::{Floors, Raises};
use crate::sim::generations::scopes::Scopes;

/// The number of an event.
pub(crate) type Index = usize;

/// The number of an actor: a caller, a change, or what cleans up after one.
pub(crate) type ActorId = usize;

/// What a loader or an insert brought, "does not exist" included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id(pub(crate) u32);

/// What is known of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fact {
    pub(crate) key: Key,
    pub(crate) absent: bool,
    /// When its loading began, or when L2 took its claim.
    pub(crate) birth: Index,
    /// When L2 put it in the place of another, if it was inserted. A call that was under way then
    /// may count it as older or as newer than itself.
    pub(crate) put: Index,
    /// When its loading began, in milliseconds.
    pub(crate) loaded: u64,
    /// When its life is over, in milliseconds.
    pub(crate) ends: u64,
    /// How long after that it may be served stale, in milliseconds.
    pub(crate) window: u64,
    /// What a conditional insert brought is nobody's business before it was granted.
    pub(crate) barred: bool,
    /// A change brought it, and L2 has refused it and said so.
    pub(crate) refused: bool,
    /// A stranger set it.
    pub(crate) foreign: bool,
    /// The value of which its loader said that it is unchanged: it has its bytes.
    pub(crate) renews: Option<Id>,
    /// The number that is kept with it as its mark.
    pub(crate) mark: Option<Id>,
    /// Its tags.
    pub(crate) tags: Scopes,
    /// When its node heard that L2 took its claim.
    pub(crate) claimed: Index,
}

impl Fact {
    /// Whether this is its mark.
    pub(crate) fn mark_is(&self, mark: Option<&[u8]>) -> bool {
        mark == self
            .mark
            .map(|id| id.0.to_be_bytes())
            .as_ref()
            .map(|bytes| &bytes[..])
    }

    /// Until when it may be served, in milliseconds.
    pub(crate) fn stale_ends(&self) -> u64 {
        self.ends.saturating_add(self.window)
    }
}

/// Who wrote an entry into L1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Writer {
    pub(crate) actor: ActorId,
    /// When its flight, read or change began.
    pub(crate) opened: Index,
}

/// Nothing older may answer a read that begins now.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Floor {
    own: Index,
    /// The same if there was a failover of L2 since, and how many there were before.
    lasting: Index,
    failovers: u64,
    /// The same for foreign changes, and the last foreign removal then.
    foreign: Option<(Index, Index)>,
    /// The same for raises.
    pub(crate) raised: Floors,
}

/// Everything older must vanish everywhere, once all is said and heard.
#[derive(Clone, Copy, Debug)]
struct Due {
    key: Key,
    floor: Index,
    /// The node (and which life of it) that owes this; if it dies, it owes nothing.
    of: Option<(usize, u32)>,
    /// A node that need not hear of it.
    but: Option<usize>,
}

/// What a node's changes of a key promised.
#[derive(Clone, Debug, Default)]
struct Local {
    /// The foreign changes and removals of which it has heard.
    heard: Index,
    heard_removal: Index,
    /// Nothing older may be read any more.
    floor: Index,
    /// Nor if L2 forgets some of what it took: the node made that change itself, or heard of it.
    lasting: Index,
    /// When the last one superseded what was under way.
    superseded: Index,
    /// When changes that have returned had superseded, and which they were.
    returned: Vec<(Index, ActorId)>,
}

#[derive(Debug, Default)]
pub(crate) struct Judge {
    pub(crate) facts: Vec<Fact>,
    pub(crate) flights: Vec<Flight>,
    running: Vec<Running>,
    local: BTreeMap<(usize, Key), Local>,
    shared: [Shared; KEYS],
    granted: BTreeMap<Token, Granted>,
    asked: BTreeMap<Token, usize>,
    due: Vec<Due>,
    failovers: u64,
    pub(crate) raises: Raises,
    pub(crate) broken: Option<Broken>,
}

impl Judge {
    /// Checks a promise. Only the first one that is broken counts.
    pub(crate) fn rule(&mut self, kept: bool, promise: Promise, how: impl FnOnce() -> String) {
        if !kept && self.broken.is_none() {
            self.broken = Some(Broken {
                promise,
                how: how(),
            });
        }
    }

    pub(crate) fn fact(&mut self, key: Key, absent: bool, birth: Index) -> Id {
        let id = Id(u32::try_from(self.facts.len()).unwrap_or(u32::MAX));
        self.facts.push(Fact {
            key,
            absent,
            birth,
            put: 0,
            loaded: 0,
            ends: u64::MAX,
            window: 0,
            barred: false,
            refused: false,
            foreign: false,
            renews: None,
            mark: None,
            tags: Scopes::NONE,
            claimed: 0,
        });
        id
    }

    pub(crate) fn at(&mut self, id: Id) -> &mut Fact {
        &mut self.facts[id.0 as usize]
    }

    /// A loader is shown what stands there. It may be shown anything that could be served.
    pub(crate) fn shown(&mut self, key: Key, id: Id, mark: Option<&[u8]>, now: u64) {
        let fact = *self.at(id);
        self.rule(fact.key == key && fact.mark_is(mark), Promise::P6, || {
            format!("a loader of key {key} is shown {id:?} with {mark:?}: {fact:?}")
        });
        self.rule(now < fact.stale_ends(), Promise::P7, || {
            format!("a loader is shown {id:?} at {now} ms: {fact:?}")
        });
    }

    fn of(&mut self, node: usize, key: Key) -> &mut Local {
        self.local.entry((node, key)).or_default()
    }

    /// Reads that begin now may not find anything older than this.
    pub(crate) fn floor(&self, node: usize, key: Key) -> Floor {
        let removal = self.shared[usize::from(key)].foreign_removal;
        let Some(local) = self.local.get(&(node, key)) else {
            return Floor {
                failovers: self.failovers,
                raised: self.floors_of(node),
                ..Floor::default()
            };
        };
        // A foreign removal of which the node has not heard may have let anything in.
        let sure = local.heard_removal >= removal;
        Floor {
            own: local.floor,
            lasting: local.lasting,
            failovers: self.failovers,
            foreign: sure.then_some((local.heard, removal)),
            raised: self.floors_of(node),
        }
    }

    /// A caller got this value. The floor is that of the event at which it began to ask.
    pub(crate) fn answered(&mut self, node: usize, key: Key, floor: Floor, id: Id) {
        let fact = *self.at(id);
        self.rule(fact.key == key, Promise::P6, || {
            format!("{id:?} is of another key")
        });
        self.rule(!fact.barred, Promise::P2, || {
            format!("node {node} answers {id:?}, which a refused or undecided insert brought")
        });
        self.is_alive(node, floor.raised, id, "an answer");
        let foreign = floor.foreign;
        let own = match floor.failovers == self.failovers {
            true => floor.own,
            false => floor.lasting,
        };
        let birth = fact.birth.max(fact.put);
        self.rule(birth >= own, Promise::P2, || {
            format!(
                "node {node} answers {id:?}, born at {}, to a read that began after a change \
                 returned or was heard of: nothing older than {own} was to be read",
                fact.birth
            )
        });
        let removal = self.shared[usize::from(key)].foreign_removal;
        let (heard, _) = foreign.filter(|then| then.1 == removal).unwrap_or_default();
        self.rule(birth >= heard, Promise::P2, || {
            format!(
                "node {node} answers {id:?}, born at {}, to a read that began after it had heard of \
                 the foreign change at {heard}",
                fact.birth
            )
        });
    }

    /// L1 has an entry: a fresh one, or one that may be served stale.
    pub(crate) fn seen_in_l1(
        &mut self,
        (node, key): (usize, Key),
        id: Id,
        fresh: bool,
        writer: Writer,
        now: u64,
    ) {
        let fact = *self.at(id);
        let in_time = now < if fresh { fact.ends } else { fact.stale_ends() };
        self.rule(in_time, Promise::P7, || {
            format!("L1 of node {node} has {id:?} (fresh: {fresh}) at {now} ms: {fact:?}")
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

    /// From now on nothing that was under way on the key may be kept.
    pub(crate) fn superseded(&mut self, node: usize, key: Key, index: Index) {
        self.of(node, key).superseded = index;
    }

    /// A change returned. `floor`: what is older must not be read any more.
    pub(crate) fn returned(
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

    /// The node has made a change, or heard of one, which L2 may forget.
    pub(crate) fn lasts(&mut self, node: usize, key: Key, floor: Index) {
        let local = self.of(node, key);
        local.floor = local.floor.max(floor);
        local.lasting = local.lasting.max(floor);
    }

    /// Everything older than this is gone from L2.
    pub(crate) fn newest(&self) -> [Index; KEYS] {
        self.shared.each_ref().map(|shared| shared.newest)
    }

    /// Once all is said and heard, everything older must be gone everywhere. `of`: the node whose
    /// own change it is, which owes nothing if it dies.
    pub(crate) fn is_due(&mut self, key: Key, floor: Index, of: Option<(usize, u32)>) {
        let but = None;
        self.due.push(Due {
            key,
            floor,
            of,
            but,
        });
    }

    /// The same for all nodes but this one.
    pub(crate) fn is_due_elsewhere(&mut self, key: Key, floor: Index, node: usize) {
        let (of, but) = (None, Some(node));
        self.due.push(Due {
            key,
            floor,
            of,
            but,
        });
    }

    /// The node has heard that the key was filled, and has nothing older any more.
    pub(crate) fn fed(&mut self, node: usize, key: Key, floor: Index) {
        let local = self.of(node, key);
        local.floor = local.floor.max(floor);
    }

    /// Everything has been said and heard.
    pub(crate) fn all_is_heard(&mut self, node: usize) {
        for Due { key, floor, .. } in self
            .due
            .clone()
            .into_iter()
            .filter(|due| due.but != Some(node))
        {
            let local = self.of(node, key);
            local.floor = local.floor.max(floor);
        }
    }

    /// A node died. What it had yet to say is never heard, and its leases need not come back.
    pub(crate) fn died(&mut self, node: usize, life: u32) {
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
    pub(crate) fn heard_foreign(&mut self, node: usize, key: Key, change: Index, removed: bool) {
        let local = self.of(node, key);
        local.heard = local.heard.max(change);
        if removed {
            local.heard_removal = local.heard_removal.max(change);
        }
    }
}
