//! Time to live by a clock that only the test moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jetcache_adapters::{Memory, MessagePack};
use jetcache_core::{Cache, Cached, Call, LoadError, PausedClock, Reach};
use jetcache_smol::Smol;
use jetcache_smol::async_std::AsyncStd;
use jetcache_tokio::Tokio;

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
];

type Node = Cache<u64, Arc<str>>;

/// Two nodes, their L2 and the clock that all of them go by.
struct World {
    host: Host,
    /// Tokio's runtime, which both nodes keep until the end.
    tokio: Option<tokio::runtime::Runtime>,
    clock: PausedClock,
    memory: Memory,
    nodes: [Node; 2],
}

impl World {
    fn new(host: Host) -> Self {
        let clock = PausedClock::new();
        let hands = clock.clone();
        // The server's clock runs a quarter of an hour ahead.
        let memory = Memory::with_clock(move || 900_000 + hands.now().as_nanos() / 1_000_000);
        let node = || {
            let builder = match host {
                Host::Tokio => Cache::builder("clock", Tokio::paused(&clock)),
                Host::Smol => Cache::builder("clock", Smol::paused(&clock)),
                Host::AsyncStd => Cache::builder("clock", AsyncStd::paused(&clock)),
            };
            let builder = builder.remote(memory.clone(), MessagePack);
            builder.jitter(0, Duration::ZERO).build().unwrap()
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

fn brings(text: &str) -> impl FnOnce() -> std::future::Ready<Result<Arc<str>, LoadError>> + use<> {
    let text = Arc::from(text);
    move || std::future::ready(Ok(text))
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
    let absent = || std::future::ready(Ok::<Option<Arc<str>>, LoadError>(None));
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

const SECOND: Duration = Duration::from_secs(1);
