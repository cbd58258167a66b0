//! What a node answers when it did not carry a command out because of its slot.

use redis::{ServerErrorKind, Value};

use crate::redis_cluster::address::Address;

/// Why a command was not carried out here, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Redirect {
    /// The slot is this node's now.
    Moved(Address),
    /// The slot is on its way to this node, and so are the command's keys: ask it, for once.
    Ask(Address),
    /// The slot is on its way, and the command's keys are partly here and partly there.
    TryAgain,
}

impl Redirect {
    /// What a value from the node at `asked` says, if it says such a thing.
    pub(super) fn of(value: &Value, asked: &Address) -> Option<Self> {
        let Value::ServerError(error) = value else {
            return None;
        };
        let target = || {
            let (_, address) = error.details()?.split_once(' ')?;
            Address::parse(address, asked)
        };
        match error.kind()? {
            ServerErrorKind::Moved => target().map(Self::Moved),
            ServerErrorKind::Ask => target().map(Self::Ask),
            ServerErrorKind::TryAgain => Some(Self::TryAgain),
            _ => None,
        }
    }
}
