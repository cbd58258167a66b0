//! The statistics table in the log, as often as was asked for.

use core::hash::Hash;
use core::pin::pin;
use core::time::Duration;
use std::sync::{Arc, Weak};

use futures_util::future::{Either, select};
use portable_atomic::Ordering;

use crate::driver::shared::Shared;
use crate::machine::stats::Stats;

/// Starts the task that logs the table, if one was asked for and none runs.
pub(super) fn ensure_report<K, V>(shared: &Arc<Shared<K, V>>)
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    let Some(period) = shared.report_every else {
        return;
    };
    if shared.is_closed() || shared.reporting.swap(true, Ordering::SeqCst) {
        return;
    }
    let working = Working(Arc::downgrade(shared));
    let _ = shared.spawn(report(working, period));
}

async fn report<K, V>(working: Working<K, V>, period: Duration)
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    let mut before = Stats::default();
    while let Some(shared) = working.0.upgrade() {
        let life = Arc::clone(&shared.life);
        let stop = life.stop.listen();
        if shared.is_closed() {
            return;
        }
        let sleep = shared.runtime.sleep(period);
        drop(shared);
        if let Either::Right(_) = select(sleep, pin!(stop)).await {
            continue;
        }
        let Some(shared) = working.0.upgrade() else {
            return;
        };
        let now = shared.stats();
        let table = now.since(&before).table(&shared.name, period);
        tracing::info!(target: "jetcache", "statistics of the last {period:?}\n{table}");
        before = now;
    }
}

/// Marks that the task runs.
struct Working<K, V>(Weak<Shared<K, V>>);

impl<K, V> Drop for Working<K, V> {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.reporting.store(false, Ordering::SeqCst);
        }
    }
}
