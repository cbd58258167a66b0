//! The tables, each made by a function.

mod bus;
mod growth;
mod hits;
mod l2;
mod life;
mod memory;
mod misses;
mod ratios;
mod writes;

use std::path::PathBuf;

use multi_tier_cache::CacheSystem;
use tokio::runtime::Runtime;

use crate::report::Report;

pub use memory::fill_one;

/// What all tables need.
pub struct Stage<'a> {
    pub runtime: &'a Runtime,
    pub url: &'a str,
    pub tiers: &'a CacheSystem,
    pub report: &'a mut Report,
    pub traces: Option<PathBuf>,
    pub full: bool,
}

impl Stage<'_> {
    /// How often each contestant runs.
    pub fn rounds(&self) -> usize {
        if self.full { 21 } else { 7 }
    }

    /// How many hits a run has.
    pub fn hits(&self) -> usize {
        if self.full { 1_000_000 } else { 300_000 }
    }
}

/// A table's name, and what makes it.
type Named = (&'static str, fn(&mut Stage<'_>));

pub const ALL: [Named; 18] = [
    ("hits", hits::one_thread),
    ("threads", hits::two_threads),
    ("batch", hits::batch),
    ("insert", writes::insert),
    ("mixed", writes::mixed),
    ("cold", misses::cold),
    ("stampede", misses::stampede),
    ("l2", l2::tasks),
    ("l2-batch", l2::batch),
    ("l2-cold", l2::cold),
    ("bus", bus::storm),
    ("life", life::life),
    ("memory", memory::memory),
    ("ratios", ratios::ratios),
    ("entries", growth::entries),
    ("tasks", growth::tasks),
    ("caches", growth::caches),
    ("values", growth::values),
];
