//! The judge of raises: what is older than a raise of one of its scopes is not read any more, once
//! that has returned or was heard of.

use std::collections::BTreeMap;

use jetcache_core::machine::generations::scope::{Mark, Scope};

use crate::sim::fate::judge::{Fact, Id, Index, Judge};
use crate::sim::fate::promise::Promise;
use crate::sim::generations::scopes::{SCOPES, Scopes, scope};

/// Nothing that is older than this may be read, a scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Floors([Index; SCOPES]);

/// What was raised.
#[derive(Debug, Default)]
pub(crate) struct Raises {
    /// What has returned or was heard of, a node.
    known: BTreeMap<usize, Floors>,
    /// By the number that L2 gave out.
    numbers: BTreeMap<Mark, Floors>,
    /// What was acknowledged anywhere.
    acknowledged: Floors,
    /// What all must have heard of at rest, and the node (and which life of it) that says so.
    due: Vec<(Floors, (usize, u32))>,
}

impl Floors {
    /// For these scopes.
    pub(crate) fn of(scopes: Scopes, index: Index) -> Self {
        let mut floors = Self::default();
        scopes.each().for_each(|at| floors.0[at] = index);
        floors
    }

    /// The higher of both.
    pub(crate) fn or(self, other: Self) -> Self {
        Self(core::array::from_fn(|at| self.0[at].max(other.0[at])))
    }

    /// For these scopes only.
    pub(crate) fn only(self, scopes: Scopes) -> Self {
        let own = Self::of(scopes, Index::MAX);
        Self(core::array::from_fn(|at| self.0[at].min(own.0[at])))
    }
}

impl Fact {
    /// What is raised to remove it.
    fn scopes(&self) -> Scopes {
        self.tags.and(Scopes::ALL).and(Scopes::key(self.key))
    }

    /// What began before this is older. An insert counts from when its claim was acknowledged.
    fn age(&self) -> Index {
        self.birth.max(self.claimed)
    }
}

impl Judge {
    /// What reads that begin now on this node may rely on.
    pub(crate) fn floors_of(&self, node: usize) -> Floors {
        self.raises.known.get(&node).copied().unwrap_or_default()
    }

    /// What was acknowledged anywhere so far.
    pub(crate) fn acknowledged(&self) -> Floors {
        self.raises.acknowledged
    }

    /// L2 has given a raise this number.
    pub(crate) fn raise_applied(&mut self, number: Mark, scopes: Scopes, floors: Floors) {
        let its = self.raises.numbers.entry(number).or_default();
        *its = its.or(floors.only(scopes));
    }

    /// What these marks say.
    pub(crate) fn learnt_of(&self, list: &[(Scope, Mark)]) -> Floors {
        let mut floors = Floors::default();
        for (raised, mark) in list {
            let known = self.raises.numbers.get(mark);
            let at = (0..SCOPES).find(|at| scope(*at) == *raised);
            if let (Some(known), Some(at)) = (known, at) {
                floors.0[at] = floors.0[at].max(known.0[at]);
            }
        }
        floors
    }

    /// What this number says.
    pub(crate) fn told_of(&self, number: Mark) -> Floors {
        let known = self.raises.numbers.get(&number);
        known.copied().unwrap_or_default()
    }

    /// From now on the node keeps to this.
    pub(crate) fn is_raised(&mut self, node: usize, floors: Floors) {
        let known = self.raises.known.entry(node).or_default();
        *known = known.or(floors);
    }

    /// Some node knows that L2 has it.
    pub(crate) fn raise_acknowledged(&mut self, floors: Floors) {
        self.raises.acknowledged = self.raises.acknowledged.or(floors);
    }

    /// At rest all keep to this.
    pub(crate) fn raise_is_due(&mut self, floors: Floors, of: (usize, u32)) {
        self.raises.due.push((floors, of));
    }

    pub(crate) fn raiser_died(&mut self, node: usize) {
        self.raises.known.remove(&node);
        self.raises.due.retain(|(_, (of, _))| *of != node);
    }

    /// All that is due.
    pub(crate) fn all_raised(&self) -> Floors {
        let due = self.raises.due.iter().map(|(floors, _)| *floors);
        due.fold(Floors::default(), Floors::or)
    }

    /// A value is read where nothing older than these floors may be.
    pub(crate) fn is_alive(&mut self, node: usize, floors: Floors, id: Id, where_from: &str) {
        let fact = *self.at(id);
        let older = fact.scopes().each().find(|at| fact.age() < floors.0[*at]);
        self.rule(older.is_none(), Promise::P2, || {
            let at = older.unwrap_or(0);
            format!(
                "node {node} gives out {id:?} of {where_from}, begun at {} with {:?}: {:?} was raised at {}",
                fact.age(),
                fact.tags,
                scope(at),
                floors.0[at]
            )
        });
    }
}
