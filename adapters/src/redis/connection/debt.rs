//! What a connection's peer owes: answers to calls that were given up before they came.
//!
//! A call that gives up leaves a [`Question`], and if that has no answer for too long while nothing
//! else is heard, the peer is silent. This needs no task and no timer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use crate::redis::connection::tally::Tally;

/// What the peer answered last, and what it still owes.
pub(super) struct Debt {
    /// When it answered last.
    heard: Instant,
    /// The commands, or pipelines of them, that were given up and may still be unanswered.
    given_up: usize,
    question: Option<Question>,
    tally: Arc<Tally>,
}

/// A command that is sent when a call gives up. Answers come in order, so its answer means that
/// whatever was given up before it has been answered.
struct Question {
    answer: Answer,
    sent: Instant,
    /// How much was given up before it.
    covers: usize,
}

/// The first poll sends the question; ready means that it is answered, or that the connection broke.
pub(super) type Answer = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How a connection stands with the call that is about to use it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// As far as is known it answers.
    Good,
    /// It owes so much that it is not to be sent more.
    Indebted,
    /// It was silent for too long.
    Silent,
}

impl Debt {
    /// Of a peer that has just answered.
    pub(super) fn none(tally: Arc<Tally>) -> Self {
        Self {
            heard: Instant::now(),
            given_up: 0,
            question: None,
            tally,
        }
    }

    /// It answered something that was waited for.
    pub(super) fn hear(&mut self) {
        self.heard = Instant::now();
    }

    pub(super) fn heard(&self) -> Instant {
        self.heard
    }

    /// A call was dropped before its answer came.
    pub(super) fn give_up(&mut self, ask: impl Fn() -> Answer) {
        self.given_up += 1;
        self.tally.owe();
        if self.question.is_none() {
            self.ask(&ask);
            self.look(ask);
        }
    }

    /// Takes the answer to the question, if it came, and asks about what was given up after it.
    pub(super) fn look(&mut self, ask: impl Fn() -> Answer) {
        while let Some(question) = &mut self.question {
            // Even the first poll may find the answer: another thread may run the connection.
            if !is_ready(&mut question.answer) {
                return;
            }
            let covers = question.covers;
            self.question = None;
            self.hear();
            self.given_up -= covers;
            self.tally.settle(covers);
            if self.given_up > 0 {
                self.ask(&ask);
            }
        }
    }

    pub(super) fn standing(&self, patience: Duration) -> Standing {
        let Some(question) = &self.question else {
            return Standing::Good;
        };
        if question.sent.max(self.heard).elapsed() >= patience {
            Standing::Silent
        } else if self.given_up >= MOST_GIVEN_UP {
            Standing::Indebted
        } else {
            Standing::Good
        }
    }

    /// Waits for nothing any more. What is returned is to be dropped where no lock is held.
    pub(super) fn forgive(&mut self) -> Option<Answer> {
        self.tally.settle(std::mem::take(&mut self.given_up));
        self.question.take().map(|question| question.answer)
    }

    fn ask(&mut self, ask: impl Fn() -> Answer) {
        self.question = Some(Question {
            answer: ask(),
            sent: Instant::now(),
            covers: self.given_up,
        });
    }
}

impl Drop for Debt {
    fn drop(&mut self) {
        self.forgive();
    }
}

fn is_ready(answer: &mut Answer) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    answer.as_mut().poll(&mut context).is_ready()
}

/// How much may be given up and unanswered on one connection: the client keeps some 250 bytes for
/// each. Beyond that calls fail at once, until it answers or is buried.
pub(super) const MOST_GIVEN_UP: usize = 8192;

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    fn at_once() -> Answer {
        Box::pin(async { ready(()).await })
    }

    fn never() -> Answer {
        Box::pin(pending())
    }

    /// As on another thread of the runtime, or on a connection that has just broken.
    #[test]
    fn a_question_may_be_answered_before_it_is_looked_at_again() {
        let mut debt = Debt::none(Arc::default());
        debt.give_up(at_once);
        debt.look(at_once);
        debt.give_up(at_once);
        debt.look(at_once);
        assert_eq!(debt.given_up, 0);
        assert_eq!(debt.tally.read().unanswered, 0);
        assert_eq!(debt.standing(Duration::ZERO), Standing::Good);
    }

    #[test]
    fn what_is_given_up_behind_a_question_is_asked_about_after_it() {
        let mut debt = Debt::none(Arc::default());
        let (answer, answered) = tokio::sync::oneshot::channel::<()>();
        let answered = std::cell::Cell::new(Some(answered));
        debt.give_up(|| {
            let answered = answered.take().unwrap();
            Box::pin(async { drop(answered.await) })
        });
        debt.give_up(never);
        assert_eq!(debt.standing(Duration::ZERO), Standing::Silent);
        answer.send(()).unwrap();
        debt.look(at_once);
        assert_eq!(debt.given_up, 0);
    }

    #[test]
    fn what_is_owed_is_bounded_and_forgiven() {
        let mut debt = Debt::none(Arc::default());
        for _ in 1..MOST_GIVEN_UP {
            debt.give_up(never);
        }
        assert_eq!(debt.standing(Duration::MAX), Standing::Good);
        debt.give_up(never);
        assert_eq!(debt.standing(Duration::MAX), Standing::Indebted);
        assert!(debt.forgive().is_some());
        assert_eq!(debt.tally.read().unanswered, 0);
        assert_eq!(debt.standing(Duration::ZERO), Standing::Good);
    }
}
