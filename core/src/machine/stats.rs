//! The counts of a cache.

pub mod activity;
pub mod measured;
pub mod metric;

use alloc::string::String;
use core::fmt::{self, Write};
use core::iter::zip;
use core::time::Duration;

use crate::machine::error::Fault;
use crate::machine::event::Event;
use crate::machine::policy::breaker::BreakerState;
use crate::machine::stats::metric::{Metric, Sample, figures};

/// Makes [`Counter`] and [`Stats`] of one table, so that a counter which is added later is counted,
/// summed, exported and explained everywhere.
macro_rules! counts {
    ($($(#[doc = $help:literal])+ $field:ident = $counter:ident as $name:literal $([$level:literal $outcome:literal])?;)+) => {
        /// What is counted. [`Counter::of`] says which events count as what.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Counter {
            $($(#[doc = $help])+ $counter,)+
        }

        impl Counter {
            /// How many counters there are.
            pub const COUNT: usize = [$(Self::$counter),+].len();
        }

        /// What a cache has counted since it was built.
        ///
        /// A caller that joins a flight counts as [`coalesced`](Self::coalesced) and nothing else, so
        /// hits and misses are those of the callers that led.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize))]
        #[non_exhaustive]
        pub struct Stats {
            $($(#[doc = $help])+ pub $field: u64,)+
            /// How the breaker of L2 is now; of several, the worst.
            pub breaker: BreakerState,
            /// Entries that L1 evicted to stay within its bound, if its engine counts them.
            pub evicted: Option<u64>,
        }

        impl Stats {
            const fn counts(&self) -> [u64; Counter::COUNT] {
                [$(self.$field),+]
            }

            const fn of_counts(counts: [u64; Counter::COUNT]) -> Self {
                let [$($field),+] = counts;
                Self {
                    $($field,)+
                    breaker: BreakerState::Closed,
                    evicted: None,
                }
            }
        }

        /// What the fields are to exporters: first those that count, in order.
        pub(crate) static COUNTS: [Metric; Counter::COUNT + 2] = [
            $(Metric::counter(
                stringify!($field),
                $name,
                concat!($($help),+).trim_ascii(),
            )$(.labelled($level, $outcome))?,)+
            Metric::gauge(
                "breaker",
                "jetcache_breaker_state",
                "How the breaker of L2 is, of several the worst: 0 closed, 1 half-open, 2 open.",
            ),
            Metric::counter(
                "evicted",
                "jetcache_evicted_total",
                "Entries that L1 evicted to stay within its bound.",
            ),
        ];
    };
}

counts! {
    /// Lookups that L1 answered.
    local_hits = LocalHit as "jetcache_lookups_total" ["l1" "hit"];
    /// Lookups that asked L1 in vain.
    local_misses = LocalMiss as "jetcache_lookups_total" ["l1" "miss"];
    /// Lookups that L2 answered.
    remote_hits = RemoteHit as "jetcache_lookups_total" ["l2" "hit"];
    /// Lookups that asked L2 in vain.
    remote_misses = RemoteMiss as "jetcache_lookups_total" ["l2" "miss"];
    /// Lookups that no tier could answer.
    misses = Miss as "jetcache_misses_total";
    /// Loaders that brought a value or "does not exist".
    loads = Loaded as "jetcache_loads_total" ["" "ok"];
    /// Loaders that failed, panicked or ran out of time.
    load_failures = LoadFailed as "jetcache_loads_total" ["" "failed"];
    /// Loads for which no loader ran, because as many as `max_loads` did already.
    overloaded = Overloaded as "jetcache_loads_total" ["" "overloaded"];
    /// Loads that were given up before they ended, because their caller left.
    loads_given_up = LoadGivenUp as "jetcache_loads_total" ["" "given_up"];
    /// Callers that were given a value whose life is over, because it could not be loaded anew, or not
    /// in time.
    stale = Stale as "jetcache_stale_total";
    /// Loaders that said "does not exist".
    not_found = NotFound as "jetcache_loads_not_found_total";
    /// Loaders that said "unchanged" of the value that stood there; they are among the loads.
    unchanged = Unchanged as "jetcache_loads_unchanged_total";
    /// Callers that joined another's flight.
    coalesced = Coalesced as "jetcache_coalesced_total";
    /// Callers that had to wait for what another caller, or another node, loads.
    waits = Waited as "jetcache_waits_total";
    /// Flights that a change superseded, or an emptied L1: when a subscription stands, the first too.
    superseded = Superseded as "jetcache_superseded_total";
    /// Leaders that were silent for too long.
    deposed = Deposed as "jetcache_deposed_total";
    /// Keys that became unconfirmed: L2 did not acknowledge a change of theirs.
    unconfirmed = Unconfirmed as "jetcache_unconfirmed_total";
    /// Changes that L2 did not acknowledge and that there was no room to remember.
    bypassed = Bypassed as "jetcache_bypassed_total";
    /// Changes that L2 did not acknowledge and that there was no room to remember: the bucket of their key
    /// was raised, or is yet to be.
    overflowed = Overflowed as "jetcache_overflowed_total";
    /// Raises of tags, and clears, by this node.
    raises = Raised as "jetcache_raises_total";
    /// How often L2 had acknowledged all raises, after it had not.
    raises_confirmed = RaisesConfirmed as "jetcache_raises_confirmed_total";
    /// News of raises by other nodes, from the bus or from L2.
    raises_heard = RaiseHeard as "jetcache_raises_heard_total";
    /// Values of L1 that were dead: one of their tags had been raised.
    dead_local = DeadInL1 as "jetcache_dead_total" ["l1" ""];
    /// Values of L2 that were dead: one of their tags had been raised, or their namespace cleared.
    dead_remote = DeadInL2 as "jetcache_dead_total" ["l2" ""];
    /// How often L2 had lost the log of raises, or a part of it.
    log_lost = LogLost as "jetcache_log_lost_total";
    /// How often L2 was asked for raises that the bus had not told.
    news_asked = NewsAsked as "jetcache_news_asked_total";
    /// Operations of L2 that failed or did not answer in time.
    remote_faults = RemoteFault as "jetcache_remote_faults_total";
    /// Operations that were not sent to L2 because its breaker was open.
    remote_not_asked = RemoteNotAsked as "jetcache_remote_not_asked_total";
    /// Round trips to L2, of any verb and any number of keys.
    remote_calls = RemoteAsked as "jetcache_remote_calls_total";
    /// How often a breaker of L2 opened.
    breaker_opened = BreakerOpened as "jetcache_breaker_opened_total";
    /// How often a breaker of L2 closed again.
    breaker_closed = BreakerClosed as "jetcache_breaker_closed_total";
    /// How often another primary of L2 had taken over.
    failovers = FailedOver as "jetcache_failovers_total";
    /// Loaded values that L2 did not take, because a change had taken the lease away or L2 had
    /// evicted it. Many of them, and few changes: choose another `maxmemory-policy`.
    refused_fills = FillRefused as "jetcache_refused_fills_total";
    /// Entries of L2 that could not be read.
    undecodable = Undecodable as "jetcache_undecodable_total";
    /// L1 hits that were compared with L2, as `check_one_in` wants it.
    checked = Checked as "jetcache_checked_total";
    /// Of those, how many differed for seconds though nothing was under way and the bus was up.
    differences = Differs as "jetcache_differences_total";
    /// Loaded values that could not be encoded.
    unencodable = Unencodable as "jetcache_unencodable_total";
    /// Loaded values that were longer than `max_value_size`.
    too_large = TooLarge as "jetcache_too_large_total";
    /// Messages of the bus about keys of this cache.
    heard = Heard as "jetcache_heard_total";
    /// Messages of the bus that could not be understood. Every cache of the node counts them; one
    /// that names a key of a cache is counted by that cache alone.
    garbled = Garbled as "jetcache_garbled_total";
    /// Failures of the bus; every cache of the node counts them.
    bus_faults = BusFault as "jetcache_bus_faults_total";
    /// How often L1 was emptied because changes might have been missed.
    epochs = EpochAdvanced as "jetcache_epochs_total";
    /// Refreshes that loaded; they are among the loads.
    refreshed = Refreshed as "jetcache_refreshed_total";
    /// Refreshes that found a value in L2 which another node had loaded.
    copied = Copied as "jetcache_copied_total";
    /// Times that a key was to be kept fresh and there was no room to remember it.
    not_refreshed = NotRefreshed as "jetcache_not_refreshed_total";
}

impl Counter {
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
            Event::LoadGivenUp { .. } => Self::LoadGivenUp,
            Event::Overloaded { .. } => Self::Overloaded,
            Event::Stale => Self::Stale,
            Event::Coalesced => Self::Coalesced,
            Event::Waited { .. } => Self::Waited,
            Event::Superseded => Self::Superseded,
            Event::Deposed => Self::Deposed,
            Event::Unconfirmed => Self::Unconfirmed,
            Event::Bypassed => Self::Bypassed,
            Event::Overflowed => Self::Overflowed,
            Event::Raised { .. } => Self::Raised,
            Event::RaisesConfirmed => Self::RaisesConfirmed,
            Event::RaiseHeard { .. } => Self::RaiseHeard,
            Event::DeadInL1 => Self::DeadInL1,
            Event::DeadInL2 => Self::DeadInL2,
            Event::LogLost => Self::LogLost,
            Event::NewsAsked => Self::NewsAsked,
            Event::RemoteFault(Fault::NotAsked(_)) => Self::RemoteNotAsked,
            Event::RemoteFault(_) => Self::RemoteFault,
            Event::RemoteAsked { .. } => Self::RemoteAsked,
            Event::BreakerOpened(_) => Self::BreakerOpened,
            Event::BreakerClosed { .. } => Self::BreakerClosed,
            Event::FailedOver => Self::FailedOver,
            Event::FillRefused => Self::FillRefused,
            Event::Undecodable { .. } => Self::Undecodable,
            Event::Checked => Self::Checked,
            Event::Differs { .. } => Self::Differs,
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

impl Stats {
    /// The counts of `counters`, indexed by [`Counter`].
    #[must_use]
    pub const fn from_counters(counters: &[u64; Counter::COUNT]) -> Self {
        let mut stats = Self::of_counts(*counters);
        // A loader that says "does not exist" has loaded.
        stats.loads += stats.not_found;
        stats
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
        let mut counts = self.counts();
        for (count, then) in zip(&mut counts, earlier.counts()) {
            *count = count.saturating_sub(then);
        }
        let evicted = match (self.evicted, earlier.evicted) {
            (Some(now), Some(then)) => Some(now.saturating_sub(then)),
            (now, _) => now,
        };
        Self {
            breaker: self.breaker,
            evicted,
            ..Self::of_counts(counts)
        }
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.counts().iter().all(|count| *count == 0) && self.evicted.unwrap_or(0) == 0
    }

    /// Each count with its name and what it is, for exporters; last the breaker's state, and what L1
    /// evicted, if its engine counts that.
    ///
    /// ```
    /// # use jetcache_core::doc::runtime as jetcache_tokio;
    /// # use jetcache_tokio::Stats;
    /// for sample in Stats::default().iter() {
    ///     println!("# HELP {} {}", sample.metric.name, sample.metric.help);
    ///     println!("{sample}");
    /// }
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = Sample> + use<> {
        let last = [Some(self.breaker as u64), self.evicted];
        let values = self.counts().into_iter().map(Some).chain(last);
        zip(&COUNTS, values).filter_map(|(metric, value)| Some(metric.sample(value?)))
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

/// What was counted, without zeros: `local_hits=50 misses=3`; and the breaker, unless it is closed.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        figures(f, self.iter(), "nothing counted")
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
    use crate::machine::stats::metric::MetricKind;

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

    #[test]
    fn every_counter_is_summed_and_has_a_sample_of_its_own() {
        let mut counters = [0; Counter::COUNT];
        for (count, value) in zip(&mut counters, 1..) {
            *count = value;
        }
        let stats = Stats::from_counters(&counters);
        let samples: alloc::vec::Vec<Sample> = stats.iter().collect();
        let of = |field| samples.iter().find(|sample| sample.metric.field == field);
        let value = |field| of(field).map(|sample| sample.value);
        assert_eq!(value("local_hits"), Some(Counter::LocalHit as u64 + 1));
        assert_eq!(
            value("not_refreshed"),
            Some(Counter::NotRefreshed as u64 + 1)
        );
        assert_eq!(
            value("loads"),
            Some(Counter::Loaded as u64 + Counter::NotFound as u64 + 2),
            "a loader that says \"does not exist\" has loaded"
        );
        assert_eq!(value("evicted"), None, "an engine may not count");
        assert_eq!(samples.len(), Counter::COUNT + 1);
        assert_eq!(stats.since(&stats).counts(), [0; Counter::COUNT]);
    }

    #[test]
    fn names_follow_the_rules_and_no_two_are_the_same() {
        let mut seen = alloc::collections::BTreeSet::new();
        for metric in Metric::all() {
            let name = metric.name;
            assert!(name.starts_with("jetcache_"), "{name}");
            let total = name.ends_with("_total");
            assert_eq!(total, metric.kind == MetricKind::Counter, "{name}");
            let seconds = name.ends_with("_seconds");
            assert_eq!(seconds, metric.kind == MetricKind::Histogram, "{name}");
            assert!(
                metric.help.ends_with('.') && !metric.help.starts_with(' '),
                "{name}: {}",
                metric.help
            );
            assert!(seen.insert((name, metric.level, metric.outcome)), "{name}");
        }
    }

    #[test]
    fn what_is_not_zero_is_displayed() {
        let stats = Stats {
            local_hits: 50,
            breaker: BreakerState::Open,
            ..Stats::default()
        };
        assert_eq!(alloc::format!("{stats}"), "local_hits=50 breaker=open");
        assert_eq!(alloc::format!("{}", Stats::default()), "nothing counted");
    }
}
