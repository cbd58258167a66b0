//! What is known of a value beside the value itself: its mark, and its age.

use alloc::boxed::Box;
use core::time::Duration;

use crate::machine::counted::Arc;
use crate::machine::time::Timestamp;

/// What a loader keeps with a value to know it again: an etag, a version, a date.
///
/// One pointer: most values have none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark(Arc<Box<[u8]>>);

impl Mark {
    /// How long a mark may be, in bytes.
    pub const LONGEST: usize = 1024;

    /// The mark of these bytes; `None` if they are longer than [`LONGEST`](Self::LONGEST).
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() <= Self::LONGEST).then(|| Self(Arc::new(bytes.into())))
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// How old something is, as of a point in time: a value may be older than this node's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::machine) struct Age {
    pub(in crate::machine) at: Timestamp,
    pub(in crate::machine) then: Duration,
}

impl Age {
    /// Born at that point in time.
    pub(in crate::machine) const fn born(at: Timestamp) -> Self {
        let then = Duration::ZERO;
        Self { at, then }
    }

    /// How old it is at `now`.
    pub(in crate::machine) fn by(self, now: Timestamp) -> Duration {
        let grown = self.then.saturating_add(now.since(self.at));
        grown.saturating_sub(self.at.since(now))
    }
}

/// The mark of an entry in L1, and when its life began. One pointer, so that the many entries that
/// have no mark pay little for the few that do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::machine) struct Note(Arc<(Mark, Age)>);

impl Note {
    pub(in crate::machine) fn new(mark: Mark, age: Age) -> Self {
        Self(Arc::new((mark, age)))
    }

    pub(in crate::machine) fn mark(&self) -> &Mark {
        &self.0.0
    }

    pub(in crate::machine) fn age(&self) -> Age {
        self.0.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_mark_has_a_bound() {
        assert!(Mark::new(&[7; Mark::LONGEST]).is_some());
        assert_eq!(Mark::new(&[7; Mark::LONGEST + 1]), None);
        assert_eq!(Mark::new(b"").map(|mark| mark.bytes().len()), Some(0));
    }

    #[test]
    fn a_value_may_be_older_than_the_clock() {
        let at = Timestamp::default() + 10 * SECOND;
        let then = 100 * SECOND;
        let age = Age { at, then };
        assert_eq!(age.by(at + SECOND), 101 * SECOND);
        assert_eq!(age.by(at.before(SECOND)), 99 * SECOND);
        assert_eq!(Age::born(at).by(Timestamp::default()), Duration::ZERO);
    }

    /// What each entry pays for marks.
    #[test]
    fn a_note_is_one_pointer() {
        assert_eq!(size_of::<Option<Note>>(), size_of::<usize>());
        assert_eq!(size_of::<Option<Mark>>(), size_of::<usize>());
    }
}
