//! The hub between a node's caches and its bus: its state, who listens, what is to be told.

use core::fmt;
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use event_listener::{Event as Bell, EventListener};
use portable_atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use crate::driver::bus::members::{Hears, Members};
use crate::driver::bus::outbox::Outbox;
use crate::driver::link::gate::Bar;
use crate::driver::task::chore::Chore;
use crate::driver::world::erased::{AnyBus, AnyRuntime};
use crate::machine::error::Fault;
use crate::machine::event::Event;
use crate::machine::time::Timestamp;
#[cfg(feature = "serde")]
use crate::machine::time::{maybe_seconds, seconds};
use crate::machine::token::Token;
use crate::ports::bus::{BusState, Telling};

/// How the bus is, as far as this node knows without asking.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BusHealth {
    /// How it is.
    pub state: BusState,
    /// How long it has been so.
    #[cfg_attr(feature = "serde", serde(serialize_with = "seconds"))]
    pub lasts: Duration,
    /// What failed last: a subscription that broke or could not be made, or a message that was not
    /// taken.
    pub fault: Option<Fault>,
    /// How long ago that was.
    #[cfg_attr(feature = "serde", serde(serialize_with = "maybe_seconds"))]
    pub fault_ago: Option<Duration>,
}

/// When the bus came to be as it is, and what failed last.
#[derive(Clone, Debug, Default)]
struct Course {
    since: Timestamp,
    fault: Option<(Timestamp, Fault)>,
}

/// The bus of one node.
pub(crate) struct Hub {
    pub(crate) bus: Arc<dyn AnyBus>,
    /// The number of the L2 that it is on, if it is on one.
    server: Option<u64>,
    /// The id by which the other nodes know this one, in this life.
    pub(crate) source: Arc<str>,
    pub(crate) runtime: Arc<dyn AnyRuntime>,
    pub(crate) members: Members,
    state: AtomicU8,
    course: Mutex<Course>,
    epoch: AtomicU64,
    outbox: Mutex<Outbox>,
    pub(crate) listening: Chore,
    pub(crate) telling: Chore,
    /// The membership that the subscription covers.
    covered: AtomicU64,
    /// The epoch in which its caches went blind last, plus one.
    blind_since: AtomicU64,
    /// Whether L2 failed to answer its caches last time.
    l2_away: AtomicBool,
    /// How often the subscription broke, or could not be made or extended.
    failures: AtomicU64,
    /// Rung when the state of the bus changes, and when messages were told or given up.
    stir: Bell,
    /// Rung when there is a reason to listen now: a cache comes or goes, L2 is back, somebody asks.
    nudge: Bell,
}

impl Hub {
    /// A hub for a node whose source id is random, behind a name if there is one.
    pub(crate) fn new(
        bus: Arc<dyn AnyBus>,
        runtime: Arc<dyn AnyRuntime>,
        name: Option<&str>,
    ) -> Arc<Self> {
        let random = Token::from_bits(runtime.roll()).to_string();
        let random = &random[..SOURCE_DIGITS];
        let source = match name {
            Some(name) => format!("{name}-{random}"),
            None => random.to_owned(),
        };
        let server = match bus.telling() {
            Telling::WithChange { server, .. } | Telling::Watched { server } => Some(server),
            Telling::Publish => None,
        };
        Arc::new(Self {
            bus,
            server,
            source: source.into(),
            members: Members::default(),
            state: AtomicU8::new(BusState::Idle as u8),
            course: Mutex::new(Course {
                since: runtime.now(),
                fault: None,
            }),
            epoch: AtomicU64::new(0),
            outbox: Mutex::default(),
            listening: Chore::new(PATIENCE),
            telling: Chore::new(PATIENCE),
            covered: AtomicU64::new(0),
            blind_since: AtomicU64::new(0),
            l2_away: AtomicBool::new(false),
            failures: AtomicU64::new(0),
            stir: Bell::new(),
            nudge: Bell::new(),
            runtime,
        })
    }

    /// Adds a cache whose keys begin with `prefix`. Returns its number.
    pub(crate) fn join(&self, prefix: &str, ears: Weak<dyn Hears>) -> u64 {
        let number = self.members.add(prefix, ears);
        self.nudge();
        number
    }

    /// Removes the cache of this number: it hears no more.
    pub(crate) fn leave(&self, number: u64) {
        self.members.remove(number);
        self.nudge();
    }

    /// There is a reason to listen now.
    pub(crate) fn nudge(&self) {
        self.nudge.notify(usize::MAX);
    }

    /// Completes at the next reason to listen.
    pub(crate) fn nudged(&self) -> EventListener {
        self.nudge.listen()
    }

    /// Notes whether L2 answered a cache just now. If it is back, that is a reason to listen: a bus
    /// on the same server may be back too.
    pub(crate) fn note_l2(&self, answers: bool) {
        let was_away = self.l2_away.load(Ordering::Relaxed);
        if was_away == answers {
            self.l2_away.store(!answers, Ordering::Relaxed);
            if answers && self.state() == BusState::Down {
                self.nudge();
            }
        }
    }

    /// A breaker of L2 has closed: whoever has waited for that goes on.
    pub(crate) fn l2_is_back(&self) {
        self.l2_away.store(false, Ordering::Relaxed);
        self.nudge();
    }

    /// What keeps the bus from being dialled: the breaker of its own server, if it is open.
    pub(crate) fn bar(&self) -> Option<Bar> {
        let server = self.server?;
        let mut ears = self.members.ears().into_iter();
        ears.find_map(|(_, ears)| ears.bar(server))
    }

    /// Completes when the state of the bus changes, or when messages were told or given up.
    pub(crate) fn stirs(&self) -> EventListener {
        self.stir.listen()
    }

    pub(crate) fn state(&self) -> BusState {
        match self.state.load(Ordering::SeqCst) {
            0 => BusState::None,
            1 => BusState::Idle,
            2 => BusState::Up,
            _ => BusState::Down,
        }
    }

    pub(crate) fn health(&self) -> BusHealth {
        let now = self.runtime.now();
        let Course { since, fault } = self.course().clone();
        BusHealth {
            state: self.state(),
            lasts: now.since(since),
            fault_ago: fault.as_ref().map(|(at, _)| now.since(*at)),
            fault: fault.map(|(_, fault)| fault),
        }
    }

    fn course(&self) -> MutexGuard<'_, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_state(&self, state: BusState) {
        if self.state.swap(state as u8, Ordering::SeqCst) != state as u8 {
            self.course().since = self.runtime.now();
        }
        self.stir.notify(usize::MAX);
    }

    /// The subscription stands, and covers the caches of this membership.
    pub(crate) fn is_up(&self, membership: u64) {
        if self.state() == BusState::Down {
            let namespaces = self.members.prefixes().join(" ");
            tracing::info!(target: "jetcache", namespaces, "the bus is back");
        }
        // Before the state: a cache that sees the bus up looks next at what is covered.
        self.covered.store(membership, Ordering::SeqCst);
        self.set_state(BusState::Up);
    }

    /// The subscription broke, or could not be made.
    pub(crate) fn is_down(&self, fault: Fault) {
        // Before the state: who sees the bus down looks next at why.
        self.course().fault = Some((self.runtime.now(), fault.clone()));
        self.failures.fetch_add(1, Ordering::SeqCst);
        self.set_state(BusState::Down);
        self.note(&Event::BusFault(fault));
        let epoch = self.epoch() + 1;
        // Once an epoch: further failures must not start further timers.
        if self.blind_since.swap(epoch, Ordering::SeqCst) != epoch {
            let now = self.runtime.now();
            for (_, ears) in self.members.ears() {
                ears.go_blind(now);
            }
        }
    }

    /// A breaker keeps it from being dialled.
    pub(crate) fn is_barred(&self, why: Fault) {
        if self.state() == BusState::Down {
            self.is_asked_in_vain();
        } else {
            self.is_down(why);
        }
    }

    /// It is as it was, and who asks for more than that has asked in vain.
    pub(crate) fn is_asked_in_vain(&self) {
        self.failures.fetch_add(1, Ordering::SeqCst);
        self.stir.notify(usize::MAX);
    }

    /// Nobody listens any more.
    pub(crate) fn is_unheard(&self) {
        self.set_state(if self.members.is_empty() {
            BusState::Idle
        } else {
            BusState::Down
        });
    }

    /// The bus for this cache: up, or down if an attempt since `failures` failed; else `None`.
    pub(crate) fn outcome(&self, number: u64, failures: u64) -> Option<BusState> {
        let of_all = !self.subscribes_to_keys();
        match self.state() {
            BusState::Up if of_all || self.covered.load(Ordering::SeqCst) > number => {
                Some(BusState::Up)
            }
            BusState::Up | BusState::Down if self.failures() > failures => Some(BusState::Down),
            _ => None,
        }
    }

    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::SeqCst)
    }

    /// Whether a subscription covers certain prefixes only, so that a new cache needs a new one.
    pub(crate) fn subscribes_to_keys(&self) -> bool {
        !matches!(self.bus.telling(), Telling::WithChange { .. })
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// Anything may have been missed until now, and nothing is any more (PROTOCOL.md, H3).
    pub(crate) fn advance_epoch(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        for (_, ears) in self.members.ears() {
            ears.note(&Event::EpochAdvanced);
            ears.hear_of_everything();
        }
    }

    pub(crate) fn note(&self, event: &Event) {
        if let Event::BusFault(fault) = event {
            self.course().fault = Some((self.runtime.now(), fault.clone()));
        }
        for (_, ears) in self.members.ears() {
            ears.note(event);
        }
    }

    /// How many changes wait to be told, or are being told.
    pub(crate) fn untold(&self) -> usize {
        self.outbox().len()
    }

    pub(crate) fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was taken out of the outbox is told, or given up.
    pub(crate) fn told(&self) {
        self.outbox().said();
        self.stir.notify(usize::MAX);
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("source", &self.source)
            .field("state", &self.state())
            .field("epoch", &self.epoch())
            .finish_non_exhaustive()
    }
}

/// How long an attempt to publish, or to subscribe, may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// How often a task that only waits gives a sign of life.
pub(crate) const BEAT: Duration = Duration::from_secs(1);
/// How many random digits a source id has, as jetcache-go's.
const SOURCE_DIGITS: usize = 16;
