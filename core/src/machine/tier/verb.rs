//! The parts of L2's verbs that the machine decides by. The verbs themselves are in
//! [`ports::remote`](crate::ports::remote).

use core::fmt;
use core::time::Duration;

use crate::machine::tier::envelope::Head;

/// What L2 is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "`ports::remote` says what each of them is")]
pub enum Verb {
    Read,
    Lease,
    Renew,
    Fill,
    Extend,
    Release,
    Claim,
    Put,
    Settle,
    Remove,
    Unload,
    Raise,
    News,
    Ensure,
    Lock,
    Unlock,
    Inspect,
}

impl Verb {
    /// Its name in the logs and in the labels of metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Lease => "lease",
            Self::Renew => "renew",
            Self::Fill => "fill",
            Self::Extend => "extend",
            Self::Release => "release",
            Self::Claim => "claim",
            Self::Put => "put",
            Self::Settle => "settle",
            Self::Remove => "remove",
            Self::Unload => "unload",
            Self::Raise => "raise",
            Self::News => "news",
            Self::Ensure => "ensure",
            Self::Lock => "lock",
            Self::Unlock => "unlock",
            Self::Inspect => "inspect",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What must hold for a conditional insert. Present means: a value, readable and fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The key must be absent.
    Absent,
    /// The key must be present.
    Present,
}

/// The outcome of a lease that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granted {
    /// The token holds it now.
    Yes,
    /// Somebody else has it.
    No,
    /// Somebody's load has failed, and for a while nobody is to load who can do without.
    Failing,
}

/// The outcome of a fill or a settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// The value stands in L2.
    Stored,
    /// The lease is not the token's, or the value's life was over.
    Refused,
}

/// The outcome of an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extended {
    /// What stood there is fresh again, and the lease is given back.
    Stored,
    /// The lease is not the token's, or the life was over.
    Refused,
    /// Something else stands there, or nothing, or it cannot be extended; the lease stands. The value
    /// is to be filled.
    Unlike,
}

/// The outcome of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It stands. If it spared a value, this tells that value from any that may take its place. Of a
    /// conditional claim in the native format also the head of what stood there, if that is an entry.
    Granted(Option<Stamp>, Option<Head>),
    /// Its condition does not hold; nothing has changed. In the native format with the head of what
    /// stood there, if that is an entry.
    Refused(Option<Head>),
}

/// The outcome of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// The value stands in L2.
    Stored,
    /// Another change has come after the claim, and L2 holds what that one left.
    Overtaken,
    /// The claim is gone and nobody has changed the key since, or the value's life was over, or the
    /// condition does not hold any more.
    Refused,
}

/// What tells an entry of L2 from another one under the same key: a digest of its bytes and of its
/// end, as the store makes it. The same bytes stored again within a millisecond pass for one entry;
/// such a mistake costs a miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(u64);

impl Stamp {
    /// The stamp with this digest.
    #[must_use]
    pub const fn new(digest: u64) -> Self {
        Self(digest)
    }

    /// The digest.
    #[must_use]
    pub const fn digest(self) -> u64 {
        self.0
    }
}

/// Whether the other nodes are told of what is sent to L2 (PROTOCOL.md, C6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announce {
    /// They are told: they may hold what it replaces.
    Yes,
    /// They are not told: it is no change, or the one that is told comes later.
    No,
}

/// The times of a value on its way to L2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// How long the value is still fresh.
    pub life: Duration,
    /// How long after that it may be served stale.
    pub stale: Duration,
    /// How long it took to load the value; zero if nobody loaded it.
    pub cost: Duration,
    /// The life that the lease, or the claim, was given.
    pub lease: Duration,
    /// How old the lease, or the claim, is.
    pub age: Duration,
}
