//! Carries out changes of all kinds: together, so that many keys cost one claim and one fill, and
//! as a task of their own, so that their caller may leave.

use core::future::Future;
use core::iter::zip;
use core::ops::ControlFlow;
use std::sync::Arc;

use futures_channel::oneshot::{Sender, channel};
use futures_util::future::{OptionFuture, join, join4};

use crate::driver::change::Change;
use crate::driver::flight::verbs::{Beside, encode, stored, unencoded};
use crate::driver::generations::believe::{catch_up, unknown};
use crate::driver::link::Link;
use crate::driver::link::outcomes::{Outcomes, answered};
use crate::driver::shared::Shared;
use crate::driver::world::bounds::{CacheKey, CacheValue};
use crate::driver::world::caught::{Panic, caught};
use crate::machine::change::{ChangeOutcome, ChangeReply, Wish};
use crate::machine::generations::scope;
use crate::machine::generations::tags::Tags;
use crate::machine::policy::outage::Outage;
use crate::machine::tier::mark::Mark;
use crate::ports::remote::{Claim, Claimed, Hold, Put, Settle};

/// One outcome a change, `None` if it was abandoned with its task or after an outage; and the first
/// panic, if the caller made the changes in place.
type Made = (Vec<Option<ChangeOutcome>>, Option<Panic>);

/// Makes the changes in a task and waits for it. Without an L2 they are made at once, in place.
pub(crate) async fn carry_out<K: CacheKey, V: CacheValue>(
    shared: &Arc<Shared<K, V>>,
    changes: Vec<Change<K, V>>,
) -> Made {
    if shared.link.is_none() {
        return make(shared, changes, &mut Outage::default()).await;
    }
    let count = changes.len();
    let (told, outcomes) = channel();
    let job = Job { changes, told };
    if let Err(in_place) = shared.spawn(job.run(Arc::clone(shared))) {
        in_place.await;
    }
    (outcomes.await.unwrap_or_else(|_| vec![None; count]), None)
}

/// Changes and who waits for them. The order matters: dropped, it abandons the changes first.
struct Job<K: CacheKey, V: CacheValue> {
    changes: Vec<Change<K, V>>,
    told: Sender<Vec<Option<ChangeOutcome>>>,
}

impl<K: CacheKey, V: CacheValue> Job<K, V> {
    async fn run(self, shared: Arc<Shared<K, V>>) {
        let Self { mut changes, told } = self;
        let count = changes.len();
        let mut outcomes = Vec::with_capacity(count);
        let mut outage = Outage::default();
        // After an outage the rest is abandoned: unconfirmed as well, their removals are repeated.
        while !changes.is_empty() && !outage.is_away() {
            let rest = changes.split_off(changes.len().min(shared.loaders.chunk));
            outcomes.extend(make(&shared, changes, &mut outage).await.0);
            changes = rest;
        }
        // Abandoned before the caller goes on, if it still waits.
        drop(changes);
        outcomes.resize(count, None);
        let _ = told.send(outcomes);
    }
}

/// A change, its place among the others, and what it wishes.
struct Wishing<K: CacheKey, V: CacheValue> {
    at: usize,
    change: Change<K, V>,
    wish: Wish<Arc<V>>,
    /// The reply, once there is one.
    reply: Option<ChangeReply<Arc<V>>>,
}

async fn make<K: CacheKey, V: CacheValue>(
    shared: &Arc<Shared<K, V>>,
    changes: Vec<Change<K, V>>,
    outage: &mut Outage,
) -> Made {
    let (mut outcomes, mut first_panic) = (vec![None; changes.len()], None);
    if changes.iter().any(Change::inserts) {
        look_first(shared).await;
    }
    let begin = |(at, change)| (at, change, ChangeReply::Begin);
    let mut going: Vec<_> = changes.into_iter().enumerate().map(begin).collect();
    while !going.is_empty() {
        let mut wishing = Vec::with_capacity(going.len());
        for (at, mut change, reply) in going.drain(..) {
            match caught(|| change.go_on(reply)) {
                Ok(ControlFlow::Continue(wish)) => wishing.push(Wishing {
                    at,
                    change,
                    wish,
                    reply: None,
                }),
                Ok(ControlFlow::Break(outcome)) => outcomes[at] = Some(outcome),
                Err(panic) => {
                    first_panic = first_panic.or(Some(panic));
                    outcomes[at] = Some(ChangeOutcome::Undecided);
                    // Its caller must write all the same; then the change is abandoned.
                    if let Some(writer) = change.writer.take() {
                        writer.written().await;
                    }
                }
            }
        }
        meet(shared, &mut wishing, outage).await;
        // Without an L2 the machine wishes nothing of it; if it did, the change would be abandoned.
        let replied = |wishing: Wishing<K, V>| Some((wishing.at, wishing.change, wishing.reply?));
        going.extend(wishing.into_iter().filter_map(replied));
    }
    (outcomes, first_panic)
}

/// Meets the wishes, those of a kind together.
async fn meet<K: CacheKey, V: CacheValue>(
    shared: &Arc<Shared<K, V>>,
    wishing: &mut [Wishing<K, V>],
    outage: &mut Outage,
) {
    for Wishing {
        change,
        wish,
        reply,
        ..
    } in &mut *wishing
    {
        match (wish, &shared.link) {
            (Wish::Write, _) => {
                let written = match change.writer.take() {
                    Some(writer) => writer.written().await,
                    None => None,
                };
                *reply = Some(ChangeReply::Written(written));
            }
            (Wish::Put { times, born, .. }, Some(link)) => {
                link.format.seal(&mut change.bytes, *times, *born);
            }
            (
                Wish::Settle {
                    value,
                    mark,
                    tags,
                    born,
                    times,
                    ..
                },
                Some(link),
            ) => match encode(link, value.as_deref(), beside(tags, mark, *born), *times) {
                Ok(bytes) => change.bytes = bytes,
                Err(error) => {
                    let key = change.address.text.as_deref();
                    shared.journal.warn_of_value(key, &error);
                    *reply = Some(ChangeReply::Settled(Err(unencoded(error))));
                }
            },
            (_, _) => {}
        }
    }
    let Some(link) = &shared.link else {
        return;
    };
    let (replies, answered) = send(shared, link, wishing).await;
    outage.note(replies.len(), replies.len(), answered);
    for (at, reply) in replies {
        wishing[at].reply = Some(reply);
    }
}

/// Sends L2 what has no reply yet, each verb once, side by side. Returns the replies with their
/// places, and how many of them are answers.
async fn send<K: CacheKey, V: CacheValue>(
    shared: &Arc<Shared<K, V>>,
    link: &Link<K, V>,
    wishing: &[Wishing<K, V>],
) -> (Vec<(usize, ChangeReply<Arc<V>>)>, usize) {
    let (mut removes, mut claims) = (Vec::new(), Vec::new());
    let (mut puts, mut settles) = (Vec::new(), Vec::new());
    let mut releases = Vec::new();
    let mut places: [Vec<usize>; 5] = Default::default();
    for (at, Wishing { change, wish, .. }) in unanswered(wishing) {
        let Some(key) = change.address.text.as_deref() else {
            continue;
        };
        // A write-through's claim has emptied the key: what is settled replaces nothing.
        let value = |times| stored(times, &change.bytes, None);
        match *wish {
            Wish::Remove(announce) => {
                places[0].push(at);
                removes.push((announce, key));
            }
            Wish::Claim {
                token,
                life,
                condition,
                dead,
                spares,
            } => {
                places[1].push(at);
                claims.push(Claim {
                    key,
                    token,
                    life,
                    condition,
                    dead,
                    spares,
                });
            }
            Wish::Put {
                token,
                times,
                condition,
                dead,
                spared,
                announce,
                ..
            } => {
                places[2].push(at);
                let put = Put {
                    key,
                    token,
                    value: value(times),
                    condition,
                    dead,
                    spared,
                };
                puts.push((announce, put));
            }
            Wish::Settle {
                token,
                times,
                announce,
                ..
            } => {
                places[3].push(at);
                let (token, value) = (Some(token), value(times));
                settles.push((announce, Settle { key, token, value }));
            }
            Wish::Release { token } => {
                places[4].push(at);
                releases.push(Hold::of(key, token));
            }
            Wish::Write => {}
        }
    }
    if !releases.is_empty() {
        // Seldom, and it ends by itself if it is lost.
        Box::pin(link.release(&releases)).await;
    }
    let (removed, claimed, put, settled) = join4(
        any(&removes, |removes| link.remove(removes)),
        any(&claims, |claims| claim(shared, link, claims)),
        any(&puts, |puts| link.put(puts)),
        any(&settles, |settles| link.settle(settles)),
    )
    .await;
    let answers = answered(&removed) + answered(&claimed) + answered(&put) + answered(&settled);
    let removed = removed.into_iter().map(ChangeReply::Removed);
    let claimed = claimed.into_iter().map(ChangeReply::Claimed);
    let put = put.into_iter().map(ChangeReply::Put);
    let settled = settled.into_iter().map(ChangeReply::Settled);
    // In the order of `places`.
    let released = releases.iter().map(|_| ChangeReply::Released);
    let replies = removed.chain(claimed).chain(put).chain(settled);
    let replies = replies.chain(released);
    (
        zip(places.into_iter().flatten(), replies).collect(),
        answers,
    )
}

/// Sends these, if there are any. Boxed: most changes send one verb, and make no room for the others.
async fn any<'a, I, T, F: Future<Output = Outcomes<T>>>(
    items: &'a [I],
    send: impl FnOnce(&'a [I]) -> F,
) -> Outcomes<T> {
    let sending = (!items.is_empty()).then(|| Box::pin(send(items)));
    OptionFuture::from(sending).await.unwrap_or_default()
}

/// What is inserted is born under the number that this node has heard of: one that has heard of nothing
/// for a while looks first.
async fn look_first<K: CacheKey, V: CacheValue>(shared: &Arc<Shared<K, V>>) {
    if let Some(link) = &shared.link
        && let Some(log) = &link.log
        && link.is_behind(log)
        && let Ok(look) = link.look_at_log(log).await
    {
        // A number that is too low costs the insert.
        let _ = catch_up(shared, Some(look)).await;
    }
}

/// Claims, and learns what was raised until then: the values that follow carry it, and a condition may
/// have been judged by what is dead.
async fn claim<K: CacheKey, V: CacheValue>(
    shared: &Arc<Shared<K, V>>,
    link: &Link<K, V>,
    claims: &[Claim<'_>],
) -> Outcomes<Claimed> {
    if link.log.is_none() || claims.is_empty() {
        return link.claim(claims).await;
    }
    let look = Box::pin(link.look_beside());
    let (mut claimed, look) = join(link.claim(claims), look).await;
    let known = match look {
        Ok(look) => catch_up(shared, look).await,
        Err(fault) => Err(fault),
    };
    if let Err(fault) = known {
        // What a condition was judged by may be dead. To the others a number that is too low costs a miss.
        for (claim, claimed) in zip(claims, &mut claimed) {
            if claim.condition.is_some() && claimed.is_ok() {
                *claimed = Err(unknown(&fault));
            }
        }
    }
    claimed
}

fn unanswered<K: CacheKey, V: CacheValue>(
    wishing: &[Wishing<K, V>],
) -> impl Iterator<Item = (usize, &Wishing<K, V>)> {
    let all = wishing.iter().enumerate();
    all.filter(|(_, wishing)| wishing.reply.is_none())
}

fn beside<'a>(tags: &'a Tags, mark: &'a Option<Mark>, born: scope::Mark) -> Beside<'a> {
    let mark = mark.as_ref();
    Beside { tags, mark, born }
}
