//! What is shown as often as was asked for: the statistics table in the log, the figures to observers
//! that want them.

use core::time::Duration;
use std::sync::{Arc, Mutex};

use crate::driver::task::chore::Chore;
use crate::machine::error::Error;
use crate::machine::stats::Stats;
use crate::ports::observer::Observer;

/// Something that is shown every so often.
pub(crate) struct Report {
    pub(crate) every: Duration,
    /// The task that shows it.
    pub(crate) chore: Chore,
    pub(crate) to: To,
}

/// Who is shown what.
pub(crate) enum To {
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
    pub(crate) fn of(
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
