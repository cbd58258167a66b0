//! Many flights led by one task: what they need of the world at the same time is asked for once,
//! with one read, one lease, one loader, one write. There is no policy here: each flight is stepped
//! by the same machine as a flight of its own.
//!
//! Flights that others lead are waited for beside that work, so that none is led later than it must
//! be, and two batches that wait for each other both end.

use core::future::{Future, poll_fn};
use core::iter::zip;
use core::mem::take;
use core::task::Poll;
use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::driver::flight::chain::{loading, wait};
use crate::driver::flight::load::{brought, load_many};
use crate::driver::flight::member::{Going, Member};
use crate::driver::flight::renew::renewing;
use crate::driver::flight::seat::{Led, Next, Seat, SharedAnswer};
use crate::driver::flight::verbs::{extend, fill, lease, read};
use crate::driver::shared::Shared;
use crate::driver::world::bounds::{CacheKey, CacheValue};
use crate::driver::world::caught::caught;
use crate::machine::error::Error;
use crate::machine::lookup::step::{Answer, Extension, Filling, Need, Reply};
use crate::machine::policy::outage::Outage;
use crate::machine::tier::load::Load;
use crate::machine::token::Token;
use crate::ports::batch_loader::Loads;
use crate::ports::bus::Kind;
use crate::ports::loader::LoadError;

/// Leads these flights, waits for those, and hands each answer over as it comes. The loader is
/// called for all that are to be loaded at the same time; again for what is handed over later.
///
/// Dropped, it leaves all seats: what it leads is handed over.
pub(crate) async fn lead_many<K, V, L, F, T>(
    shared: &Arc<Shared<K, V>>,
    leading: Vec<Going<K, V>>,
    following: Vec<Member<K, V>>,
    mut loader: L,
    outage: &Mutex<Outage>,
    mut land: impl FnMut(usize, SharedAnswer<V>),
) where
    K: CacheKey,
    V: CacheValue,
    L: FnMut(Vec<K>) -> F,
    F: Future<Output = Result<T, LoadError>>,
    T: Into<Loads<K, V>>,
{
    let part = leading.len();
    let (mut ready, mut waits) = (leading, following);
    let mut under_way = FuturesUnordered::new();
    loop {
        let needs = advance(shared, take(&mut ready), &mut waits, &mut land);
        let waiting = waits.drain(..).map(Work::Wait);
        let works = waiting.chain(works(needs, &mut loader));
        under_way.extend(works.map(|work| do_work(shared, work, part, outage)));
        // Takes all that is done by now, so that what it needs next goes together again.
        poll_fn(|cx| {
            loop {
                match under_way.poll_next_unpin(cx) {
                    Poll::Ready(Some(went)) => ready.extend(went),
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

/// Lets the members go on until they need the world: what they need then. Those that have their
/// answer land; those that do not lead any more wait.
fn advance<K: CacheKey, V: CacheValue>(
    shared: &Shared<K, V>,
    mut going: Vec<Going<K, V>>,
    waits: &mut Vec<Member<K, V>>,
    land: &mut impl FnMut(usize, SharedAnswer<V>),
) -> Vec<Needing<K, V>> {
    let mut needs = Vec::new();
    let mut replied = Vec::with_capacity(going.len());
    while !going.is_empty() {
        for (member, next) in going.drain(..) {
            match next {
                Next::Reply(reply) => replied.push((member, Some(reply))),
                Next::Ask(need) => needs.push((member, need)),
                Next::Over(led) => match led.into_answer() {
                    Some(answer) => land(member.at, answer),
                    None => waits.push(member),
                },
            }
        }
        let steps = shared.ask_each(
            &mut replied,
            |(member, _)| member.seat.address().shard,
            |(member, reply), table, context, effects| {
                let reply = reply.take().unwrap_or(Reply::Begin);
                member.seat.step(reply, table, context, effects)
            },
        );
        going.extend(
            zip(replied.drain(..), steps).map(|((mut member, _), step)| {
                let next = member.seat.settle(step);
                (member, next)
            }),
        );
    }
    needs
}

/// Something that is done for members together.
enum Work<K: CacheKey, V: CacheValue, F> {
    Wait(Member<K, V>),
    Read(Vec<Member<K, V>>),
    Lease(Vec<(Member<K, V>, Token, Duration)>),
    Pause(Vec<Member<K, V>>, Duration),
    Load(Vec<Member<K, V>>, Result<F, Error>),
    Fill(Vec<Full<K, V>>),
    Extend(Vec<(Member<K, V>, Extension)>),
}

/// A member, and the value that is on its way to L2.
type Full<K, V> = (Member<K, V>, Filling<Arc<V>>);

/// A member, and what it needs of the world.
type Needing<K, V> = (Member<K, V>, Need<Arc<V>>);

/// The same needs together.
fn works<K, V, L, F>(needs: Vec<Needing<K, V>>, loader: &mut L) -> Vec<Work<K, V, F>>
where
    K: CacheKey,
    V: CacheValue,
    L: FnMut(Vec<K>) -> F,
{
    let (mut reads, mut leases, mut fills) = (Vec::new(), Vec::new(), Vec::new());
    let mut extends = Vec::new();
    let (mut loads, mut pauses, mut shortest) = (Vec::new(), Vec::new(), Duration::MAX);
    for (member, need) in needs {
        match need {
            Need::Read => reads.push(member),
            Need::Lease { token, life } => leases.push((member, token, life)),
            Need::Pause(pause) => {
                pauses.push(member);
                shortest = shortest.min(pause);
            }
            Need::Load => loads.push(member),
            Need::Fill(filling) => fills.push((member, filling)),
            Need::Extend(extension) => extends.push((member, *extension)),
        }
    }
    let mut works = Vec::new();
    if !reads.is_empty() {
        works.push(Work::Read(reads));
    }
    if !leases.is_empty() {
        works.push(Work::Lease(leases));
    }
    if !pauses.is_empty() {
        works.push(Work::Pause(pauses, shortest));
    }
    if !loads.is_empty() {
        // The loader sees the order of the request.
        loads.sort_by_key(|member: &Member<K, V>| member.at);
        let keys = loads.iter().map(|member| &member.seat.address().key);
        let loading = caught(|| loader(keys.map(|key| (**key).clone()).collect()));
        works.push(Work::Load(loads, loading.map_err(Error::from)));
    }
    if !fills.is_empty() {
        works.push(Work::Fill(fills));
    }
    if !extends.is_empty() {
        works.push(Work::Extend(extends));
    }
    works
}

async fn do_work<K, V, F, T>(
    shared: &Arc<Shared<K, V>>,
    work: Work<K, V, F>,
    part: usize,
    outage: &Mutex<Outage>,
) -> Vec<Going<K, V>>
where
    K: CacheKey,
    V: CacheValue,
    F: Future<Output = Result<T, LoadError>>,
    T: Into<Loads<K, V>>,
{
    let (members, nexts) = match work {
        Work::Wait(mut member) => {
            let next = match wait(member.seat.load_key()) {
                Err(error) => Next::Over(Led::Alone(Answer::endless(Err(error)))),
                Ok(_wait) => match member.seat.turn().await {
                    Some(answer) => Next::Over(Led::Answered(answer)),
                    None => Next::Reply(Reply::Begin),
                },
            };
            return vec![(member, next)];
        }
        Work::Pause(members, pause) => {
            shared.runtime.sleep(pause).await;
            let paused = |member| (member, Next::Reply(Reply::Paused));
            return members.into_iter().map(paused).collect();
        }
        Work::Load(members, loader) => {
            let loads = match loader {
                Ok(loader) => {
                    let keys = members.iter().map(|member| member.seat.load_key());
                    let loading = loading(keys.collect(), load_many(shared, loader));
                    let seats: Vec<_> = members.iter().map(|member| &member.seat).collect();
                    renewing(shared, &seats, loading).await
                }
                Err(error) => Err(error),
            };
            return loaded(shared, members, loads);
        }
        Work::Read(mut members) => {
            let nexts = read(shared, &mut seats(&mut members)).await;
            (members, nexts)
        }
        Work::Lease(leases) => {
            let (mut members, leases): (Vec<_>, Vec<_>) = leases
                .into_iter()
                .map(|(member, token, life)| (member, (token, life)))
                .unzip();
            let nexts = lease(shared, &mut seats(&mut members), &leases).await;
            (members, nexts)
        }
        Work::Fill(fills) => {
            let (mut members, fillings): (Vec<_>, Vec<_>) = fills.into_iter().unzip();
            let nexts = fill(shared, &mut seats(&mut members), &fillings, Kind::SetByMGet).await;
            (members, nexts)
        }
        Work::Extend(extends) => {
            let (mut members, extends): (Vec<_>, Vec<_>) = extends.into_iter().unzip();
            let nexts = extend(shared, &mut seats(&mut members), &extends, Kind::SetByMGet).await;
            (members, nexts)
        }
    };
    let unanswered = nexts.iter().filter(|next| next.is_unanswered()).count();
    let mut outage = outage.lock().unwrap_or_else(PoisonError::into_inner);
    outage.note(part, nexts.len(), nexts.len() - unanswered);
    zip(members, nexts).collect()
}

fn seats<K: CacheKey, V: CacheValue>(members: &mut [Member<K, V>]) -> Vec<&mut Seat<K, V>> {
    members.iter_mut().map(|member| &mut member.seat).collect()
}

/// What the loader brought for each member. What it did not mention does not exist.
fn loaded<K: CacheKey, V: CacheValue>(
    shared: &Shared<K, V>,
    members: Vec<Member<K, V>>,
    loads: Result<Loads<K, V>, Error>,
) -> Vec<Going<K, V>> {
    let mut loads = loads.map(|loads| loads.entries.into_iter().collect::<HashMap<_, _>>());
    let replied = |member: Member<K, V>| {
        let loaded = match &mut loads {
            Err(error) => Err(error.clone()),
            Ok(loads) => match loads.remove(&*member.seat.address().key) {
                None => Ok(Load::from(None)),
                Some(Ok(load)) => Ok(load),
                Some(Err(error)) => shared.loaders.judge(error),
            },
        };
        let loaded = loaded.and_then(|load: Load<V>| brought(shared, load.map(Arc::new)));
        (member, Next::Reply(Reply::Loaded(loaded)))
    };
    members.into_iter().map(replied).collect()
}
