//! What a storm is like: drawn once from its seed, and the same for all its nodes and their lives.

use std::time::Duration;

use jetcache_core::Breaker;
use jetcache_core::machine::policy::LeaseFirst;

use crate::actors::caller::What;
use crate::fate::ledger::Key;
use crate::world::time::World;
use crate::world::weather::Weather;

pub(crate) struct Plan {
    pub(crate) weather: Weather,
    /// How many keys there are.
    pub(crate) keys: Key,
    /// How many of them are asked for at once (`batch_chunk`).
    pub(crate) chunk: usize,
    /// What callers ask for; what stands here twice is asked twice as often.
    asks: Vec<What>,
    /// Entries live until the end, so that none which should be gone just expires.
    pub(crate) lasting: bool,
    /// Nodes die.
    pub(crate) mortal: bool,
    /// A replica of L2 takes over. Without a bus, since that would break with the primary; and where
    /// nobody dies, who might be the only one to know what is lost.
    pub(crate) fails_over: bool,
    pub(crate) write_timeout: Option<Duration>,
    pub(crate) load_concurrency: usize,
    pub(crate) batch_loader: bool,
    /// Others go on in the middle of an L1 call, as other threads would (`world::gap`).
    pub(crate) gaps: bool,
    /// The breaker of each node's L2, if it has one.
    pub(crate) breaker: Option<Breaker>,
    /// How long values may be served stale, and how long callers wait if there is one.
    pub(crate) stale: Option<(Duration, Option<Duration>)>,
    /// L2 keeps a log of raises, and values have tags.
    pub(crate) log: bool,
    /// One key fits among those that are unconfirmed. Not where a failover takes up all of them in the
    /// order of a randomly seeded hasher.
    pub(crate) crowded: bool,
    /// When loads ask for the lease at once.
    pub(crate) lease_first: LeaseFirst,
}

impl Plan {
    pub(crate) fn of(world: &World, weather: Weather, fleet: bool) -> Self {
        let lasting = world.percent(if fleet { 80 } else { 20 });
        let mortal = world.percent(30);
        let log = world.percent(50);
        let fails_over = !fleet && !mortal && world.percent(50);
        Self {
            weather,
            lasting,
            mortal,
            fails_over,
            write_timeout: (world.percent(40)).then(|| Duration::from_millis(world.below(400) + 1)),
            load_concurrency: [1, 2, 16][world.below(3) as usize],
            batch_loader: world.percent(60),
            gaps: world.percent(40),
            keys: [2, 3, 6][world.below(3) as usize],
            chunk: [1, 2, 1000, 1000][world.below(4) as usize],
            asks: asks(world, log),
            breaker: world.percent(50).then(|| breaker(world)),
            stale: world.percent(40).then(|| stale(world)),
            log,
            crowded: log && !fails_over && world.percent(30),
            lease_first: lease_first(world),
        }
    }

    /// What the next caller asks for.
    pub(crate) fn ask(&self, world: &World) -> What {
        self.asks[world.below(self.asks.len() as u64) as usize]
    }
}

fn stale(world: &World) -> (Duration, Option<Duration>) {
    let window = Duration::from_millis([500, 60_000][world.below(2) as usize]);
    let soft = [None, Some(0), Some(20)][world.below(3) as usize];
    (window, soft.map(Duration::from_millis))
}

/// Always or never: where it is for the shards to find out, a seed would play in too many ways.
fn lease_first(world: &World) -> LeaseFirst {
    let (after, one_in) = if world.percent(60) { (0, 1) } else { (64, 16) };
    LeaseFirst { after, one_in }
}

/// A hasty one. Jitter would be drawn from random bits that are not the same at each run.
fn breaker(world: &World) -> Breaker {
    let mut breaker = Breaker::default();
    breaker.consecutive_failures = [1, 2, 5][world.below(3) as usize];
    breaker.least_calls = 4;
    breaker.window = Duration::from_secs(1);
    breaker.slow_call = world.percent(30).then(|| Duration::from_millis(15));
    breaker.first_pause = Duration::from_millis(10);
    breaker.longest_pause = Duration::from_millis(300);
    breaker.jitter_percent = 0;
    breaker
}

fn asks(world: &World, log: bool) -> Vec<What> {
    use What::{
        Clear, Get, GetMany, GetManyOrLoad, GetOrLoad, Insert, InsertIf, InsertMany, Invalidate,
        InvalidateMany, InvalidateTag, Load, LoadMany, Peek, SweepLocal, WriteThrough,
    };
    let mut asks = vec![GetOrLoad, GetOrLoad, GetOrLoad, GetOrLoad, Load, Get, Peek];
    let (changes, batches) = (world.percent(70), world.percent(80));
    if changes {
        asks.extend([Invalidate, SweepLocal, InsertIf, Insert, Insert]);
    }
    if world.percent(50) {
        asks.extend([WriteThrough, WriteThrough, WriteThrough]);
    }
    if batches {
        asks.extend([GetManyOrLoad, GetManyOrLoad, GetManyOrLoad, GetManyOrLoad]);
        asks.extend([LoadMany, LoadMany, GetMany]);
    }
    if log {
        asks.extend([InvalidateTag, InvalidateTag, InvalidateTag, Clear]);
    }
    if changes && batches {
        asks.extend([InsertMany, InvalidateMany]);
    }
    asks
}
