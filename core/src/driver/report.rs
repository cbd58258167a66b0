//! What a task of the cache shows as often as was asked for: the statistics table in the log, and
//! the figures to observers that want them.

use core::pin::pin;
use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures_util::future::{Either, select};

use crate::driver::shared::Shared;
use crate::driver::task::chore::{Chore, Shift};
use crate::driver::world::bounds::{CacheKey, CacheValue};
use crate::machine::error::Error;
use crate::machine::stats::Stats;
use crate::ports::observer::Observer;

/// Something that is shown every so often.
pub(super) struct Report {
    every: Duration,
    /// The task that shows it.
    chore: Chore,
    to: To,
}

/// Who is shown what.
enum To {
    /// The log: a table. What the last one counted up to, by whichever task.
    Log(Box<Mutex<Stats>>),
    /// An observer: all figures.
    Observer(Arc<dyn Observer>),
}

impl Report {
    /// All that are wanted.
    ///
    /// # Errors
    /// [`Error::Config`] for a period of zero.
    pub(super) fn of(
        observers: &[Arc<dyn Observer>],
        table_every: Option<Duration>,
    ) -> Result<Vec<Self>, Error> {
        let table = table_every.map(|every| (every, To::Log(Box::default())));
        let observers = observers.iter().filter_map(|observer| {
            let every = observer.every()?;
            Some((every, To::Observer(Arc::clone(observer))))
        });
        let wanted = table.into_iter().chain(observers);
        let reports = wanted.map(|(every, to)| match (every.is_zero(), &to) {
            (true, To::Log(_)) => Err(Error::config(
                "stats_every is zero: give it a period, or leave it out",
            )),
            (true, To::Observer(_)) => Err(Error::config(
                "an observer wants its figures every 0 s: give it a period, or None",
            )),
            (false, _) => Ok(Self {
                every,
                chore: Chore::new(Duration::ZERO),
                to,
            }),
        });
        reports.collect()
    }
}

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
        match shared.reports.get(at).map(|report| &report.to) {
            Some(To::Log(before)) => {
                let now = shared.stats();
                let mut before = before.lock().unwrap_or_else(PoisonError::into_inner);
                let counted = now.since(&before);
                *before = now;
                drop(before);
                if !counted.is_zero() {
                    shared.journal.log_table(&counted, every);
                }
            }
            Some(To::Observer(observer)) => {
                shared.journal.show_figures(observer, &shared.snapshot());
            }
            None => return,
        }
    }
}
