//! Writing a script with tags and raises.

use crate::sim::fate::plan::{Ask, Plan, What};
use crate::sim::fate::script::{Fate, Point};
use crate::sim::generations::log::Loss;
use crate::sim::generations::scopes::Scopes;

impl Plan {
    /// L2 keeps a log of raises. The first read of a node, which finds none, takes 4 ms more.
    #[must_use]
    pub fn log(mut self) -> Self {
        self.policy.log = true;
        if let Some(blind) = &mut self.fleet.blind {
            blind.log = true;
        }
        self
    }

    /// L2 is several servers, and its log is not where the keys are.
    #[must_use]
    pub fn cluster(mut self) -> Self {
        self.fleet.cluster = true;
        self
    }

    /// What the last ask brings has these tags: 0, 1 or 2.
    #[must_use]
    pub fn tagged(mut self, tags: &[usize]) -> Self {
        let each = tags.iter().map(|tag| Scopes::tag(*tag));
        let tags = each.fold(Scopes::NONE, Scopes::and);
        match self.asks.last_mut().map(|ask| &mut ask.what) {
            Some(What::Load(_, loader) | What::Refresh(_, loader)) => loader.tags = tags,
            Some(What::Insert(wish, _)) => wish.tags = tags,
            Some(What::WriteThrough(_, writer)) => writer.tags = tags,
            _ => {}
        }
        self
    }

    /// A tag is raised.
    #[must_use]
    pub fn raise(self, at: u64, node: usize, tag: usize) -> Self {
        self.raises(at, node, Scopes::tag(tag))
    }

    /// The namespace is cleared.
    #[must_use]
    pub fn clear(self, at: u64, node: usize) -> Self {
        self.raises(at, node, Scopes::ALL)
    }

    fn raises(mut self, at: u64, node: usize, scopes: Scopes) -> Self {
        self.asks.push(Ask {
            at,
            node,
            key: 0,
            what: What::Raise(scopes),
            dropped: None,
            held: None,
            batch: None,
        });
        self
    }

    /// L2 loses the highest number of its log, its list, or both.
    #[must_use]
    pub fn loses_log(mut self, at: u64, top: bool, list: bool) -> Self {
        self.fleet.losses.push(Loss { at, top, list });
        self
    }

    /// A page of the list of raises has so many marks.
    #[must_use]
    pub fn pages(mut self, marks: usize) -> Self {
        self.fleet.page = marks;
        self
    }

    /// This is the fate of the next raise that is repeated, whoever caused it.
    #[must_use]
    pub fn again(mut self, fate: Fate) -> Self {
        let fate = (usize::MAX, Point::Raise, fate);
        self.script().fates.push(fate);
        self
    }
}
