//! What is sent to L2, what comes back, and what the others are told of it.

use core::time::Duration;

use jetcache_core::Token;
use jetcache_core::machine::generations::scope::Mark;
use jetcache_core::machine::generations::ticket::{Ensured, Raised};
use jetcache_core::machine::lookup::step::Seen;
use jetcache_core::machine::tier::envelope::HEADER;
use jetcache_core::machine::tier::verb::{Announce, Times};
use jetcache_core::ports::remote::{
    Claimed, Condition, Extended, Filled, Granted, NewsPage, Placed, Stamp,
};

use crate::sim::fate::judge::{Id, Index};
use crate::sim::fate::script::Point;
use crate::sim::generations::scopes::{Marks, Scopes};

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verb {
    Read,
    Lease {
        token: Token,
        life: Duration,
    },
    Renew {
        token: Token,
        life: Duration,
    },
    Fill {
        token: Token,
        id: Id,
        times: Times,
        born: Mark,
        /// The number of the junk that the fill may replace.
        junk: Option<Index>,
        announce: Announce,
    },
    Extend {
        token: Token,
        /// What the value must begin with.
        header: [u8; HEADER],
        id: Id,
        times: Times,
        announce: Announce,
    },
    Release {
        token: Token,
        failing: Option<Duration>,
    },
    Claim {
        token: Token,
        life: Duration,
        condition: Option<Condition>,
        dead: Option<u32>,
        spares: bool,
        /// The value of the insert that claims.
        value: Option<Id>,
    },
    Put {
        token: Token,
        id: Id,
        times: Times,
        born: Mark,
        condition: Option<Condition>,
        dead: Option<u32>,
        spared: Option<Stamp>,
        announce: Announce,
    },
    Settle {
        token: Token,
        id: Id,
        times: Times,
        born: Mark,
        announce: Announce,
    },
    Remove {
        announce: Announce,
    },
    Unload,
    /// The highest number of the log.
    Top,
    Raise {
        clock: Mark,
        scopes: Scopes,
    },
    News {
        since: Mark,
    },
    Ensure {
        clock: Mark,
        marks: Marks,
    },
}

/// What comes back. An entry comes with the value that the judge knows it to be.
#[derive(Clone, Debug)]
pub(crate) enum Receipt {
    Read(Option<(Seen<Id>, Id)>),
    Leased(Granted, Option<(Seen<Id>, Id)>),
    Renewed(bool),
    Filled(Filled),
    Extended(Extended),
    Claimed(Claimed),
    /// And whether the key was removed instead.
    Put(Placed, bool),
    Raised(Raised),
    News(NewsPage),
    /// The highest number, and what was raised anew if anything was.
    Ensured(Ensured),
    Done,
}

impl Verb {
    pub(crate) fn point(self) -> Point {
        match self {
            Self::Read => Point::Read,
            Self::Lease { .. } => Point::Lease,
            Self::Renew { .. } => Point::Renew,
            Self::Fill { .. } | Self::Extend { .. } | Self::Put { .. } => Point::Fill,
            Self::Release { .. } => Point::Release,
            Self::Claim { .. } => Point::Claim,
            Self::Settle { .. } => Point::Settle,
            Self::Remove { .. } | Self::Unload => Point::Remove,
            Self::Top => Point::Top,
            Self::Raise { .. } => Point::Raise,
            Self::News { .. } => Point::News,
            Self::Ensure { .. } => Point::Ensure,
        }
    }

    /// Whether it writes under the key.
    pub(crate) fn touches(self, receipt: &Receipt) -> bool {
        matches!(
            (self, receipt),
            (Self::Remove { .. } | Self::Settle { .. }, _)
                | (
                    Self::Claim { spares: false, .. },
                    Receipt::Claimed(Claimed::Granted(..))
                )
                | (
                    Self::Put { .. },
                    Receipt::Put(Placed::Stored, _) | Receipt::Put(_, true)
                )
                | (Self::Fill { .. }, Receipt::Filled(Filled::Stored))
                | (Self::Extend { .. }, Receipt::Extended(Extended::Stored))
        )
    }

    /// Whether it fills the key with what a load brought.
    pub(crate) fn is_loads_fill(self) -> bool {
        matches!(self, Self::Fill { .. } | Self::Extend { .. })
    }

    /// What the others are told of a command with this receipt, if anything. `sent`: when it was
    /// sent.
    pub(crate) fn said(self, receipt: &Receipt, sent: Index, birth: Index) -> Option<Said> {
        use Announce::Yes;
        use jetcache_core::ports::remote::Filled::{Refused, Stored};

        let filled = self.is_loads_fill().then_some(birth);
        let (removed, due) = match (self, receipt) {
            (Self::Remove { announce: Yes }, Receipt::Done) => (true, sent),
            (Self::Put { announce: Yes, .. }, Receipt::Put(Placed::Stored, _)) => (false, birth),
            (
                Self::Put {
                    announce: Yes,
                    condition: None,
                    ..
                },
                Receipt::Put(..),
            ) => (true, birth),
            (Self::Fill { announce: Yes, .. }, Receipt::Filled(Stored))
            | (Self::Extend { announce: Yes, .. }, Receipt::Extended(Extended::Stored)) => {
                (false, 0)
            }
            (Self::Settle { announce: Yes, .. }, Receipt::Filled(Stored)) => (false, birth),
            (Self::Settle { announce: Yes, .. }, Receipt::Filled(Refused)) => (true, sent),
            _ => return None,
        };
        Some(Said {
            removed,
            filled,
            due,
        })
    }
}

/// What the others are told of a change.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Said {
    pub(crate) removed: bool,
    /// The birth of what a load brought, if it was filled with that.
    pub(crate) filled: Option<Index>,
    pub(crate) due: Index,
}
