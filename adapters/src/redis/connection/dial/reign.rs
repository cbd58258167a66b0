//! For how long a connection leads to the right server.

use std::future::pending;

use redis::ConnectionAddr;
use tokio::sync::watch;

/// The time in which a server is known as its group's primary. It ends when another connection of
/// the same handle finds a new primary: the old one may hang and come back, and believe for seconds
/// that it still leads.
#[derive(Debug)]
pub(crate) struct Reign(Option<(ConnectionAddr, watch::Receiver<Option<ConnectionAddr>>)>);

impl Reign {
    /// That of a server which is no group's.
    pub(super) fn endless() -> Self {
        Self(None)
    }

    pub(super) fn of(
        primary: ConnectionAddr,
        known: watch::Receiver<Option<ConnectionAddr>>,
    ) -> Self {
        Self(Some((primary, known)))
    }

    pub(crate) fn is_over(&self) -> bool {
        let Self(Some((own, known))) = self else {
            return false;
        };
        known.borrow().as_ref() != Some(own)
    }

    /// Completes when it is over.
    pub(crate) async fn end(self) {
        if let Some((own, mut known)) = self.0
            && known
                .wait_for(|now| now.as_ref() != Some(&own))
                .await
                .is_ok()
        {
            return;
        }
        // The handle is gone, and nobody learns of a new primary.
        pending().await
    }
}
