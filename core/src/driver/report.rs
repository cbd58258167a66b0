//! What a task of the cache shows as often as was asked for: the statistics table in the log, and
//! the figures to observers that want them.

use core::pin::pin;
use core::time::Duration;
use std::sync::{Arc, PoisonError, Weak};

use futures_util::future::{Either, select};

use crate::driver::shared::Shared;
use crate::driver::shared::reports::{Report, To};
use crate::driver::task::chore::Shift;
use crate::driver::world::bounds::{CacheKey, CacheValue};
use crate::driver::world::caught::caught;

/// Starts the tasks that show what was asked for, where none runs.
pub(super) fn ensure_reports<K: CacheKey, V: CacheValue>(shared: &Arc<Shared<K, V>>) {
    if shared.life.is_closed() {
        return;
    }
    for (at, report) in shared.reports.iter().enumerate() {
        report.chore.ensure(shared.runtime.now(), |shift| {
            let reporting = go_on(Arc::downgrade(shared), at, report.every, shift);
            let _ = shared.spawn(reporting);
        });
    }
}

async fn go_on<K: CacheKey, V: CacheValue>(
    cache: Weak<Shared<K, V>>,
    at: usize,
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
        // A task that stood still with its runtime, and was replaced, shows nothing more.
        if !shift.goes_on(shared.runtime.now(), Duration::ZERO) {
            return;
        }
        if let Some(report) = shared.reports.get(at) {
            show(&shared, report);
        }
    }
}

/// Shows observers the figures of a cache that has closed, for the last time perhaps.
pub(super) fn show_last<K: CacheKey, V: CacheValue>(shared: &Shared<K, V>) {
    for report in &shared.reports {
        if let To::Observer(_) = report.to {
            show(shared, report);
        }
    }
}

/// The last handle of a cache is gone.
pub(super) fn show_end<K: CacheKey, V: CacheValue>(shared: &Shared<K, V>) {
    show_last(shared);
    for report in &shared.reports {
        if let To::Observer(observer) = &report.to {
            shared.journal.show_end(observer);
        }
    }
}

/// Shows what there is to show.
fn show<K: CacheKey, V: CacheValue>(shared: &Shared<K, V>, report: &Report) {
    match &report.to {
        To::Log(before) => {
            let now = shared.stats();
            let mut before = before.lock().unwrap_or_else(PoisonError::into_inner);
            let counted = now.since(&before);
            *before = now;
            drop(before);
            if !counted.is_zero() {
                shared.journal.log_table(&counted, report.every);
            }
        }
        // The engine is asked for its length, perhaps where a handle is dropped: it may panic.
        To::Observer(observer) => match caught(|| shared.snapshot()) {
            Ok(snapshot) => shared.journal.show_figures(observer, &snapshot),
            Err(_) => shared.journal.note_panic_of_local(),
        },
    }
}
