//! A value whose life is over, which a lookup may answer when nothing fresh can be had.

use core::time::Duration;

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
}

/// The fallback, or the value that is none.
type Found<V> = Result<Fallback<V>, Option<V>>;

impl<V> Fallback<V> {
    /// What L1 holds: none while something is removed from it, which may be this.
    ///
    /// # Errors
    /// The value, to be dropped outside the lock.
    pub(super) fn of_l1(entry: Entry<V>, sweeping: bool, now: Timestamp) -> Found<V> {
        let note = entry.note().cloned();
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
            ..found
        })
    }

    /// What L2 showed.
    ///
    /// # Errors
    /// The value, to be dropped outside the lock.
    pub(super) fn of_l2(
        mut seen: Seen<V>,
        sent: Timestamp,
        policy: &Policy,
        now: Timestamp,
    ) -> Found<V> {
        let until = seen.stale_end(sent, policy);
        let (note, age, header) = (seen.note(sent), seen.aged(sent), seen.header.take());
        let known = (sent + seen.left, seen.over);
        Self::new(seen.value, known, until, now, |found| Self {
            note,
            age,
            header,
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
            return Some(Answer::found(Some(value), end));
        }
        (now < until).then(|| Answer::stale(value, until, self.known))
    }

    /// An entry of L1 that answers in place of a load until `end`.
    pub(super) fn entry(&self, end: Timestamp) -> Entry<V> {
        let end = end.min(self.until);
        let over = end.since(self.known.0).saturating_add(self.known.1);
        let entry = Entry::new(Some(self.value.clone()), end).noted(self.note.clone());
        entry.stale_until(self.until).overdue(over)
    }

    /// What a loader is shown of it at `now`, and what the flight remembers of that.
    pub(super) fn show(&self, now: Timestamp) -> Option<(Stands<V>, Shown)> {
        let mark = self.note.as_ref().map(|note| note.mark().clone());
        let shown = Shown {
            header: self.header.clone(),
            mark: mark.clone(),
        };
        let value = (now < self.until).then(|| self.value.clone())?;
        let age = self.age.map(|age| age.by(now));
        Some((Stands { value, age, mark }, shown))
    }
}
