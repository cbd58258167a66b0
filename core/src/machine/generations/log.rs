//! How a node keeps up with the log of raises in L2: what it asks for before it believes L2
//! (PROTOCOL.md, T2, T7, T9, T12).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use crate::machine::generations::scope::{Mark, Scope};
use crate::machine::generations::{Aftermath, Generations, RaiseTicket};
use crate::machine::time::Timestamp;

/// What L2 is asked for before it is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogStep {
    /// The marks since then; reply [`Generations::on_news`].
    News {
        /// Since when.
        since: Mark,
        /// Under which primary.
        reign: u32,
    },
    /// That the log has what this node knows; reply [`Generations::on_ensured`].
    Ensure {
        /// The highest number that this node has heard of.
        clock: Mark,
        /// The marks that the log is to have.
        marks: Vec<(Scope, Mark)>,
        /// Under which primary.
        reign: u32,
    },
}

/// The log, as far as this node knows.
#[derive(Clone, Debug)]
pub(super) struct Log {
    /// The highest number that L2 has shown.
    top: Mark,
    /// It is not what it was: it is begun anew before anything is believed.
    lost: bool,
    /// Another primary answers: its whole list is read first.
    unread: bool,
    /// What its list lacks, or may lack.
    lacks: BTreeMap<Scope, Mark>,
    /// Until when that may be so of what is heard.
    healing: Option<Timestamp>,
    /// An ensure was acknowledged, and what is read next is all there is.
    ensured: Option<Mark>,
    /// Something may have been missed: the highest number is to be looked at.
    look: bool,
    /// How often.
    missed: u32,
}

/// What a node knew when it asked for the highest number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    clock: Mark,
    missed: u32,
}

/// Who has just begun has heard of nothing: it looks first.
impl Default for Log {
    fn default() -> Self {
        Self {
            top: Mark::NONE,
            lost: false,
            unread: false,
            lacks: BTreeMap::new(),
            healing: None,
            ensured: None,
            look: true,
            missed: 0,
        }
    }
}

impl Log {
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

impl Generations {
    /// What it knows: to be remembered by whoever asks for the highest number.
    #[must_use]
    pub fn known(&self) -> Known {
        Known {
            clock: self.clock,
            missed: self.log.missed,
        }
    }

    /// What L2 shows as the highest number; `asked` is what this node [knew](Self::known) when it asked. A log that has lost numbers is lost (T7), unless another primary is just taken up.
    /// Words that may have been missed since it asked are yet to be looked for (T9).
    pub fn on_top(&mut self, asked: Known, top: Option<Mark>) {
        if asked.missed == self.log.missed {
            self.log.look = false;
        }
        match top {
            Some(top) if top >= asked.clock => {
                self.clock = self.clock.max(top);
                self.log.top = self.log.top.max(top);
            }
            _ => self.log.lost |= !self.log.unread,
        }
    }

    /// Whether L2 has lost the log that this node knew.
    #[must_use]
    pub fn has_lost_its_log(&self) -> bool {
        self.log.lost && self.synced > Mark::NONE
    }

    /// What is to be asked of L2 before it is believed; `None` if it may be believed now.
    #[must_use]
    pub fn next_log_step(&self) -> Option<LogStep> {
        let Log {
            top,
            lost,
            unread,
            lacks,
            ..
        } = &self.log;
        let reign = self.reign;
        if *unread {
            let since = Mark::NONE;
            return Some(LogStep::News { since, reign });
        }
        if *lost || !lacks.is_empty() {
            let marks = lacks.iter().map(|(scope, mark)| (*scope, *mark));
            return Some(LogStep::Ensure {
                clock: self.clock,
                marks: marks.take(MOST_AT_ONCE).collect(),
                reign,
            });
        }
        let since = self.synced;
        (since < *top).then_some(LogStep::News { since, reign })
    }

    /// L2's list since then.
    pub fn on_news(&mut self, since: Mark, reign: u32, list: &[(Scope, Mark)]) -> Aftermath {
        let mut aftermath = Aftermath::default();
        if reign != self.reign {
            return aftermath;
        }
        let highest = list.iter().map(|(_, mark)| *mark).max();
        if self.log.unread {
            self.log.unread = false;
            // Numbers of before say nothing of this one's.
            self.log.top = highest.unwrap_or_default();
            self.log.lacks = self.missing(list).into_iter().collect();
            // Nobody can say what this node has heard of and does not know.
            self.log.lost = self.log.lacks.is_empty() && highest < Some(self.clock);
        }
        for (scope, mark) in list {
            self.learn(*scope, *mark, &mut aftermath);
        }
        let ensured = core::mem::take(&mut self.log.ensured);
        match highest {
            // Not up to a number that was seen since it was ensured: that may be a raise after this list.
            Some(highest) if highest >= self.log.top || ensured.is_some() => {
                if since <= self.synced {
                    self.synced = self.synced.max(highest).max(ensured.unwrap_or_default());
                }
            }
            _ => self.log.lost = true,
        }
        aftermath
    }

    /// L2 has what it was to have; its highest number.
    pub fn on_ensured(&mut self, marks: &[(Scope, Mark)], reign: u32, top: Mark) {
        if reign != self.reign {
            return;
        }
        // If its highest number was missing, the one that its list has put there may be too low still.
        self.log.lost = top < self.clock;
        self.log.ensured = Some(top);
        for (scope, mark) in marks {
            if self.log.lacks.get(scope).is_some_and(|lacks| lacks <= mark) {
                self.log.lacks.remove(scope);
            }
        }
        self.clock = self.clock.max(top);
        self.log.top = top;
    }

    /// Whether the highest number is to be looked at before L2 is believed, since words may have been
    /// missed.
    #[must_use]
    pub fn is_to_look(&self) -> bool {
        self.log.look || self.log.lost || self.log.unread
    }

    /// Words may have been missed, and none is from now on.
    pub fn on_everything(&mut self) {
        self.log.look = true;
        self.log.missed = self.log.missed.wrapping_add(1);
    }

    /// Another primary of L2 answers (T12): its list is read before it is believed, it is told what that
    /// lacks, and raises under way count as not acknowledged.
    pub fn failed_over(&mut self, now: Timestamp, window: Duration) {
        self.reign = self.reign.wrapping_add(1);
        self.log.unread = true;
        self.log.lost = false;
        self.log.healing = Some(now + window);
    }

    /// What is heard from now on the new primary itself has told.
    pub fn healed(&mut self) {
        self.log.healing = None;
    }

    /// Whether this raise was sent to another primary than the one that answers now.
    pub(super) fn is_of_another(&self, ticket: &RaiseTicket) -> bool {
        ticket.reign != self.reign
    }

    /// Whether something of the log is to be repaired, which nobody need wait for.
    #[must_use]
    pub fn lacks(&self) -> bool {
        !self.log.lacks.is_empty()
    }
}

/// How many marks or scopes go in one command: a page of news holds twice as many.
pub(super) const MOST_AT_ONCE: usize = 500;
