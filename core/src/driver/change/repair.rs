//! Repeats removals until L2 acknowledges one (PROTOCOL.md, C5).

use core::iter::zip;
use core::pin::pin;
use core::time::Duration;
use std::sync::{Arc, Weak};

use futures_util::future::{Either, join, select};
use portable_atomic::Ordering;

use crate::driver::generations::raise::{next_raise, raise_again};
use crate::driver::shared::Shared;
use crate::driver::task::chore::Shift;
use crate::driver::world::bounds::{CacheKey, CacheValue};
use crate::driver::world::timeout::TICK;
use crate::machine::shard::repairs::{Cure, Repair};
use crate::machine::tier::verb::Announce;
use crate::machine::time::Timestamp;

/// Starts the task that repeats removals, if one is due and none runs.
pub(crate) fn ensure_repairs<K: CacheKey, V: CacheValue>(shared: &Arc<Shared<K, V>>) {
    if !shared.repairs.needed.load(Ordering::SeqCst) || shared.life.is_closed() {
        return;
    }
    shared.repairs.chore.ensure(shared.runtime.now(), |shift| {
        let _ = shared.spawn(repeat(Arc::downgrade(shared), shift));
    });
}

async fn repeat<K: CacheKey, V: CacheValue>(cache: Weak<Shared<K, V>>, mut shift: Shift) {
    while let Some(shared) = cache.upgrade() {
        let life = Arc::clone(&shared.life);
        let stopped = life.stopped();
        let back = shared.repairs.back.listen();
        let now = shared.runtime.now();
        if life.is_closed() || !shift.goes_on(now, Duration::ZERO) {
            return;
        }
        let gate = shared.link.as_ref().and_then(|link| link.gate.as_ref());
        // Then every key has its turn when L2 is back.
        let away = gate.is_some_and(|gate| gate.is_away());
        if !away && (raise_again(&shared, now).await | !repair(&shared, now).await.is_empty()) {
            continue;
        }
        let Some(next) = next_turn(&shared) else {
            shared.repairs.needed.store(false, Ordering::SeqCst);
            drop(shift);
            // A key may have come into doubt since, and have found this task still there.
            if next_turn(&shared).is_some() {
                shared.repairs.needed.store(true, Ordering::SeqCst);
                ensure_repairs(&shared);
            }
            return;
        };
        let nap = if away {
            LONGEST_NAP
        } else {
            next.since(now).max(TICK)
        };
        if !shift.goes_on(shared.runtime.now(), nap) {
            return;
        }
        let sleep = shared.runtime.sleep(nap);
        drop(shared);
        let rests = pin!(select(sleep, stopped));
        if let Either::Right(((), _)) = select(rests, back).await
            && let Some(shared) = cache.upgrade()
        {
            // L2 is back: every key has its turn now, the one that waited longest first.
            raise_again(&shared, Timestamp::MAX).await;
            while repair(&shared, Timestamp::MAX).await.contains(&true) {}
        }
    }
}

/// Sends the removals whose turn has come by then, and reports whether L2 acknowledged each.
pub(crate) async fn repair<K: CacheKey, V: CacheValue>(
    shared: &Arc<Shared<K, V>>,
    by: Timestamp,
) -> Vec<bool> {
    let Some(link) = &shared.link else {
        return Vec::new();
    };
    let mut batch = Batch::take(shared, by);
    // A user's key may write another text than when it was admitted. One that L2 cannot hold is not
    // sent, and stays in doubt.
    let texts: Vec<Option<Arc<str>>> = (batch.keys())
        .map(|repair| link.texts.of(repair.key()).ok().flatten())
        .collect();
    let cures: Vec<Cure> = batch.keys().map(Repair::cure).collect();
    let those = |cure| {
        let all = zip(&cures, &texts).filter(move |(of, _)| **of == cure);
        all.filter_map(|(_, text)| text.as_deref())
    };
    let told = those(Cure::Remove).map(|key| (Announce::Yes, key));
    let kept = those(Cure::Clear).map(|key| (Announce::No, key));
    let removes: Vec<_> = told.chain(kept).collect();
    let unloads: Vec<_> = those(Cure::Unload).collect();
    let (mut removed, unloaded) = join(link.remove(&removes), link.unload(&unloads)).await;
    let cleared = removed.split_off(those(Cure::Remove).count().min(removed.len()));
    let (mut removed, mut cleared) = (removed.into_iter(), cleared.into_iter());
    let mut unloaded = unloaded.into_iter();
    let outcomes = zip(&cures, &texts).map(|(cure, text)| {
        let outcome = text.as_ref().and_then(|_| match cure {
            Cure::Remove => removed.next(),
            Cure::Clear => cleared.next(),
            Cure::Unload => unloaded.next(),
        });
        let acknowledged = matches!(outcome, Some(Ok(())));
        batch.report(acknowledged);
        acknowledged
    });
    outcomes.collect()
}

fn next_turn<K: CacheKey, V: CacheValue>(shared: &Shared<K, V>) -> Option<Timestamp> {
    let repairs = shared.tables.each().filter_map(|table| table.next_repair());
    repairs.chain(next_raise(shared)).min()
}

/// Removals under way. Those not reported, because the task is gone, count as unacknowledged.
struct Batch<'a, K: CacheKey, V: CacheValue> {
    shared: &'a Shared<K, V>,
    /// The last one first, so that `report` can pop.
    open: Vec<(usize, Repair<Arc<K>>)>,
}

impl<'a, K: CacheKey, V: CacheValue> Batch<'a, K, V> {
    fn take(shared: &'a Shared<K, V>, by: Timestamp) -> Self {
        let mut open = Vec::new();
        // Each batch begins elsewhere, so that no shard's removals starve behind another's.
        let shards = shared.tables.len();
        let first = shared.repairs.first.fetch_add(1, Ordering::SeqCst);
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

    /// In the order in which they are reported.
    fn keys(&self) -> impl Iterator<Item = &Repair<Arc<K>>> {
        self.open.iter().rev().map(|(_, repair)| repair)
    }

    /// Reports the outcome of the next one.
    fn report(&mut self, acknowledged: bool) {
        if let Some((shard, repair)) = self.open.pop() {
            self.shared.ask(shard, |table, context, effects| {
                table.repaired(repair, acknowledged, context, effects);
            });
        }
    }
}

impl<K: CacheKey, V: CacheValue> Drop for Batch<'_, K, V> {
    fn drop(&mut self) {
        while !self.open.is_empty() {
            self.report(false);
        }
    }
}

/// How long the task sleeps at most while L2 is away: it is woken when that is back.
const LONGEST_NAP: Duration = Duration::from_secs(1);
/// How many removals go in one round trip.
const MOST_AT_ONCE: usize = 256;
