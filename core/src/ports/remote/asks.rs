//! What the verbs of L2 are asked with.

use core::time::Duration;

use crate::machine::generations::scope::{Mark, Scope};
use crate::machine::tier::envelope::Header;
use crate::machine::tier::verb::{Condition, Stamp};
use crate::machine::token::Token;
use crate::ports::bus::Kind;

/// A lease asked for.
#[derive(Clone, Copy, Debug)]
pub struct LeaseAsk<'a> {
    /// The value's key.
    pub key: &'a str,
    /// The token that is to hold the lease.
    pub token: Token,
    /// When the lease ends by itself.
    pub life: Duration,
}

impl<'a> Hold<'a> {
    /// This token's hold on the lease of `key`, given back for anybody to take.
    #[must_use]
    pub const fn of(key: &'a str, token: Token) -> Self {
        Self {
            key,
            token,
            failing: None,
        }
    }
}

/// The value of a fill, a put or a settlement.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// The bytes. If they are an envelope (in the native format, at least a header long, and
    /// beginning with its [`PREFIX`](crate::machine::tier::envelope::PREFIX)), the store writes the
    /// end of their life into them at [`END_AT`](crate::machine::tier::envelope::END_AT); others
    /// stay as they are.
    pub bytes: &'a [u8],
    /// Of a fill or settlement in the jetcache-go format: what must still stand under the key,
    /// nothing or these bytes. A key of another type counts as nothing.
    pub replaces: Option<&'a [u8]>,
    /// How long the value is still fresh, counted from the moment the command was sent.
    pub life: Duration,
    /// How long after that the bytes are to be kept.
    pub stale: Duration,
    /// The life that the lease was given.
    pub lease: Duration,
    /// How old the lease was when the command was sent, by the sender's clock.
    pub age: Duration,
}

/// A fill.
#[derive(Clone, Copy, Debug)]
pub struct Fill<'a> {
    /// The value's key.
    pub key: &'a str,
    /// The token that must hold the lease.
    pub token: Token,
    /// What to store.
    pub value: Stored<'a>,
    /// What an [announcing](crate::ports::remote::Remote::announcing) store says of it.
    pub kind: Kind,
}

/// A value whose life is to be renewed.
#[derive(Clone, Copy, Debug)]
pub struct Extend<'a> {
    /// The value's key.
    pub key: &'a str,
    /// The token that must hold the lease.
    pub token: Token,
    /// What the value must begin with still, its end included.
    pub header: &'a Header,
    /// How long the value is fresh again, counted from the moment the command was sent.
    pub life: Duration,
    /// The life that the lease was given.
    pub lease: Duration,
    /// How old the lease was when the command was sent, by the sender's clock.
    pub age: Duration,
    /// What an [announcing](crate::ports::remote::Remote::announcing) store says of it.
    pub kind: Kind,
}

/// A lease to be given back.
#[derive(Clone, Copy, Debug)]
pub struct Hold<'a> {
    /// The value's key.
    pub key: &'a str,
    /// The token that may hold its lease.
    pub token: Token,
    /// For how long nobody else is to load, because the holder's load failed. At least a
    /// millisecond. Without the mark every node would try the failing source for itself.
    pub failing: Option<Duration>,
}

/// A claim.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The value's key.
    pub key: &'a str,
    /// The token that is to hold the lease.
    pub token: Token,
    /// When the lease ends by itself.
    pub life: Duration,
    /// What must hold for the claim to be granted.
    pub condition: Option<Condition>,
    /// The [sum](crate::ports::remote::Head::sum) of an entry that counts as absent, since it is dead.
    pub dead: Option<u32>,
    /// Whether the value stays where it is until a put takes its place.
    pub spares: bool,
}

/// Scopes of a namespace that are to be raised.
#[derive(Clone, Copy, Debug)]
pub struct Raise<'a> {
    /// What the keys of the namespace begin with.
    pub namespace: &'a str,
    /// The highest number that the sender has heard of.
    pub clock: Mark,
    /// What is raised, each once; 500 at most.
    pub scopes: &'a [Scope],
}

/// What the log of a namespace is to have.
#[derive(Clone, Copy, Debug)]
pub struct Ensure<'a> {
    /// What the keys of the namespace begin with.
    pub namespace: &'a str,
    /// The highest number that the sender has heard of.
    pub clock: Mark,
    /// Scopes, and the mark that each is to have at least; 500 at most.
    pub marks: &'a [(Scope, Mark)],
}

/// The second half of an insert.
#[derive(Clone, Copy, Debug)]
pub struct Put<'a> {
    /// The value's key.
    pub key: &'a str,
    /// The token of the claim.
    pub token: Token,
    /// What to store.
    pub value: Stored<'a>,
    /// What must still hold.
    pub condition: Option<Condition>,
    /// The [sum](crate::ports::remote::Head::sum) of an entry that counts as absent, since it is dead.
    pub dead: Option<u32>,
    /// What the claim has spared.
    pub spared: Option<Stamp>,
}

/// A settlement.
#[derive(Clone, Copy, Debug)]
pub struct Settle<'a> {
    /// The value's key.
    pub key: &'a str,
    /// The token of the claim, or `None` if the claim was not acknowledged: then it removes.
    pub token: Option<Token>,
    /// What to store.
    pub value: Stored<'a>,
}
