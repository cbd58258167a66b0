//! A value whose life is over, which a lookup may answer when nothing fresh can be had.

use core::time::Duration;

use crate::machine::lookup::step::{Answer, Seen};
use crate::machine::policy::Policy;
use crate::machine::policy::call::Call;
use crate::machine::tier::entry::Entry;
use crate::machine::time::Timestamp;

/// A value whose life is over. What did not exist is none: it may exist by now.
#[derive(Clone, Debug)]
pub(super) struct Fallback<V> {
    value: V,
    /// A point in time, and for how long its life was over then.
    known: (Timestamp, Duration),
    /// Until when it may be served.
    until: Timestamp,
}

/// The fallback, or the value that is none.
type Found<V> = Result<Fallback<V>, Option<V>>;

impl<V> Fallback<V> {
    /// What L1 holds: none while something is removed from it, which may be this.
    ///
    /// # Errors
    /// The value, to be dropped outside the lock.
    pub(super) fn of_l1(entry: Entry<V>, sweeping: bool) -> Found<V> {
        let known = (entry.expires(), entry.over());
        let until = if sweeping {
            Timestamp::default()
        } else {
            entry.stale_end()
        };
        Self::new(entry.into_value(), known, until)
    }

    /// What L2 showed.
    ///
    /// # Errors
    /// The value, to be dropped outside the lock.
    pub(super) fn of_l2(seen: Seen<V>, sent: Timestamp, policy: &Policy) -> Found<V> {
        let until = seen.stale_end(sent, policy);
        Self::new(seen.value, (sent + seen.left, seen.over), until)
    }

    fn new(value: Option<V>, known: (Timestamp, Duration), until: Timestamp) -> Found<V> {
        match value {
            Some(value) if known.0 < until => Ok(Self {
                value,
                known,
                until,
            }),
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
        if now + over < end {
            // Fresh, though too old for a refresh to copy.
            return Some(Answer::found(Some(value), end));
        }
        (now < until).then(|| Answer::stale(value, until, self.known))
    }

    /// An entry of L1 that answers in place of a load until `end`.
    pub(super) fn entry(&self, end: Timestamp) -> Entry<V> {
        let end = end.min(self.until);
        let over = end.since(self.known.0).saturating_add(self.known.1);
        let entry = Entry::new(Some(self.value.clone()), end);
        entry.stale_until(self.until).overdue(over)
    }
}
