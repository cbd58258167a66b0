//! A seat in a flight: leads it, or waits for its answer. Dropping it leaves the flight, from
//! wherever the caller was.

use core::future::poll_fn;
use core::hash::Hash;
use core::panic::AssertUnwindSafe;
use core::task::{Poll, Waker};
use core::time::Duration;
use std::panic::catch_unwind;
use std::sync::Arc;

use futures_util::FutureExt;

use crate::driver::link::Times;
use crate::driver::link::format::Look;
use crate::driver::shared::{Aftermath, Shared, Table};
use crate::driver::world::erased::Boxed;
use crate::machine::error::{Error, Fault};
use crate::machine::event::Event;
use crate::machine::lookup::{Answer, Reply, Seen, Step};
use crate::machine::policy::Call;
use crate::machine::policy::pace::{Aim, Outcome};
use crate::machine::shard::{Context, Ticket, Turn};
use crate::machine::tier::entry::{Cached, Entry, Load};
use crate::machine::tier::wire::Wire;
use crate::machine::token::Token;
use crate::ports::remote::{Found, Leased};

pub(crate) struct Seat<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    pub(crate) shared: Arc<Shared<K, V>>,
    pub(crate) key: Arc<K>,
    /// The key's text in L2, if there is one.
    pub(crate) text: Option<Arc<str>>,
    pub(crate) shard: usize,
    /// There once it needs to remember something: most seats do not.
    notes: Option<Box<Notes<V>>>,
    /// There until the seat is dropped.
    ticket: Option<Ticket>,
}

/// What a leader remembers from one step to the next.
struct Notes<V> {
    /// What its own loader brought, should it be deposed afterwards.
    own: Option<Answer<Arc<V>>>,
    /// The lease that it asked for last.
    asked: Option<Token>,
    /// That lease, if it was granted just now.
    granted: Option<Token>,
    /// Junk that the last look at L2 showed; to a refresh, a value as well.
    junk: Option<Vec<u8>>,
    /// It leads a refresh.
    refreshes: bool,
    /// What became of that.
    outcome: Option<Outcome>,
}

/// What a leader needs of the world.
pub(crate) enum Need<V> {
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
pub(crate) enum Led<V> {
    /// The flight has its answer, and this seat was left.
    Answered(Arc<Answer<Arc<V>>>),
    /// The flight failed: its answer is to be asked for.
    Failed,
    /// Deposed while it loaded: an answer for this caller alone.
    Alone(Answer<Arc<V>>),
    /// Deposed: it waits with the others now.
    Follow,
    /// A refresh had nothing to do: the seat is to be left.
    GaveUp,
}

/// What the machine says next.
pub(crate) enum Move<V> {
    Step(Step<Arc<V>>),
    /// The last step was done, and the seat was left. A lease may have to be given back.
    Answered(Arc<Answer<Arc<V>>>, Option<Token>),
}

/// What came of a move.
pub(crate) enum Settled<V> {
    /// It was done at once, and this is what happened.
    Done(Reply<Arc<V>>),
    /// It needs the world.
    Needs(Need<V>),
}

impl<K, V> Seat<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// A seat in the key's flight.
    pub(crate) fn join(
        shared: &Arc<Shared<K, V>>,
        key: &Arc<K>,
        text: Option<&Arc<str>>,
        call: Call,
    ) -> Self {
        let shard = shared.shard(key);
        let (ticket, _) = shared.ask(shard, |table, context, effects| {
            table.join(Arc::clone(key), call, context, effects)
        });
        let (key, text) = (Arc::clone(key), text.cloned());
        Self::new(shared, key, text, shard, ticket)
    }

    /// The seat of a flight that refreshes the key; `None` if one is under way already.
    pub(crate) fn refresh(
        shared: &Arc<Shared<K, V>>,
        key: &Arc<K>,
        text: Option<Arc<str>>,
        call: Call,
        aim: Aim,
    ) -> Option<Self> {
        let shard = shared.shard(key);
        let ticket = shared.ask(shard, |table, context, effects| {
            table.open_refresh(Arc::clone(key), call, aim, context, effects)
        })?;
        let mut seat = Self::new(shared, Arc::clone(key), text, shard, ticket);
        seat.notes().refreshes = true;
        Some(seat)
    }

    /// What became of the refresh that this seat led, if its flight came to its end.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.notes.as_ref()?.outcome
    }

    /// One more seat in the same flight.
    pub(crate) fn second(&self) -> Self {
        let ticket = self.ticket.as_ref().map(|ticket| {
            self.shared
                .ask(self.shard, |table, _, _| table.second_seat(ticket))
        });
        let (key, text) = (Arc::clone(&self.key), self.text.clone());
        let mut second = Self::empty(&self.shared, key, text, self.shard);
        second.ticket = ticket;
        second
    }

    pub(crate) fn new(
        shared: &Arc<Shared<K, V>>,
        key: Arc<K>,
        text: Option<Arc<str>>,
        shard: usize,
        ticket: Ticket,
    ) -> Self {
        let mut seat = Self::empty(shared, key, text, shard);
        seat.ticket = Some(ticket);
        seat
    }

    fn empty(
        shared: &Arc<Shared<K, V>>,
        key: Arc<K>,
        text: Option<Arc<str>>,
        shard: usize,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            key,
            text,
            shard,
            notes: None,
            ticket: None,
        }
    }

    /// Waits until there is an answer, or until this seat is to lead.
    pub(crate) async fn turn(&self) -> Turn<Arc<V>> {
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

    pub(crate) fn poll(&self, waker: Waker) -> Turn<Arc<V>> {
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
    pub(crate) fn advance(&mut self, reply: Reply<Arc<V>>) -> Need<V> {
        let going = AssertUnwindSafe(|| self.go_on(reply));
        catch_unwind(going).unwrap_or_else(|panic| Need::Over(self.fail(panicked(&*panic))))
    }

    fn go_on(&mut self, mut reply: Reply<Arc<V>>) -> Need<V> {
        let shared = Arc::clone(&self.shared);
        loop {
            let next = shared.ask(self.shard, |table, context, effects| {
                self.step(reply, table, context, effects)
            });
            reply = match self.settle(next) {
                Settled::Done(reply) => reply,
                Settled::Needs(need) => return need,
            };
        }
    }

    /// One step, under the machine's lock. With the last one the seat is left.
    pub(crate) fn step(
        &mut self,
        reply: Reply<Arc<V>>,
        table: &mut Table<K, V>,
        context: &Context<'_>,
        effects: &mut Aftermath<K, V>,
    ) -> Move<V> {
        match (&reply, &mut self.notes) {
            (Reply::Loaded(loaded), _) => self.notes().own = Some(answer_of(loaded)),
            (Reply::Leased(Ok((true, _))), Some(notes)) => notes.granted = notes.asked.take(),
            (_, Some(notes)) => notes.granted = None,
            (_, None) => {}
        }
        let Some(ticket) = self.ticket.take() else {
            return Move::Step(Step::Alone(Err(Error::Closed)));
        };
        let step = table.step(&ticket, context, reply, effects);
        if let Some(notes) = &mut self.notes {
            notes.outcome = table.outcome(&ticket);
        }
        if let Step::Finish { release } = step
            && let Turn::Answer(answer) =
                table.poll(&ticket, context, Waker::noop().clone(), effects)
        {
            let left = table.leave(ticket, context, effects);
            return Move::Answered(answer, release.or(left));
        }
        self.ticket = Some(ticket);
        Move::Step(step)
    }

    /// Does what is done at once, outside the lock.
    pub(crate) fn settle(&mut self, next: Move<V>) -> Settled<V> {
        self.shared.shards[self.shard].notify_sealed();
        let step = match next {
            Move::Step(step) => step,
            Move::Answered(answer, release) => {
                self.release(release);
                return Settled::Needs(Need::Over(Led::Answered(answer)));
            }
        };
        Settled::Needs(match step {
            Step::ReadLocal => return Settled::Done(Reply::Local(self.read_local())),
            Step::WriteLocal { write, entry } => {
                self.write_local(entry);
                return Settled::Done(Reply::Kept(write));
            }
            Step::ReadRemote => Need::Read,
            Step::Lease { token, life } => {
                self.notes().asked = Some(token);
                Need::Lease { token, life }
            }
            Step::Pause(pause) => Need::Pause(pause),
            Step::Load => Need::Load,
            Step::Fill {
                token,
                value,
                life,
                lease,
                age,
            } => Need::Fill {
                token,
                value,
                times: Times { life, lease, age },
            },
            Step::Finish { release } => {
                self.release(release);
                Need::Over(Led::Failed)
            }
            Step::GiveUp => Need::Over(Led::GaveUp),
            Step::Alone(answer) => Need::Over(Led::Alone(answer)),
            Step::Follow => {
                if let Some(token) = self.notes().granted.take() {
                    self.late_lease(token);
                }
                Need::Over(self.notes().own.take().map_or(Led::Follow, Led::Alone))
            }
        })
    }

    /// The flight cannot go on: everyone who waits gets this error.
    pub(crate) fn fail(&self, error: Error) -> Led<V> {
        let Some(ticket) = &self.ticket else {
            return Led::Alone(Err(error));
        };
        let failed = self.shared.ask(self.shard, |table, _, effects| {
            table.fail(ticket, error, effects)
        });
        match failed {
            Ok(release) => {
                self.release(release);
                Led::Failed
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
    pub(crate) fn read(&mut self, read: Result<Option<Found>, Fault>) -> Reply<Arc<V>> {
        Reply::Remote(read.map(|found| self.seen(found)))
    }

    /// The reply to [`Need::Lease`].
    pub(crate) fn leased(&mut self, leased: Result<Leased, Fault>) -> Reply<Arc<V>> {
        Reply::Leased(leased.map(|Leased { granted, found }| (granted, self.seen(found))))
    }

    fn seen(&mut self, found: Option<Found>) -> Option<Seen<Arc<V>>> {
        let link = self.shared.link.as_ref()?;
        // In that format a fill must say what it replaces.
        let refreshes = self.notes.as_ref().is_some_and(|notes| notes.refreshes);
        let stood = (refreshes && link.format.wire == Wire::JetcacheGo)
            .then(|| found.as_ref().map(|found| found.bytes.clone()))
            .flatten();
        let Look { seen, junk } = link.format.decode(found);
        if junk.is_some() {
            self.shared.tell(&Event::Undecodable);
        }
        if junk.is_some() || self.notes.is_some() {
            self.notes().junk = junk.or(stood);
        }
        seen
    }

    fn notes(&mut self) -> &mut Notes<V> {
        self.notes.get_or_insert_default()
    }

    /// Junk that the last look at L2 showed, or what a refresh saw there, which a fill may replace.
    pub(crate) fn junk(&self) -> Option<&[u8]> {
        self.notes.as_ref()?.junk.as_deref()
    }
}

impl<V> Default for Notes<V> {
    fn default() -> Self {
        Self {
            own: None,
            asked: None,
            granted: None,
            junk: None,
            refreshes: false,
            outcome: None,
        }
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
pub(crate) fn panicked(panic: &(dyn core::any::Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Error::Panicked(text.unwrap_or("no message").into())
}

/// What a timer is set to at least: the clock is coarse.
const TICK: Duration = Duration::from_millis(1);
