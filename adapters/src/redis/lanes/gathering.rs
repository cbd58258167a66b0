//! What gathers while others are on their way, and how each asker gets its own answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use jetcache_core::Fault;
use tokio::sync::{Notify, oneshot};

use crate::redis::lanes::cargo::{Cargo, Outcomes};

/// What several askers ask for, to go out together.
pub(super) struct Gathering<C: Cargo> {
    cargo: C,
    askers: Vec<Asker<C>>,
    interest: Arc<Interest>,
}

struct Asker<C: Cargo> {
    answer: oneshot::Sender<Outcomes<C>>,
    /// How many outcomes are its own.
    count: usize,
}

/// An asker's side. Dropped, it has given up.
pub(super) struct Waiting<C: Cargo> {
    answer: oneshot::Receiver<Outcomes<C>>,
    interest: Arc<Interest>,
}

/// What became of an asker's share.
pub(super) enum Shared<C: Cargo> {
    /// It was answered.
    Answered(Outcomes<C>),
    /// It did not set out, and will not.
    Left,
    /// It set out, and nobody will say what became of it.
    Lost,
}

/// How many askers still wait.
#[derive(Debug, Default)]
struct Interest {
    waiting: AtomicUsize,
    lost: Notify,
    has_set_out: AtomicBool,
}

impl<C: Cargo> Default for Gathering<C> {
    fn default() -> Self {
        Self {
            cargo: C::default(),
            askers: Vec::new(),
            interest: Arc::default(),
        }
    }
}

impl<C: Cargo> Gathering<C> {
    /// Adds what one asker asks for.
    pub(super) fn join(&mut self, ask: C::Ask<'_>) -> Waiting<C> {
        let (sender, receiver) = oneshot::channel();
        self.askers.push(Asker {
            answer: sender,
            count: C::count(ask),
        });
        self.cargo.add(ask);
        self.interest.waiting.fetch_add(1, Ordering::AcqRel);
        Waiting {
            answer: receiver,
            interest: Arc::clone(&self.interest),
        }
    }

    pub(super) fn cargo(&self) -> &C {
        &self.cargo
    }

    pub(super) fn askers(&self) -> usize {
        self.askers.len()
    }

    /// From now on it may be carried out.
    pub(super) fn set_out(&self) {
        self.interest.has_set_out.store(true, Ordering::Release);
    }

    /// Completes when nobody waits any more.
    pub(super) fn forsaken(&self) -> impl Future<Output = ()> + use<C> {
        let interest = Arc::clone(&self.interest);
        async move {
            while interest.waiting.load(Ordering::Acquire) > 0 {
                interest.lost.notified().await;
            }
        }
    }

    /// Gives each asker its outcomes, which stand in the order in which they joined.
    pub(super) fn hand_out(self, outcomes: Outcomes<C>) {
        let mut outcomes = outcomes.into_iter();
        for asker in self.askers {
            let left_out = || Err(Fault::Refused("the server left a key out".into()));
            let next = |_| outcomes.next().unwrap_or_else(left_out);
            let own = (0..asker.count).map(next).collect();
            // Whoever gave up needs no answer.
            let _ = asker.answer.send(own);
        }
    }

    /// Tells all askers what kept them from an answer.
    pub(super) fn fail(self, fault: &Fault) {
        for asker in self.askers {
            let outcomes = (0..asker.count).map(|_| Err(fault.clone())).collect();
            let _ = asker.answer.send(outcomes);
        }
    }
}

impl<C: Cargo> Waiting<C> {
    pub(super) async fn answer(mut self) -> Shared<C> {
        match (&mut self.answer).await {
            Ok(outcomes) => Shared::Answered(outcomes),
            Err(_) if self.interest.has_set_out.load(Ordering::Acquire) => Shared::Lost,
            Err(_) => Shared::Left,
        }
    }
}

impl<C: Cargo> Drop for Waiting<C> {
    fn drop(&mut self) {
        if self.interest.waiting.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.interest.lost.notify_one();
        }
    }
}
