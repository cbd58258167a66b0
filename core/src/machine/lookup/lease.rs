//! What a flight has of its key's lease (PROTOCOL.md, R1 and R2).

use crate::machine::error::Fault;
use crate::machine::time::Timestamp;
use crate::machine::token::Token;

/// It belongs to the flight, not to its leader: the next leader goes on with it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Lease {
    #[default]
    None,
    /// It was asked for, and nobody knows yet whether it was granted.
    Asked(Token),
    Held {
        token: Token,
        /// When L2 said so, or that it was renewed.
        since: Timestamp,
        /// A renewal is on its way.
        renewing: bool,
        /// L2 says that it is not held any more. What is left of it is a fill that will be refused.
        lost: bool,
    },
}

impl Lease {
    /// Its token, and since when it is held.
    pub(super) fn held(self) -> Option<(Token, Timestamp)> {
        match self {
            Self::Held { token, since, .. } => Some((token, since)),
            Self::None | Self::Asked(_) => None,
        }
    }

    /// The reply came.
    pub(super) fn on_reply(&mut self, granted: bool, now: Timestamp) {
        *self = match *self {
            Self::Asked(token) if granted => Self::holding(token, now),
            _ => Self::None,
        };
    }

    /// No reply came. After a fault L2 may have granted the lease all the same: it counts as held
    /// and is given back at the end. After a timeout somebody still waits for the late reply.
    pub(super) fn on_fault(&mut self, fault: &Fault, now: Timestamp) {
        match (*self, fault) {
            (Self::Asked(_), Fault::NotAsked(_)) => *self = Self::None,
            (_, Fault::Timeout) => {}
            (Self::Asked(token), _) => *self = Self::holding(token, now),
            (_, _) => {}
        }
    }

    /// The lease with this token was granted after its asker had left. Returns whether it is this
    /// one.
    pub(super) fn on_late_reply(&mut self, token: Token, now: Timestamp) -> bool {
        let is_own = match *self {
            Self::None => false,
            Self::Asked(own) | Self::Held { token: own, .. } => own == token,
        };
        if is_own {
            *self = Self::holding(token, now);
        }
        is_own
    }

    const fn holding(token: Token, since: Timestamp) -> Self {
        Self::Held {
            token,
            since,
            renewing: false,
            lost: false,
        }
    }

    /// Its token, and since when it stands, unless it is lost.
    pub(super) fn standing(self) -> Option<(Token, Timestamp)> {
        match self {
            Self::Held { lost: true, .. } => None,
            other => other.held(),
        }
    }

    /// Whether nobody knows how long it still stands.
    pub(super) fn is_renewing(self) -> bool {
        matches!(self, Self::Held { renewing: true, .. })
    }

    /// A renewal of this token is sent.
    pub(super) fn renew(&mut self, renewed: Token) {
        if let Self::Held {
            token, renewing, ..
        } = self
        {
            *renewing |= *token == renewed;
        }
    }

    /// L2 has renewed the lease with this token, or says that it is gone.
    pub(super) fn on_renewed(&mut self, renewed: Token, stands: bool, now: Timestamp) {
        if let Self::Held {
            token,
            since,
            renewing,
            lost,
        } = self
            && *token == renewed
        {
            *renewing = false;
            if stands {
                *since = now;
            } else {
                *lost = true;
            }
        }
    }

    /// The lease to give back now. One that was only asked for is given back by the task that still
    /// waits for its reply.
    pub(super) fn give_back(&mut self) -> Option<Token> {
        let (token, _) = self.held()?;
        *self = Self::None;
        Some(token)
    }
}
