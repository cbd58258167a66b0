//! A seat in a flight: leads it, or waits for its answer. Dropping it leaves the flight, from
//! wherever the caller was.

use core::future::{Future, poll_fn};
use core::hash::Hash;
use core::panic::AssertUnwindSafe;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use portable_atomic::Ordering;

use super::erased::Boxed;
use super::link::{Look, Times, load_failure};
use super::shared::{Errand, Shared};
use super::timeout::timeout;
use crate::machine::entry::{Entry, Load};
use crate::machine::error::{Error, Fault};
use crate::machine::event::Event;
use crate::machine::lookup::{Answer, Reply, Seen, Step};
use crate::machine::policy::Call;
use crate::machine::shard::{Ticket, Turn};
use crate::machine::token::Token;
use crate::ports::loader::LoadError;
use crate::ports::remote::{Filled, Leased};

pub(super) struct Seat<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    shared: Arc<Shared<K, V>>,
    key: Arc<K>,
    /// The key's text in L2, if there is one.
    text: Option<Arc<str>>,
    shard: usize,
    /// There until the seat is dropped.
    ticket: Option<Ticket>,
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
    /// A seat in the key's flight.
    pub(super) fn join(
        shared: &Arc<Shared<K, V>>,
        key: &Arc<K>,
        text: Option<&Arc<str>>,
        call: Call,
    ) -> Self {
        let shard = shared.shard(key);
        let (ticket, _) = shared.ask(shard, |table, context, effects| {
            table.join(Arc::clone(key), call, context, effects)
        });
        Self::new(shared, key, text, shard, ticket)
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

    fn poll(&self, waker: core::task::Waker) -> Turn<Arc<V>> {
        let Some(ticket) = &self.ticket else {
            return Turn::Answer(Arc::new(Err(Error::Closed)));
        };
        self.shared.ask(self.shard, |table, context, effects| {
            table.poll(ticket, context, waker, effects)
        })
    }

    /// Carries out the flight's steps. The loader is taken when it is run, so that a leader who is
    /// deposed before that may lead again. If anything of the user's panics, a loader, a codec, a
    /// `Clone`, the flight fails with [`Error::Panicked`].
    pub(super) async fn lead<L, F, T>(&mut self, loader: &mut Option<L>) -> Led<V>
    where
        L: FnOnce() -> F,
        F: Future<Output = Result<T, LoadError>>,
        T: Into<Load<V>>,
    {
        let led = AssertUnwindSafe(self.carry_out(loader))
            .catch_unwind()
            .await;
        led.unwrap_or_else(|panic| self.fail(Error::Panicked(message(&*panic))))
    }

    fn fail(&self, error: Error) -> Led<V> {
        let Some(ticket) = &self.ticket else {
            return Led::Alone(Err(error));
        };
        let failed = self.shared.ask(self.shard, |table, _, effects| {
            table.fail(ticket, error, effects)
        });
        match (failed, &self.text) {
            (Ok(Some(token)), Some(text)) => {
                self.shared.release(Arc::clone(text), token);
                Led::Finished
            }
            (Ok(_), _) => Led::Finished,
            (Err(error), _) => Led::Alone(Err(error)),
        }
    }

    async fn carry_out<L, F, T>(&mut self, loader: &mut Option<L>) -> Led<V>
    where
        L: FnOnce() -> F,
        F: Future<Output = Result<T, LoadError>>,
        T: Into<Load<V>>,
    {
        // What this caller's own loader brought, should it be deposed afterwards.
        let mut own: Option<Answer<Arc<V>>> = None;
        let mut granted = None;
        let mut reply = Reply::Begin;
        loop {
            let step = self.step(reply);
            let just_granted = granted.take();
            reply = match step {
                Step::ReadLocal => Reply::Local(self.read_local()),
                Step::ReadRemote => Reply::Remote(self.read_remote().await),
                Step::Lease { token, life } => {
                    let leased = self.lease(token, life).await;
                    granted = matches!(leased, Ok((true, _))).then_some(token);
                    Reply::Leased(leased)
                }
                Step::Pause(pause) => {
                    self.shared.runtime.sleep(pause).await;
                    Reply::Paused
                }
                Step::Load => {
                    let loaded = match loader.take() {
                        Some(loader) => self.load(loader).await,
                        None => Err(Error::Timeout),
                    };
                    own = Some(answer_of(&loaded));
                    Reply::Loaded(loaded)
                }
                Step::Fill {
                    token,
                    value,
                    life,
                    lease,
                    age,
                } => {
                    let times = Times { life, lease, age };
                    Reply::Stored(self.fill(token, value.as_deref(), times).await)
                }
                Step::WriteLocal { write, entry } => {
                    self.write_local(entry);
                    Reply::Kept(write)
                }
                Step::Finish { release } => {
                    if let (Some(token), Some(text)) = (release, &self.text) {
                        self.shared.release(Arc::clone(text), token);
                    }
                    return Led::Finished;
                }
                Step::Alone(answer) => return Led::Alone(answer),
                Step::Follow => {
                    if let Some(token) = just_granted {
                        self.late_lease(token);
                    }
                    return own.map_or(Led::Follow, Led::Alone);
                }
            }
        }
    }

    /// The lease came when this seat did not lead any more.
    fn late_lease(&self, token: Token) {
        let unwanted = self.shared.ask(self.shard, |table, context, _| {
            table.late_lease(token, context)
        });
        if let (true, Some(text)) = (unwanted, &self.text) {
            self.shared.release(Arc::clone(text), token);
        }
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

    async fn read_remote(&self) -> Result<Option<Seen<Arc<V>>>, Fault> {
        let (Some(link), Some(text)) = (&self.shared.link, &self.text) else {
            return Ok(None);
        };
        let found = link.read(&*self.shared.runtime, text).await?;
        Ok(self.seen(link.decode(found)))
    }

    fn seen(&self, look: Look<V>) -> Option<Seen<Arc<V>>> {
        if look.undecodable {
            self.shared.tell(&Event::Undecodable);
        }
        look.seen
    }

    async fn lease(
        &self,
        token: Token,
        life: Duration,
    ) -> Result<(bool, Option<Seen<Arc<V>>>), Fault> {
        let (Some(link), Some(text)) = (&self.shared.link, &self.text) else {
            return Ok((false, None));
        };
        let mut asked = Asked {
            shared: Arc::clone(&self.shared),
            text: Arc::clone(text),
            shard: self.shard,
            token,
            life,
            reply: Some(link.lease(Arc::clone(text), token, life)),
        };
        let Leased { granted, found } = asked.reply().await?;
        Ok((granted, self.seen(link.decode(found))))
    }

    async fn load<L, F, T>(&self, loader: L) -> Result<Load<Arc<V>>, Error>
    where
        L: FnOnce() -> F,
        F: Future<Output = Result<T, LoadError>>,
        T: Into<Load<V>>,
    {
        let loading = async move { loader().await.map(Into::into) };
        let loading = AssertUnwindSafe(loading).catch_unwind();
        let shared = &self.shared;
        let loaded = match timeout(&*shared.runtime, shared.policy.load_timeout, loading).await {
            None => Err(Error::Timeout),
            Some(Err(panic)) => Err(Error::Panicked(message(&*panic))),
            Some(Ok(Ok(loaded))) => Ok(loaded),
            Some(Ok(Err(error))) => load_failure(error.into_inner(), shared.not_found.as_deref()),
        };
        loaded.map(|load| load.map(Arc::new))
    }

    async fn fill(&self, token: Token, value: Option<&V>, times: Times) -> Result<Filled, Fault> {
        let (Some(link), Some(text)) = (&self.shared.link, &self.text) else {
            return Err(Fault::Refused("there is no L2".into()));
        };
        let encoded = link.encode(value);
        let mut bytes = encoded.map_err(|error| Fault::Encode(error.to_string().into()))?;
        link.fill(&*self.shared.runtime, text, token, &mut bytes, times)
            .await
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

/// A lease that was asked for. Dropped before its reply, it leaves a task behind that listens for
/// it, so that a lease which nobody wants any more is given back.
struct Asked<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    shared: Arc<Shared<K, V>>,
    text: Arc<str>,
    shard: usize,
    token: Token,
    life: Duration,
    reply: Option<Boxed<'static, Result<Leased, Fault>>>,
}

impl<K, V> Asked<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    async fn reply(&mut self) -> Result<Leased, Fault> {
        let span = self.shared.policy.remote_timeout;
        let Some(reply) = self.reply.as_mut() else {
            return Err(Fault::Timeout);
        };
        match select(reply, self.shared.runtime.sleep(span)).await {
            Either::Left((leased, _)) => {
                self.reply = None;
                leased
            }
            Either::Right(((), _)) => Err(Fault::Timeout),
        }
    }
}

impl<K, V> Drop for Asked<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn drop(&mut self) {
        let Some(reply) = self.reply.take() else {
            return;
        };
        let Some(errand) = Errand::begin(&self.shared.life, |life| &life.late) else {
            return;
        };
        let cache = Arc::downgrade(&self.shared);
        let (life, runtime) = (
            Arc::clone(&self.shared.life),
            Arc::clone(&self.shared.runtime),
        );
        let (shard, token, stands) = (self.shard, self.token, self.life);
        let text = Arc::clone(&self.text);
        // Without a runtime the lease ends by itself, as it does when the cache is closed or gone.
        let _ = self.shared.spawn(async move {
            let _errand = errand;
            let stop = life.stop.listen();
            if life.closed.load(Ordering::SeqCst) {
                return;
            }
            let late = pin!(timeout(&*runtime, stands, reply));
            let Either::Left((Some(Ok(Leased { granted: true, .. })), _)) =
                select(late, pin!(stop)).await
            else {
                return;
            };
            if let Some(shared) = cache.upgrade()
                && shared.ask(shard, |table, context, _| table.late_lease(token, context))
            {
                shared.release(text, token);
            }
        });
    }
}

fn answer_of<V>(loaded: &Result<Load<Arc<V>>, Error>) -> Answer<Arc<V>> {
    use crate::machine::entry::Cached;
    match loaded {
        Ok(load) => Ok(load.value.clone().map_or(Cached::Absent, Cached::Hit)),
        Err(error) => Err(error.clone()),
    }
}

fn message(panic: &(dyn core::any::Any + Send)) -> Arc<str> {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
        .into()
}

/// What a timer is set to at least: the clock is coarse.
const TICK: Duration = Duration::from_millis(1);
