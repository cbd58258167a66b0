//! Listens to the bus, for all caches of a node: subscribes, hears, and subscribes again when the
//! subscription breaks (PROTOCOL.md, H1 to H3).

use core::pin::pin;
use core::time::Duration;
use std::sync::{Arc, Weak};

use futures_util::FutureExt;
use futures_util::future::{Either, select};

use crate::driver::bus::barrier::Barrier;
use crate::driver::bus::covered::{Covered, Growth};
use crate::driver::bus::hub::{BEAT, Hub, PATIENCE};
use crate::driver::task::chore::Shift;
use crate::driver::world::caught::{Panic, caught_future};
use crate::driver::world::erased::AnySubscription;
use crate::driver::world::timeout::timeout;
use crate::machine::error::Fault;
use crate::machine::event::Event;
use crate::machine::policy::backoff::Backoff;
use crate::machine::shard::repairs::Heard;
use crate::ports::bus::{Kind, Message, News};

/// Starts the task that listens, if there is a cache to listen for and none runs.
pub(crate) fn ensure_subscriber(hub: &Arc<Hub>) {
    hub.listening.ensure(hub.runtime.now(), |shift| {
        let listener = Listener {
            hub: Arc::downgrade(hub),
            shift: Some(shift),
        };
        let _ = hub.runtime.spawn(Box::pin(listener.listen()));
    });
}

/// The task. It keeps nothing alive: when the last cache is gone it ends.
struct Listener {
    hub: Weak<Hub>,
    /// There until it ends.
    shift: Option<Shift>,
}

/// Why a subscription is over.
enum End {
    /// It broke.
    Cut(Fault),
    /// A cache has come whose keys it cannot cover.
    Outgrown,
    /// This task is not needed any more, or another one has taken its place.
    Over,
}

impl Listener {
    async fn listen(mut self) {
        self.go_on().await;
        let hub = self.hub.clone();
        drop(self);
        // A cache may have come since, and its call may have found this task still there.
        if let Some(hub) = hub.upgrade().filter(|hub| !hub.members.is_empty()) {
            ensure_subscriber(&hub);
        }
    }

    async fn go_on(&mut self) {
        let mut failures = 0;
        while let Some(hub) = self.let_through(&mut failures).await {
            // The membership first: a cache that comes in between is then noticed later.
            let (membership, prefixes) = (hub.members.membership(), hub.members.prefixes());
            let subscribed = subscribe(&hub, &prefixes).await;
            if self.at_work(Duration::ZERO).is_none() {
                return;
            }
            let began = hub.runtime.now();
            let end = match subscribed {
                Ok(subscription) => {
                    // The epoch first: once the bus is up, L1 holds nothing of what was missed.
                    hub.advance_epoch();
                    hub.is_up(membership);
                    drop(hub);
                    self.hear(subscription, membership, Covered::new(prefixes))
                        .await
                }
                Err(fault) => {
                    drop(hub);
                    End::Cut(fault)
                }
            };
            let fault = match end {
                End::Over => return,
                End::Outgrown => continue,
                End::Cut(fault) => fault,
            };
            let Some(hub) = self.at_work(Duration::ZERO) else {
                return;
            };
            hub.is_down(fault);
            // One that stood for a while is made again at once.
            let stood = hub.runtime.now().since(began) >= STOOD;
            let pause = if stood {
                failures = 0;
                Duration::ZERO
            } else {
                Backoff::BUS.pause(failures)
            };
            failures += u32::from(!stood);
            if self.at_work(pause).is_none() {
                return;
            }
            let (nudged, sleep) = (hub.nudged(), hub.runtime.sleep(pause));
            drop(hub);
            if !pause.is_zero() {
                select(sleep, nudged).await;
            }
        }
    }

    /// The hub once its server may be dialled, if this task is to go on. What failed before a breaker
    /// barred the way says nothing of the time after that.
    async fn let_through(&mut self, failures: &mut u32) -> Option<Arc<Hub>> {
        let mut barrier = Barrier::default();
        loop {
            let hub = self.at_work(BEAT)?;
            // Before the look at the breaker, or its closing in between is lost.
            let nudged = hub.nudged();
            let Some(why) = barrier.bars(&hub) else {
                return self.at_work(Duration::ZERO);
            };
            *failures = 0;
            hub.is_barred(why);
            let tick = hub.runtime.sleep(BEAT);
            drop(hub);
            select(tick, nudged).await;
        }
    }

    /// The hub, if this task is to go on; it may be silent for `nap` then.
    fn at_work(&mut self, nap: Duration) -> Option<Arc<Hub>> {
        let hub = self.hub.upgrade()?;
        let shift = self.shift.as_mut()?;
        let goes_on = !hub.members.is_empty() && shift.goes_on(hub.runtime.now(), nap);
        goes_on.then_some(hub)
    }

    async fn hear(
        &mut self,
        mut subscription: Box<dyn AnySubscription>,
        mut membership: u64,
        mut covered: Covered,
    ) -> End {
        loop {
            let Some(hub) = self.at_work(BEAT) else {
                return End::Over;
            };
            // Before the look at the members, or a nudge in between is lost.
            let nudged = hub.nudged();
            let now = hub.members.membership();
            if now != membership {
                let covers = match hub.subscribes_to_keys() {
                    true => cover(&hub, &mut subscription, membership, &mut covered).await,
                    false => Ok(()),
                };
                match covers {
                    Ok(()) => {
                        membership = now;
                        hub.is_up(membership);
                    }
                    // Another one cannot be had now, and this one is better than none.
                    Err(End::Outgrown) if hub.bar().is_some() => hub.is_asked_in_vain(),
                    Err(end) => return end,
                }
            }
            let tick = hub.runtime.sleep(BEAT);
            drop(hub);
            let news = {
                let next = pin!(caught_future(subscription.next()));
                match select(next, select(nudged, tick)).await {
                    Either::Left((news, _)) => Some(news),
                    Either::Right(_) => None,
                }
            };
            let Some(news) = news else {
                continue;
            };
            let Some(hub) = self.hub.upgrade() else {
                return End::Over;
            };
            let (raises, news) = gather(&mut subscription, news);
            hand_out_raises(&hub, &raises);
            match news {
                None => {}
                Some(Ok(Ok(news))) => take_in(&hub, news).await,
                Some(Ok(Err(fault))) => return End::Cut(fault),
                Some(Err(_)) => return End::Cut(Fault::Refused("the bus panicked".into())),
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The runtime is gone, or nobody is left to listen for. If another task has taken its
        // place, the state is that task's business.
        if let (Some(hub), Some(mut shift)) = (self.hub.upgrade(), self.shift.take())
            && shift.goes_on(hub.runtime.now(), Duration::ZERO)
        {
            hub.is_unheard();
        }
    }
}

async fn subscribe(hub: &Hub, prefixes: &[String]) -> Result<Box<dyn AnySubscription>, Fault> {
    let subscribing = caught_future(async { hub.bus.subscribe(prefixes).await });
    match timeout(&*hub.runtime, PATIENCE, subscribing).await {
        None => Err(Fault::Timeout),
        Some(Err(_)) => Err(Fault::Refused("the bus panicked".into())),
        Some(Ok(subscribed)) => subscribed,
    }
}

/// Has a subscription cover the caches that came since this membership. The others go on without a
/// gap; these begin with an empty L1, since nobody heard of their keys until now.
async fn cover(
    hub: &Hub,
    subscription: &mut Box<dyn AnySubscription>,
    membership: u64,
    covered: &mut Covered,
) -> Result<(), End> {
    let (wanted, new) = hub.members.since(membership);
    let more = match covered.growth(wanted, hub.members.len()) {
        Growth::None => return Ok(()),
        Growth::More(more) => more,
        Growth::Anew => return Err(End::Outgrown),
    };
    let extending = caught_future(async { subscription.extend(&more).await });
    match timeout(&*hub.runtime, PATIENCE, extending).await {
        None => return Err(End::Cut(Fault::Timeout)),
        Some(Err(_)) => return Err(End::Cut(Fault::Refused("the bus panicked".into()))),
        Some(Ok(Err(fault))) => return Err(End::Cut(fault)),
        Some(Ok(Ok(false))) => return Err(End::Outgrown),
        Some(Ok(Ok(true))) => {}
    }
    covered.add(more);
    for ears in new {
        ears.note(&Event::EpochAdvanced);
        ears.hear_of_everything();
    }
    Ok(())
}

/// What a subscription says next.
type Next = Result<Result<News, Fault>, Panic>;

/// The raises that have come by now, one after the other, if this is one; and what comes behind them.
/// L1 is emptied once for all of them: thousands of buckets of keys are raised 500 at a time.
fn gather(
    subscription: &mut Box<dyn AnySubscription>,
    mut next: Next,
) -> (Vec<Message>, Option<Next>) {
    let mut raises = Vec::new();
    loop {
        match next {
            Ok(Ok(News::Message(message))) if message.kind == Kind::Raise => raises.push(message),
            other => return (raises, Some(other)),
        }
        if raises.len() == MOST_RAISES {
            return (raises, None);
        }
        // Nothing is lost if it has nothing to say yet.
        match caught_future(subscription.next()).now_or_never() {
            Some(waits) => next = waits,
            None => return (raises, None),
        }
    }
}

async fn take_in(hub: &Hub, news: News) {
    match news {
        News::Message(raise) if raise.kind == Kind::Raise => hand_out_raises(hub, &[raise]),
        News::Message(Message { source, .. }) if *source == *hub.source => {}
        News::Message(Message {
            kind: Kind::Everything,
            ..
        })
        | News::Everything => hub.advance_epoch(),
        News::Message(Message {
            kind, keys, fenced, ..
        }) => {
            let heard = match kind {
                Kind::SetByOnce | Kind::SetByRefresh | Kind::SetByMGet => Heard::Filled,
                Kind::Delete if !fenced => Heard::Deleted,
                _ => Heard::Changed,
            };
            hand_out(hub, &keys, heard).await;
        }
        News::Changed(keys) => {
            for (_, ears) in hub.members.ears() {
                ears.hear_of_log(&keys);
            }
            hand_out(hub, &keys, Heard::Shown).await;
        }
        News::Unclear(keys) => hand_out(hub, &keys, Heard::Unclear).await,
        News::Unreadable => hub.note(&Event::Garbled),
    }
}

/// The cache of a namespace hears of its raises, also of those by this node itself: their answers may never
/// have come (PROTOCOL.md, T10).
fn hand_out_raises(hub: &Hub, raises: &[Message]) {
    if raises.is_empty() {
        return;
    }
    for _ in raises.iter().filter(|raise| raise.keys.is_empty()) {
        hub.note(&Event::Garbled);
    }
    for (prefix, ears) in hub.members.ears() {
        let concerns = |raise: &&Message| {
            !raise.keys.is_empty() && raise.keys.iter().all(|text| text.starts_with(&prefix))
        };
        let own: Vec<&Message> = raises.iter().filter(concerns).collect();
        if !own.is_empty() {
            ears.hear_raises(&own, &hub.source);
        }
    }
}

/// Each cache hears of its own keys.
async fn hand_out(hub: &Hub, keys: &[String], heard: Heard) {
    for (prefix, ears) in hub.members.ears() {
        let own: Vec<&str> = keys
            .iter()
            .map(String::as_str)
            .filter(|key| key.starts_with(&prefix))
            .collect();
        if own.is_empty() {
            continue;
        }
        if matches!(heard, Heard::Filled | Heard::Shown) {
            ears.hear(&own, heard);
            continue;
        }
        for some in own.chunks(ears.room()) {
            Arc::clone(&ears).hear(some, heard);
            // These may be removed here, too, before more are heard of.
            Arc::clone(&ears).catch_up().await;
        }
    }
}

/// How long a subscription must have stood for the next one to be made at once.
const STOOD: Duration = Duration::from_secs(1);
/// How many raises are heard at once.
const MOST_RAISES: usize = 256;
