//! What a node knows of the log of raises, and what it asks before it believes L2.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::machine::generations::scope::{Mark, Scope};
use crate::machine::time::Timestamp;

/// What L2 is asked for before it is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogStep {
    /// A page of the marks since then; reply [`on_news`](crate::machine::generations::Generations::on_news).
    News {
        /// Since when.
        since: Mark,
        /// Up to which number they are to be known.
        top: Mark,
        /// Under which primary.
        reign: u32,
        /// Nothing of this list was known before: what it says is nobody's news.
        first: bool,
    },
    /// That the log has what this node knows; reply [`on_ensured`](crate::machine::generations::Generations::on_ensured).
    Ensure {
        /// The highest number that this node has heard of.
        clock: Mark,
        /// The marks that the log is to have.
        marks: Vec<(Scope, Mark)>,
        /// Under which primary.
        reign: u32,
    },
}

/// The answer to [`Remote::news`](crate::ports::remote::Remote::news): a page of the list of raises.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewsPage {
    /// The marks from the one that was asked for up to `next`, in any order. Of those that are `next`
    /// itself some may be missing.
    pub marks: Vec<(Scope, Mark)>,
    /// Where the next page begins, higher than where this one did; `None` if these are all.
    pub next: Option<Mark>,
}

/// A list that is read page by page. Members of a list move up and nowhere else, so whatever has a mark
/// below `next`, now or later, is among these; but a raise up to there whose scope was raised again
/// since stands on a page to come.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) next: Mark,
    /// Learnt when the last page has come: by the number of scopes.
    pub(super) marks: BTreeMap<Scope, Mark>,
}

impl Reading {
    pub(super) const fn new() -> Self {
        Self {
            next: Mark::NONE,
            marks: BTreeMap::new(),
        }
    }
}

/// The log, as far as this node knows.
#[derive(Clone, Debug)]
pub(super) struct Log {
    /// The highest number that L2 has shown.
    pub(super) top: Mark,
    /// It is not what it was: it is begun anew before anything is believed.
    pub(super) lost: bool,
    /// Another primary answers: its whole list is read first.
    pub(super) unread: bool,
    /// Pages of its list that have come.
    pub(super) reading: Reading,
    /// What its list lacks, or may lack.
    pub(super) lacks: BTreeMap<Scope, Mark>,
    /// Until when that may be so of what is heard.
    pub(super) healing: Option<Timestamp>,
    /// The highest number when an ensure was acknowledged: what is read next is all there is up to it.
    pub(super) ensured: Option<Mark>,
    /// Something may have been missed: the highest number is to be looked at.
    pub(super) look: bool,
    /// How often.
    pub(super) missed: u32,
}

/// What a node knew when it asked for the highest number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    pub(super) clock: Mark,
    pub(super) missed: u32,
}

impl Log {
    /// Who has just begun has heard of nothing: it looks first.
    pub(super) const fn new() -> Self {
        Self {
            top: Mark::NONE,
            lost: false,
            unread: false,
            reading: Reading::new(),
            lacks: BTreeMap::new(),
            healing: None,
            ensured: None,
            look: true,
            missed: 0,
        }
    }

    /// A page has come. All marks that were read, if it is the last one.
    pub(super) fn turn_page(&mut self, page: &NewsPage) -> Option<BTreeMap<Scope, Mark>> {
        for (scope, mark) in &page.marks {
            let read = self.reading.marks.entry(*scope).or_default();
            *read = (*mark).max(*read);
        }
        if let Some(next) = page.next {
            self.reading.next = next.max(self.reading.next);
            return None;
        }
        let read = core::mem::replace(&mut self.reading, Reading::new());
        // The last page has what stood last on the one before, or what follows it, unless the list was
        // lost in between.
        Some(if page.marks.is_empty() {
            BTreeMap::new()
        } else {
            read.marks
        })
    }

    /// A word was heard: a primary that has just taken over may not have what it says.
    pub(super) fn note_heard(&mut self, scopes: &[Scope], number: Mark, now: Timestamp) {
        if self.healing.is_some_and(|until| now < until) {
            for scope in scopes {
                let mark = self.lacks.entry(*scope).or_default();
                *mark = number.max(*mark);
            }
        }
    }
}
