//! A place for one connection: made when it is needed, by one attempt at a time.
//!
//! A slot holds the outcome of its last attempt. A caller that finds no living connection there
//! starts an attempt, or joins the one under way. A server that cannot be reached is tried by each
//! call, so the first one after it is back succeeds; one that answers and refuses is left alone for
//! a while. An attempt is a task of its own: callers that give up do not stop it,
//! and the next one finds its connection.

use std::sync::{Arc, Mutex, PoisonError};

use jetcache_core::Fault;
use tokio::sync::watch;

use crate::redis::connection::dial::Dial;
use crate::redis::connection::host::Host;
use crate::redis::connection::link::Link;

/// The outcome of the last attempt: none while it is under way, or if its runtime ended first.
pub(super) struct Slot(Mutex<watch::Receiver<Option<Outcome>>>);

pub(super) type Outcome = Result<Link, Fault>;

impl Slot {
    pub(super) fn new() -> Self {
        Self(Mutex::new(watch::channel(None).1))
    }

    pub(super) fn is_in_use(&self) -> bool {
        is_usable(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) async fn link(&self, dial: &Arc<Dial>, host: &Host) -> Outcome {
        let (attempt, joined) = self.attempt(dial, host);
        match (settled(attempt).await, joined) {
            // It began before this call did, so its failure may be old news: try once more.
            (Err(_), true) => settled(self.attempt(dial, host).0).await,
            (outcome, _) => outcome,
        }
    }

    /// The last attempt if its connection lives or is being made, else a new one; and whether it
    /// was there already.
    fn attempt(&self, dial: &Arc<Dial>, host: &Host) -> (watch::Receiver<Option<Outcome>>, bool) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let usable = is_usable(&last);
        if usable && dial.is_due() {
            let dial = Arc::clone(dial);
            (host.spawn)(Box::pin(async move { dial.look().await }));
        }
        if !usable {
            if let Some(fault) = dial.door.refusal() {
                // The server has just said no, to this slot or to another one.
                return (watch::channel(Some(Err(fault))).1, false);
            }
            let (sender, receiver) = watch::channel(None);
            let dial = Arc::clone(dial);
            (host.spawn)(Box::pin(async move {
                let outcome = Link::make(&dial).await;
                match &outcome {
                    Ok(_) => dial.door.accepted(),
                    Err(fault @ Fault::Refused(_)) => dial.door.refused(fault),
                    // It is not there: that is no refusal, and costs it nothing.
                    Err(_) => dial.door.accepted(),
                }
                sender.send_replace(Some(outcome));
            }));
            *last = receiver;
        }
        (last.clone(), usable)
    }
}

/// A living connection, or an attempt under way.
fn is_usable(last: &watch::Receiver<Option<Outcome>>) -> bool {
    match &*last.borrow() {
        Some(Ok(link)) => !link.is_dead(),
        Some(Err(_)) => false,
        // If its runtime ended, the sender is gone and no outcome will come.
        None => last.has_changed().is_ok(),
    }
}

async fn settled(mut attempt: watch::Receiver<Option<Outcome>>) -> Outcome {
    match attempt.wait_for(Option::is_some).await.as_deref() {
        Ok(Some(outcome)) => outcome.clone(),
        _ => Err(Fault::Unreachable(
            "the runtime ended while it connected".into(),
        )),
    }
}
