//! The circuit breaker of L2: when it opens, what is sent meanwhile, and how it closes.

pub(crate) mod bus;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use jetcache_core::{Breaker, BreakerState, Builder, Cached, Error, Event, Fault, Observer, Reach};

use crate::behaviour::stage::face::Faced;
use crate::behaviour::stage::{Case, Cases, Node, Stage, Value, brings, value};

pub(crate) const CASES: Cases<Case> = &[
    ("a_stopped_redis_costs_a_few_timeouts_and_no_more", |s| {
        Box::pin(stopped(s))
    }),
    ("the_breaker_closes_by_itself_when_redis_is_back", |s| {
        Box::pin(back(s))
    }),
    ("caches_that_share_a_server_share_its_breaker", |s| {
        Box::pin(shared(s))
    }),
    (
        "what_was_changed_meanwhile_is_removed_when_it_closes",
        |s| Box::pin(repaired(s)),
    ),
    (
        "a_conditional_insert_that_was_not_sent_harms_nothing",
        |s| Box::pin(unsent(s)),
    ),
    ("a_ping_asks_whatever_the_breaker_says", |s| {
        Box::pin(ping(s))
    }),
    ("without_a_breaker_every_call_asks", |s| Box::pin(none(s))),
    ("one_broken_connection_does_not_open_it", |s| {
        Box::pin(one_connection(s))
    }),
    ("close_sends_what_is_unconfirmed_though_it_is_open", |s| {
        Box::pin(closes(s))
    }),
];

/// Counts its events.
#[derive(Clone, Default)]
struct Turns {
    opened: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
    why: Arc<Mutex<Option<Fault>>>,
}

impl Observer for Turns {
    fn on(&self, _: &str, event: &Event) {
        match event {
            Event::BreakerOpened(fault) => {
                self.opened.fetch_add(1, Ordering::SeqCst);
                *self.why.lock().unwrap() = Some(fault.clone());
            }
            Event::BreakerClosed { .. } => {
                self.closed.fetch_add(1, Ordering::SeqCst);
            }
            _ => {}
        }
    }
}

/// A node with a short timeout, so that a stopped server costs little.
fn builder(stage: &Stage) -> Builder<String, Value> {
    stage.builder().remote_timeout(Duration::from_millis(150))
}

/// Opens the breaker: Redis is away.
async fn open(node: &Node) {
    for at in 0.. {
        if node.stats().breaker != BreakerState::Closed {
            return;
        }
        assert!(at < 20, "it does not open: {:?}", node.remote());
        assert_eq!(node.get(&*format!("unknown {at}")).await, Cached::Miss);
    }
}

async fn stopped(stage: &Stage) {
    let turns = Turns::default();
    let node = builder(stage)
        .observer(turns.clone())
        .build()
        .unwrap()
        .faced();
    node.insert("warm".into(), value("warm")).await.unwrap();
    stage.server().pause();
    // Sixteen callers, a hundred cold keys each.
    let caller = async |caller: usize| {
        for at in 0..100 {
            let key = format!("{caller} {at}");
            let loaded = node.get_or_load(&*key, brings("loaded")).await;
            assert_eq!(loaded.unwrap(), Some(value("loaded")));
        }
    };
    join_all((0..16).map(caller)).await;
    let stats = node.stats();
    assert!(stats.remote_faults < 40, "{stats:?}");
    assert!(stats.remote_not_asked > 1000, "{stats:?}");
    assert_eq!(stats.load_failures, 0);
    assert_eq!((stats.breaker_opened, stats.breaker_closed), (1, 0));
    assert_eq!(turns.opened.load(Ordering::SeqCst), 1);
    let why = turns.why.lock().unwrap().clone();
    assert!(matches!(why, Some(Fault::Timeout)), "{why:?}");
    // A batch and a change wait for nothing either.
    let before = node.stats().remote_faults;
    let keys: Vec<String> = (0..200).map(|at| at.to_string()).collect();
    let batch = node.get_many(&keys).await;
    assert!(batch.iter().all(|(_, found)| *found == Cached::Miss));
    assert_eq!(node.invalidate("warm").await, Reach::Pending);
    assert_eq!(node.stats().remote_faults, before);
    stage.server().resume();
    stage.until_quiet(&node).await;
}

async fn back(stage: &Stage) {
    let turns = Turns::default();
    let node = builder(stage)
        .observer(turns.clone())
        .build()
        .unwrap()
        .faced();
    let health = node.remote().unwrap();
    assert_eq!(health.state, BreakerState::Closed);
    assert!(health.fault.is_none() && health.probe_in.is_none());
    stage.server().kill();
    open(&node).await;
    let health = node.remote().unwrap();
    assert_ne!(health.state, BreakerState::Closed);
    assert!(
        matches!(health.fault, Some(Fault::Unreachable(_))),
        "{health:?}"
    );
    assert!(health.probe_in.is_some() && health.fault_ago.is_some());
    assert_eq!((health.servers, health.open), (1, 1));
    stage.server().restart();
    // Nobody asks for anything.
    // Observers hear of it a moment after it can be seen.
    stage
        .until("the breaker has closed", async || {
            node.stats().breaker == BreakerState::Closed && turns.closed.load(Ordering::SeqCst) > 0
        })
        .await;
    assert_eq!(turns.closed.load(Ordering::SeqCst), 1);
    let faults = node.stats().remote_faults;
    assert_eq!(
        node.insert("first".into(), value("1")).await.unwrap(),
        Reach::Everywhere
    );
    assert_eq!(node.stats().remote_faults, faults);
    stage.until_quiet(&node).await;
}

async fn shared(stage: &Stage) {
    let parent = stage.parent();
    let build = |name: &str| {
        let builder = parent.cache::<String, Value>(name, jetcache_adapters::MessagePack);
        let builder = builder.remote_timeout(Duration::from_millis(60));
        builder.build().unwrap().faced()
    };
    let (users, orders) = (build("users"), build("orders"));
    stage.server().kill();
    open(&users).await;
    assert_ne!(orders.stats().breaker, BreakerState::Closed);
    assert_eq!(orders.stats().breaker_opened, 1);
    assert_eq!(orders.get("7").await, Cached::Miss);
    let stats = orders.stats();
    assert_eq!((stats.remote_faults, stats.remote_not_asked), (0, 1));
    // A cache that comes now is not spared what is known.
    let late = build("late");
    assert_ne!(late.stats().breaker, BreakerState::Closed);
    stage.server().restart();
    stage
        .until("all are back", async || {
            let all = [&users, &orders, &late];
            let closed = |node: &&Node| node.stats().breaker == BreakerState::Closed;
            all.iter().all(closed)
        })
        .await;
    assert_eq!(late.stats().breaker_closed, 1);
}

async fn repaired(stage: &Stage) {
    let node = builder(stage).build().unwrap().faced();
    let keys: Vec<String> = (0..20_000).map(|at| at.to_string()).collect();
    let patient = stage.builder().remote_timeout(Duration::from_secs(10));
    let patient = patient.build().unwrap().faced();
    let old = keys.iter().map(|key| (key.clone(), value("old")));
    for (_, reach) in patient.insert_many(old).await.iter() {
        assert!(matches!(reach, Ok(Reach::Everywhere)), "{reach:?}");
    }
    stage.server().pause();
    open(&node).await;
    for (_, reach) in node.invalidate_many(&keys).await.iter() {
        assert_eq!(*reach, Reach::Pending);
    }
    assert_eq!(node.activity().unconfirmed, 20_000);
    assert_eq!(node.stats().bypassed, 0);
    let faults = node.stats().remote_faults;
    stage.server().resume();
    stage
        .until("L2 has confirmed", async || {
            node.activity().unconfirmed == 0
        })
        .await;
    // Nothing of it was tried in between, and nothing failed when it was.
    assert_eq!(node.stats().remote_faults, faults);
    for key in keys.iter().step_by(100) {
        assert_eq!(stage.bytes(key).await, None, "{key}");
    }
    stage.until_quiet(&node).await;
}

async fn unsent(stage: &Stage) {
    let (node, other) = (builder(stage).build().unwrap().faced(), stage.node());
    let inserted = other.insert("session".into(), value("theirs")).await;
    assert_eq!(inserted.unwrap(), Reach::Everywhere);
    stage.server().pause();
    open(&node).await;
    let inserted = node.insert_if_absent("session".into(), value("mine")).await;
    assert!(matches!(inserted, Err(Error::Undecided)), "{inserted:?}");
    assert_eq!(node.activity().unconfirmed, 0);
    stage.server().resume();
    stage
        .until("the breaker has closed", async || {
            node.stats().breaker == BreakerState::Closed
        })
        .await;
    stage.until_quiet(&node).await;
    assert_eq!(node.get("session").await, Cached::Hit(value("theirs")));
    let inserted = node.insert_if_absent("session".into(), value("mine")).await;
    assert!(!inserted.unwrap());
}

async fn ping(stage: &Stage) {
    let node = builder(stage).build().unwrap().faced();
    node.ping().await.unwrap();
    stage.server().pause();
    assert!(matches!(node.ping().await, Err(Fault::Timeout)));
    open(&node).await;
    assert!(matches!(node.ping().await, Err(Fault::Timeout)));
    assert_ne!(node.stats().breaker, BreakerState::Closed);
    stage.server().resume();
    let answers = async || node.ping().await.is_ok();
    stage.until("it answers", answers).await;
    assert_eq!(node.stats().breaker, BreakerState::Closed);
    let local = stage.local_node();
    assert!(local.remote().is_none());
    assert!(matches!(local.ping().await, Err(Fault::Refused(_))));
}

async fn none(stage: &Stage) {
    let node = builder(stage).no_breaker().build().unwrap().faced();
    stage.server().kill();
    for _ in 0..30 {
        assert_eq!(node.get("key").await, Cached::Miss);
    }
    let stats = node.stats();
    assert_eq!((stats.remote_faults, stats.remote_not_asked), (30, 0));
    assert!(node.remote().is_none());
    assert!(node.ping().await.is_err());
    stage.server().restart();
    node.ping().await.unwrap();
}

async fn one_connection(stage: &Stage) {
    // However long the server takes to start again, it is resets that end these reads.
    let patient = stage.builder().remote_timeout(Duration::from_secs(20));
    let node = patient.build().unwrap().faced();
    node.insert("key".into(), value("1")).await.unwrap();
    let keys: Vec<String> = (0..64).map(|at| at.to_string()).collect();
    for _ in 0..3 {
        stage.server().pause();
        let mut reads: Vec<_> = keys.iter().map(|key| Box::pin(node.get(&**key))).collect();
        for read in &mut reads {
            assert!(futures_util::FutureExt::now_or_never(&mut *read).is_none());
        }
        // Every connection is reset, and what was on it with it.
        stage.server().restart();
        join_all(reads).await;
        node.ping().await.unwrap();
    }
    assert_eq!(node.stats().breaker_opened, 0, "{:?}", node.stats());
}

async fn closes(stage: &Stage) {
    let mut slow = Breaker::default();
    slow.first_pause = Duration::from_secs(100);
    slow.longest_pause = Duration::from_secs(100);
    let node = builder(stage).breaker(slow).build().unwrap().faced();
    let inserted = node.insert("key".into(), value("old")).await;
    assert_eq!(inserted.unwrap(), Reach::Everywhere);
    stage.server().pause();
    open(&node).await;
    assert_eq!(node.invalidate("key").await, Reach::Pending);
    stage.server().resume();
    node.close().await;
    assert_eq!(stage.bytes("key").await, None);
}

/// What cannot work is said when the cache is built.
pub(crate) fn settings() {
    let mut names = HashMap::new();
    let mut wrong = |name: &'static str, change: fn(&mut Breaker)| {
        let mut breaker = Breaker::default();
        change(&mut breaker);
        let builder = jetcache_tokio::builder::<String, Value>("users");
        let builder = builder.remote(
            jetcache_adapters::Memory::new(),
            jetcache_adapters::MessagePack,
        );
        let built = builder.breaker(breaker).build();
        assert!(matches!(&built, Err(Error::Config(_))), "{name}");
        names.insert(name, built.err().map(|error| error.to_string()));
    };
    wrong("consecutive_failures", |b| b.consecutive_failures = 0);
    wrong("failure_percent", |b| b.failure_percent = 0);
    wrong("window", |b| b.window = Duration::ZERO);
    wrong("longest_pause", |b| b.longest_pause = Duration::ZERO);
    for (name, error) in names {
        assert!(error.is_some_and(|error| error.contains(name)), "{name}");
    }
}
