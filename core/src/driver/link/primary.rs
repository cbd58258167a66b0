//! Which primary of L2 answers. One that has just taken over is not believed before the cache has taken
//! up what it may lack (PROTOCOL.md, F1).

use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portable_atomic::{AtomicU64, Ordering};

use crate::driver::link::outcomes::Outcomes;
use crate::driver::world::erased::{AnyRemote, AnyRuntime};
use crate::machine::time::Timestamp;

pub(crate) struct Primary {
    remote: Arc<dyn AnyRemote>,
    runtime: Arc<dyn AnyRuntime>,
    /// The one that the cache has taken up, by the number of those before it.
    known: AtomicU64,
    /// When what it answered last was sent, in nanoseconds.
    answered: AtomicU64,
    /// The same for each server of a store of several, of which one may be silent while the others
    /// answer.
    servers: Mutex<HashMap<u64, Server>>,
    /// Held while another one is taken up.
    change: Mutex<()>,
}

/// One server of several.
#[derive(Clone, Copy)]
struct Server {
    /// When what it answered last was sent.
    answered: Timestamp,
    /// When it was asked last.
    asked: Timestamp,
}

impl Primary {
    /// The primary of a store that can tell.
    pub(crate) fn of(remote: &Arc<dyn AnyRemote>, runtime: &Arc<dyn AnyRuntime>) -> Option<Self> {
        Some(Self {
            known: remote.failovers()?.into(),
            remote: Arc::clone(remote),
            runtime: Arc::clone(runtime),
            answered: runtime.now().as_nanos().into(),
            servers: Mutex::default(),
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

    pub(crate) fn now(&self) -> Timestamp {
        // A few milliseconds too early is early enough.
        self.runtime.coarse()
    }

    /// When what it answered last was sent. Of several servers the one counts that has not answered for
    /// longest: what it was told last its successor may not know.
    pub(crate) fn answered(&self) -> Timestamp {
        Timestamp::from_nanos(self.answered.load(Ordering::Relaxed))
    }

    /// What was sent then for these keys has these outcomes.
    pub(crate) fn note<'k, T>(
        &self,
        keys: impl Iterator<Item = &'k str>,
        outcomes: &Outcomes<T>,
        sent: Timestamp,
    ) {
        let mut any = None;
        for (key, outcome) in keys.zip(outcomes) {
            let Some(server) = self.remote.server_of(key) else {
                any = Some(any.unwrap_or(false) || outcome.is_ok());
                continue;
            };
            let mut servers = self.servers();
            let fresh = Server {
                answered: sent,
                asked: sent,
            };
            let server = servers.entry(server).or_insert(fresh);
            server.asked = server.asked.max(sent);
            if outcome.is_ok() {
                server.answered = server.answered.max(sent);
            }
        }
        let answered = match any {
            Some(false) => return,
            Some(true) => sent,
            None => {
                let mut servers = self.servers();
                servers.retain(|_, server| sent.since(server.asked) < GONE);
                let answered = servers.values().map(|server| server.answered);
                answered.min().unwrap_or(sent)
            }
        };
        // The clock is coarse, so most answers are of a time that is known, and write nothing.
        if self.answered() < answered {
            self.answered
                .fetch_max(answered.as_nanos(), Ordering::Relaxed);
        }
    }

    fn servers(&self) -> MutexGuard<'_, HashMap<u64, Server>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that is to be taken up, if there is one. Whoever comes meanwhile waits.
    pub(crate) fn begin(&self) -> Option<Change<'_>> {
        if !self.is_new() {
            return None;
        }
        // After a panic, of a key of the user's: once more.
        let guard = self.change.lock().unwrap_or_else(PoisonError::into_inner);
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
        // Servers that are gone are not waited for.
        self.primary.servers().clear();
        self.primary.known.store(self.to, Ordering::Release);
    }
}

/// A server that nobody has asked for so long is no server of the store any more.
const GONE: Duration = Duration::from_secs(600);
