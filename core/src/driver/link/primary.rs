//! Which primary of L2 answers. One that has just taken over is not believed before the cache has taken
//! up what it may lack (PROTOCOL.md, F1).

use std::sync::{Arc, Mutex, MutexGuard};

use portable_atomic::{AtomicU64, Ordering};

use crate::driver::link::outcomes::Outcomes;
use crate::driver::world::erased::{AnyRemote, AnyRuntime};
use crate::machine::error::Fault;
use crate::machine::time::Timestamp;

pub(crate) struct Primary {
    remote: Arc<dyn AnyRemote>,
    runtime: Arc<dyn AnyRuntime>,
    /// The one that the cache has taken up, by the number of those before it.
    known: AtomicU64,
    /// When it answered last, in nanoseconds.
    answered: AtomicU64,
    /// Held while another one is taken up.
    change: Mutex<()>,
}

impl Primary {
    /// The primary of a store that can tell.
    pub(crate) fn of(remote: &Arc<dyn AnyRemote>, runtime: &Arc<dyn AnyRuntime>) -> Option<Self> {
        Some(Self {
            known: remote.failovers()?.into(),
            remote: Arc::clone(remote),
            runtime: Arc::clone(runtime),
            answered: runtime.now().as_nanos().into(),
            change: Mutex::default(),
        })
    }

    /// The one that the cache has taken up.
    pub(crate) fn known(&self) -> u64 {
        self.known.load(Ordering::Acquire)
    }

    /// Whether it answers still.
    pub(crate) fn is(&self, known: u64) -> bool {
        self.remote.failovers() == Some(known)
    }

    /// Whether another one answers.
    pub(crate) fn is_new(&self) -> bool {
        !self.is(self.known())
    }

    /// When it answered last.
    pub(crate) fn answered(&self) -> Timestamp {
        Timestamp::from_nanos(self.answered.load(Ordering::Relaxed))
    }

    /// The outcomes of what was sent while this one was known, as far as they are its own.
    pub(crate) fn outcomes<T>(&self, known: u64, outcomes: Outcomes<T>) -> Outcomes<T> {
        if !self.is(known) {
            let refused = |outcome: Result<T, Fault>| outcome.and_then(|_| Err(taken_over()));
            return outcomes.into_iter().map(refused).collect();
        }
        if outcomes.iter().any(Result::is_ok) {
            let now = self.runtime.now().as_nanos();
            self.answered.fetch_max(now, Ordering::Relaxed);
        }
        outcomes
    }

    /// The one that is to be taken up, if there is one and nobody else does so.
    pub(crate) fn begin(&self) -> Option<Change<'_>> {
        let guard = self.change.try_lock().ok()?;
        let to = self.remote.failovers()?;
        let change = Change {
            primary: self,
            to,
            _guard: guard,
        };
        (to != self.known()).then_some(change)
    }
}

/// Another primary is about to be taken up.
pub(crate) struct Change<'a> {
    primary: &'a Primary,
    to: u64,
    _guard: MutexGuard<'a, ()>,
}

impl Change<'_> {
    /// From now on it is believed.
    pub(crate) fn done(self) {
        self.primary.known.store(self.to, Ordering::Release);
    }
}

/// Why an answer does not count.
fn taken_over() -> Fault {
    Fault::Unreachable("another primary has taken over, which may lack the last changes".into())
}

/// Why nothing is sent.
pub(crate) fn not_taken_up() -> Fault {
    Fault::NotAsked("another primary has taken over, and the last changes are made again".into())
}
