//! Many flights led by one task: what they need of the world at the same time is asked for once,
//! one read, one lease, one loader, one write. There is no policy here: each flight is stepped by
//! the same machine as a flight of its own.
//!
//! Flights that others lead are waited for beside that work, so that none is led later than it
//! must be, and two batches that wait for each other both end.

use core::future::{Future, poll_fn};
use core::hash::Hash;
use core::mem::take;
use core::panic::AssertUnwindSafe;
use core::task::Poll;
use core::time::Duration;
use std::collections::HashMap;
use std::panic::catch_unwind;
use std::sync::Arc;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use portable_atomic::{AtomicBool, Ordering};

use crate::driver::flight::lead::unencoded;
use crate::driver::flight::lease::ask;
use crate::driver::flight::seat::{Led, Move, Need, Seat, Settled, panicked};
use crate::driver::link::{Ask, Link, Outcomes, Times, Word, load_failure};
use crate::driver::shared::Shared;
use crate::driver::world::timeout::timeout;
use crate::machine::error::{Error, Fault};
use crate::machine::lookup::{Answer, Reply};
use crate::machine::shard::Turn;
use crate::machine::tier::entry::Load;
use crate::machine::token::Token;
use crate::ports::batch_loader::Loads;
use crate::ports::loader::LoadError;
use crate::ports::remote::{Fill, Filled};

/// A seat, and where its answer belongs.
pub(crate) struct Member<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    pub(crate) at: usize,
    pub(crate) seat: Seat<K, V>,
}

/// The answer of a flight, shared by all who waited for it.
pub(crate) type Shares<V> = Arc<Answer<Arc<V>>>;

/// A member, and how it goes on.
pub(crate) type Going<K, V> = (Member<K, V>, Next<V>);

pub(crate) enum Next<V> {
    Move(Move<V>),
    Reply(Reply<Arc<V>>),
    Fail(Error),
}

/// Leads these flights, waits for those, and hands each answer over as it comes. The loader is
/// called for all that are to be loaded at the same time; again for what is handed over later.
///
/// `deaf` is set when L2 answers about none of the keys that it is asked about.
///
/// Dropped, it leaves all seats: what it leads is handed over.
pub(crate) async fn fly<K, V, L, F, T>(
    shared: &Arc<Shared<K, V>>,
    leading: Vec<Going<K, V>>,
    following: Vec<Member<K, V>>,
    mut loader: L,
    deaf: &AtomicBool,
    mut land: impl FnMut(usize, Shares<V>),
) where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    L: FnMut(Vec<K>) -> F,
    F: Future<Output = Result<T, LoadError>>,
    T: Into<Loads<K, V>>,
{
    let deaf = Ear {
        deaf,
        part: leading.len(),
    };
    let mut works = FuturesUnordered::new();
    works.extend(
        following
            .into_iter()
            .map(|member| work(shared, Work::Wait(member), deaf)),
    );
    let mut ready = leading;
    loop {
        let mut needs = Needs::new();
        needs.advance(shared, take(&mut ready), &mut land);
        let needed = needs.works(&mut loader).into_iter();
        works.extend(needed.map(|todo| work(shared, todo, deaf)));
        // All that is done by now, so that what it leads to goes together again.
        poll_fn(|cx| {
            loop {
                match works.poll_next_unpin(cx) {
                    Poll::Ready(Some(Done::Turned(member, Turn::Answer(answer)))) => {
                        land(member.at, answer);
                    }
                    Poll::Ready(Some(Done::Turned(member, _))) => {
                        ready.push((member, Next::Reply(Reply::Begin)));
                    }
                    Poll::Ready(Some(Done::Went(members))) => ready.extend(members),
                    Poll::Ready(None) => return Poll::Ready(()),
                    Poll::Pending if ready.is_empty() => return Poll::Pending,
                    Poll::Pending => return Poll::Ready(()),
                }
            }
        })
        .await;
        if ready.is_empty() {
            return;
        }
    }
}

/// What members need, the same needs together.
struct Needs<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    reads: Vec<Member<K, V>>,
    leases: Vec<(Member<K, V>, Token, Duration)>,
    pauses: Vec<Member<K, V>>,
    pause: Duration,
    loads: Vec<Member<K, V>>,
    fills: Vec<Filling<K, V>>,
    waits: Vec<Member<K, V>>,
}

struct Filling<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    member: Member<K, V>,
    token: Token,
    value: Option<Arc<V>>,
    times: Times,
}

/// Something that is done for members together.
enum Work<K, V, F>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    Wait(Member<K, V>),
    Read(Vec<Member<K, V>>),
    Lease(Vec<(Member<K, V>, Token, Duration)>),
    Pause(Vec<Member<K, V>>, Duration),
    Load(Vec<Member<K, V>>, Result<F, Error>),
    Fill(Vec<Filling<K, V>>),
}

enum Done<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    Turned(Member<K, V>, Turn<Arc<V>>),
    Went(Vec<Going<K, V>>),
}

impl<K, V> Needs<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn new() -> Self {
        Self {
            reads: Vec::new(),
            leases: Vec::new(),
            pauses: Vec::new(),
            pause: Duration::MAX,
            loads: Vec::new(),
            fills: Vec::new(),
            waits: Vec::new(),
        }
    }

    /// Lets the members go on until they need the world, and notes what they need then; those that
    /// have their answer land.
    fn advance(
        &mut self,
        shared: &Shared<K, V>,
        members: Vec<Going<K, V>>,
        land: &mut impl FnMut(usize, Shares<V>),
    ) {
        let mut replied = Vec::with_capacity(members.len());
        let mut moved = Vec::with_capacity(members.len());
        for (member, next) in members {
            match next {
                Next::Move(next) => moved.push((member, next)),
                Next::Reply(reply) => replied.push((member, Some(reply))),
                Next::Fail(error) => {
                    let led = member.seat.fail(error);
                    self.over(member, led, land);
                }
            }
        }
        loop {
            let moves = shared.ask_each(
                &mut replied,
                |(member, _)| member.seat.shard,
                |(member, reply), table, context, effects| {
                    let reply = reply.take().unwrap_or(Reply::Begin);
                    member.seat.step(reply, table, context, effects)
                },
            );
            moved.extend(replied.drain(..).map(|(member, _)| member).zip(moves));
            if moved.is_empty() {
                return;
            }
            for (mut member, next) in moved.drain(..) {
                let settling = AssertUnwindSafe(|| member.seat.settle(next));
                match catch_unwind(settling) {
                    Ok(Settled::Done(reply)) => replied.push((member, Some(reply))),
                    Ok(Settled::Needs(need)) => self.note(member, need, land),
                    Err(panic) => {
                        let led = member.seat.fail(panicked(&*panic));
                        self.over(member, led, land);
                    }
                }
            }
        }
    }

    fn note(
        &mut self,
        member: Member<K, V>,
        need: Need<V>,
        land: &mut impl FnMut(usize, Shares<V>),
    ) {
        match need {
            Need::Read => self.reads.push(member),
            Need::Lease { token, life } => self.leases.push((member, token, life)),
            Need::Pause(pause) => {
                self.pause = self.pause.min(pause);
                self.pauses.push(member);
            }
            Need::Load => self.loads.push(member),
            Need::Fill {
                token,
                value,
                times,
            } => self.fills.push(Filling {
                member,
                token,
                value,
                times,
            }),
            Need::Over(led) => self.over(member, led, land),
        }
    }

    fn over(&mut self, member: Member<K, V>, led: Led<V>, land: &mut impl FnMut(usize, Shares<V>)) {
        match led {
            Led::Answered(answer) => land(member.at, answer),
            Led::Alone(answer) => land(member.at, Arc::new(answer)),
            Led::Failed | Led::Follow | Led::GaveUp => self.waits.push(member),
        }
    }

    fn works<L, F>(self, loader: &mut L) -> Vec<Work<K, V, F>>
    where
        L: FnMut(Vec<K>) -> F,
    {
        let mut works: Vec<_> = self.waits.into_iter().map(Work::Wait).collect();
        if !self.reads.is_empty() {
            works.push(Work::Read(self.reads));
        }
        if !self.leases.is_empty() {
            works.push(Work::Lease(self.leases));
        }
        if !self.pauses.is_empty() {
            works.push(Work::Pause(self.pauses, self.pause));
        }
        if !self.loads.is_empty() {
            let mut members = self.loads;
            // The loader sees the order of the request.
            members.sort_by_key(|member| member.at);
            let calling = AssertUnwindSafe(|| {
                let keys = members.iter().map(|member| (*member.seat.key).clone());
                loader(keys.collect())
            });
            let loading = catch_unwind(calling).map_err(|panic| panicked(&*panic));
            works.push(Work::Load(members, loading));
        }
        if !self.fills.is_empty() {
            works.push(Work::Fill(self.fills));
        }
        works
    }
}

/// Listens whether L2 answers.
#[derive(Clone, Copy)]
struct Ear<'a> {
    deaf: &'a AtomicBool,
    /// How many keys the part began to lead. What is handed over later, and fails by itself, says
    /// nothing about the rest.
    part: usize,
}

impl Ear<'_> {
    fn hear<T>(self, outcomes: &Outcomes<T>) {
        let whole = self.part > 0 && outcomes.len() >= self.part;
        if whole && outcomes.iter().all(Result::is_err) {
            self.deaf.store(true, Ordering::Relaxed);
        }
    }
}

async fn work<K, V, F, T>(
    shared: &Arc<Shared<K, V>>,
    work: Work<K, V, F>,
    ear: Ear<'_>,
) -> Done<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    F: Future<Output = Result<T, LoadError>>,
    T: Into<Loads<K, V>>,
{
    let link = shared.link.as_ref();
    Done::Went(match (work, link) {
        (Work::Wait(member), _) => {
            let turn = member.seat.turn().await;
            return Done::Turned(member, turn);
        }
        (Work::Pause(members, pause), _) => {
            shared.runtime.sleep(pause).await;
            let paused = |member| (member, Next::Reply(Reply::Paused));
            members.into_iter().map(paused).collect()
        }
        (Work::Load(members, loading), _) => loaded(members, load(shared, loading).await, shared),
        (Work::Read(members), Some(link)) => read(shared, link, members, ear).await,
        (Work::Lease(asks), Some(link)) => lease(shared, link, asks).await,
        (Work::Fill(fills), Some(link)) => fill(shared, link, fills).await,
        (Work::Read(members), None) => closed(members),
        (Work::Lease(asks), None) => closed(asks.into_iter().map(|(member, ..)| member)),
        (Work::Fill(fills), None) => closed(fills.into_iter().map(|filling| filling.member)),
    })
}

/// The machine asked for an L2 that there is none of.
fn closed<K, V>(members: impl IntoIterator<Item = Member<K, V>>) -> Vec<Going<K, V>>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    let closed = |member| (member, Next::Fail(Error::Closed));
    members.into_iter().map(closed).collect()
}

async fn read<K, V>(
    shared: &Arc<Shared<K, V>>,
    link: &Link<K, V>,
    members: Vec<Member<K, V>>,
    ear: Ear<'_>,
) -> Vec<Going<K, V>>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let keys: Vec<&str> = members.iter().map(Member::text).collect();
    let read = link.read(&*shared.runtime, &keys).await;
    ear.hear(&read);
    let replied = |(mut member, read): (Member<K, V>, _)| {
        let reply = member.seat.read(read);
        (member, Next::Reply(reply))
    };
    members.into_iter().zip(read).map(replied).collect()
}

async fn lease<K, V>(
    shared: &Arc<Shared<K, V>>,
    link: &Link<K, V>,
    leases: Vec<(Member<K, V>, Token, Duration)>,
) -> Vec<Going<K, V>>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let asks = leases.iter().map(|(member, token, life)| Ask {
        key: member.seat.text.clone().unwrap_or_default(),
        shard: member.seat.shard,
        token: *token,
        life: *life,
    });
    let leased = ask(shared, link, asks.collect()).await;
    let replied = |((mut member, ..), leased): ((Member<K, V>, _, _), _)| {
        let reply = member.seat.leased(leased);
        (member, Next::Reply(reply))
    };
    leases.into_iter().zip(leased).map(replied).collect()
}

/// Runs the loader: what it brought, or the error of all.
async fn load<K, V, F, T>(
    shared: &Shared<K, V>,
    loading: Result<F, Error>,
) -> Result<Loads<K, V>, Error>
where
    F: Future<Output = Result<T, LoadError>>,
    T: Into<Loads<K, V>>,
{
    let loading = loading?;
    let loading = async move { loading.await.map(Into::into) };
    let loading = AssertUnwindSafe(loading).catch_unwind();
    match timeout(&*shared.runtime, shared.policy.load_timeout, loading).await {
        None => Err(Error::Timeout),
        Some(Err(panic)) => Err(panicked(&*panic)),
        Some(Ok(Ok(loads))) => Ok(loads),
        Some(Ok(Err(error))) => failure(error, shared).map(|_| Loads::new()),
    }
}

/// What the loader brought for each member. What it did not mention does not exist.
fn loaded<K, V>(
    members: Vec<Member<K, V>>,
    loads: Result<Loads<K, V>, Error>,
    shared: &Shared<K, V>,
) -> Vec<Going<K, V>>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let mut loads = loads.map(|loads| loads.entries.into_iter().collect::<HashMap<_, _>>());
    let replied = |member: Member<K, V>| {
        let loaded = match &mut loads {
            Err(error) => Err(error.clone()),
            Ok(loads) => match loads.remove(&*member.seat.key) {
                None => Ok(Load::from(None)),
                Some(Ok(load)) => Ok(load),
                Some(Err(error)) => failure(error, shared),
            },
        };
        let loaded = loaded.map(|load| load.map(Arc::new));
        (member, Next::Reply(Reply::Loaded(loaded)))
    };
    members.into_iter().map(replied).collect()
}

/// What an error of the loader means: the user's predicate is asked, and may panic.
fn failure<K, V>(error: LoadError, shared: &Shared<K, V>) -> Result<Load<V>, Error> {
    let asking = AssertUnwindSafe(|| load_failure(error.into_inner(), shared.not_found.as_deref()));
    catch_unwind(asking).unwrap_or_else(|panic| Err(panicked(&*panic)))
}

async fn fill<K, V>(
    shared: &Arc<Shared<K, V>>,
    link: &Link<K, V>,
    fills: Vec<Filling<K, V>>,
) -> Vec<Going<K, V>>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let mut went = Vec::with_capacity(fills.len());
    let mut encoded = Vec::with_capacity(fills.len());
    for filling in fills {
        match encode(link, &filling) {
            Ok(bytes) => encoded.push((filling, bytes)),
            Err(next) => went.push((filling.member, next)),
        }
    }
    let commands: Vec<_> = encoded
        .iter()
        .map(|(filling, bytes)| Fill {
            key: filling.member.text(),
            token: filling.token,
            value: filling.times.stored(bytes, filling.member.seat.junk()),
        })
        .collect();
    let stored: Vec<Result<Filled, Fault>> = if commands.is_empty() {
        Vec::new()
    } else {
        link.fill(&*shared.runtime, &commands, Word::Kept).await
    };
    let members = take(&mut encoded);
    went.extend(
        members
            .into_iter()
            .zip(stored)
            .map(|((filling, _), stored)| (filling.member, Next::Reply(Reply::Stored(stored)))),
    );
    went
}

/// The bytes to store, or how the member goes on without.
fn encode<K, V>(link: &Link<K, V>, filling: &Filling<K, V>) -> Result<Vec<u8>, Next<V>>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    let encoding = AssertUnwindSafe(|| link.format.encode(filling.value.as_deref()));
    match catch_unwind(encoding) {
        Err(panic) => Err(Next::Fail(panicked(&*panic))),
        Ok(Err(error)) => Err(Next::Reply(Reply::Stored(Err(unencoded(error))))),
        Ok(Ok(mut bytes)) => {
            link.format.seal(&mut bytes, filling.times.life);
            Ok(bytes)
        }
    }
}

impl<K, V> Member<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn text(&self) -> &str {
        self.seat.text.as_deref().unwrap_or_default()
    }
}
