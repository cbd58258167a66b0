//! A bus that breaks as the switchboard says.

use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::{Context, Poll};

use jetcache_core::{Bus, Fault, Message, News, Subscription, Telling};

use crate::faults::board::{Faults, Sleep};

/// Any [`Bus`], with the faults of a switchboard. With none set it does what the wrapped does.
///
/// Messages are lost, doubled and delayed where they are heard, so it does not matter whether the
/// driver tells or L2.
#[derive(Clone, Debug)]
pub struct FaultyBus<B> {
    bus: B,
    faults: Faults,
}

impl<B: Bus> FaultyBus<B> {
    /// Wraps a bus. Other wrappers may have the same `faults`.
    #[must_use]
    pub const fn new(bus: B, faults: Faults) -> Self {
        Self { bus, faults }
    }

    /// What it wraps: asked directly, nothing goes wrong.
    #[must_use]
    pub const fn inner(&self) -> &B {
        &self.bus
    }
}

impl<B: Bus> Bus for FaultyBus<B> {
    type Subscription = FaultySubscription<B::Subscription>;

    fn telling(&self) -> Telling {
        self.bus.telling()
    }

    async fn subscribe(&self, prefixes: &[String]) -> Result<Self::Subscription, Fault> {
        let cuts = self.faults.bus_reached()?;
        Ok(FaultySubscription {
            subscription: self.bus.subscribe(prefixes).await?,
            faults: self.faults.clone(),
            cuts,
            late: Vec::new(),
        })
    }

    async fn publish(&self, messages: &[Message]) -> Result<(), Fault> {
        self.faults.bus_reached()?;
        self.bus.publish(messages).await
    }
}

/// A subscription of a [`FaultyBus`].
pub struct FaultySubscription<S> {
    subscription: S,
    faults: Faults,
    /// How often the bus had been cut when it began.
    cuts: u64,
    /// What it has heard and not handed on, at most [`LATE`] and one more.
    late: Vec<Late>,
}

struct Late {
    /// Until when it waits, if it does.
    sleep: Option<Sleep>,
    news: News,
}

/// What comes next.
enum Next {
    /// A setting was changed.
    Changed,
    Due(News),
    Heard(Result<News, Fault>),
}

impl<S: Subscription> FaultySubscription<S> {
    async fn wait(&mut self) -> Result<Next, Fault> {
        // It listens before it looks, so that no cut falls between.
        let mut change = pin!(self.faults.change());
        self.faults.stands(self.cuts)?;
        let mut heard = pin!(self.subscription.next());
        let next = poll_fn(|context| {
            if change.as_mut().poll(context).is_ready() {
                return Poll::Ready(Next::Changed);
            }
            if let Some(news) = due(&mut self.late, context) {
                return Poll::Ready(Next::Due(news));
            }
            if self.late.len() >= LATE {
                return Poll::Pending;
            }
            heard.as_mut().poll(context).map(Next::Heard)
        });
        Ok(next.await)
    }
}

impl<S: Subscription> Subscription for FaultySubscription<S> {
    async fn next(&mut self) -> Result<News, Fault> {
        loop {
            match self.wait().await? {
                Next::Changed => {}
                Next::Due(news) => return Ok(news),
                Next::Heard(heard) => {
                    let news = heard?;
                    for wait in self.faults.copies() {
                        self.late.push(Late {
                            sleep: wait.map(|span| self.faults.sleep(span)),
                            news: news.clone(),
                        });
                    }
                }
            }
        }
    }

    async fn extend(&mut self, prefixes: &[String]) -> Result<bool, Fault> {
        self.faults.stands(self.cuts)?;
        self.subscription.extend(prefixes).await
    }
}

impl<S> fmt::Debug for FaultySubscription<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultySubscription")
            .field("late", &self.late.len())
            .finish_non_exhaustive()
    }
}

fn due(late: &mut Vec<Late>, context: &mut Context<'_>) -> Option<News> {
    let is_due = |it: &mut Late| match &mut it.sleep {
        Some(sleep) => sleep.as_mut().poll(context).is_ready(),
        None => true,
    };
    let at = late.iter_mut().position(is_due)?;
    Some(late.remove(at).news)
}

/// So many messages wait at most; the rest waits in the bus.
const LATE: usize = 1_000;
