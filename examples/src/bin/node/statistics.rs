//! The reply to `stats`.

use std::sync::Arc;

use jetcache_tokio::{BreakerState, BusState, Cache, Kind};
use serde::Serialize;

use crate::object::Object;

/// Everything that the cache counts, under the names that main.rs lists.
#[derive(Debug, Serialize)]
pub(crate) struct Statistics {
    kind: &'static str,
    len: usize,
    weight: u64,
    flights: usize,
    waiters: usize,
    changes: usize,
    writes: usize,
    keys: usize,
    unconfirmed: usize,
    bypassed: usize,
    tasks: usize,
    refreshes: usize,
    bus: &'static str,
    epoch: u64,
    source: Option<String>,
    untold: usize,
    hits: u64,
    misses: u64,
    local_hits: u64,
    local_misses: u64,
    remote_hits: u64,
    remote_misses: u64,
    loads: u64,
    load_failures: u64,
    overloaded: u64,
    stale: u64,
    not_found: u64,
    coalesced: u64,
    superseded: u64,
    deposed: u64,
    became_unconfirmed: u64,
    became_bypassed: u64,
    breaker: &'static str,
    recovery: usize,
    remote_not_asked: u64,
    remote_faults: u64,
    refused_fills: u64,
    undecodable: u64,
    unencodable: u64,
    too_large: u64,
    heard: u64,
    garbled: u64,
    bus_faults: u64,
    refreshed: u64,
    copied: u64,
    not_refreshed: u64,
    evicted: Option<u64>,
}

impl Statistics {
    pub(crate) fn of(cache: &Cache<String, Arc<Object>>) -> Self {
        let (stats, now) = (cache.stats(), cache.activity());
        Self {
            kind: match cache.kind() {
                Kind::Local => "local",
                Kind::Remote => "remote",
                Kind::Both => "both",
            },
            len: cache.len(),
            weight: cache.weight(),
            flights: now.flights,
            waiters: now.waiters,
            changes: now.changes,
            writes: now.writes,
            keys: now.keys,
            unconfirmed: now.unconfirmed,
            bypassed: now.bypassed,
            // The one that keeps keys fresh stands for those keys.
            tasks: now.refreshes + cache.tasks().saturating_sub(usize::from(now.refreshes > 0)),
            refreshes: now.refreshes,
            bus: match cache.bus() {
                BusState::None => "none",
                BusState::Idle => "idle",
                BusState::Up => "up",
                _ => "down",
            },
            epoch: cache.epoch(),
            source: cache.source_id().map(ToOwned::to_owned),
            untold: now.untold,
            hits: stats.hits(),
            misses: stats.misses,
            local_hits: stats.local_hits,
            local_misses: stats.local_misses,
            remote_hits: stats.remote_hits,
            remote_misses: stats.remote_misses,
            loads: stats.loads,
            load_failures: stats.load_failures,
            overloaded: stats.overloaded,
            stale: stats.stale,
            not_found: stats.not_found,
            coalesced: stats.coalesced,
            superseded: stats.superseded,
            deposed: stats.deposed,
            became_unconfirmed: stats.unconfirmed,
            became_bypassed: stats.bypassed,
            breaker: match stats.breaker {
                BreakerState::Closed => "closed",
                BreakerState::HalfOpen => "half-open",
                BreakerState::Open => "open",
            },
            recovery: now.unconfirmed,
            remote_not_asked: stats.remote_not_asked,
            remote_faults: stats.remote_faults,
            refused_fills: stats.refused_fills,
            undecodable: stats.undecodable,
            unencodable: stats.unencodable,
            too_large: stats.too_large,
            heard: stats.heard,
            garbled: stats.garbled,
            bus_faults: stats.bus_faults,
            refreshed: stats.refreshed,
            copied: stats.copied,
            not_refreshed: stats.not_refreshed,
            evicted: stats.evicted,
        }
    }
}
