//! What can be raised: few tags and few keys, so that raises and values meet.

use core::fmt;

use jetcache_core::machine::generations::scope::{Mark, Scope};
use jetcache_core::machine::generations::tags::Tags;

use crate::sim::fate::plan::{KEYS, Key};
use crate::sim::world::server::bucket;

/// A set of scopes.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Scopes(u8);

/// A mark for each scope, or none.
pub(crate) type Marks = [Mark; SCOPES];

impl Scopes {
    /// None.
    pub(crate) const NONE: Self = Self(0);
    /// The whole namespace.
    pub(crate) const ALL: Self = Self(1);

    /// One of the tags.
    pub(crate) const fn tag(number: usize) -> Self {
        Self(1 << (1 + number % TAGS))
    }

    /// The bucket of a key.
    pub(crate) fn key(key: Key) -> Self {
        Self(1 << (1 + TAGS + usize::from(key)))
    }

    /// These scopes, as far as the plans know them.
    pub(crate) fn of(scopes: &[Scope]) -> Self {
        let all = (0..SCOPES).filter(|at| scopes.contains(&scope(*at)));
        Self(all.fold(0, |sum, at| sum | 1 << at))
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Their numbers.
    pub(crate) fn each(self) -> impl Iterator<Item = usize> {
        (0..SCOPES).filter(move |at| self.0 & 1 << at != 0)
    }

    /// In the order in which a raise names them.
    pub(crate) fn list(self) -> Vec<Scope> {
        let mut list: Vec<Scope> = self.each().map(scope).collect();
        list.sort_unstable();
        list
    }

    /// The tags among them.
    pub(crate) fn tags(self) -> Tags {
        let buckets = self.list().into_iter().filter_map(|scope| match scope {
            Scope::Tag(bucket) => Some(bucket),
            Scope::All | Scope::Key(_) => None,
        });
        Tags::of_buckets(buckets.collect())
    }

    /// The texts of the tags among them.
    pub(crate) fn texts(self) -> impl Iterator<Item = &'static str> {
        let tags = self.each().filter(|at| (1..=TAGS).contains(at));
        tags.map(|at| TEXTS[at - 1])
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |at| match at {
            0 => "*",
            at if at <= TAGS => TEXTS[at - 1],
            at => ["key a", "key b"][at - 1 - TAGS],
        };
        let names: Vec<&str> = self.each().map(name).collect();
        write!(f, "[{}]", names.join(" "))
    }
}

/// The scope of this number.
pub(crate) fn scope(at: usize) -> Scope {
    match at {
        0 => Scope::All,
        at if at <= TAGS => Scope::of_tag(TEXTS[at - 1]),
        at => Scope::Key(bucket(u8::try_from(at - 1 - TAGS).unwrap_or(0))),
    }
}

/// Marks as a command carries them.
pub(crate) fn marks_of(list: &[(Scope, Mark)]) -> Marks {
    core::array::from_fn(|at| {
        let known = list.iter().find(|(its, _)| *its == scope(at));
        known.map_or(Mark::NONE, |(_, mark)| *mark)
    })
}

/// And back.
pub(crate) fn list_of(marks: &Marks) -> Vec<(Scope, Mark)> {
    let each = marks.iter().enumerate();
    each.filter(|(_, mark)| **mark > Mark::NONE)
        .map(|(at, mark)| (scope(at), *mark))
        .collect()
}

/// How many tags there are.
pub(crate) const TAGS: usize = 3;
/// How many scopes.
pub(crate) const SCOPES: usize = 1 + TAGS + KEYS;

const TEXTS: [&str; TAGS] = ["x", "y", "z"];
