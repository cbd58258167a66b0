//! What stands between a cache and the servers of its L2: their circuit breakers.

use core::iter::zip;
use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use futures_util::future::join_all;

use crate::driver::link::guard::{Guard, Identity, Member, Probe};
use crate::driver::world::erased::{AnyRemote, AnyRuntime};
use crate::machine::error::Fault;
use crate::machine::policy::backoff::Backoff;
use crate::machine::policy::breaker::{Breaker, BreakerState};
use crate::machine::tier::wire::Wire;
use crate::machine::time::Timestamp;
#[cfg(feature = "serde")]
use crate::machine::time::{maybe_seconds, seconds};

/// The breakers of the servers on which a cache's keys are.
pub(crate) struct Gate {
    breaker: Breaker,
    /// The number of the store.
    server: Option<u64>,
    /// Of the store as a whole, or of a store that is one server.
    whole: Arc<Guard>,
    /// Of the servers of a store that has several, each with a key that was on it.
    servers: Mutex<Servers>,
    member: OnceLock<Weak<dyn Member>>,
    remote: Arc<dyn AnyRemote>,
    runtime: Arc<dyn AnyRuntime>,
    timeout: Duration,
    wire: Wire,
    prefix: String,
}

type Servers = HashMap<u64, (Arc<Guard>, Box<str>)>;

/// How L2 is, as far as this node knows without asking.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RemoteHealth {
    /// Whether it is asked. Of several servers the worst.
    pub state: BreakerState,
    /// How long it has been so.
    #[cfg_attr(feature = "serde", serde(serialize_with = "seconds"))]
    pub lasts: Duration,
    /// What failed last, since the cache was built.
    pub fault: Option<Fault>,
    /// How long ago that was.
    #[cfg_attr(feature = "serde", serde(serialize_with = "maybe_seconds"))]
    pub fault_ago: Option<Duration>,
    /// When it is asked again, if it is not asked now.
    #[cfg_attr(feature = "serde", serde(serialize_with = "maybe_seconds"))]
    pub probe_in: Option<Duration>,
    /// How many servers of the store this node has a breaker for.
    pub servers: usize,
    /// How many of them are not asked.
    pub open: usize,
    /// How many keys that changed lately are remembered, to be removed again from another primary
    /// that takes over: see [`failover_window`](crate::Builder::failover_window).
    pub remembered: usize,
}

/// A breaker that keeps the bus on its server from dialling.
#[derive(Debug)]
pub(crate) struct Bar {
    /// Why it is open.
    pub(crate) why: Fault,
    /// How long it does that at most.
    pub(crate) for_at_most: Duration,
}

/// Whether items are to be sent.
pub(crate) enum Sorted {
    All,
    None(Vec<Fault>),
    /// For each item, why it is not.
    Some(Vec<Option<Fault>>),
}

/// What a server made of some keys.
struct Call<'k> {
    server: Option<u64>,
    key: &'k str,
    /// Why it failed, if all of them did.
    failed: Option<&'k Fault>,
}

impl Gate {
    pub(crate) fn new(
        breaker: Breaker,
        remote: &Arc<dyn AnyRemote>,
        runtime: &Arc<dyn AnyRuntime>,
        timeout: Duration,
        wire: Wire,
        prefix: &str,
    ) -> Self {
        let handle = Arc::as_ptr(remote).cast::<()>().addr();
        let server = remote.server();
        let whole = server.map_or(Identity::Handle(handle), Identity::Server);
        Self {
            breaker,
            server,
            whole: Guard::of(whole, breaker, runtime),
            servers: Mutex::default(),
            member: OnceLock::new(),
            remote: Arc::clone(remote),
            runtime: Arc::clone(runtime),
            timeout,
            wire,
            prefix: prefix.to_owned(),
        }
    }

    /// The cache is there now, and hears when a breaker turns.
    pub(crate) fn join(&self, member: Weak<dyn Member>) {
        self.whole.join(Weak::clone(&member));
        // It is given once.
        let _ = self.member.set(member);
    }

    /// By the clock of the breakers.
    pub(crate) fn now(&self) -> Timestamp {
        self.whole.clock.now()
    }

    /// Which of these keys may be asked about.
    pub(crate) fn sort<'k>(&self, keys: impl ExactSizeIterator<Item = &'k str>) -> Sorted {
        let count = keys.len();
        let mut refusals = Vec::new();
        let mut refused = 0;
        for (at, key) in keys.enumerate() {
            let server = self.remote.server_of(key);
            let refusal = self.with_guard(server, key, |guard| {
                let refusal = guard.refusal();
                if refusal.is_some() {
                    guard.ensure_probes(|| self.probe(key));
                }
                refusal
            });
            if server.is_none() {
                // One server has all of them.
                return match refusal {
                    None => Sorted::All,
                    Some(fault) => Sorted::None(vec![fault; count]),
                };
            }
            if refusal.is_some() && refusals.is_empty() {
                refusals.resize(at, None);
            }
            if refusal.is_some() || !refusals.is_empty() {
                refused += usize::from(refusal.is_some());
                refusals.push(refusal);
            }
        }
        match refused {
            0 => Sorted::All,
            all if all == count => Sorted::None(refusals.into_iter().flatten().collect()),
            _ => Sorted::Some(refusals),
        }
    }

    /// What came of a call about these keys.
    pub(crate) fn note<'k, T: 'k>(
        &self,
        keys: impl Iterator<Item = &'k str>,
        outcomes: &'k [Result<T, Fault>],
        sent: Timestamp,
    ) {
        // Who stopped waiting has said so.
        let now = self.now();
        let late = now.since(sent) > self.timeout;
        let verdict = |outcome: &'k Result<T, Fault>| match outcome {
            Err(fault @ (Fault::Timeout | Fault::Unreachable(_))) => Some(Some(fault)),
            Err(Fault::NotAsked(_)) => None,
            // A refusal is an answer: the server may have what others ask for.
            Ok(_) | Err(_) => (!late).then_some(None),
        };
        let mut calls: Vec<Call<'k>> = Vec::new();
        let mut whole: Option<Call<'k>> = None;
        for (key, outcome) in zip(keys, outcomes) {
            let Some(failed) = verdict(outcome) else {
                continue;
            };
            let server = self.remote.server_of(key);
            let call = match server {
                None => whole.as_mut(),
                Some(_) => calls.iter_mut().find(|call| call.server == server),
            };
            let new = Call {
                server,
                key,
                failed,
            };
            match (call, server) {
                // One answer is enough.
                (Some(call), _) => call.failed = call.failed.and(failed),
                (None, None) => whole = Some(new),
                (None, Some(_)) => calls.push(new),
            }
        }
        for call in whole.into_iter().chain(calls) {
            self.with_guard(call.server, call.key, |guard| {
                if guard.called(sent, call.failed, now) {
                    guard.ensure_probes(|| self.probe(call.key));
                }
            });
        }
    }

    /// Asks L2, whatever its breakers say, and tells them: of several servers all that are known.
    ///
    /// # Errors
    /// The fault, or one of the faults.
    pub(crate) async fn ping(&self) -> Result<(), Fault> {
        self.ask(|_| true).await
    }

    /// Asks the servers whose breakers are open, so that what is sent next is sent.
    pub(crate) async fn retry(&self) {
        // An answer closes its breaker, and nothing else matters.
        let _ = self.ask(|guard| !guard.is_closed()).await;
    }

    async fn ask(&self, which: impl Fn(&Guard) -> bool) -> Result<(), Fault> {
        let mut asked = self.known();
        asked.retain(|(guard, _)| which(guard));
        let answers = asked.iter().map(|(guard, probe)| probe.ask(guard));
        join_all(answers).await.into_iter().collect()
    }

    /// Whether nothing at all would be sent. If so, it sees to it that probes are.
    pub(crate) fn is_away(&self) -> bool {
        let known = self.known();
        let away = known.iter().all(|(guard, _)| !guard.is_closed());
        if away {
            for (guard, probe) in known {
                guard.ensure_probes(|| probe);
            }
        }
        away
    }

    /// What keeps a bus on this server from dialling it: the breaker of this store, if it is that
    /// server and nothing at all would be sent to it. It sees to it that probes are.
    pub(crate) fn bar(&self, server: u64) -> Option<Bar> {
        if self.server != Some(server) || !self.is_away() {
            return None;
        }
        let why = self.guards().iter().find_map(|guard| guard.refusal())?;
        let for_at_most = if self.servers().is_empty() {
            Duration::MAX
        } else {
            // There may be others that no call has met yet, and the bus may find one of them.
            Backoff::BUS.longest
        };
        Some(Bar { why, for_at_most })
    }

    pub(crate) fn state(&self) -> BreakerState {
        let states = self.guards();
        let states = states.iter().map(|guard| guard.circuit().state());
        states.max().unwrap_or_default()
    }

    pub(crate) fn health(&self) -> RemoteHealth {
        let guards = self.guards();
        let now = self.now();
        let mut worst: Option<RemoteHealth> = None;
        let mut open = 0;
        for guard in &guards {
            let circuit = guard.circuit();
            open += usize::from(circuit.state() != BreakerState::Closed);
            let fault = circuit.last_fault();
            let this = RemoteHealth {
                state: circuit.state(),
                lasts: circuit.lasts(now),
                fault_ago: fault.map(|(at, _)| now.since(*at)),
                fault: fault.map(|(_, fault)| fault.clone()),
                probe_in: circuit.due().map(|due| due.since(now)),
                servers: 0,
                open: 0,
                remembered: 0,
            };
            let worse = |than: &RemoteHealth| {
                (this.state, this.fault.is_some()) > (than.state, than.fault.is_some())
            };
            if worst.as_ref().is_none_or(worse) {
                worst = Some(this);
            }
        }
        let none = || RemoteHealth {
            state: BreakerState::Closed,
            lasts: Duration::ZERO,
            fault: None,
            fault_ago: None,
            probe_in: None,
            servers: 0,
            open: 0,
            remembered: 0,
        };
        RemoteHealth {
            servers: guards.len(),
            open,
            ..worst.unwrap_or_else(none)
        }
    }

    /// The guards, each with a probe.
    fn known(&self) -> Vec<(Arc<Guard>, Probe)> {
        let servers = self.servers();
        let mut known: Vec<_> = servers
            .values()
            .map(|(guard, key)| (Arc::clone(guard), self.probe(key)))
            .collect();
        if known.is_empty() || !self.whole.is_closed() {
            let key = format!("{}{PING}", self.prefix);
            known.push((Arc::clone(&self.whole), self.probe(&key)));
        }
        known
    }

    /// Those that have been asked about: of each server, or of the whole.
    fn guards(&self) -> Vec<Arc<Guard>> {
        let servers = self.servers();
        let mut guards: Vec<_> = servers
            .values()
            .map(|(guard, _)| Arc::clone(guard))
            .collect();
        if guards.is_empty() || !self.whole.is_closed() {
            guards.push(Arc::clone(&self.whole));
        }
        guards
    }

    fn with_guard<R>(
        &self,
        server: Option<u64>,
        key: &str,
        with: impl FnOnce(&Arc<Guard>) -> R,
    ) -> R {
        match server.filter(|_| server != self.server) {
            // The usual way: no count of owners is touched, which all threads would share.
            None => with(&self.whole),
            Some(server) => with(&self.guard_of(server, key)),
        }
    }

    fn guard_of(&self, server: u64, key: &str) -> Arc<Guard> {
        let mut servers = self.servers();
        let (guard, _) = servers.entry(server).or_insert_with(|| {
            let guard = Guard::of(Identity::Server(server), self.breaker, &self.runtime);
            if let Some(member) = self.member.get() {
                guard.join(Weak::clone(member));
            }
            (guard, key.into())
        });
        Arc::clone(guard)
    }

    fn servers(&self) -> MutexGuard<'_, Servers> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn probe(&self, key: &str) -> Probe {
        Probe {
            remote: Arc::downgrade(&self.remote),
            runtime: Arc::clone(&self.runtime),
            timeout: self.timeout,
            wire: self.wire,
            key: key.to_owned(),
        }
    }
}

/// What a ping reads, behind the cache's prefix: few caches have such a key, and none is harmed.
pub(crate) const PING: &str = "jetcache:ping";
