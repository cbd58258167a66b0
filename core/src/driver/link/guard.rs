//! The circuit breaker of one server, which all caches of the process share that use it, and the
//! probes that find out when the server is back.

use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use portable_atomic::{AtomicBool, AtomicU64, Ordering};

use crate::driver::link::outcomes::{only, survived};
use crate::driver::task::chore::{Chore, Shift};
use crate::driver::world::erased::{AnyRemote, AnyRuntime};
use crate::driver::world::timeout::{TICK, timeout};
use crate::machine::error::Fault;
use crate::machine::policy::breaker::{Breaker, BreakerState, Called, Circuit, Turned};
use crate::machine::tier::wire::Wire;
use crate::machine::time::Timestamp;

/// A cache whose L2 is on the server.
pub(crate) trait Member: Send + Sync {
    fn name(&self) -> &str;
    /// The breaker has turned.
    fn turned(&self, turned: &Turned);
}

pub(crate) struct Guard {
    circuit: Mutex<Circuit>,
    /// Whether it is closed: most calls need to know no more.
    closed: AtomicBool,
    /// By whose clock it goes.
    pub(crate) clock: Arc<dyn AnyRuntime>,
    /// For how many minutes it was open when the log heard of it last.
    told: AtomicU64,
    /// The task that probes while it is open.
    probes: Chore,
    members: Mutex<Vec<Weak<dyn Member>>>,
}

/// What a probe sends, and by what means.
pub(crate) struct Probe {
    pub(crate) remote: Weak<dyn AnyRemote>,
    pub(crate) runtime: Arc<dyn AnyRuntime>,
    pub(crate) timeout: Duration,
    pub(crate) wire: Wire,
    /// The key that it reads; its value is not looked at.
    pub(crate) key: String,
}

/// Which server a guard is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Identity {
    /// A store that says so.
    Server(u64),
    /// Any other: the address of its handle, which its guard's users keep alive.
    Handle(usize),
}

/// Every guard that is in use.
static GUARDS: Mutex<Vec<(Identity, Weak<Guard>)>> = Mutex::new(Vec::new());

impl Guard {
    /// The guard of this server. The first cache on it says how its breaker is set, and by which
    /// clock it goes.
    pub(crate) fn of(server: Identity, breaker: Breaker, clock: &Arc<dyn AnyRuntime>) -> Arc<Self> {
        let mut guards = GUARDS.lock().unwrap_or_else(PoisonError::into_inner);
        guards.retain(|(_, guard)| guard.strong_count() > 0);
        let mut known = guards.iter().filter(|(of, _)| *of == server);
        if let Some(guard) = known.find_map(|(_, guard)| guard.upgrade()) {
            return guard;
        }
        let guard = Arc::new(Self {
            circuit: Mutex::new(Circuit::new(breaker, clock.now())),
            closed: AtomicBool::new(true),
            clock: Arc::clone(clock),
            told: AtomicU64::new(0),
            probes: Chore::new(PROBING),
            members: Mutex::default(),
        });
        guards.push((server, Arc::downgrade(&guard)));
        guard
    }

    pub(crate) fn join(&self, member: Weak<dyn Member>) {
        let mut members = self.members();
        members.retain(|member| member.strong_count() > 0);
        members.push(member);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn circuit(&self) -> MutexGuard<'_, Circuit> {
        // No user code runs under it.
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why nothing is sent, if nothing is.
    pub(crate) fn refusal(&self) -> Option<Fault> {
        if self.is_closed() {
            return None;
        }
        let circuit = self.circuit();
        let open = circuit.state() != BreakerState::Closed;
        let why = || match circuit.last_fault() {
            Some((_, Fault::Unreachable(why) | Fault::Refused(why))) => Arc::clone(why),
            Some((_, fault)) => fault.to_string().into(),
            None => "".into(),
        };
        open.then(|| Fault::NotAsked(why()))
    }

    /// A call that was sent then has ended now. Says whether that opened the breaker.
    pub(crate) fn called(&self, sent: Timestamp, failed: Option<&Fault>, now: Timestamp) -> bool {
        let mut circuit = self.circuit();
        let dice = || self.clock.roll();
        let turned = circuit.called(Called { sent, failed }, now, dice);
        self.turned(circuit, turned)
    }

    /// A probe has ended, the task's or one that somebody asked for.
    pub(crate) fn probed(&self, answer: Result<(), Fault>) {
        let (now, dice) = (self.clock.now(), self.clock.roll());
        let fault = answer.as_ref().err().cloned();
        let mut circuit = self.circuit();
        let turned = circuit.probed(answer, now, dice);
        let away = circuit.away(now);
        self.turned(circuit, turned);
        if let Some((fault, away)) = fault.zip(away) {
            self.warn_again(away, &fault);
        }
    }

    /// An outage that lasts is told again now and then. Of several probes one says so.
    fn warn_again(&self, lasts: Duration, fault: &Fault) {
        let (outage, order) = (lasts.as_secs() / TOLD_AGAIN.as_secs(), Ordering::Relaxed);
        if self.told.swap(outage, order) < outage {
            let members: Vec<_> = self.members().iter().filter_map(Weak::upgrade).collect();
            let names = Names(&members);
            tracing::warn!(
                target: "jetcache",
                caches = %names,
                %fault,
                after_seconds = lasts.as_secs_f64(),
                "L2 of {names} has been away for {lasts:.0?}: {fault}"
            );
        }
    }

    fn turned(&self, circuit: MutexGuard<'_, Circuit>, turned: Option<Turned>) -> bool {
        let closed = circuit.state() == BreakerState::Closed;
        // Every call looks at it.
        if self.is_closed() != closed {
            self.closed.store(closed, Ordering::Release);
        }
        drop(circuit);
        let Some(turned) = turned else {
            return false;
        };
        let members: Vec<_> = self.members().iter().filter_map(Weak::upgrade).collect();
        let names = Names(&members);
        match &turned {
            Turned::Opened(fault) => tracing::warn!(
                target: "jetcache",
                caches = %names,
                %fault,
                "L2 of {names} is not asked any more until it answers a probe: {fault}"
            ),
            Turned::Closed(after) => tracing::info!(
                target: "jetcache",
                caches = %names,
                after_seconds = after.as_secs_f64(),
                "L2 of {names} is back after {after:.1?}"
            ),
        }
        for member in &members {
            member.turned(&turned);
        }
        matches!(turned, Turned::Opened(_))
    }

    /// Sees to it that a probe is sent when it is due.
    pub(crate) fn ensure_probes(self: &Arc<Self>, probe: impl FnOnce() -> Probe) {
        self.probes.ensure(self.clock.now(), |shift| {
            let probe = probe();
            let runtime = Arc::clone(&probe.runtime);
            let task = Box::pin(go_on_probing(Arc::downgrade(self), probe, shift));
            // Without a runtime the next call tries again.
            let _ = runtime.spawn(task);
        });
    }

    fn members(&self) -> MutexGuard<'_, Vec<Weak<dyn Member>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Probe {
    /// Reads the key, past the breaker; `None` if the store is not in use any more.
    async fn send(&self) -> Option<Result<(), Fault>> {
        let remote = self.remote.upgrade()?;
        let keys = [self.key.as_str()];
        let read = survived(1, async { remote.read(&keys, self.wire).await });
        let read = timeout(&*self.runtime, self.timeout, read).await;
        Some(match read.map_or(Err(Fault::Timeout), only) {
            // An answer, whatever it says.
            Ok(_) | Err(Fault::Refused(_)) => Ok(()),
            Err(fault) => Err(fault),
        })
    }

    /// Asks the server, and tells its breaker.
    pub(crate) async fn ask(&self, guard: &Guard) -> Result<(), Fault> {
        let gone = || Err(Fault::Unreachable("the store is gone".into()));
        let answer = self.send().await.unwrap_or_else(gone);
        guard.probed(answer.clone());
        answer
    }
}

async fn go_on_probing(guard: Weak<Guard>, probe: Probe, mut shift: Shift) {
    loop {
        let (now, nap) = match guard.upgrade() {
            Some(guard) => {
                let (now, due) = (guard.clock.now(), guard.circuit().due());
                // Closed by now.
                let Some(due) = due else { return };
                (now, due.since(now).max(TICK))
            }
            None => return,
        };
        if !shift.goes_on(now, nap.saturating_add(probe.timeout)) {
            return;
        }
        probe.runtime.sleep(nap).await;
        let Some(guard) = guard.upgrade() else {
            return;
        };
        let now = guard.clock.now();
        if guard.circuit().begin_probe(now) {
            let under_way = UnderWay(&guard);
            let Some(answer) = probe.send().await else {
                return;
            };
            core::mem::forget(under_way);
            guard.probed(answer);
        }
    }
}

/// A probe on its way. Dropped, with its runtime, it has failed.
struct UnderWay<'a>(&'a Guard);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0
            .probed(Err(Fault::Unreachable("the probe's runtime ended".into())));
    }
}

/// The caches' names, but not two thousand of them.
struct Names<'a>(&'a [Arc<dyn Member>]);

impl core::fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (at, member) in self.0.iter().take(NAMED).enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{}", member.name())?;
        }
        match self.0.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// How many caches the log names.
const NAMED: usize = 4;
/// How often the log hears that an outage lasts.
const TOLD_AGAIN: Duration = Duration::from_secs(60);
/// How long the task works beside the pauses and timeouts that it announces.
const PROBING: Duration = Duration::from_secs(1);
