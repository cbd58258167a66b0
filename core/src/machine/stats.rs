//! The counts of a cache.

use alloc::string::String;
use core::fmt::Write;
use core::time::Duration;

use crate::machine::error::Fault;
use crate::machine::event::Event;
use crate::machine::policy::breaker::BreakerState;

/// What is counted. [`Counter::of`] says which events count as what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
#[expect(
    missing_docs,
    reason = "the fields of `Stats` say what each of them is"
)]
pub enum Counter {
    LocalHit,
    LocalMiss,
    RemoteHit,
    RemoteMiss,
    Miss,
    Loaded,
    NotFound,
    Unchanged,
    LoadFailed,
    Overloaded,
    Stale,
    Coalesced,
    Superseded,
    Deposed,
    Unconfirmed,
    Bypassed,
    RemoteFault,
    RemoteNotAsked,
    BreakerOpened,
    BreakerClosed,
    FailedOver,
    FillRefused,
    Undecodable,
    Unencodable,
    TooLarge,
    Heard,
    Garbled,
    BusFault,
    EpochAdvanced,
    Refreshed,
    Copied,
    NotRefreshed,
}

impl Counter {
    /// How many counters there are.
    pub const COUNT: usize = Self::NotRefreshed as usize + 1;

    /// The counter of an event.
    #[must_use]
    pub const fn of(event: &Event) -> Self {
        match event {
            Event::LocalHit => Self::LocalHit,
            Event::LocalMiss => Self::LocalMiss,
            Event::RemoteHit { .. } => Self::RemoteHit,
            Event::RemoteMiss { .. } => Self::RemoteMiss,
            Event::Miss => Self::Miss,
            Event::Loaded { .. } => Self::Loaded,
            Event::NotFound { .. } => Self::NotFound,
            Event::Unchanged => Self::Unchanged,
            Event::LoadFailed { .. } => Self::LoadFailed,
            Event::Overloaded { .. } => Self::Overloaded,
            Event::Stale => Self::Stale,
            Event::Coalesced => Self::Coalesced,
            Event::Superseded => Self::Superseded,
            Event::Deposed => Self::Deposed,
            Event::Unconfirmed => Self::Unconfirmed,
            Event::Bypassed => Self::Bypassed,
            Event::RemoteFault(Fault::NotAsked(_)) => Self::RemoteNotAsked,
            Event::RemoteFault(_) => Self::RemoteFault,
            Event::BreakerOpened(_) => Self::BreakerOpened,
            Event::BreakerClosed { .. } => Self::BreakerClosed,
            Event::FailedOver => Self::FailedOver,
            Event::FillRefused => Self::FillRefused,
            Event::Undecodable { .. } => Self::Undecodable,
            Event::Unencodable => Self::Unencodable,
            Event::TooLarge => Self::TooLarge,
            Event::Heard { .. } => Self::Heard,
            Event::Garbled => Self::Garbled,
            Event::BusFault(_) => Self::BusFault,
            Event::EpochAdvanced => Self::EpochAdvanced,
            Event::Refreshed => Self::Refreshed,
            Event::Copied => Self::Copied,
            Event::NotRefreshed => Self::NotRefreshed,
        }
    }
}

/// What a cache has counted since it was built.
///
/// A caller that joins a flight counts as [`coalesced`](Self::coalesced) and nothing else, so hits
/// and misses are those of the callers that led.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Lookups that L1 answered.
    pub local_hits: u64,
    /// Lookups that asked L1 in vain.
    pub local_misses: u64,
    /// Lookups that L2 answered.
    pub remote_hits: u64,
    /// Lookups that asked L2 in vain.
    pub remote_misses: u64,
    /// Lookups that no tier could answer.
    pub misses: u64,
    /// Loaders that brought a value or "does not exist".
    pub loads: u64,
    /// Loaders that failed, panicked or ran out of time.
    pub load_failures: u64,
    /// Loads for which no loader ran, because as many as `max_loads` did already.
    pub overloaded: u64,
    /// Callers that were given a value whose life is over, because it could not be loaded anew, or not
    /// in time.
    pub stale: u64,
    /// Loaders that said "does not exist".
    pub not_found: u64,
    /// Loaders that said "unchanged" of the value that stood there; they are among the loads.
    pub unchanged: u64,
    /// Callers that joined another's flight.
    pub coalesced: u64,
    /// Flights that a change superseded.
    pub superseded: u64,
    /// Leaders that were silent for too long.
    pub deposed: u64,
    /// Keys that became unconfirmed: L2 did not acknowledge a change of theirs.
    pub unconfirmed: u64,
    /// Changes that L2 did not acknowledge and that there was no room to remember.
    pub bypassed: u64,
    /// Operations of L2 that failed or did not answer in time.
    pub remote_faults: u64,
    /// Operations that were not sent to L2 because its breaker was open.
    pub remote_not_asked: u64,
    /// How often a breaker of L2 opened.
    pub breaker_opened: u64,
    /// How often a breaker of L2 closed again.
    pub breaker_closed: u64,
    /// How often another primary of L2 had taken over.
    pub failovers: u64,
    /// How the breaker of L2 is now; of several, the worst.
    pub breaker: BreakerState,
    /// Loaded values that L2 did not take, because a change had taken the lease away or L2 had
    /// evicted it. Many of them, and few changes: choose another `maxmemory-policy`.
    pub refused_fills: u64,
    /// Entries of L2 that could not be read.
    pub undecodable: u64,
    /// Loaded values that could not be encoded.
    pub unencodable: u64,
    /// Loaded values that were longer than `max_value_size`.
    pub too_large: u64,
    /// Messages of the bus about keys of this cache.
    pub heard: u64,
    /// Messages of the bus that could not be understood. Every cache of the node counts them; one
    /// that names a key of a cache is counted by that cache alone.
    pub garbled: u64,
    /// Failures of the bus; every cache of the node counts them.
    pub bus_faults: u64,
    /// How often L1 was emptied because changes might have been missed.
    pub epochs: u64,
    /// Refreshes that loaded; they are among the loads.
    pub refreshed: u64,
    /// Refreshes that found a value in L2 which another node had loaded.
    pub copied: u64,
    /// Times that a key was to be kept fresh and there was no room to remember it.
    pub not_refreshed: u64,
    /// Entries that L1 evicted to stay within its bound, if its engine counts them.
    pub evicted: Option<u64>,
}

impl Stats {
    /// The counts of `counters`, indexed by [`Counter`].
    #[must_use]
    pub fn from_counters(counters: &[u64; Counter::COUNT]) -> Self {
        let count = |counter: Counter| counters[counter as usize];
        Self {
            local_hits: count(Counter::LocalHit),
            local_misses: count(Counter::LocalMiss),
            remote_hits: count(Counter::RemoteHit),
            remote_misses: count(Counter::RemoteMiss),
            misses: count(Counter::Miss),
            loads: count(Counter::Loaded) + count(Counter::NotFound),
            load_failures: count(Counter::LoadFailed),
            overloaded: count(Counter::Overloaded),
            stale: count(Counter::Stale),
            not_found: count(Counter::NotFound),
            unchanged: count(Counter::Unchanged),
            coalesced: count(Counter::Coalesced),
            superseded: count(Counter::Superseded),
            deposed: count(Counter::Deposed),
            unconfirmed: count(Counter::Unconfirmed),
            bypassed: count(Counter::Bypassed),
            remote_faults: count(Counter::RemoteFault),
            remote_not_asked: count(Counter::RemoteNotAsked),
            breaker_opened: count(Counter::BreakerOpened),
            breaker_closed: count(Counter::BreakerClosed),
            failovers: count(Counter::FailedOver),
            breaker: BreakerState::Closed,
            refused_fills: count(Counter::FillRefused),
            undecodable: count(Counter::Undecodable),
            unencodable: count(Counter::Unencodable),
            too_large: count(Counter::TooLarge),
            heard: count(Counter::Heard),
            garbled: count(Counter::Garbled),
            bus_faults: count(Counter::BusFault),
            epochs: count(Counter::EpochAdvanced),
            refreshed: count(Counter::Refreshed),
            copied: count(Counter::Copied),
            not_refreshed: count(Counter::NotRefreshed),
            evicted: None,
        }
    }

    /// Lookups that a tier answered.
    #[must_use]
    pub const fn hits(&self) -> u64 {
        self.local_hits + self.remote_hits
    }

    /// The part of all lookups that a tier answered, 0 to 1; `None` without lookups.
    #[must_use]
    pub fn hit_ratio(&self) -> Option<f64> {
        ratio(self.hits(), self.misses)
    }

    /// The counts since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let evicted = match (self.evicted, earlier.evicted) {
            (Some(now), Some(then)) => Some(now.saturating_sub(then)),
            (now, _) => now,
        };
        Self {
            local_hits: self.local_hits.saturating_sub(earlier.local_hits),
            local_misses: self.local_misses.saturating_sub(earlier.local_misses),
            remote_hits: self.remote_hits.saturating_sub(earlier.remote_hits),
            remote_misses: self.remote_misses.saturating_sub(earlier.remote_misses),
            misses: self.misses.saturating_sub(earlier.misses),
            loads: self.loads.saturating_sub(earlier.loads),
            load_failures: self.load_failures.saturating_sub(earlier.load_failures),
            overloaded: self.overloaded.saturating_sub(earlier.overloaded),
            stale: self.stale.saturating_sub(earlier.stale),
            not_found: self.not_found.saturating_sub(earlier.not_found),
            unchanged: self.unchanged.saturating_sub(earlier.unchanged),
            coalesced: self.coalesced.saturating_sub(earlier.coalesced),
            superseded: self.superseded.saturating_sub(earlier.superseded),
            deposed: self.deposed.saturating_sub(earlier.deposed),
            unconfirmed: self.unconfirmed.saturating_sub(earlier.unconfirmed),
            bypassed: self.bypassed.saturating_sub(earlier.bypassed),
            remote_faults: self.remote_faults.saturating_sub(earlier.remote_faults),
            remote_not_asked: self
                .remote_not_asked
                .saturating_sub(earlier.remote_not_asked),
            breaker_opened: self.breaker_opened.saturating_sub(earlier.breaker_opened),
            breaker_closed: self.breaker_closed.saturating_sub(earlier.breaker_closed),
            failovers: self.failovers.saturating_sub(earlier.failovers),
            breaker: self.breaker,
            refused_fills: self.refused_fills.saturating_sub(earlier.refused_fills),
            undecodable: self.undecodable.saturating_sub(earlier.undecodable),
            unencodable: self.unencodable.saturating_sub(earlier.unencodable),
            too_large: self.too_large.saturating_sub(earlier.too_large),
            heard: self.heard.saturating_sub(earlier.heard),
            garbled: self.garbled.saturating_sub(earlier.garbled),
            bus_faults: self.bus_faults.saturating_sub(earlier.bus_faults),
            epochs: self.epochs.saturating_sub(earlier.epochs),
            refreshed: self.refreshed.saturating_sub(earlier.refreshed),
            copied: self.copied.saturating_sub(earlier.copied),
            not_refreshed: self.not_refreshed.saturating_sub(earlier.not_refreshed),
            evicted,
        }
    }

    /// A table of these counts, which were made within `period`: a row for the cache and one for
    /// each of its tiers, with queries per minute, hit ratio, and the faults of L2.
    #[must_use]
    pub fn table(&self, cache: &str, period: Duration) -> String {
        let local = (self.local_hits, self.local_misses);
        let remote = (self.remote_hits, self.remote_misses);
        let mut table = String::new();
        let width = cache.chars().count() + "_remote".len();
        // Writing to a String cannot fail.
        let _ = writeln!(
            table,
            "{:width$}|{:>12}|{:>10}|{:>12}|{:>12}|{:>12}|{:>12}|{:>12}|{:>12}",
            "cache", "qpm", "hit_ratio", "hit", "miss", "coalesced", "load", "load_fail", "fault"
        );
        let _ = writeln!(table, "{:-<width$}{:->102}", "", "");
        let coalesced = number(self.coalesced);
        let (load, failed) = (number(self.loads), number(self.load_failures));
        let fault = number(self.remote_faults);
        let none = "-";
        let rows = [
            (
                "",
                (self.hits(), self.misses),
                [&coalesced, &load, &failed].map(String::as_str),
                none,
            ),
            ("_local", local, [none; 3], none),
            ("_remote", remote, [none; 3], &fault),
        ];
        for (tier, (hits, misses), [coalesced, load, failed], fault) in rows {
            let name = alloc::format!("{cache}{tier}");
            let percent = ratio(hits, misses).map_or(String::from(none), |ratio| {
                alloc::format!("{:.2}%", ratio * 100.0)
            });
            let qpm = per_minute(hits + misses, period);
            let _ = writeln!(
                table,
                "{name:width$}|{qpm:>12.2}|{percent:>10}|{hits:>12}|{misses:>12}|{coalesced:>12}|{load:>12}|{failed:>12}|{fault:>12}"
            );
        }
        table
    }
}

fn number(count: u64) -> String {
    alloc::format!("{count}")
}

#[expect(clippy::cast_precision_loss, reason = "a rate to be read by people")]
fn per_minute(count: u64, period: Duration) -> f64 {
    let minutes = period.as_secs_f64() / 60.0;
    if minutes > 0.0 {
        count as f64 / minutes
    } else {
        0.0
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio to be read by people")]
fn ratio(hits: u64, misses: u64) -> Option<f64> {
    let all = hits + misses;
    (all > 0).then(|| hits as f64 / all as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_row_for_the_cache_and_each_tier() {
        let stats = Stats {
            local_hits: 50,
            local_misses: 50,
            remote_hits: 25,
            remote_misses: 25,
            misses: 25,
            loads: 25,
            ..Stats::default()
        };
        let table = stats.table("users", Duration::from_secs(30));
        let rows: alloc::vec::Vec<&str> = table.lines().collect();
        assert_eq!(rows.len(), 5, "{table}");
        assert!(
            rows[2].starts_with("users ") && rows[2].contains("200.00"),
            "{table}"
        );
        assert!(
            rows[2].contains("75.00%") && rows[3].contains("50.00%"),
            "{table}"
        );
        assert!(rows[4].starts_with("users_remote"), "{table}");
    }
}
