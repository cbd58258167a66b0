//! Carries out changes: together, so that many keys cost one claim and one fill, and as a task of
//! their own, so that who waits for them may go.

use core::hash::Hash;
use core::panic::AssertUnwindSafe;
use core::time::Duration;
use std::any::Any;
use std::panic::{catch_unwind, resume_unwind};
use std::sync::Arc;

use futures_channel::oneshot::{Sender, channel};
use futures_util::future::{Either, join3};

use crate::driver::change::{Run, Wish};
use crate::driver::link::{Link, Outcomes, Times, Word, failed};
use crate::driver::shared::Shared;
use crate::machine::change::{ChangeReply, Outcome};
use crate::machine::error::Fault;
use crate::machine::token::Token;
use crate::ports::remote::{Claim, Condition, Fill, Filled};

/// Makes the changes as one task and waits for it: an outcome a change, `None` for one that was
/// abandoned because its task is gone or something of the user's panicked.
pub(crate) async fn detached<K, V>(
    shared: &Arc<Shared<K, V>>,
    runs: Vec<Run<K, V>>,
) -> Vec<Option<Outcome>>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let count = runs.len();
    if shared.link.is_none() {
        // Without L2 there is nothing to wait for.
        let made = carry_out(shared, runs).await;
        return made
            .panic
            .map_or(made.outcomes, |panic| resume_unwind(panic));
    }
    let (told, outcomes) = channel();
    let job = Job { runs, told };
    let own = Arc::clone(shared);
    let task = shared.spawn(async move {
        let Job { mut runs, told } = job;
        let mut outcomes = Vec::with_capacity(count);
        while !runs.is_empty() {
            let rest = runs.split_off(runs.len().min(own.batch.chunk));
            let made = carry_out(&own, runs).await;
            outcomes.extend(made.outcomes);
            runs = rest;
            if made.deaf {
                // An L2 that answered about none of them is not asked about the rest: abandoned,
                // they are unconfirmed as well, and their removals are repeated.
                runs.clear();
            }
        }
        outcomes.resize(count, None);
        let _ = told.send(outcomes);
    });
    let in_place = match task {
        Ok(()) => Either::Left(core::future::ready(())),
        Err(task) => Either::Right(task),
    };
    in_place.await;
    outcomes.await.unwrap_or_else(|_| vec![None; count])
}

/// Changes and who waits for them. Dropped, it first abandons the changes and then says so.
struct Job<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    runs: Vec<Run<K, V>>,
    told: Sender<Vec<Option<Outcome>>>,
}

struct Made {
    outcomes: Vec<Option<Outcome>>,
    /// Whether L2 was asked and answered nothing.
    deaf: bool,
    /// What the first of those that were abandoned panicked with.
    panic: Option<Box<dyn Any + Send>>,
}

/// A change, and its place among the others.
type At<K, V> = (usize, Run<K, V>);
type Claiming<K, V> = (At<K, V>, Token, Duration, Option<Condition>);

async fn carry_out<K, V>(shared: &Shared<K, V>, runs: Vec<Run<K, V>>) -> Made
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let mut made = Made {
        outcomes: vec![None; runs.len()],
        deaf: false,
        panic: None,
    };
    let begin = |(at, run)| (at, run, ChangeReply::Begin);
    let mut going: Vec<_> = runs.into_iter().enumerate().map(begin).collect();
    while !going.is_empty() {
        let (mut removes, mut claims, mut fills) = (Vec::new(), Vec::new(), Vec::new());
        for (at, mut run, reply) in going.drain(..) {
            match catch_unwind(AssertUnwindSafe(|| run.go_on(reply))) {
                Ok(Wish::Remove) => removes.push((at, run)),
                Ok(Wish::Claim {
                    token,
                    life,
                    condition,
                    told: _,
                }) => claims.push(((at, run), token, life, condition)),
                Ok(Wish::Fill { token, times }) => fills.push(((at, run), token, times)),
                // Only a write-through wishes that, and it is carried out by itself.
                Ok(Wish::Write | Wish::Settle { .. }) => {}
                Ok(Wish::Over(outcome)) => made.outcomes[at] = Some(outcome),
                Err(panic) => made.panic = made.panic.or(Some(panic)),
            }
        }
        let (removed, claimed, filled) = join3(
            remove(shared, &removes),
            claim(shared, &claims),
            fill(shared, &mut fills),
        )
        .await;
        let sent = removed.len() + claimed.len() + filled.len();
        let lost = lost(&removed) + lost(&claimed) + lost(&filled);
        made.deaf = sent > 0 && lost == sent || sent == 0 && made.deaf;
        let removed = removed.into_iter().map(ChangeReply::Removed);
        let claimed = claimed.into_iter().map(ChangeReply::Claimed);
        let filled = filled.into_iter().map(ChangeReply::Filled);
        let claims = claims.into_iter().map(|(run, ..)| run);
        let fills = fills.into_iter().map(|(run, ..)| run);
        let replied = (removes.into_iter().zip(removed))
            .chain(claims.zip(claimed))
            .chain(fills.zip(filled));
        going.extend(replied.map(|((at, run), reply)| (at, run, reply)));
    }
    made
}

async fn remove<K, V>(shared: &Shared<K, V>, removes: &[At<K, V>]) -> Outcomes<()>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let Some(link) = asked(shared, removes) else {
        return failed(removes.len(), &no_l2());
    };
    let keys: Vec<&str> = removes.iter().map(text).collect();
    link.remove(&*shared.runtime, &keys, Word::Told).await
}

async fn claim<K, V>(shared: &Shared<K, V>, claims: &[Claiming<K, V>]) -> Outcomes<bool>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let Some(link) = asked(shared, claims) else {
        return failed(claims.len(), &no_l2());
    };
    let claims: Vec<_> = claims
        .iter()
        .map(|(run, token, life, condition)| Claim {
            key: text(run),
            token: *token,
            life: *life,
            condition: *condition,
        })
        .collect();
    link.claim(&*shared.runtime, &claims, Word::Told).await
}

async fn fill<K, V>(
    shared: &Shared<K, V>,
    fills: &mut [(At<K, V>, Token, Times)],
) -> Outcomes<Filled>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let Some(link) = asked(shared, fills) else {
        return failed(fills.len(), &no_l2());
    };
    for ((_, run), _, times) in &mut *fills {
        link.format.seal(&mut run.bytes, times.life);
    }
    let fills: Vec<_> = fills
        .iter()
        .map(|(run, token, times)| Fill {
            key: text(run),
            token: *token,
            // The claim has emptied the key.
            value: times.stored(&run.1.bytes, None),
        })
        .collect();
    link.fill(&*shared.runtime, &fills, Word::Told).await
}

fn lost<T>(outcomes: &Outcomes<T>) -> usize {
    outcomes.iter().filter(|outcome| outcome.is_err()).count()
}

/// The L2 to ask, if there is anything to ask it.
fn asked<'a, K, V, T>(shared: &'a Shared<K, V>, wishes: &[T]) -> Option<&'a Link<K, V>> {
    shared.link.as_ref().filter(|_| !wishes.is_empty())
}

fn text<K, V>((_, run): &At<K, V>) -> &str
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    run.text.as_deref().unwrap_or_default()
}

fn no_l2() -> Fault {
    Fault::Refused("there is no L2".into())
}
