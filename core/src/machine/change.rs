//! A change of one key, an invalidation, an insert or a write-through, as its driver sees it: the
//! plan, the steps, the replies, the outcome.

use core::fmt;
use core::time::Duration;

use crate::machine::error::Fault;
use crate::machine::generations::Generations;
use crate::machine::generations::heard::Heard;
use crate::machine::generations::scope;
use crate::machine::generations::tags::Tags;
use crate::machine::policy::call::Call;
use crate::machine::policy::lives::Lives;
use crate::machine::table::unconfirmed::Number;
use crate::machine::table::writes::{Pending, Write};
use crate::machine::tier::entry::Entry;
use crate::machine::tier::load::Load;
use crate::machine::tier::mark::{Mark, Note};
use crate::machine::tier::verb::{Announce, Claimed, Condition, Filled, Placed, Stamp, Times};
use crate::machine::time::Timestamp;
use crate::machine::token::Token;

/// How far a change has reached when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Reach {
    /// The change stands in L2, which holds the inserted value, or nothing after a removal, or what
    /// a later change has left. The other nodes were told or are about to be. (Without a bus another
    /// node's L1 may keep an older value until that entry ends.)
    Everywhere,
    /// Older values are gone from L2, and the others are told of that, but the inserted one never
    /// stood there: L2 could not store it, as when it is out of memory, or it has evicted the claim
    /// that the insert needs. This node's L1 may have it.
    NotStored,
    /// L2 has not confirmed yet. This node keeps the promise already: it does not believe L2 about
    /// the key, and repeats a removal, also of the inserted value, until L2 confirms it. That can be
    /// waited for: `Cache::confirmed`, and `Cache::raises_confirmed` for tags and `clear`.
    Pending,
}

/// `everywhere`, `not stored` or `pending`.
impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Everywhere => "everywhere",
            Self::NotStored => "not stored",
            Self::Pending => "pending",
        })
    }
}

/// What a change is to do.
#[derive(Clone, Debug)]
pub enum Plan<V> {
    /// Remove the key from every tier.
    Invalidate,
    /// Put the value in the place of whatever the tiers hold.
    Insert {
        /// The value.
        value: V,
        /// The call's own wishes.
        call: Call,
        /// What must hold, judged in L2, or in L1 if there is no L2.
        condition: Option<Condition>,
    },
    /// Claim the key, have the caller write the database, and put what it wrote in the place of
    /// whatever the tiers hold.
    WriteThrough {
        /// The call's own wishes.
        call: Call,
    },
}

/// What to do next for a change.
#[derive(Debug)]
#[must_use = "a step must be carried out and replied to"]
pub enum ChangeStep<V> {
    /// Ask the world.
    Ask(Wish<V>),
    /// Wait until these writes are done; reply [`ChangeReply::Waited`].
    Wait(Pending),
    /// Look whether L1 has a fresh value; reply [`ChangeReply::Local`].
    ReadLocal,
    /// Wait for the pending writes, remove the key from L1, and write the entry if there is one;
    /// all without any await. Reply [`ChangeReply::Applied`].
    Apply {
        /// What to wait for first.
        after: Pending,
        /// What to write then.
        entry: Option<Entry<V>>,
    },
    /// The change is over: close it with [`Shard::close`](crate::machine::shard::Shard::close).
    Finish(ChangeOutcome),
}

/// What a change needs of the world. Each wish says whether the other nodes are told of it; the
/// driver obeys.
#[derive(Debug)]
pub enum Wish<V> {
    /// Remove the key from L2; reply [`ChangeReply::Removed`].
    Remove(Announce),
    /// Claim the key in L2; reply [`ChangeReply::Claimed`].
    Claim {
        /// The token of this change.
        token: Token,
        /// How long the claim stands.
        life: Duration,
        /// What must hold.
        condition: Option<Condition>,
        /// The checksum of an entry that counts as absent, since it is dead.
        dead: Option<u32>,
        /// Whether what stands in L2 stays until the value takes its place.
        spares: bool,
    },
    /// Put the change's value into L2; reply [`ChangeReply::Put`].
    Put {
        /// The token of the claim.
        token: Token,
        /// The times of the value.
        times: Times,
        /// Under which number it was inserted.
        born: scope::Mark,
        /// What must still hold.
        condition: Option<Condition>,
        /// The checksum of an entry that counts as absent, since it is dead.
        dead: Option<u32>,
        /// What the claim has spared.
        spared: Option<Stamp>,
        /// Whether the other nodes are told of it.
        announce: Announce,
    },
    /// Give the claim back; reply [`ChangeReply::Released`].
    Release {
        /// The token of the claim.
        token: Token,
    },
    /// Have the caller write the database; reply [`ChangeReply::Written`].
    Write,
    /// Settle L2 with what was written; reply [`ChangeReply::Settled`].
    Settle {
        /// The token of the claim.
        token: Token,
        /// The value, or `None` for the not-found placeholder.
        value: Option<V>,
        /// What is kept with the value.
        mark: Option<Mark>,
        /// Its tags.
        tags: Tags,
        /// Under which number it was written.
        born: scope::Mark,
        /// Its times.
        times: Times,
        /// Whether the other nodes are told of it.
        announce: Announce,
    },
}

/// What happened to a change.
#[derive(Debug)]
pub enum ChangeReply<V> {
    /// Nothing yet.
    Begin,
    /// Whether L2 acknowledged the removal.
    Removed(Result<(), Fault>),
    /// Whether L2 granted the claim.
    Claimed(Result<Claimed, Fault>),
    /// The claim was given back, or ends by itself.
    Released,
    /// Whether L2 took the value.
    Put(Result<Placed, Fault>),
    /// What the database has now; `None` if the writer failed or vanished: then nobody knows.
    Written(Option<Load<V>>),
    /// Whether L2 took what was written, or else removed the key.
    Settled(Result<Filled, Fault>),
    /// The writes are done.
    Waited,
    /// Whether L1 has a fresh value.
    Local(bool),
    /// L1 is as it should be.
    Applied,
}

/// How a change ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeOutcome {
    /// It was made, and reached this far.
    Made(Reach),
    /// A conditional insert: whether it was applied.
    Applied(bool),
    /// A conditional insert whose outcome is not known.
    Undecided,
}

/// A change under way. Its holder gives it back with
/// [`Shard::close`](crate::machine::shard::Shard::close) or
/// [`Shard::abandon`](crate::machine::shard::Shard::abandon).
#[derive(Debug, PartialEq, Eq)]
pub struct ChangeTicket(pub(super) usize);

#[derive(Debug)]
pub(super) struct Change<V> {
    pub(super) slot: usize,
    pub(super) era: u32,
    pub(super) plan: Plan<V>,
    pub(super) born: Timestamp,
    pub(super) lives: Lives,
    pub(super) state: State,
    /// Under which primary L2 was asked last.
    pub(super) reign: u32,
    /// Under which primary it was claimed.
    pub(super) claimed: u32,
    pub(super) write: Option<Write>,
    /// What a write-through wrote, if it is to be kept.
    pub(super) written: Option<Option<V>>,
    /// The mark of that.
    pub(super) note: Option<Note>,
    /// The tags of its value.
    pub(super) tags: Tags,
    /// Under which number its value counts as loaded, and as of which news as alive.
    pub(super) generation: scope::Mark,
    pub(super) stamp: Heard,
    /// The checksum of a dead entry that its claim found, and how often it has claimed anew.
    pub(super) dead: Option<u32>,
    pub(super) again: u8,
}

#[derive(Debug, Default)]
pub(super) enum State {
    Fresh,
    /// And how far the change will have reached.
    Removing(Number, Reach),
    Claiming(Number, Token),
    Putting(Number),
    /// The claim's token and when L2 acknowledged it; `None` if L2 did not.
    Writing(Option<(Token, Timestamp)>),
    Settling(Number),
    /// And how it ends then.
    Releasing(ChangeOutcome),
    Waiting,
    Looking,
    Applying(ChangeOutcome),
    #[default]
    Over,
}

impl<V> ChangeReply<V> {
    /// The same, if another primary of L2 has taken over since it was asked.
    pub(super) fn of_another(self, fault: fn() -> Fault) -> Self {
        match self {
            Self::Removed(Ok(())) => Self::Removed(Err(fault())),
            Self::Claimed(Ok(_)) => Self::Claimed(Err(fault())),
            Self::Put(Ok(_)) => Self::Put(Err(fault())),
            Self::Settled(Ok(_)) => Self::Settled(Err(fault())),
            reply => reply,
        }
    }
}

impl State {
    /// The command that is under way.
    pub(super) fn number(&self) -> Option<Number> {
        match self {
            Self::Removing(number, _)
            | Self::Claiming(number, _)
            | Self::Putting(number)
            | Self::Settling(number) => Some(*number),
            _ => None,
        }
    }
}

impl<V> Change<V> {
    /// Whether its value counts from a time that is still to come: the claim of an insert, or a row that
    /// is yet to be written.
    pub(super) fn is_to_begin(&self) -> bool {
        match self.plan {
            Plan::Insert { .. } => matches!(self.state, State::Fresh),
            Plan::WriteThrough { .. } => matches!(self.state, State::Fresh | State::Claiming(..)),
            Plan::Invalidate => false,
        }
    }

    /// What is raised from now on concerns its value.
    pub(super) fn begin(&mut self, generations: &Generations) {
        self.generation = generations.born();
        self.stamp = generations.heard();
    }

    pub(super) fn condition(&self) -> Option<Condition> {
        match self.plan {
            Plan::Insert { condition, .. } => condition,
            Plan::Invalidate | Plan::WriteThrough { .. } => None,
        }
    }

    pub(super) fn call(&self) -> Call {
        match &self.plan {
            Plan::Insert { call, .. } | Plan::WriteThrough { call } => call.clone(),
            Plan::Invalidate => Call::new(),
        }
    }

    /// How the change ended, given how far it reached.
    pub(super) fn outcome(&self, reach: Reach, applied: bool) -> ChangeOutcome {
        match (self.condition(), reach) {
            (None, reach) => ChangeOutcome::Made(reach),
            (Some(_), Reach::Everywhere | Reach::NotStored) => ChangeOutcome::Applied(applied),
            (Some(_), Reach::Pending) => ChangeOutcome::Undecided,
        }
    }
}
