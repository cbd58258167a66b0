//! Raises tags, namespaces and buckets of keys, and repeats what L2 has not acknowledged
//! (PROTOCOL.md, T8, T10, T11).

use core::mem::take;
use std::sync::Arc;

use futures_channel::oneshot::channel;
use portable_atomic::Ordering;

use crate::driver::generations::believe::{catch_up, learnt};
use crate::driver::link::Link;
use crate::driver::link::log::Log;
use crate::driver::shared::Shared;
use crate::driver::shared::sweep::forget_raised;
use crate::driver::world::bounds::{CacheKey, CacheValue};
use crate::machine::change::Reach;
use crate::machine::event::Event;
use crate::machine::generations::scope::{RaiseEvent, Scope};
use crate::machine::generations::ticket::{RaiseTicket, parts};
use crate::machine::time::Timestamp;
use crate::ports::remote::Raised;

/// Raises these scopes, in a task of its own if there is an L2, and waits for it.
pub(crate) async fn raise<K: CacheKey, V: CacheValue>(
    shared: &Arc<Shared<K, V>>,
    scopes: Vec<Scope>,
) -> Reach {
    let count = scopes.len();
    if shared.link.is_none() {
        let news = (shared.generations).ask(|generations| generations.raised_here(&scopes));
        note(shared, count, true);
        forget_raised(shared, &news);
        return Reach::Everywhere;
    }
    // All of them at once: those that are never sent, because the task is gone, count as given up.
    let tickets: Vec<_> = parts(scopes)
        .into_iter()
        .map(|part| {
            shared
                .generations
                .ask(|generations| generations.raise(part))
        })
        .map(|ticket| Raising::of(shared, ticket))
        .collect();
    let (told, reached) = channel();
    let task = async move {
        let mut acknowledged = true;
        for raising in tickets {
            // After one that failed the others are left to the task that repeats them.
            acknowledged = acknowledged && raising.send().await;
        }
        let _ = told.send(acknowledged);
    };
    if let Err(in_place) = shared.spawn(task) {
        in_place.await;
    }
    match reached.await {
        Ok(true) => Reach::Everywhere,
        Ok(false) | Err(_) => Reach::Pending,
    }
}

/// Repeats the raises whose turn has come by then, and tells the log what it lacks. Whether L2 has
/// acknowledged anything.
pub(crate) async fn raise_again<K: CacheKey, V: CacheValue>(
    shared: &Arc<Shared<K, V>>,
    by: Timestamp,
) -> bool {
    let mut any = false;
    while let Some(ticket) = (shared.generations).ask(|generations| generations.raise_again(by)) {
        if !Raising::of(shared, ticket).send().await {
            return any;
        }
        any = true;
        if shared.generations.look().pending() == 0 {
            shared.journal.note(&Event::RaisesConfirmed);
        }
    }
    if log_of(shared).is_some() && shared.generations.look().lacks() {
        match catch_up(shared, None).await {
            Ok(()) => any = true,
            Err(_) => {
                let now = shared.runtime.now();
                (shared.generations).ask(|generations| generations.repeat_after_failure(now));
            }
        }
    }
    any
}

/// When pending raises are to be repeated.
pub(crate) fn next_raise<K: CacheKey, V: CacheValue>(shared: &Shared<K, V>) -> Option<Timestamp> {
    let generations = shared.generations.look();
    generations.next_raise()
}

/// A raise under way. Dropped before L2 has answered, it counts as not acknowledged.
struct Raising<K: CacheKey, V: CacheValue> {
    shared: Arc<Shared<K, V>>,
    ticket: Option<RaiseTicket>,
}

impl<K: CacheKey, V: CacheValue> Raising<K, V> {
    fn of(shared: &Arc<Shared<K, V>>, ticket: RaiseTicket) -> Self {
        Self {
            shared: Arc::clone(shared),
            ticket: Some(ticket),
        }
    }

    /// Whether L2 has acknowledged it.
    async fn send(mut self) -> bool {
        let shared = Arc::clone(&self.shared);
        let (Some(ticket), Some((link, log))) = (&self.ticket, log_of(&shared)) else {
            return false;
        };
        let answer = link
            .raise(&log.namespace, ticket.clock(), ticket.scopes())
            .await;
        let (answer, fault) = match answer {
            Ok(answer) => (Some(answer), None),
            Err(fault) => (None, Some(fault)),
        };
        if let Some(fault) = fault {
            shared.journal.note(&Event::RemoteFault(fault));
        }
        self.end(answer)
    }

    fn end(&mut self, answer: Option<Raised>) -> bool {
        let shared = &self.shared;
        let Some(ticket) = take(&mut self.ticket) else {
            return false;
        };
        // What another primary has answered is not believed: it counts as not acknowledged.
        shared.take_up_primary();
        let (scopes, again) = (ticket.scopes().to_vec(), ticket.is_repeated());
        let now = shared.runtime.now();
        let (acknowledged, news) =
            (shared.generations).ask(|known| known.raised(ticket, answer.as_ref(), now));
        if let (Some(answer), Some((link, _))) = (&answer, log_of(shared)) {
            let anew = answer.anew.then_some(Scope::All);
            let event = RaiseEvent {
                numbers: Some((answer.before, answer.number)),
                scopes: anew.into_iter().chain(scopes.iter().copied()).collect(),
            };
            link.announcer.tell_raise(&link.texts.prefix, &event);
        }
        if again {
            learnt(shared, &news);
        } else {
            note(shared, scopes.len(), acknowledged);
            forget_raised(shared, &news);
        }
        if !acknowledged {
            shared.repairs.needed.store(true, Ordering::SeqCst);
            if let Some(start) = shared.repairs.start.get() {
                start();
            }
        }
        acknowledged
    }
}

impl<K: CacheKey, V: CacheValue> Drop for Raising<K, V> {
    fn drop(&mut self) {
        self.end(None);
    }
}

fn note<K: CacheKey, V: CacheValue>(shared: &Shared<K, V>, scopes: usize, acknowledged: bool) {
    let event = Event::Raised {
        scopes,
        acknowledged,
    };
    shared.journal.note(&event);
}

fn log_of<K, V>(shared: &Shared<K, V>) -> Option<(&Link<K, V>, &Log)> {
    let link = shared.link.as_ref()?;
    Some((link, link.log.as_ref()?))
}
