//! Repeats removals until L2 acknowledges one (PROTOCOL.md, C5).

use core::hash::Hash;
use core::pin::pin;
use core::time::Duration;
use std::sync::{Arc, Weak};

use futures_util::future::{join, select};
use portable_atomic::Ordering;

use crate::driver::link::{Link, Outcomes, Word};
use crate::driver::shared::Shared;
use crate::driver::task::pulse::Beat;
use crate::machine::shard::repairs::Repair;
use crate::machine::time::Timestamp;

/// Starts the task that repeats removals, if one is due and none runs. Every call that goes to L2
/// calls this first, so that a task which died with its runtime, or stands still with it, is
/// replaced.
pub(crate) fn ensure_repairs<K, V>(shared: &Arc<Shared<K, V>>)
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    if !shared.doubtful.load(Ordering::SeqCst) || shared.is_closed() {
        return;
    }
    let now = shared.runtime.now();
    if let Some(beat) = shared
        .repairing
        .take(now, until(shared, now, Duration::ZERO))
    {
        // Without a runtime the next call tries again.
        let _ = shared.spawn(repeat(Arc::downgrade(shared), beat));
    }
}

/// Until when a task that sleeps for `nap` and then sends one batch may be silent.
fn until<K, V>(shared: &Shared<K, V>, now: Timestamp, nap: Duration) -> Timestamp {
    now + nap
        .saturating_add(shared.policy.remote_timeout)
        .saturating_add(GRACE)
}

async fn repeat<K, V>(cache: Weak<Shared<K, V>>, mut beat: Beat)
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    while let Some(shared) = cache.upgrade() {
        let life = Arc::clone(&shared.life);
        let stop = life.stop.listen();
        let now = shared.runtime.now();
        if shared.is_closed() || !beat.again(until(&shared, now, Duration::ZERO)) {
            return;
        }
        if repair(&shared, now).await.sent > 0 {
            continue;
        }
        let Some(next) = next_repair(&shared) else {
            shared.doubtful.store(false, Ordering::SeqCst);
            drop(beat);
            // A key may have come into doubt since it was looked for, and its change may have found
            // this task still there.
            if next_repair(&shared).is_some() {
                shared.doubtful.store(true, Ordering::SeqCst);
                ensure_repairs(&shared);
            }
            return;
        };
        let nap = next.since(now).max(TICK);
        if !beat.again(until(&shared, shared.runtime.now(), nap)) {
            return;
        }
        let sleep = shared.runtime.sleep(nap);
        drop(shared);
        select(sleep, pin!(stop)).await;
    }
}

/// What became of a batch of removals.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Repaired {
    pub(crate) sent: usize,
    pub(crate) acknowledged: usize,
}

/// Sends the removals whose turn has come by then, and reports their outcomes.
pub(crate) async fn repair<K, V>(shared: &Arc<Shared<K, V>>, by: Timestamp) -> Repaired
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    let Some(link) = &shared.link else {
        return Repaired::default();
    };
    let mut batch = Batch::take(shared, by);
    let texts: Vec<Arc<str>> = batch.texts(|key| link.text(key).unwrap_or_default());
    let words = batch.words();
    let mut repaired = Repaired::default();
    if texts.is_empty() {
        return repaired;
    }
    let of = |word: Word| {
        let keys = texts.iter().zip(&words).filter(move |(_, of)| **of == word);
        keys.map(|(text, _)| &**text).collect::<Vec<&str>>()
    };
    let (told, kept) = (of(Word::Told), of(Word::Kept));
    let (told, kept) = join(
        remove(shared, link, &told, Word::Told),
        remove(shared, link, &kept, Word::Kept),
    )
    .await;
    let (mut told, mut kept) = (told.into_iter(), kept.into_iter());
    for word in words {
        let outcome = match word {
            Word::Told => told.next(),
            Word::Kept => kept.next(),
        };
        let acknowledged = matches!(outcome, Some(Ok(())));
        repaired.sent += 1;
        repaired.acknowledged += usize::from(acknowledged);
        batch.report(acknowledged);
    }
    repaired
}

async fn remove<K, V>(
    shared: &Shared<K, V>,
    link: &Link<K, V>,
    keys: &[&str],
    word: Word,
) -> Outcomes<()>
where
    V: 'static,
{
    if keys.is_empty() {
        return Vec::new();
    }
    link.remove(&*shared.runtime, keys, word).await
}

fn next_repair<K, V>(shared: &Shared<K, V>) -> Option<Timestamp>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    shared
        .shards
        .iter()
        .filter_map(|shard| shard.lock().next_repair())
        .min()
}

/// Removals under way. Those that are not reported, because the task is gone, were not
/// acknowledged.
struct Batch<'a, K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    shared: &'a Shared<K, V>,
    /// The last one first.
    open: Vec<(usize, Repair<Arc<K>>)>,
}

impl<'a, K, V> Batch<'a, K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn take(shared: &'a Shared<K, V>, by: Timestamp) -> Self {
        let mut open = Vec::new();
        // Each batch begins elsewhere, so that no shard's removals starve behind another's.
        let shards = shared.shards.len();
        let first = shared.next_repaired.fetch_add(1, Ordering::SeqCst);
        for shard in (0..shards).map(|shard| first.wrapping_add(shard) % shards) {
            let room = MOST_AT_ONCE - open.len();
            let due = shared.ask(shard, |table, context, _| {
                table.repairs(by, context.now, room)
            });
            open.extend(due.into_iter().map(|repair| (shard, repair)));
        }
        open.reverse();
        Self { shared, open }
    }

    fn texts(&self, text: impl Fn(&K) -> Arc<str>) -> Vec<Arc<str>> {
        self.open
            .iter()
            .rev()
            .map(|(_, repair)| text(repair.key()))
            .collect()
    }

    /// Whether the others are to hear of them, in the same order.
    fn words(&self) -> Vec<Word> {
        let word = |repair: &Repair<Arc<K>>| match repair.is_told() {
            true => Word::Told,
            false => Word::Kept,
        };
        let last_first = self.open.iter().rev();
        last_first.map(|(_, repair)| word(repair)).collect()
    }

    /// The outcome of the next one, in the order of [`texts`](Self::texts).
    fn report(&mut self, acknowledged: bool) {
        if let Some((shard, repair)) = self.open.pop() {
            self.shared.ask(shard, |table, context, effects| {
                table.repaired(repair, acknowledged, context, effects);
            });
        }
    }
}

impl<K, V> Drop for Batch<'_, K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn drop(&mut self) {
        while !self.open.is_empty() {
            self.report(false);
        }
    }
}

/// How many removals go in one round trip.
const MOST_AT_ONCE: usize = 256;
/// What a timer is set to at least: the clock is coarse.
const TICK: Duration = Duration::from_millis(1);
/// How long a task may be silent beyond what it waits for.
const GRACE: Duration = Duration::from_secs(1);
