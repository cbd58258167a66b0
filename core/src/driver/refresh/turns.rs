//! The task that waits for the next turn of a key that is kept fresh, and begins its refresh.

use core::pin::pin;
use core::time::Duration;
use std::sync::{Arc, Weak};

use futures_util::future::select;

use crate::driver::refresh::run::Run;
use crate::driver::shared::Shared;
use crate::driver::task::chore::Shift;
use crate::driver::world::bounds::{CacheKey, CacheValue};
use crate::driver::world::timeout::TICK;

/// Starts the task if there is a key to keep fresh and none runs.
pub(crate) fn ensure_turns<K: CacheKey, V: CacheValue>(shared: &Arc<Shared<K, V>>) {
    let Some(keys) = &shared.fresh_keys else {
        return;
    };
    if keys.len() > 0 && !shared.life.is_closed() {
        keys.chore.ensure(shared.runtime.now(), |shift| {
            let _ = shared.spawn(take_turns(Arc::downgrade(shared), shift));
        });
    }
}

async fn take_turns<K: CacheKey, V: CacheValue>(cache: Weak<Shared<K, V>>, mut shift: Shift) {
    while let Some(shared) = cache.upgrade() {
        let Some(keys) = &shared.fresh_keys else {
            return;
        };
        let life = Arc::clone(&shared.life);
        let (stopped, sooner) = (life.stopped(), keys.sooner.listen());
        let now = shared.runtime.now();
        if life.is_closed() || !shift.goes_on(now, Duration::ZERO) {
            return;
        }
        let due = keys.due(now, &shared.rules.now().policy).into_iter();
        let runs: Vec<_> = due.map(|due| Run::new(&shared, due)).collect();
        for run in runs {
            if shared.spawn(run.play()).is_err() {
                // There is no runtime any more. Those that are dropped have failed.
                return;
            }
        }
        let Some(next) = keys.next() else {
            drop(shift);
            // A key may have come since, and its caller may have found this task still there.
            ensure_turns(&shared);
            return;
        };
        let nap = next.since(now).max(TICK);
        if !shift.goes_on(now, nap) {
            return;
        }
        let sleep = shared.runtime.sleep(nap);
        drop(shared);
        select(sleep, pin!(select(pin!(stopped), pin!(sooner)))).await;
    }
}
