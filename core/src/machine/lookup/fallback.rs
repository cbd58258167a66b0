//! A value whose life is over, which a lookup may answer when nothing fresh can be had.

use core::time::Duration;

use crate::machine::generations::Generations;
use crate::machine::generations::heard::Heard;
use crate::machine::generations::tags::Tags;
use crate::machine::lookup::shown::Shown;
use crate::machine::lookup::step::{Answer, Seen, Stands};
use crate::machine::policy::Policy;
use crate::machine::policy::call::Call;
use crate::machine::tier::entry::Entry;
use crate::machine::tier::envelope::Header;
use crate::machine::tier::mark::{Age, Note};
use crate::machine::time::Timestamp;

/// A value whose life is over, or that is fresh but too old for a refresh. What did not exist is none:
/// it may exist by now.
#[derive(Clone, Debug)]
pub(super) struct Fallback<V> {
    value: V,
    /// A point in time, and for how long its life was over then.
    known: (Timestamp, Duration),
    /// Until when it may be served.
    until: Timestamp,
    /// Its mark, and how old it is, if that is known.
    note: Option<Note>,
    age: Option<Age>,
    /// How it stood in L2, if it is from there.
    header: Option<Header>,
    /// Its tags, and as of which news it is known to be alive.
    tags: Tags,
    stamp: Heard,
}

/// The fallback, or the value that is none.
type Found<V> = Result<Fallback<V>, Option<V>>;

impl<V> Fallback<V> {
    /// What L1 holds: none while something is removed from it, which may be this.
    ///
    /// # Errors
    /// The value, to be dropped outside the lock.
    pub(super) fn of_l1(entry: Entry<V>, sweeping: bool, heard: Heard, now: Timestamp) -> Found<V> {
        let note = entry.note().cloned();
        let (tags, stamp) = (entry.tags().clone(), entry.stamp().unwrap_or(heard));
        let age = note.as_ref().map(Note::age);
        let known = (entry.expires(), entry.over());
        let until = if sweeping {
            Timestamp::default()
        } else {
            entry.stale_end()
        };
        Self::new(entry.into_value(), known, until, now, |found| Self {
            note,
            age,
            tags,
            stamp,
            ..found
        })
    }

    /// What L2 showed, which is alive as of this news.
    ///
    /// # Errors
    /// The value, to be dropped outside the lock.
    pub(super) fn of_l2(
        mut seen: Seen<V>,
        sent: Timestamp,
        policy: &Policy,
        heard: Heard,
        now: Timestamp,
    ) -> Found<V> {
        let until = seen.stale_end(sent, policy);
        let (note, age, header) = (seen.note(sent), seen.aged(sent), seen.header.take());
        let known = (sent + seen.left, seen.over);
        let tags = seen.tags;
        Self::new(seen.value, known, until, now, |found| Self {
            note,
            age,
            header,
            tags,
            stamp: heard,
            ..found
        })
    }

    fn new(
        value: Option<V>,
        known: (Timestamp, Duration),
        until: Timestamp,
        now: Timestamp,
        completed: impl FnOnce(Self) -> Self,
    ) -> Found<V> {
        let fresh = known.1.is_zero() && now < known.0 && known.0 <= until;
        match value {
            Some(value) if fresh || known.0 < until => Ok(completed(Self {
                value,
                known,
                until,
                note: None,
                age: None,
                header: None,
                tags: Tags::NONE,
                stamp: Heard::default(),
            })),
            none => Err(none),
        }
    }

    /// The one that may be served for longer, which is taken for the newer one, and the other's value.
    pub(super) fn newer(self, other: Option<Self>) -> (Self, Option<V>) {
        match other {
            Some(other) if other.until > self.until => (other, Some(self.value)),
            other => (self, other.map(Self::into_value)),
        }
    }

    pub(super) fn into_value(self) -> V {
        self.value
    }

    /// Whether L2 can renew it where it stands.
    pub(super) fn is_extensible(&self) -> bool {
        self.header.is_some()
    }

    /// Whether none of its tags was raised since it was found. (Other scopes' news supersede the flight.)
    pub(super) fn is_alive(&self, generations: &Generations) -> bool {
        !generations.had_news(self.stamp, &self.tags)
    }

    /// It is not answered any more. It is dropped later, outside the lock.
    pub(super) fn bury(&mut self) {
        self.until = Timestamp::default();
    }

    /// Until when this call may be answered with it.
    fn until(&self, call: &Call) -> Timestamp {
        let (at, over) = self.known;
        match call.stale_for {
            Some(window) => self.until.min((at + window).before(over)),
            None => self.until,
        }
    }
}

impl<V: Clone> Fallback<V> {
    /// The answer to this call, within its window.
    pub(super) fn answer(&self, call: &Call, now: Timestamp) -> Option<Answer<V>> {
        let until = self.until(call);
        let (value, (end, over)) = (self.value.clone(), self.known);
        if now + over < end && now < self.until {
            // Fresh, though too old for a refresh to copy.
            return Some(Answer::found(Some(value), end).tagged(&self.tags, self.stamp));
        }
        let stale = || Answer::stale(value, until, self.known).tagged(&self.tags, self.stamp);
        (now < until).then(stale)
    }

    /// An entry of L1 that answers in place of a load until `end`.
    pub(super) fn entry(&self, end: Timestamp) -> Entry<V> {
        let end = end.min(self.until);
        let over = end.since(self.known.0).saturating_add(self.known.1);
        let entry = Entry::new(Some(self.value.clone()), end).noted(self.note.clone());
        let entry = entry.stale_until(self.until).overdue(over);
        entry.tagged(&self.tags, self.stamp)
    }

    /// What a loader is shown of it at `now`, and what the flight remembers of that.
    pub(super) fn show(&self, now: Timestamp) -> Option<(Stands<V>, Shown)> {
        let mark = self.note.as_ref().map(|note| note.mark().clone());
        let shown = Shown {
            header: self.header.clone(),
            mark: mark.clone(),
            tags: self.tags.clone(),
        };
        let value = (now < self.until).then(|| self.value.clone())?;
        let age = self.age.map(|age| age.by(now));
        Some((Stands { value, age, mark }, shown))
    }
}
