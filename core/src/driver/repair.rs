//! Repeats removals until L2 acknowledges one (PROTOCOL.md, C5).

use core::hash::Hash;
use core::pin::pin;
use std::sync::{Arc, Weak};

use futures_util::future::select;
use portable_atomic::Ordering;

use super::shared::Shared;
use crate::machine::repair::Repair;
use crate::machine::time::Timestamp;

/// Starts the task that repeats removals, if one is due and none runs. Every call that goes to L2
/// calls this first, so that a task which died with its runtime is replaced.
pub(super) fn ensure_repairs<K, V>(shared: &Arc<Shared<K, V>>)
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    if !shared.doubtful.load(Ordering::SeqCst)
        || shared.is_closed()
        || shared.repairing.swap(true, Ordering::SeqCst)
    {
        return;
    }
    let working = Working(Arc::downgrade(shared));
    // Without a runtime the next call tries again.
    let _ = shared.spawn(repeat(working));
}

async fn repeat<K, V>(working: Working<K, V>)
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    while let Some(shared) = working.0.upgrade() {
        let life = Arc::clone(&shared.life);
        let stop = life.stop.listen();
        if shared.is_closed() {
            return;
        }
        if repair(&shared, shared.runtime.now()).await > 0 {
            continue;
        }
        let Some(next) = next_repair(&shared) else {
            shared.doubtful.store(false, Ordering::SeqCst);
            // A key may have come into doubt since it was looked for.
            if next_repair(&shared).is_some() {
                shared.doubtful.store(true, Ordering::SeqCst);
                continue;
            }
            return;
        };
        let sleep = shared
            .runtime
            .sleep(next.since(shared.runtime.now()).max(TICK));
        drop(shared);
        select(sleep, pin!(stop)).await;
    }
}

/// Sends the removals that are due at `now`, and reports their outcomes. How many there were.
pub(super) async fn repair<K, V>(shared: &Arc<Shared<K, V>>, now: Timestamp) -> usize
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    let Some(link) = &shared.link else {
        return 0;
    };
    let mut batch = Batch::take(shared, now);
    let texts: Vec<Arc<str>> = batch.texts(|key| link.text(key).unwrap_or_default());
    let keys: Vec<&str> = texts.iter().map(|text| &**text).collect();
    if keys.is_empty() {
        return 0;
    }
    let outcomes = link.remove_many(&*shared.runtime, &keys).await;
    for outcome in outcomes {
        batch.report(outcome.is_ok());
    }
    keys.len()
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
    fn take(shared: &'a Shared<K, V>, now: Timestamp) -> Self {
        let mut open = Vec::new();
        for shard in 0..shared.shards.len() {
            let room = MOST_AT_ONCE - open.len();
            let due = shared.ask(shard, |table, _, _| table.repairs(now, room));
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

/// Marks that the task runs.
struct Working<K, V>(Weak<Shared<K, V>>);

impl<K, V> Drop for Working<K, V> {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.repairing.store(false, Ordering::SeqCst);
        }
    }
}

/// How many removals go in one round trip.
const MOST_AT_ONCE: usize = 256;
/// What a timer is set to at least: the clock is coarse.
const TICK: core::time::Duration = core::time::Duration::from_millis(1);
