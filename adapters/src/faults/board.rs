//! The switchboard: what is to go wrong, and what went wrong.

use core::fmt;
use core::future::Future;
use core::ops::RangeInclusive;
use core::pin::Pin;
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use event_listener::{Event, EventListener};
use jetcache_core::ports::remote::Found;
use jetcache_core::{Fault, Runtime};

use crate::faults::dice::Dice;
use crate::faults::injected::Injected;

/// What is to go wrong at each [`Faulty`](super::Faulty) and [`FaultyBus`](super::FaultyBus) that
/// has a clone of it.
///
/// Every setting may be changed at any time. A change holds for the operations that begin
/// afterwards; besides, what hangs goes on when it is healed, and standing subscriptions end when
/// they are cut. Settings add to each other. An operation is one call, whatever the number of its
/// keys: it fails, or is lost, as a whole. `server`, `server_of` and `announcing` send nothing and
/// never fail.
///
/// Rates are shares: those below 0 count as 0, as does NaN, and those above 1 as 1.
///
/// The dice have a seed, so what goes wrong at the n-th operation is the same in each run that
/// begins the same operations in the same order with the same settings.
#[derive(Clone)]
pub struct Faults(Arc<Board>);

struct Board {
    state: Mutex<State>,
    changed: Event,
    sleeper: Box<dyn Sleeper>,
}

struct State {
    settings: Settings,
    /// Subscriptions that began at a lower number are cut.
    cuts: u64,
    dice: Dice,
    injected: Injected,
}

#[derive(Clone, Debug, Default)]
struct Settings {
    error_rate: f64,
    loss_rate: f64,
    corrupt_rate: f64,
    latency: Option<RangeInclusive<Duration>>,
    hangs: bool,
    answers_hang: bool,
    refusal: Option<Arc<str>>,
    remote_is_cut: bool,
    bus_is_cut: bool,
    bus_loss_rate: f64,
    bus_double_rate: f64,
    bus_latency: Option<RangeInclusive<Duration>>,
}

/// What is to become of an operation.
#[derive(Debug)]
pub(super) enum Fate {
    /// It is carried out.
    Carried,
    /// It is carried out, and the answer is lost.
    Lost(Fault),
    /// It is not carried out.
    Failed(Fault),
}

/// A sleep of any runtime.
pub(super) type Sleep = Pin<Box<dyn Future<Output = ()> + Send + 'static>>;

trait Sleeper: Send + Sync {
    fn sleep(&self, span: Duration) -> Sleep;
}

impl<R: Runtime> Sleeper for R {
    fn sleep(&self, span: Duration) -> Sleep {
        Box::pin(Runtime::sleep(self, span))
    }
}

impl Faults {
    /// A switchboard on which nothing is to go wrong. `runtime` is what delays sleep on. The dice
    /// have the seed 0.
    #[must_use]
    pub fn new(runtime: impl Runtime) -> Self {
        Self::seeded(runtime, 0)
    }

    /// [`new`](Self::new) with another seed.
    #[must_use]
    pub fn seeded(runtime: impl Runtime, seed: u64) -> Self {
        Self(Arc::new(Board {
            state: Mutex::new(State {
                settings: Settings::default(),
                cuts: 0,
                dice: Dice::seeded(seed),
                injected: Injected::default(),
            }),
            changed: Event::new(),
            sleeper: Box::new(runtime),
        }))
    }

    /// The share of operations that are not carried out and answer [`Fault::Unreachable`].
    pub fn error_rate(&self, share: f64) -> &Self {
        self.set(|settings| settings.error_rate = share)
    }

    /// The share of operations that are carried out, and whose answer is lost: they too answer
    /// [`Fault::Unreachable`], which says that the command may have been carried out. See
    /// [`hang_answers`](Self::hang_answers) for those that do not answer at all.
    pub fn loss_rate(&self, share: f64) -> &Self {
        self.set(|settings| settings.loss_rate = share)
    }

    /// How long each operation waits before it is carried out or fails, at random and evenly
    /// between the two ends. `Duration::ZERO..=Duration::ZERO` ends it. Of ends the wrong way round
    /// the first one counts. A future that is dropped meanwhile is not carried out.
    pub fn latency(&self, span: RangeInclusive<Duration>) -> &Self {
        self.set(|settings| settings.latency = waits(span))
    }

    /// Nothing is carried out and nothing answers until it is [healed](Self::heal) or
    /// [resumed](Self::resume); then what has hung goes on. A
    /// future that is dropped while it hangs is not carried out, also not later.
    pub fn hang(&self) -> &Self {
        self.set(|settings| settings.hangs = true)
    }

    /// Everything is carried out and nothing answers until it is healed: what a caller gave up has
    /// happened.
    pub fn hang_answers(&self) -> &Self {
        self.set(|settings| settings.answers_hang = true)
    }

    /// What has hung goes on, and nothing hangs any more. The other settings stay.
    pub fn resume(&self) -> &Self {
        self.set(|settings| {
            settings.hangs = false;
            settings.answers_hang = false;
        })
    }

    /// Every operation is answered with [`Fault::Refused`] and this text, such as `READONLY You
    /// can't write against a read only replica.`, and is not carried out.
    pub fn refuse(&self, why: &str) -> &Self {
        self.set(|settings| settings.refusal = Some(why.into()))
    }

    /// The share of values whose bytes, as `read` and `lease` bring them, have one bit changed or
    /// their end cut off, either as likely as the other. The stored ones stay as they are.
    ///
    /// In the native format a cache finds out by a checksum; in the jetcache-go format, which has
    /// none, a changed bit may be another value. The number of a namespace's last raise, which has none
    /// either, is spared.
    pub fn corrupt_rate(&self, share: f64) -> &Self {
        self.set(|settings| settings.corrupt_rate = share)
    }

    /// L2 and the bus are out of reach: operations, publishing and subscribing answer
    /// [`Fault::Unreachable`], and standing subscriptions end.
    pub fn partition(&self) -> &Self {
        self.cut(true)
    }

    /// The bus alone is out of reach: publishing and subscribing answer [`Fault::Unreachable`], and
    /// standing subscriptions end, also those that are asked again only after it was healed.
    pub fn cut_bus(&self) -> &Self {
        self.cut(false)
    }

    /// The share of messages that a subscription does not hear, and says nothing of.
    ///
    /// A [`Bus`](jetcache_core::Bus) may not do that, and no cache can notice: what it does not hear
    /// of stays in its L1, for `local_ttl` at most. To see what a cache does about a loss that was
    /// noticed, [cut](Self::cut_bus) the bus.
    pub fn bus_loss_rate(&self, share: f64) -> &Self {
        self.set(|settings| settings.bus_loss_rate = share)
    }

    /// The share of messages that a subscription hears twice.
    pub fn bus_double_rate(&self, share: f64) -> &Self {
        self.set(|settings| settings.bus_double_rate = share)
    }

    /// How long each message, and each copy of it, waits before a subscription hears it, at random
    /// and evenly between the two ends: they overtake each other. It sleeps only while the
    /// subscription is asked. The ends are as in [`latency`](Self::latency).
    pub fn bus_latency(&self, span: RangeInclusive<Duration>) -> &Self {
        self.set(|settings| settings.bus_latency = waits(span))
    }

    /// Nothing goes wrong any more, and what has hung goes on.
    pub fn heal(&self) -> &Self {
        self.set(|settings| *settings = Settings::default())
    }

    /// What was injected so far.
    #[must_use]
    pub fn injected(&self) -> Injected {
        self.state().injected
    }

    fn cut(&self, remote: bool) -> &Self {
        self.state().cuts += 1;
        self.set(|settings| {
            settings.bus_is_cut = true;
            settings.remote_is_cut |= remote;
        })
    }

    fn set(&self, change: impl FnOnce(&mut Settings)) -> &Self {
        change(&mut self.state().settings);
        self.0.changed.notify(usize::MAX);
        self
    }

    /// It is whole after every change, so a panic elsewhere cannot have broken it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits as an operation is to wait, and says what is to become of it.
    pub(super) async fn fate(&self) -> Fate {
        self.while_it_hangs(|settings| settings.hangs).await;
        let (wait, fate) = self.state().fate();
        if let Some(wait) = wait {
            self.sleep(wait).await;
        }
        fate
    }

    /// Waits for as long as answers hang.
    pub(super) async fn answer(&self) {
        self.while_it_hangs(|settings| settings.answers_hang).await;
    }

    async fn while_it_hangs(&self, hangs: impl Fn(&Settings) -> bool + Send + Sync) {
        let mut counted = false;
        loop {
            // It listens before it looks, so that no change falls between.
            let change = self.change();
            {
                let mut state = self.state();
                if !hangs(&state.settings) {
                    return;
                }
                state.injected.hangs += u64::from(!counted);
                counted = true;
            }
            change.await;
        }
    }

    /// Changes the bytes that were found, if it is their turn.
    pub(super) fn corrupt(&self, found: &mut Found) {
        self.state().corrupt(&mut found.bytes);
    }

    /// Ready when a setting was changed after this call.
    pub(super) fn change(&self) -> EventListener {
        self.0.changed.listen()
    }

    /// How many times the bus has been cut, or why it cannot be reached now.
    pub(super) fn bus_reached(&self) -> Result<u64, Fault> {
        let mut state = self.state();
        if state.settings.bus_is_cut {
            return Err(state.cut_off());
        }
        Ok(state.cuts)
    }

    /// An error if the bus was cut since it had been cut so many times.
    pub(super) fn stands(&self, cuts: u64) -> Result<(), Fault> {
        let mut state = self.state();
        if state.cuts == cuts {
            return Ok(());
        }
        Err(state.cut_off())
    }

    /// How long each copy of a message is to wait: none if it is lost.
    pub(super) fn copies(&self) -> Vec<Option<Duration>> {
        self.state().copies()
    }

    pub(super) fn sleep(&self, span: Duration) -> Sleep {
        self.0.sleeper.sleep(span)
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Faults")
            .field("settings", &state.settings)
            .field("injected", &state.injected)
            .finish_non_exhaustive()
    }
}

impl State {
    fn fate(&mut self) -> (Option<Duration>, Fate) {
        let Self {
            settings,
            dice,
            injected,
            ..
        } = self;
        let wait = settings.latency.as_ref().map(|span| dice.within(span));
        injected.delays += u64::from(wait.is_some());
        let fate = if settings.remote_is_cut {
            Fate::Failed(self.cut_off())
        } else if let Some(why) = &settings.refusal {
            injected.refusals += 1;
            Fate::Failed(Fault::Refused(Arc::clone(why)))
        } else if dice.happens(settings.error_rate) {
            injected.errors += 1;
            Fate::Failed(Fault::Unreachable("an injected error".into()))
        } else if dice.happens(settings.loss_rate) {
            injected.losses += 1;
            Fate::Lost(Fault::Unreachable("an injected loss of the answer".into()))
        } else {
            Fate::Carried
        };
        (wait, fate)
    }

    fn cut_off(&mut self) -> Fault {
        self.injected.cut += 1;
        Fault::Unreachable("an injected partition".into())
    }

    fn corrupt(&mut self, bytes: &mut Vec<u8>) {
        if !self.dice.happens(self.settings.corrupt_rate) || bytes.is_empty() {
            return;
        }
        self.injected.corruptions += 1;
        let at = self.dice.below(bytes.len());
        if self.dice.happens(0.5) {
            bytes.truncate(at);
        } else if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << self.dice.below(8);
        }
    }

    fn copies(&mut self) -> Vec<Option<Duration>> {
        if self.dice.happens(self.settings.bus_loss_rate) {
            self.injected.bus_losses += 1;
            return Vec::new();
        }
        let doubled = self.dice.happens(self.settings.bus_double_rate);
        self.injected.bus_doubles += u64::from(doubled);
        (0..=u8::from(doubled))
            .map(|_| {
                let span = self.settings.bus_latency.as_ref()?;
                self.injected.bus_delays += 1;
                Some(self.dice.within(span))
            })
            .collect()
    }
}

/// Nothing to wait for is no delay.
fn waits(span: RangeInclusive<Duration>) -> Option<RangeInclusive<Duration>> {
    (!span.start().max(span.end()).is_zero()).then_some(span)
}
