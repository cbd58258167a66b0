//! The statistics table in the log, as often as was asked for.

use core::pin::pin;
use core::time::Duration;
use std::sync::{Arc, PoisonError, Weak};

use futures_util::future::{Either, select};

use crate::driver::shared::Shared;
use crate::driver::task::chore::Shift;
use crate::driver::world::bounds::{CacheKey, CacheValue};

/// Starts the task that logs the table, if one was asked for and none runs.
pub(super) fn ensure_report<K: CacheKey, V: CacheValue>(shared: &Arc<Shared<K, V>>) {
    let Some(report) = &shared.report else {
        return;
    };
    if !shared.life.is_closed() {
        report.chore.ensure(shared.runtime.now(), |shift| {
            let reporting = log(Arc::downgrade(shared), report.every, shift);
            let _ = shared.spawn(reporting);
        });
    }
}

async fn log<K: CacheKey, V: CacheValue>(
    cache: Weak<Shared<K, V>>,
    every: Duration,
    mut shift: Shift,
) {
    while let Some(shared) = cache.upgrade() {
        let life = Arc::clone(&shared.life);
        let stopped = life.stopped();
        if life.is_closed() || !shift.goes_on(shared.runtime.now(), every) {
            return;
        }
        let sleep = shared.runtime.sleep(every);
        drop(shared);
        if let Either::Right(_) = select(sleep, pin!(stopped)).await {
            continue;
        }
        let Some(shared) = cache.upgrade() else {
            return;
        };
        // A task that stood still with its runtime, and was replaced, logs nothing more.
        if !shift.goes_on(shared.runtime.now(), Duration::ZERO) {
            return;
        }
        let Some(report) = &shared.report else {
            return;
        };
        let now = shared.stats();
        let mut before = report.before.lock().unwrap_or_else(PoisonError::into_inner);
        let table = now.since(&before).table(&shared.journal.name, every);
        *before = now;
        drop(before);
        tracing::info!(target: "jetcache", "statistics of the last {every:?}\n{table}");
    }
}
