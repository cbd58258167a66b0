//! The points at which something takes time, and what becomes of a command on its way.

/// The points at which something takes time: before a step of an actor, or on the way to L2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Before a caller's first look at L1.
    Peek,
    /// Before it joins a flight.
    Join,
    /// Before the machine is given a reply.
    Step,
    /// Before a look at L1.
    Look,
    /// Between the announcement of a write to L1 and the write.
    Write,
    /// Between the write and its seal.
    Seal,
    /// Before a waiting caller asks again.
    Poll,
    /// Between an answer and leaving the flight.
    Leave,
    /// Before a repeated removal.
    Repair,
    /// The command `read`.
    Read,
    /// The command `lease`.
    Lease,
    /// The command `renew`.
    Renew,
    /// The command `fill`.
    Fill,
    /// The command `release`.
    Release,
    /// The command `claim`.
    Claim,
    /// The command `settle`.
    Settle,
    /// The command `remove`.
    Remove,
    /// The command that asks for the highest number of the log.
    Top,
    /// The command `raise`.
    Raise,
    /// The command `news`.
    News,
    /// The command `ensure`.
    Ensure,
    /// Before a node tells of what was acknowledged.
    Publish,
    /// Before the bus passes a word on.
    Hear,
}

/// What becomes of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// When it is applied, in milliseconds after it was sent; `None`: never.
    pub(crate) applied: Option<u64>,
    /// How long after that the reply arrives; `None`: never.
    pub(crate) replied: Option<u64>,
    /// It is applied once more this long after the first time; that may be what is replied to,
    /// so much later.
    pub(crate) again: Option<(u64, Option<u64>)>,
    /// When its sender gets an error instead.
    pub(crate) error: Option<u64>,
    /// It is not sent: the breaker of L2 is open.
    pub(crate) unsent: bool,
    /// The error is L2's own: it is full, or read-only.
    pub(crate) refused: bool,
}

impl Fate {
    /// It arrives after `there`, and its reply `back` later.
    #[must_use]
    pub fn delivered(there: u64, back: u64) -> Self {
        Self {
            applied: Some(there),
            replied: Some(back),
            again: None,
            error: None,
            unsent: false,
            refused: false,
        }
    }

    /// It never arrives.
    #[must_use]
    pub fn lost() -> Self {
        Self {
            applied: None,
            replied: None,
            again: None,
            error: None,
            unsent: false,
            refused: false,
        }
    }

    /// It never arrives, and its sender hears so after this long.
    #[must_use]
    pub fn failed(after: u64) -> Self {
        Self {
            error: Some(after),
            ..Self::lost()
        }
    }

    /// L2 refuses it, and its sender hears so after this long.
    #[must_use]
    pub fn refused(after: u64) -> Self {
        Self {
            refused: true,
            ..Self::failed(after)
        }
    }

    /// It is not sent, and its sender knows.
    #[must_use]
    pub fn unsent() -> Self {
        Self {
            unsent: true,
            ..Self::failed(0)
        }
    }

    /// It arrives, and its reply is lost.
    #[must_use]
    pub fn unanswered(there: u64) -> Self {
        Self {
            replied: None,
            ..Self::delivered(there, 0)
        }
    }
}
