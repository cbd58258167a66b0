//! What those who run a cache see of it: its counters, the observers, the log.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use portable_atomic::{AtomicU64, Ordering};

use crate::driver::counters::Counters;
use crate::driver::world::caught::caught;
use crate::driver::world::erased::AnyRuntime;
use crate::machine::error::{Error, Fault};
use crate::machine::event::Event;
use crate::machine::stats::{Counter, Stats};
use crate::machine::tier::inspection::EntryKind;
use crate::machine::tier::unreadable::Unreadable;
use crate::machine::time::Timestamp;
use crate::ports::observer::Observer;
use crate::ports::observer::watched::{Snapshot, Watched};

pub(crate) struct Journal {
    pub(crate) name: Arc<str>,
    runtime: Arc<dyn AnyRuntime>,
    counters: Option<Counters>,
    observers: Vec<Arc<dyn Observer>>,
    /// Those that are shown hits, too.
    observers_of_hits: Vec<Arc<dyn Observer>>,
    l2: Warning,
    bus: Warning,
    refresh: Warning,
    value: Warning,
    entry: Warning,
    difference: Warning,
    overflow: Warning,
    runtime_of_callers: Warning,
}

/// Something that is said in the log now and then: what fails once often fails a thousand times.
struct Warning {
    of: &'static str,
    /// When the log may hear of it again, in nanoseconds of the clock.
    next: AtomicU64,
}

impl Journal {
    pub(crate) fn new(
        name: Arc<str>,
        runtime: Arc<dyn AnyRuntime>,
        counted: bool,
        observers: Vec<Arc<dyn Observer>>,
    ) -> Self {
        let warning = |of| Warning {
            of,
            next: AtomicU64::new(0),
        };
        Self {
            name,
            runtime,
            counters: counted.then(Counters::new),
            observers_of_hits: (observers.iter())
                .filter(|observer| observer.wants_hits())
                .cloned()
                .collect(),
            observers,
            l2: warning("L2"),
            bus: warning("the bus"),
            refresh: warning("a refresh"),
            value: warning("a value"),
            entry: warning("an entry"),
            difference: warning("a difference"),
            overflow: warning("a change"),
            runtime_of_callers: warning("the runtime of a caller"),
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        self.counters
            .as_ref()
            .map_or_else(Stats::default, Counters::read)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.runtime.now()
    }

    /// Something happened.
    pub(crate) fn note(&self, event: &Event) {
        if let Some(counters) = &self.counters {
            counters.raise(Counter::of(event));
        }
        match event {
            // The log has heard why when the breaker opened.
            Event::RemoteFault(Fault::NotAsked(_)) | Event::BusFault(Fault::NotAsked(_)) => {}
            Event::RemoteFault(fault) => self.warn(&self.l2, fault),
            Event::BusFault(fault) => self.warn(&self.bus, fault),
            Event::Undecodable { key, why } => self.warn_of_entry(key, why),
            Event::Differs { key, l1, l2 } => self.warn_of_difference(key, *l1, *l2),
            Event::LogLost => tracing::warn!(
                target: "jetcache",
                cache = &*self.name,
                "L2 of {} has lost its log of raises, by eviction perhaps: what stands there is not believed",
                self.name
            ),
            Event::Overflowed => self.warn(
                &self.overflow,
                &"more changes are unconfirmed than there is room to remember: keys of their buckets do without \
                  L2 until these are raised there",
            ),
            Event::RaisesConfirmed => tracing::info!(
                target: "jetcache",
                cache = &*self.name,
                "L2 of {} has acknowledged all raises",
                self.name
            ),
            Event::Bypassed => self.warn(
                &self.overflow,
                &"more changes are unconfirmed than there is room to remember: keys of their buckets do without \
                  L2 until what stands there has ended",
            ),
            Event::FailedOver => tracing::warn!(
                target: "jetcache",
                cache = &*self.name,
                "L2 of {}: another primary has taken over; what changed lately is removed again",
                self.name
            ),
            _ => {}
        }
        match event {
            Event::LocalHit => self.show(&self.observers_of_hits, event),
            _ => self.show(&self.observers, event),
        }
    }

    /// [`note`](Self::note) for the one event that happens at every hit.
    #[inline]
    pub(crate) fn note_local_hit(&self) {
        if let Some(counters) = &self.counters {
            counters.raise(Counter::LocalHit);
        }
        if !self.observers_of_hits.is_empty() {
            self.show_local_hit();
        }
    }

    #[cold]
    #[inline(never)]
    fn show_local_hit(&self) {
        self.show(&self.observers_of_hits, &Event::LocalHit);
    }

    /// A refresh failed, and there is no caller to answer.
    pub(crate) fn warn_of_refresh(&self, key: Option<&str>, error: &Error) {
        self.warn_about(&self.refresh, key, error);
    }

    /// A value cannot be written to L2, and its loader or writer cannot be told.
    pub(crate) fn warn_of_value(&self, key: Option<&str>, error: &Error) {
        self.warn_about(&self.value, key, error);
    }

    /// A mark is too long to be kept.
    pub(crate) fn warn_of_mark(&self) {
        let why = "a mark is longer than 1024 bytes and is not kept: give the loads shorter ones";
        self.warn(&self.value, &why);
    }

    /// No cache can run on the runtime of a caller.
    pub(crate) fn warn_of_runtime(&self, why: &str) {
        self.warn(&self.runtime_of_callers, &why);
    }

    /// L1, or a `Clone` or `Drop` that it called, panicked where no caller can be answered.
    pub(crate) fn note_panic_of_local(&self) {
        tracing::error!(target: "jetcache", cache = &*self.name, "L1 of {} panicked", self.name);
    }

    /// An entry of L2 cannot be read: every reader misses it until it is loaded anew.
    fn warn_of_entry(&self, key: &str, why: &Unreadable) {
        if self.is_due(&self.entry) {
            tracing::warn!(
                target: "jetcache",
                cache = &*self.name,
                key,
                fault = %why,
                "an entry of L2 cannot be read and counts as a miss; it stands there until its key is \
                 loaded anew"
            );
        }
    }

    /// L1 and L2 differ, and should not.
    fn warn_of_difference(&self, key: &str, l1: EntryKind, l2: EntryKind) {
        if self.is_due(&self.difference) {
            tracing::warn!(
                target: "jetcache",
                cache = &*self.name,
                key,
                %l1,
                %l2,
                "L1 has answered what L2 has not had for seconds: a change was told to nobody, or lost"
            );
        }
    }

    fn warn(&self, warning: &Warning, why: &dyn fmt::Display) {
        self.warn_about(warning, None, why);
    }

    /// The same about a key, as it is in L2.
    fn warn_about(&self, warning: &Warning, key: Option<&str>, why: &dyn fmt::Display) {
        if self.is_due(warning) {
            tracing::warn!(
                target: "jetcache",
                cache = &*self.name,
                key,
                fault = %why,
                "{} of {}: {why}",
                warning.of,
                self.name
            );
        }
    }

    /// Whether the log may hear of it again. Of several threads one is told so.
    fn is_due(&self, warning: &Warning) -> bool {
        let now = self.runtime.now();
        let next = warning.next.load(Ordering::Relaxed);
        if now.as_nanos() < next {
            return false;
        }
        let then = (now + WARNINGS_APART).as_nanos();
        let exchanged =
            (warning.next).compare_exchange(next, then, Ordering::Relaxed, Ordering::Relaxed);
        exchanged.is_ok()
    }

    /// Shows all observers a cache that was built.
    pub(crate) fn watch(&self, cache: &Arc<dyn Watched>) {
        for observer in &self.observers {
            self.guarded(|| observer.watch(Arc::clone(cache)));
        }
    }

    /// Shows one observer the figures.
    pub(crate) fn show_figures(&self, observer: &Arc<dyn Observer>, snapshot: &Snapshot) {
        self.guarded(|| observer.show(&self.name, snapshot));
    }

    /// Tells one observer that the cache is gone.
    pub(crate) fn show_end(&self, observer: &Arc<dyn Observer>) {
        self.guarded(|| observer.gone(&self.name));
    }

    /// The statistics table in the log: for people, and in fields for programs.
    pub(crate) fn log_table(&self, counted: &Stats, period: Duration) {
        tracing::info!(
            target: "jetcache",
            cache = &*self.name,
            period_seconds = period.as_secs_f64(),
            hit_ratio = counted.hit_ratio(),
            local_hits = counted.local_hits,
            local_misses = counted.local_misses,
            remote_hits = counted.remote_hits,
            remote_misses = counted.remote_misses,
            misses = counted.misses,
            coalesced = counted.coalesced,
            loads = counted.loads,
            load_failures = counted.load_failures,
            stale = counted.stale,
            remote_faults = counted.remote_faults,
            bus_faults = counted.bus_faults,
            breaker = %counted.breaker,
            evicted = counted.evicted,
            "statistics of the last {period:?}\n{}",
            counted.table(&self.name, period)
        );
    }

    fn show(&self, observers: &[Arc<dyn Observer>], event: &Event) {
        for observer in observers {
            self.guarded(|| observer.on(&self.name, event));
        }
    }

    /// A panic of an observer must not end the call that it watches.
    fn guarded(&self, show: impl FnOnce()) {
        if caught(show).is_err() {
            tracing::error!(
                target: "jetcache",
                cache = &*self.name,
                "an observer of {} panicked",
                self.name
            );
        }
    }
}

/// How long the log is spared between two faults of a kind.
const WARNINGS_APART: Duration = Duration::from_secs(10);
