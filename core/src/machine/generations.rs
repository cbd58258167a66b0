//! Which values are dead, because their tags were raised, their namespace was cleared, or their keys
//! did not fit into the table of those that are unconfirmed (PROTOCOL.md, T1 to T12).
//!
//! Every raise, of whatever scope, takes the next number of its namespace, which L2 gives out. A value
//! carries **born**: the highest number of which its node had heard when its loading began. It is dead
//! to whoever knows a raise of one of its scopes with a higher number.
//!
//! L1, and loads under way, need no numbers, and go on while L2 is away: they compare a **stamp**, the
//! count of this node's news when they began, with the counts at the last news of their scopes.

pub mod heard;
pub mod known;
mod log;
mod marks;
mod raise;
pub mod scope;
pub mod tags;
pub mod ticket;

use alloc::collections::BTreeMap;

use crate::machine::generations::heard::{Aftermath, Heard};
use crate::machine::generations::known::Log;
use crate::machine::generations::marks::Marks;
use crate::machine::generations::scope::{Mark, RaiseEvent, Scope};
use crate::machine::generations::tags::Tags;
use crate::machine::generations::ticket::Pending;
use crate::machine::time::Timestamp;

/// What a node knows of the raises of a namespace.
#[derive(Clone, Debug)]
pub struct Generations {
    /// The highest number that it has heard of.
    clock: Mark,
    /// Up to which number it knows all raises.
    synced: Mark,
    /// Its news.
    heard: Heard,
    marks: Marks,
    log: Log,
    /// Raises that L2 has not acknowledged.
    pending: BTreeMap<Scope, Pending>,
    /// How many commands were sent.
    sent: u64,
    /// When the pending ones are repeated, and how often that was in vain.
    due: Option<Timestamp>,
    tries: u32,
    /// The last scope that was repeated: the next turn begins behind it.
    repeated: Option<Scope>,
    /// How many primaries of L2 have taken over.
    reign: u32,
}

impl Generations {
    /// Nothing was ever raised.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            clock: Mark::NONE,
            synced: Mark::NONE,
            heard: Heard::new(0),
            marks: Marks::new(),
            log: Log::new(),
            pending: BTreeMap::new(),
            sent: 0,
            due: None,
            tries: 0,
            repeated: None,
            reign: 0,
        }
    }

    /// The number that a value carries whose loading begins now (T1).
    #[must_use]
    pub fn born(&self) -> Mark {
        self.clock
    }

    /// The stamp of what is judged, or begins to load, now.
    #[must_use]
    pub fn heard(&self) -> Heard {
        self.heard
    }

    /// Whether one of these tags had news since: what has that stamp is dead (T5, T6). The news of the
    /// other scopes supersede all that is under way, and empty L1.
    #[must_use]
    pub fn had_news(&self, since: Heard, tags: &Tags) -> bool {
        self.heard != since
            && tags
                .scopes()
                .any(|scope| self.marks.row(scope).news > since)
    }

    /// Whether a value of L2 is dead (T2), or may be, since a raise is not acknowledged (T8).
    #[must_use]
    pub fn is_dead(&self, born: Mark, tags: &Tags, key: u16) -> bool {
        scopes(tags, key).any(|scope| {
            self.marks.row(scope).mark > born
                || (!self.pending.is_empty() && self.pending.contains_key(&scope))
        })
    }

    /// Whether a scope of a value was raised since, as far as L2 has told.
    #[must_use]
    pub fn is_raised(&self, born: Mark, tags: &Tags, key: u16) -> bool {
        scopes(tags, key).any(|scope| self.marks.row(scope).mark > born)
    }

    /// Whether L2 is neither read nor filled for the keys of this bucket (T8, T11).
    #[must_use]
    pub fn is_blocked(&self, key: u16) -> bool {
        !self.pending.is_empty()
            && (self.pending.contains_key(&Scope::All)
                || self.pending.contains_key(&Scope::Key(key)))
    }

    /// How many scopes are pending.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// A word of a raise was heard, of this node's own, too (T10): `own`. While another primary has just
    /// taken over, what is heard is ensured there (T12).
    pub fn hear(&mut self, event: &RaiseEvent, own: bool, now: Timestamp) -> Aftermath {
        let mut aftermath = Aftermath::default();
        let Some((before, number)) = event.numbers else {
            if !own {
                self.note_news(event.scopes.iter().copied(), &mut aftermath);
            }
            return aftermath;
        };
        for scope in &event.scopes {
            self.learn(*scope, number, &mut aftermath);
        }
        if before > self.synced {
            // A word is missing, or comes later.
            self.log.look = true;
        }
        self.follows(before, number);
        self.log.note_heard(&event.scopes, number, now);
        aftermath
    }

    /// Something teaches this node a mark: news, if it is higher than what was known (T4).
    fn learn(&mut self, scope: Scope, mark: Mark, aftermath: &mut Aftermath) {
        if self.lift(scope, mark) {
            self.note_news([scope], aftermath);
        }
    }

    /// Whether the mark is higher than what was known.
    fn lift(&mut self, scope: Scope, mark: Mark) -> bool {
        let row = self.marks.row_mut(scope);
        let higher = mark > row.mark;
        row.mark = row.mark.max(mark);
        self.clock = self.clock.max(mark);
        higher
    }

    fn note_news(&mut self, scopes: impl IntoIterator<Item = Scope>, aftermath: &mut Aftermath) {
        self.heard = Heard::new(self.heard.count().wrapping_add(1));
        for scope in scopes {
            self.marks.row_mut(scope).news = self.heard;
            aftermath.news += 1;
            match scope {
                Scope::All => aftermath.all = true,
                Scope::Key(bucket) => drop(aftermath.keys.insert(bucket)),
                Scope::Tag(_) => {}
            }
        }
    }

    /// All raises up to `number` are known if those up to `before` are (T3).
    fn follows(&mut self, before: Mark, number: Mark) {
        self.clock = self.clock.max(number);
        if self.synced >= before {
            self.synced = self.synced.max(number);
        }
    }

    /// The marks that it knows, to be compared with a list.
    fn missing(&self, list: &BTreeMap<Scope, Mark>) -> BTreeMap<Scope, Mark> {
        let lacks = |scope: &Scope, mark: &Mark| list.get(scope).is_none_or(|has| has < mark);
        let missing = self.marks.raised();
        missing.filter(|(scope, mark)| lacks(scope, mark)).collect()
    }
}

impl Default for Generations {
    fn default() -> Self {
        Self::new()
    }
}

/// The scopes of a value with these tags, whose key is in this bucket.
fn scopes(tags: &Tags, key: u16) -> impl Iterator<Item = Scope> + '_ {
    [Scope::All, Scope::Key(key)]
        .into_iter()
        .chain(tags.scopes())
}
