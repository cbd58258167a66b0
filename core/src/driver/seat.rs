//! A seat in a flight: leads it, or waits for its answer. Dropping it leaves the flight, from
//! wherever the caller was.

use core::future::poll_fn;
use core::hash::Hash;
use core::panic::AssertUnwindSafe;
use core::task::Poll;
use core::time::Duration;
use std::panic::catch_unwind;
use std::sync::Arc;

use futures_util::FutureExt;

use super::erased::Boxed;
use super::format::Look;
use super::link::Times;
use super::shared::Shared;
use crate::machine::entry::{Cached, Entry, Load};
use crate::machine::error::{Error, Fault};
use crate::machine::event::Event;
use crate::machine::lookup::{Answer, Reply, Seen, Step};
use crate::machine::policy::Call;
use crate::machine::shard::{Role, Ticket, Turn};
use crate::machine::token::Token;
use crate::ports::remote::{Found, Leased};

pub(super) struct Seat<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    pub(super) shared: Arc<Shared<K, V>>,
    pub(super) key: Arc<K>,
    /// The key's text in L2, if there is one.
    pub(super) text: Option<Arc<str>>,
    pub(super) shard: usize,
    /// What its own loader brought, should it be deposed afterwards.
    own: Option<Answer<Arc<V>>>,
    /// The lease that it asked for last.
    asked: Option<Token>,
    /// Junk that the last look at L2 showed.
    pub(super) junk: Option<Vec<u8>>,
    /// There until the seat is dropped.
    ticket: Option<Ticket>,
}

/// What a leader needs of the world.
pub(super) enum Need<V> {
    /// L2 is to be read; [`Seat::read`] has the reply.
    Read,
    /// The lease is to be taken; [`Seat::leased`] has the reply.
    Lease { token: Token, life: Duration },
    /// Time is to pass; [`Reply::Paused`].
    Pause(Duration),
    /// The loader is to run; [`Reply::Loaded`].
    Load,
    /// L2 is to be filled; [`Reply::Stored`].
    Fill {
        token: Token,
        value: Option<Arc<V>>,
        times: Times,
    },
    /// Nothing more.
    Over(Led<V>),
}

/// How leading ended.
pub(super) enum Led<V> {
    /// The flight has its answer.
    Finished,
    /// Deposed while it loaded: an answer for this caller alone.
    Alone(Answer<Arc<V>>),
    /// Deposed: it waits with the others now.
    Follow,
}

impl<K, V> Seat<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// A seat in the key's flight, and whether it leads or follows.
    pub(super) fn join(
        shared: &Arc<Shared<K, V>>,
        key: &Arc<K>,
        text: Option<&Arc<str>>,
        call: Call,
    ) -> (Self, Role) {
        let shard = shared.shard(key);
        let (ticket, role) = shared.ask(shard, |table, context, effects| {
            table.join(Arc::clone(key), call, context, effects)
        });
        (Self::new(shared, key, text, shard, ticket), role)
    }

    /// A seat in a read of its own.
    pub(super) fn visit(
        shared: &Arc<Shared<K, V>>,
        key: &Arc<K>,
        text: Option<&Arc<str>>,
        call: Call,
    ) -> Self {
        let shard = shared.shard(key);
        let ticket = shared.ask(shard, |table, context, effects| {
            table.visit(Arc::clone(key), call, context, effects)
        });
        Self::new(shared, key, text, shard, ticket)
    }

    /// One more seat in the same flight.
    pub(super) fn second(&self) -> Self {
        let ticket = self.ticket.as_ref().map(|ticket| {
            self.shared
                .ask(self.shard, |table, _, _| table.second_seat(ticket))
        });
        Self {
            shared: Arc::clone(&self.shared),
            key: Arc::clone(&self.key),
            text: self.text.clone(),
            shard: self.shard,
            own: None,
            asked: None,
            junk: None,
            ticket,
        }
    }

    fn new(
        shared: &Arc<Shared<K, V>>,
        key: &Arc<K>,
        text: Option<&Arc<str>>,
        shard: usize,
        ticket: Ticket,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            key: Arc::clone(key),
            text: text.cloned(),
            shard,
            own: None,
            asked: None,
            junk: None,
            ticket: Some(ticket),
        }
    }

    /// Waits until there is an answer, or until this seat is to lead.
    pub(super) async fn turn(&self) -> Turn<Arc<V>> {
        let mut timer: Option<Boxed<'static, ()>> = None;
        poll_fn(move |cx| {
            loop {
                match self.poll(cx.waker().clone()) {
                    Turn::Wait(Some(until)) => {
                        let left = until.since(self.shared.runtime.now());
                        let mut alarm = self.shared.runtime.sleep(left.max(TICK));
                        if alarm.poll_unpin(cx).is_pending() {
                            timer = Some(alarm);
                            return Poll::Pending;
                        }
                    }
                    Turn::Wait(None) => {
                        timer = None;
                        return Poll::Pending;
                    }
                    turn => {
                        drop(timer.take());
                        return Poll::Ready(turn);
                    }
                }
            }
        })
        .await
    }

    pub(super) fn poll(&self, waker: core::task::Waker) -> Turn<Arc<V>> {
        let Some(ticket) = &self.ticket else {
            return Turn::Answer(Arc::new(Err(Error::Closed)));
        };
        self.shared.ask(self.shard, |table, context, effects| {
            table.poll(ticket, context, waker, effects)
        })
    }

    /// Tells the flight what happened and does what is done at once, until it needs the world. If
    /// anything of the user's panics, the engine or a `Clone`, the flight fails with
    /// [`Error::Panicked`].
    pub(super) fn advance(&mut self, reply: Reply<Arc<V>>) -> Need<V> {
        let going = AssertUnwindSafe(|| self.go_on(reply));
        catch_unwind(going).unwrap_or_else(|panic| Need::Over(self.fail(panicked(&*panic))))
    }

    fn go_on(&mut self, mut reply: Reply<Arc<V>>) -> Need<V> {
        loop {
            if let Reply::Loaded(loaded) = &reply {
                self.own = Some(answer_of(loaded));
            }
            let granted = match &reply {
                Reply::Leased(Ok((true, _))) => self.asked.take(),
                _ => None,
            };
            reply = match self.step(reply) {
                Step::ReadLocal => Reply::Local(self.read_local()),
                Step::WriteLocal { write, entry } => {
                    self.write_local(entry);
                    Reply::Kept(write)
                }
                Step::ReadRemote => return Need::Read,
                Step::Lease { token, life } => {
                    self.asked = Some(token);
                    return Need::Lease { token, life };
                }
                Step::Pause(pause) => return Need::Pause(pause),
                Step::Load => return Need::Load,
                Step::Fill {
                    token,
                    value,
                    life,
                    lease,
                    age,
                } => {
                    let times = Times { life, lease, age };
                    return Need::Fill {
                        token,
                        value,
                        times,
                    };
                }
                Step::Finish { release } => {
                    self.release(release);
                    return Need::Over(Led::Finished);
                }
                Step::Alone(answer) => return Need::Over(Led::Alone(answer)),
                Step::Follow => {
                    if let Some(token) = granted {
                        self.late_lease(token);
                    }
                    return Need::Over(self.own.take().map_or(Led::Follow, Led::Alone));
                }
            }
        }
    }

    /// The flight cannot go on: everyone who waits gets this error.
    pub(super) fn fail(&self, error: Error) -> Led<V> {
        let Some(ticket) = &self.ticket else {
            return Led::Alone(Err(error));
        };
        let failed = self.shared.ask(self.shard, |table, _, effects| {
            table.fail(ticket, error, effects)
        });
        match failed {
            Ok(release) => {
                self.release(release);
                Led::Finished
            }
            Err(error) => Led::Alone(Err(error)),
        }
    }

    fn release(&self, token: Option<Token>) {
        if let (Some(token), Some(text)) = (token, &self.text) {
            self.shared.release(Arc::clone(text), token);
        }
    }

    /// The lease came when this seat did not lead any more.
    fn late_lease(&self, token: Token) {
        let unwanted = self.shared.ask(self.shard, |table, context, _| {
            table.late_lease(token, context)
        });
        self.release(unwanted.then_some(token));
    }

    fn step(&self, reply: Reply<Arc<V>>) -> Step<Arc<V>> {
        let Some(ticket) = &self.ticket else {
            return Step::Alone(Err(Error::Closed));
        };
        let seals = matches!(reply, Reply::Kept(_));
        let step = self.shared.ask(self.shard, |table, context, effects| {
            table.step(ticket, context, reply, effects)
        });
        if seals {
            self.shared.shards[self.shard].notify_sealed();
        }
        step
    }

    fn read_local(&self) -> Option<Entry<Arc<V>>> {
        let local = self.shared.local.as_ref()?;
        let entry = local.get(&&*self.key)?;
        let expires = entry.expires();
        if !entry.is_fresh(self.shared.runtime.now()) {
            local.remove(&&*self.key);
        }
        Some(Entry::new(entry.into_value().map(Arc::new), expires))
    }

    fn write_local(&self, entry: Entry<Arc<V>>) {
        if let Some(local) = &self.shared.local {
            let expires = entry.expires();
            let value = entry.into_value().map(|value| (*value).clone());
            local.insert((*self.key).clone(), Entry::new(value, expires));
        }
    }

    /// The reply to [`Need::Read`].
    pub(super) fn read(&mut self, read: Result<Option<Found>, Fault>) -> Reply<Arc<V>> {
        Reply::Remote(read.map(|found| self.seen(found)))
    }

    /// The reply to [`Need::Lease`].
    pub(super) fn leased(&mut self, leased: Result<Leased, Fault>) -> Reply<Arc<V>> {
        Reply::Leased(leased.map(|Leased { granted, found }| (granted, self.seen(found))))
    }

    fn seen(&mut self, found: Option<Found>) -> Option<Seen<Arc<V>>> {
        let link = self.shared.link.as_ref()?;
        let Look { seen, junk } = link.format.decode(found);
        if junk.is_some() {
            self.shared.tell(&Event::Undecodable);
        }
        self.junk = junk;
        seen
    }
}

impl<K, V> Drop for Seat<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        let release = self.shared.ask(self.shard, |table, context, effects| {
            table.leave(ticket, context, effects)
        });
        self.shared.shards[self.shard].notify_sealed();
        if let (Some(token), Some(text)) = (release, &self.text) {
            self.shared.release(Arc::clone(text), token);
        }
    }
}

fn answer_of<V>(loaded: &Result<Load<Arc<V>>, Error>) -> Answer<Arc<V>> {
    match loaded {
        Ok(load) => Ok(load.value.clone().map_or(Cached::Absent, Cached::Hit)),
        Err(error) => Err(error.clone()),
    }
}

/// The error for those who wait for something that panicked.
pub(super) fn panicked(panic: &(dyn core::any::Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Error::Panicked(text.unwrap_or("no message").into())
}

/// What a timer is set to at least: the clock is coarse.
const TICK: Duration = Duration::from_millis(1);
