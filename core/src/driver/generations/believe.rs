//! Before an answer of L2 is believed, this node knows all raises up to the highest number that came
//! with it (PROTOCOL.md, T2, T7, T12).

use std::sync::Arc;

use crate::driver::generations::attempts::Joined;
use crate::driver::link::Link;
use crate::driver::link::log::{Log, Look};
use crate::driver::link::outcomes::Outcomes;
use crate::driver::shared::Shared;
use crate::driver::shared::sweep::forget_raised;
use crate::driver::world::bounds::{CacheKey, CacheValue};
use crate::driver::world::timeout::timeout;
use crate::machine::error::Fault;
use crate::machine::event::Event;
use crate::machine::generations::heard::Aftermath;
use crate::machine::generations::known::LogStep;

/// The outcomes of a verb, once they can be believed; else the fault that kept this node from knowing
/// what was raised.
pub(crate) async fn believed<K: CacheKey, V: CacheValue, T>(
    shared: &Arc<Shared<K, V>>,
    (outcomes, look): (Outcomes<T>, Result<Option<Look>, Fault>),
) -> Outcomes<T> {
    if !outcomes.iter().any(Result::is_ok) {
        return outcomes;
    }
    let known = match look {
        Ok(look) => catch_up(shared, look).await,
        Err(fault) => Err(fault),
    };
    match known {
        Ok(()) => outcomes,
        Err(fault) => {
            let unknown = unknown(&fault);
            let known = |outcome: Result<T, Fault>| outcome.and(Err(unknown.clone()));
            outcomes.into_iter().map(known).collect()
        }
    }
}

/// Why an answer of L2 is not believed. It is no timeout of the answer itself: a lease was granted.
pub(crate) fn unknown(fault: &Fault) -> Fault {
    Fault::Unreachable(format!("what was raised is not known: {fault}").into())
}

/// Learns what was raised up to the number that this look has shown, or, without one, what there is to
/// learn. One caller does it for all who wait, or a task if that takes long; if it leaves, or stands still,
/// another does.
///
/// # Errors
/// The fault of L2 that ended the attempt, or a timeout.
pub(crate) async fn catch_up<K: CacheKey, V: CacheValue>(
    shared: &Arc<Shared<K, V>>,
    look: Option<Look>,
) -> Result<(), Fault> {
    let Some((link, log)) = log_of(shared) else {
        return Ok(());
    };
    // Who answers now may lack raises, and then a lower number is no loss of the log.
    shared.take_up_primary();
    let target = look.as_ref().and_then(|look| look.top);
    let knows = || {
        let generations = log.generations.look();
        match target {
            Some(top) => generations.knows_up_to(top),
            None => generations.next_log_step().is_none(),
        }
    };
    // Nearly every answer shows what is known, and then nothing is written that others look at.
    let is_news = |look: &Look| (log.generations.look()).is_new_top(look.asked, look.top);
    if let Some(Look { asked, top }) = look.filter(is_news) {
        let lost = log.generations.ask(|generations| {
            generations.on_top(asked, top);
            generations.has_lost_its_log()
        });
        if lost {
            shared.journal.note(&Event::LogLost);
        }
    }
    if knows() {
        return Ok(());
    }
    let waiting = async {
        loop {
            // Before the look at what is known, or a ring in between is lost.
            let ends = log.attempts.ends();
            if knows() {
                return Ok(());
            }
            let now = link.runtime.now();
            let attempt = match log.attempts.join(now, link.timeout)? {
                Joined::Waits(attempt) => attempt,
                Joined::Begins(attempt) => {
                    begin(shared, attempt).await;
                    attempt
                }
            };
            if log.attempts.is_under_way(attempt) {
                ends.await;
            }
            log.attempts.outcome(attempt)?;
        }
    };
    // Seldom: boxed, so that no other answer makes room for it.
    let waited = timeout(&*link.runtime, link.timeout, Box::pin(waiting)).await;
    waited.unwrap_or(Err(Fault::Timeout))
}

/// Does what is to be done until L2 can be believed. If there is more to read than a page, a task of its
/// own goes on: that may take longer than anybody waits.
async fn begin<K: CacheKey, V: CacheValue>(shared: &Arc<Shared<K, V>>, attempt: u64) {
    let mut ending = Ending {
        shared: Arc::clone(shared),
        attempt,
        ended: Ok(()),
    };
    match steps(shared, attempt, Until::MorePages).await {
        Ok(Done::All) => {}
        Ok(Done::Page) => {
            let task = async move {
                let mut ending = ending;
                let ended = steps(&ending.shared, attempt, Until::Known).await;
                ending.ended = ended.map(drop);
            };
            if let Err(in_place) = shared.spawn(task) {
                in_place.await;
            }
        }
        Err(fault) => ending.ended = Err(fault),
    }
}

/// How far the steps go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    Known,
    /// Or to the first page behind which there is another.
    MorePages,
}

/// How far they went.
#[derive(Clone, Copy, Debug)]
enum Done {
    All,
    Page,
}

/// Says how an attempt ended. Dropped before, with whoever made it, it says that another is to be made.
struct Ending<K: CacheKey, V: CacheValue> {
    shared: Arc<Shared<K, V>>,
    attempt: u64,
    ended: Result<(), Fault>,
}

impl<K: CacheKey, V: CacheValue> Drop for Ending<K, V> {
    fn drop(&mut self) {
        if let Some((link, log)) = log_of(&self.shared) {
            let ended = core::mem::replace(&mut self.ended, Ok(()));
            log.attempts.end(self.attempt, ended, link.runtime.now());
        }
    }
}

async fn steps<K: CacheKey, V: CacheValue>(
    shared: &Arc<Shared<K, V>>,
    attempt: u64,
    until: Until,
) -> Result<Done, Fault> {
    let Some((link, log)) = log_of(shared) else {
        return Ok(Done::All);
    };
    for _ in 0..MOST_STEPS {
        let Some(step) = log.generations.look().next_log_step() else {
            return Ok(Done::All);
        };
        let mut more = false;
        match step {
            LogStep::News {
                since,
                top,
                reign,
                first,
            } => {
                let page = link.news(&log.namespace, since).await?;
                more = page.next.is_some();
                shared.take_up_primary();
                let asked = (since, top);
                let news = (log.generations).ask(|known| known.on_news(asked, reign, &page));
                if first {
                    // All that ever happened, and none of it is new.
                    forget_raised(shared, &news);
                } else {
                    shared.journal.note(&Event::NewsAsked);
                    learnt(shared, &news);
                }
            }
            LogStep::Ensure {
                clock,
                marks,
                reign,
            } => {
                let top = link.ensure(&log.namespace, clock, &marks).await?;
                shared.take_up_primary();
                (log.generations).ask(|known| known.on_ensured(&marks, reign, top));
            }
        }
        // Nobody need wait for all of it: what a step has brought is kept.
        if shared.life.is_closed() || !log.attempts.goes_on(attempt, link.runtime.now()) {
            return Ok(Done::All);
        }
        if more && until == Until::MorePages {
            return Ok(Done::Page);
        }
    }
    let why =
        "the log of raises is not what it was told to be: does somebody else change its keys?";
    Err(Fault::Refused(why.into()))
}

fn log_of<K, V>(shared: &Shared<K, V>) -> Option<(&Link<K, V>, &Log)> {
    let link = shared.link.as_ref()?;
    Some((link, link.log.as_ref()?))
}

/// This node has had news of raises by others.
pub(crate) fn learnt<K: CacheKey, V: CacheValue>(shared: &Arc<Shared<K, V>>, news: &Aftermath) {
    if news.news > 0 {
        let scopes = news.news;
        shared.journal.note(&Event::RaiseHeard { scopes });
    }
    forget_raised(shared, news);
}

/// The highest number was changed in L2, as a bus that watches it shows: this node asks what was raised.
/// If it cannot, `missed` empties L1 as when the bus was lost.
pub(crate) fn look_now<K: CacheKey, V: CacheValue>(
    shared: &Arc<Shared<K, V>>,
    missed: fn(Arc<Shared<K, V>>),
) {
    let own = Arc::clone(shared);
    let looking = async move {
        let mut unseen = Unseen {
            shared: Some(Arc::clone(&own)),
            missed,
        };
        if let Some(link) = &own.link
            && let Some(log) = &link.log
            && let Ok(look) = link.look_at_log(log).await
            && catch_up(&own, Some(look)).await.is_ok()
        {
            unseen.shared = None;
        }
    };
    // Without a runtime the guard does it.
    let _ = shared.spawn(looking);
}

/// Dropped before the news came, it says that they were missed.
struct Unseen<K: CacheKey, V: CacheValue> {
    shared: Option<Arc<Shared<K, V>>>,
    missed: fn(Arc<Shared<K, V>>),
}

impl<K: CacheKey, V: CacheValue> Drop for Unseen<K, V> {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            (self.missed)(shared);
        }
    }
}

/// More steps than a log can need: each ensures 500 marks of 131,073, or reads as many.
const MOST_STEPS: usize = 1_000;
