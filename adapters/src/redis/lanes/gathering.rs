//! What gathers while others are on their way, and how each asker gets its own answer.

use std::mem;
use std::task::{Context, Poll};

use jetcache_core::Fault;
use tokio::sync::oneshot::{self, Receiver, Sender};

use crate::redis::lanes::cargo::{Cargo, Outcomes};

/// What several askers ask for, to go out together. Dropped, it tells them what became of that.
pub(super) struct Gathering<C: Cargo> {
    pub(super) cargo: C,
    pub(super) askers: Askers<C>,
}

/// Who asks, in the order in which they joined.
pub(super) struct Askers<C: Cargo> {
    askers: Vec<Asker<C>>,
    /// How many of the first are known to have given up.
    gone: usize,
    has_set_out: bool,
}

struct Asker<C: Cargo> {
    answer: Sender<Shared<C>>,
    /// How many outcomes are its own.
    count: usize,
}

/// An asker's side. Dropped, it has given up.
pub(super) struct Waiting<C: Cargo>(Receiver<Shared<C>>);

/// What became of an asker's share.
pub(super) enum Shared<C: Cargo> {
    /// It was answered.
    Answered(Outcomes<C>),
    /// It did not set out, and will not.
    Left,
    /// It set out, and nobody will say what became of it.
    Lost,
}

impl<C: Cargo> Default for Gathering<C> {
    fn default() -> Self {
        Self {
            cargo: C::default(),
            askers: Askers {
                askers: Vec::new(),
                gone: 0,
                has_set_out: false,
            },
        }
    }
}

impl<C: Cargo> Gathering<C> {
    /// Adds what one asker asks for.
    pub(super) fn join(&mut self, ask: C::Ask<'_>) -> Waiting<C> {
        let (answer, waiting) = oneshot::channel();
        let count = C::count(ask);
        self.askers.askers.push(Asker { answer, count });
        self.cargo.add(ask);
        Waiting(waiting)
    }
}

impl<C: Cargo> Askers<C> {
    pub(super) fn count(&self) -> usize {
        self.askers.len()
    }

    /// From now on it may be carried out.
    pub(super) fn set_out(&mut self) {
        self.has_set_out = true;
    }

    /// Ready when nobody waits any more. Only one asker at a time is asked to tell: all that are answered
    /// then need not count themselves.
    pub(super) fn poll_forsaken(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while let Some(asker) = self.askers.get_mut(self.gone) {
            match asker.answer.poll_closed(context) {
                Poll::Ready(()) => self.gone += 1,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }

    /// Gives each asker its outcomes, which stand in the order in which they joined.
    pub(super) fn hand_out(mut self, outcomes: Outcomes<C>) {
        let mut outcomes = outcomes.into_iter();
        for asker in mem::take(&mut self.askers) {
            let left_out = || Err(Fault::Refused("the server left a key out".into()));
            let next = |_| outcomes.next().unwrap_or_else(left_out);
            let own = (0..asker.count).map(next).collect();
            // Whoever gave up needs no answer.
            let _ = asker.answer.send(Shared::Answered(own));
        }
    }

    /// Tells all askers what kept them from an answer.
    pub(super) fn fail(mut self, fault: &Fault) {
        for asker in mem::take(&mut self.askers) {
            let outcomes = (0..asker.count).map(|_| Err(fault.clone())).collect();
            let _ = asker.answer.send(Shared::Answered(outcomes));
        }
    }
}

impl<C: Cargo> Drop for Askers<C> {
    fn drop(&mut self) {
        for asker in self.askers.drain(..) {
            let became = if self.has_set_out {
                Shared::Lost
            } else {
                Shared::Left
            };
            let _ = asker.answer.send(became);
        }
    }
}

impl<C: Cargo> Waiting<C> {
    pub(super) async fn answer(self) -> Shared<C> {
        // Whoever carries it says what became of it, or takes that along.
        self.0.await.unwrap_or(Shared::Lost)
    }
}
