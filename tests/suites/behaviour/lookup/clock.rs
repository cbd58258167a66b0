//! Time to live by a clock that only the test moves.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jetcache_adapters::{Memory, MessagePack, Threads};
use jetcache_core::{Batch, Cache, Cached, Call, Clock, Error, LoadError, PausedClock, Reach};
use jetcache_smol::Smol;
use jetcache_smol::async_std::AsyncStd;
use jetcache_tokio::Tokio;
use smol::future::yield_now;

use crate::behaviour::stage::{Cases, Host};

pub(crate) const CASES: Cases<fn(Host)> = &[
    ("l1_lets_go_after_local_ttl_and_l2_after_ttl", both_levels),
    ("not_found_has_its_own_time", not_found),
    ("a_call_decides_how_long", call),
    ("life_counts_from_the_end_of_the_load", slow_load),
    (
        "a_caller_waits_for_another_nodes_lease_and_no_longer",
        lease_wait,
    ),
    ("a_lease_is_renewed_while_its_loader_runs", renewed),
    ("a_holder_that_is_silent_costs_its_lease", silent_holder),
    (
        "what_ends_while_a_batch_loads_others_is_loaded_as_well",
        batch_loads,
    ),
    (
        "what_ends_while_a_batch_reads_others_is_looked_up_again",
        batch_reads,
    ),
    (
        "a_caller_is_not_given_what_ended_while_it_was_written_to_l2",
        slow_fill,
    ),
];

type Node = Cache<u64, Arc<str>>;
type Row = (u64, Arc<str>);
type Answered<'k> = Batch<&'k u64, Result<Option<Arc<str>>, Error>>;

/// Two nodes, their L2 and the clock that all of them go by.
struct World {
    host: Host,
    /// Tokio's runtime, which both nodes keep until the end.
    tokio: Option<tokio::runtime::Runtime>,
    clock: PausedClock,
    memory: Memory,
    /// How many milliseconds L2 lets pass at its next command.
    delay: Arc<AtomicU64>,
    nodes: [Node; 2],
}

impl World {
    fn new(host: Host) -> Self {
        // A loader that lets the clock jump leaves no time to renew its lease.
        Self::leasing(host, 12 * SECOND)
    }

    fn leasing(host: Host, lease: Duration) -> Self {
        let clock = PausedClock::new();
        let delay = Arc::new(AtomicU64::new(0));
        let (hands, delayed) = (clock.clone(), Arc::clone(&delay));
        let memory = Memory::with_clock(move || {
            hands.advance(Duration::from_millis(delayed.swap(0, Ordering::SeqCst)));
            // The server's clock runs a quarter of an hour ahead.
            900_000 + hands.now().as_nanos() / 1_000_000
        });
        let loads = clock.clone();
        let rows = move |ids: Vec<u64>| {
            loads.advance(4 * SECOND);
            ready(Ok::<_, LoadError>(rows(ids)))
        };
        let node = || {
            let builder = match host {
                Host::Tokio => Cache::builder("clock", Tokio::paused(&clock)),
                Host::Smol => Cache::builder("clock", Smol::paused(&clock)),
                Host::AsyncStd => Cache::builder("clock", AsyncStd::paused(&clock)),
                Host::Threads => {
                    Cache::builder("clock", Threads::with_clock(Clock::paused(&clock)))
                }
            };
            let builder = builder.remote(memory.clone(), MessagePack);
            let builder = builder.batch_loader(rows.clone()).batch_chunk(2);
            let builder = builder.jitter(0, Duration::ZERO).lease(lease);
            builder.build().unwrap()
        };
        let nodes = [node(), node()];
        let tokio = matches!(host, Host::Tokio).then(|| {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().build().unwrap()
        });
        Self {
            host,
            tokio,
            clock,
            memory,
            delay,
            nodes,
        }
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        match &self.tokio {
            Some(tokio) => tokio.block_on(future),
            None => self.host.block_on(future),
        }
    }
}

fn brings(text: &str) -> impl FnOnce() -> Ready<Result<Arc<str>, LoadError>> + use<> {
    let text = Arc::from(text);
    move || ready(Ok(text))
}

fn rows(ids: Vec<u64>) -> Vec<Row> {
    let row = |id| (id, Arc::from("new"));
    ids.into_iter().map(row).collect()
}

fn both_levels(host: Host) {
    let world = World::new(host);
    let [one, two] = &world.nodes;
    world.wait(one.get_or_load(&1, brings("one"))).unwrap();
    world.clock.advance(59 * SECOND);
    assert!(one.peek(&1).is_hit());
    world.clock.advance(SECOND);
    assert_eq!(one.peek(&1), Cached::Miss);
    assert!(world.wait(two.get(&1)).is_hit());
    world.clock.advance(3539 * SECOND);
    assert!(world.wait(two.get(&1)).is_hit());
    // L1 took it when it had a second left to live.
    assert!(two.peek(&1).is_hit());
    world.clock.advance(SECOND);
    assert_eq!(two.peek(&1), Cached::Miss);
    assert_eq!(world.wait(two.get(&1)), Cached::Miss);
}

fn not_found(host: Host) {
    let world = World::new(host);
    let [one, two] = &world.nodes;
    let absent = || ready(Ok::<Option<Arc<str>>, LoadError>(None));
    world.wait(one.get_or_load(&1, absent)).unwrap();
    world.clock.advance(59 * SECOND);
    assert_eq!(
        (one.peek(&1), world.wait(two.get(&1))),
        (Cached::Absent, Cached::Absent)
    );
    world.clock.advance(SECOND);
    assert_eq!(
        (world.wait(one.get(&1)), world.wait(two.get(&1))),
        (Cached::Miss, Cached::Miss)
    );
}

fn call(host: Host) {
    let world = World::new(host);
    let [one, two] = &world.nodes;
    let call = Call::new().ttl(10 * SECOND).local_ttl(5 * SECOND);
    assert_eq!(
        world.wait(one.insert_with(1, "one".into(), &call)).unwrap(),
        Reach::Everywhere
    );
    world.clock.advance(5 * SECOND);
    assert_eq!(one.peek(&1), Cached::Miss);
    assert!(world.wait(two.get(&1)).is_hit());
    world.clock.advance(5 * SECOND);
    assert_eq!(
        (two.peek(&1), world.wait(two.get(&1))),
        (Cached::Miss, Cached::Miss)
    );
}

fn slow_load(host: Host) {
    let world = World::new(host);
    let [one, _] = &world.nodes;
    let load = async || {
        world.clock.advance(9 * SECOND);
        Ok::<_, LoadError>(Arc::from("late"))
    };
    world
        .wait(one.get_or_load_with(&1, &Call::new().ttl(10 * SECOND), load))
        .unwrap();
    world.clock.advance(9 * SECOND);
    assert!(world.wait(one.get(&1)).is_hit());
    world.clock.advance(SECOND);
    assert_eq!(world.wait(one.get(&1)), Cached::Miss);
}

fn lease_wait(host: Host) {
    let world = World::new(host);
    let [one, two] = &world.nodes;
    // The first node holds the lease and does not come back.
    let mut silent =
        Box::pin(one.get_or_load(&1, std::future::pending::<Result<Arc<str>, LoadError>>));
    assert!(world.wait(smol::future::poll_once(&mut silent)).is_none());
    let waited = AtomicU64::new(0);
    let answer = world.wait(async {
        let mut second = Box::pin(two.get_or_load(&1, brings("two")));
        loop {
            if let Some(answer) = smol::future::poll_once(&mut second).await {
                break answer;
            }
            world.clock.advance(Duration::from_millis(10));
            waited.fetch_add(10, Ordering::SeqCst);
        }
    });
    assert_eq!(answer.unwrap().as_deref(), Some("two"));
    let waited = Duration::from_millis(waited.into_inner());
    assert!(
        (2 * SECOND..=3 * SECOND).contains(&waited),
        "{waited:?} of virtual time"
    );
    // Without a lease it filled nothing.
    assert_eq!(world.memory.len(), 0);
    assert!(two.peek(&1).is_hit());
}

/// Two thirds of a second for each renewal, and nine seconds for the loader.
fn renewed(host: Host) {
    let world = World::leasing(host, 2 * SECOND);
    let [one, two] = &world.nodes;
    let load = async || {
        for _ in 0..90 {
            world.clock.advance(SECOND / 10);
            // For the renewal, and for its answer.
            yield_now().await;
            yield_now().await;
        }
        Ok::<_, LoadError>(Arc::from("late"))
    };
    let call = Call::new().ttl(10 * SECOND);
    world.wait(one.get_or_load_with(&1, &call, load)).unwrap();
    assert_eq!(one.stats().refused_fills, 0);
    // Its life counts from the end of the load, whatever the age of its lease.
    world.clock.advance(9 * SECOND);
    assert!(world.wait(two.get(&1)).is_hit());
    world.clock.advance(SECOND);
    assert_eq!(world.wait(two.get(&1)), Cached::Miss);
}

fn silent_holder(host: Host) {
    let world = World::leasing(host, 2 * SECOND);
    let [one, two] = &world.nodes;
    let mut silent =
        Box::pin(one.get_or_load(&1, std::future::pending::<Result<Arc<str>, LoadError>>));
    assert!(world.wait(smol::future::poll_once(&mut silent)).is_none());
    let waited = AtomicU64::new(0);
    world.wait(async {
        let mut second = Box::pin(two.get_or_load(&1, brings("two")));
        while smol::future::poll_once(&mut second).await.is_none() {
            world.clock.advance(Duration::from_millis(10));
            waited.fetch_add(10, Ordering::SeqCst);
        }
    });
    let waited = Duration::from_millis(waited.into_inner());
    assert!(waited <= 3 * SECOND, "{waited:?} of virtual time");
    assert_eq!(world.memory.len(), 1, "it had the lease, and filled");
}

/// L1 and L2 have 1 and 2 with a tenth of a second left, the second node's L2 alone; 3 and 4 take
/// four seconds to load.
fn batch_loads(host: Host) {
    let texts = |batch: Answered<'_>| {
        let texts = batch.into_values().unwrap().into_iter();
        let texts = texts.map(|text| text.map_or_else(String::new, |text| text.to_string()));
        texts.collect::<Vec<_>>()
    };
    for at in 0..2 {
        for registered in [false, true] {
            let world = World::new(host);
            let node = &world.nodes[at];
            let call = Call::new().ttl(10 * SECOND);
            for id in [1, 2] {
                let loaded = world.nodes[0].get_or_load_with(&id, &call, brings("old"));
                world.wait(loaded).unwrap();
            }
            world.clock.advance(10 * SECOND - TENTH);
            let begun = world.clock.now();
            let asked = std::sync::Mutex::new(Vec::new());
            let load = |ids: Vec<u64>| {
                world.clock.advance(4 * SECOND);
                asked.lock().unwrap().push(ids.clone());
                ready(Ok::<_, LoadError>(rows(ids)))
            };
            let keys = [1, 3, 2, 4, 1];
            let batch = match registered {
                false => world.wait(node.get_many_or_load(&keys, load)),
                true => world.wait(node.load_many(&keys)),
            };
            assert_eq!(texts(batch), ["new"; 5], "node {at}, {registered}");
            // 3 and 4 in one or two parts, then 1 and 2 in one.
            let took = world.clock.now().since(begun);
            assert!(took <= 12 * SECOND, "{took:?}");
            let asked = asked.into_inner().unwrap();
            let mut each: Vec<_> = asked.concat();
            each.sort_unstable();
            let once: &[u64] = if registered { &[] } else { &[1, 2, 3, 4] };
            assert_eq!(each, once, "each is loaded once");
            // What it loaded itself it has, however short its life was.
            let brief = call.ttl(TENTH).skip_local();
            let keys = [5, 6, 7, 8];
            let batch = match registered {
                false => world.wait(node.get_many_or_load_with(&keys, &brief, load_all(&world))),
                true => world.wait(node.load_many_with(&keys, &brief)),
            };
            assert_eq!(texts(batch), ["new"; 4]);
        }
    }
}

fn load_all(world: &World) -> impl FnMut(Vec<u64>) -> Ready<Result<Vec<Row>, LoadError>> {
    let mut calls = 0;
    move |ids| {
        calls += 1;
        assert!(calls <= 2, "two parts, each loaded once");
        world.clock.advance(4 * SECOND);
        ready(Ok(rows(ids)))
    }
}

fn batch_reads(host: Host) {
    let world = World::new(host);
    let [one, two] = &world.nodes;
    for (id, ttl) in [(1, 10), (2, 3600), (3, 10), (4, 3600)] {
        let call = Call::new().ttl(ttl * SECOND);
        let loaded = one.get_or_load_with(&id, &call, brings("old"));
        world.wait(loaded).unwrap();
    }
    world.clock.advance(10 * SECOND - TENTH);
    // 3 is in L1; of 1, L2 says that it is fresh. Then L2 is slow.
    assert!(world.wait(two.get(&3)).is_hit());
    let hits = |keys: &[u64]| {
        let batch = world.wait(two.get_many(keys));
        batch
            .into_iter()
            .map(|(_, cached)| cached.is_hit())
            .collect::<Vec<_>>()
    };
    assert_eq!(hits(&[3, 1]), [true, true]);
    two.invalidate_local(&1);
    world.delay.store(200, Ordering::SeqCst);
    assert_eq!(hits(&[3, 1, 2, 4]), [false, false, true, true]);
}

fn slow_fill(host: Host) {
    let world = World::new(host);
    let [one, _] = &world.nodes;
    let call = Call::new().ttl(10 * SECOND);
    let (brought, brings_it) = futures_channel::oneshot::channel::<Arc<str>>();
    let mut first =
        Box::pin(one.get_or_load_with(&1, &call, async || Ok::<_, LoadError>(brings_it.await?)));
    assert!(world.wait(smol::future::poll_once(&mut first)).is_none());
    // It comes when the load is under way.
    world.clock.advance(TENTH);
    let mut second = Box::pin(one.get_or_load_with(&1, &call, brings("two")));
    assert!(world.wait(smol::future::poll_once(&mut second)).is_none());
    world.delay.store(11_000, Ordering::SeqCst);
    brought.send("one".into()).unwrap();
    assert_eq!(world.wait(first).unwrap().as_deref(), Some("one"));
    assert_eq!(world.wait(second).unwrap().as_deref(), Some("two"));
    assert_eq!(one.activity().flights, 0);
}

const TENTH: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);
