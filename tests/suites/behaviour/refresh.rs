//! Keys that are kept fresh.

use std::collections::HashSet;
use std::future::pending;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jetcache_adapters::Raw;
use jetcache_core::{Builder, Cached, Call, Error, LoadError, Wire};

use crate::behaviour::stage::{Case, Host, Node, Stage, Value, expected_panic, nobody, value};

pub(crate) const CASES: &[(&str, Case)] = &[
    ("a_value_changes_by_itself", |s| Box::pin(changes(s))),
    ("a_cache_without_l2_refreshes_too", |s| Box::pin(local(s))),
    ("every_loaded_key_can_be_kept_fresh", |s| Box::pin(all(s))),
    ("what_nobody_asks_for_is_not_refreshed", |s| {
        Box::pin(idle(s))
    }),
    ("a_hit_counts_as_asking", |s| Box::pin(busy(s))),
    ("a_failing_refresh_keeps_the_value", |s| Box::pin(fails(s))),
    ("a_panicking_refresh_keeps_the_value", |s| {
        Box::pin(panics(s))
    }),
    ("a_hung_loader_does_not_stop_the_others", |s| {
        Box::pin(hangs(s))
    }),
    ("no_more_than_so_many_refreshes_run_at_once", |s| {
        Box::pin(at_once(s))
    }),
    ("a_change_wins_over_a_refresh", |s| Box::pin(change(s))),
    ("a_reader_does_not_wait_for_a_refresh", |s| {
        Box::pin(reader(s))
    }),
    ("one_node_of_the_fleet_loads", |s| Box::pin(fleet(s))),
    ("what_has_no_room_is_loaded_and_not_refreshed", |s| {
        Box::pin(full(s))
    }),
    ("a_refresh_can_be_cancelled", |s| Box::pin(cancelled(s))),
    ("close_ends_refreshing", |s| Box::pin(close(s))),
    ("the_latest_wishes_hold", |s| Box::pin(wishes(s))),
    ("a_refresh_that_cannot_be_says_so", |s| Box::pin(refused(s))),
    ("jetcache_go_sees_the_lock", |s| Box::pin(lock(s))),
    ("a_failed_refresh_gives_the_lock_of_jetcache_go_back", |s| {
        Box::pin(lock_given_back(s))
    }),
    ("the_lock_of_jetcache_go_is_honoured", |s| {
        Box::pin(lock_honoured(s))
    }),
];

pub(crate) const OWN_REDIS: &[(&str, Case)] =
    &[("without_l2_nothing_is_refreshed", |s| Box::pin(outage(s)))];

const EVERY: Duration = Duration::from_millis(40);
const AGES: Duration = Duration::from_secs(60);

/// Where values come from: each is the key and the version.
#[derive(Clone)]
struct Database(Arc<Rows>);

struct Rows {
    host: Host,
    version: AtomicUsize,
    loads: AtomicUsize,
    loading: AtomicUsize,
    most: AtomicUsize,
    fails: AtomicBool,
    panics: AtomicBool,
    /// Loads that have begun do not end.
    stalls: AtomicBool,
    hung: Mutex<HashSet<String>>,
}

impl Database {
    fn new(stage: &Stage) -> Self {
        Self(Arc::new(Rows {
            host: stage.host(),
            version: AtomicUsize::new(0),
            loads: AtomicUsize::new(0),
            loading: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            fails: AtomicBool::new(false),
            panics: AtomicBool::new(false),
            stalls: AtomicBool::new(false),
            hung: Mutex::default(),
        }))
    }

    async fn load(self, key: String) -> Result<Value, LoadError> {
        let rows = &*self.0;
        rows.loads.fetch_add(1, Ordering::SeqCst);
        let version = rows.version.load(Ordering::SeqCst);
        let loading = rows.loading.fetch_add(1, Ordering::SeqCst) + 1;
        rows.most.fetch_max(loading, Ordering::SeqCst);
        while rows.stalls.load(Ordering::SeqCst) {
            rows.host.sleep(Duration::from_millis(2)).await;
        }
        rows.host.sleep(Duration::from_millis(1)).await;
        rows.loading.fetch_sub(1, Ordering::SeqCst);
        if rows.panics.load(Ordering::SeqCst) {
            expected_panic("as the case says");
        }
        let hangs = rows
            .hung
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&key);
        if hangs {
            pending::<()>().await;
        }
        if rows.fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("the database is away").into());
        }
        Ok(value(&format!("{key} {version}")))
    }

    fn write(&self, version: usize) {
        self.0.version.store(version, Ordering::SeqCst);
    }

    fn loads(&self) -> usize {
        self.0.loads.load(Ordering::SeqCst)
    }

    fn stall(&self, stalls: bool) {
        self.0.stalls.store(stalls, Ordering::SeqCst);
    }

    fn loading(&self) -> usize {
        self.0.loading.load(Ordering::SeqCst)
    }

    /// Loads from here, every 40 ms, as long as the test may take.
    fn under(&self, builder: Builder<String, Value>) -> Builder<String, Value> {
        let database = self.clone();
        builder
            .loader(move |key: String| database.clone().load(key))
            .refresh_every(EVERY)
            .stop_refresh_after(AGES)
    }

    fn node(&self, stage: &Stage) -> Node {
        self.under(stage.builder()).build().unwrap()
    }
}

const FRESH: Call = Call::new().refresh();

fn is(text: &str) -> Cached<Value> {
    Cached::Hit(value(text))
}

async fn changes(stage: &Stage) {
    let database = Database::new(stage);
    let (node, other) = (database.node(stage), stage.node());
    node.load_with("key", &FRESH).await.unwrap();
    node.load("plain").await.unwrap();
    database.write(1);
    stage
        .until("L1 has the new value", async || {
            node.peek("key") == is("key 1")
        })
        .await;
    assert_eq!(other.get("key").await, is("key 1"));
    assert_eq!(node.peek("plain"), is("plain 0"));
    let stats = node.stats();
    assert!(stats.refreshed > 0 && stats.loads > stats.refreshed);
    assert_eq!((stats.misses, node.activity().refreshes), (2, 1));
}

async fn local(stage: &Stage) {
    let database = Database::new(stage);
    let node = database.under(stage.host().builder("users"));
    let node = node.build().unwrap();
    node.load_with("key", &FRESH).await.unwrap();
    database.write(1);
    stage
        .until("L1 has the new value", async || {
            node.peek("key") == is("key 1")
        })
        .await;
}

async fn all(stage: &Stage) {
    let database = Database::new(stage);
    let node = database.under(stage.builder()).refresh_all();
    let node = node.build().unwrap();
    node.load("one").await.unwrap();
    node.load_many(["two", "three", "one"])
        .await
        .into_values()
        .unwrap();
    let no_store = Call::new().no_store();
    node.load_with("no", &no_store).await.unwrap();
    node.get("no").await;
    node.get_or_load("mine", async || Ok::<_, LoadError>(value("mine")))
        .await
        .unwrap();
    assert_eq!(node.activity().refreshes, 3);
    database.write(1);
    stage
        .until("all are new", async || {
            ["one", "two", "three"].map(|key| node.peek(key))
                == ["one 1", "two 1", "three 1"].map(is)
        })
        .await;
    assert_eq!(node.peek("mine"), is("mine"));
}

async fn idle(stage: &Stage) {
    let database = Database::new(stage);
    let node = database.under(stage.builder());
    let node = node.stop_refresh_after(4 * EVERY).build().unwrap();
    node.load_with("key", &FRESH).await.unwrap();
    assert!(node.tasks() > 0);
    stage.until_quiet(&node).await;
    let loads = database.loads();
    stage.host().sleep(4 * EVERY).await;
    assert_eq!(database.loads(), loads);
    // Asked for again, it is kept fresh again.
    node.load_with("key", &FRESH).await.unwrap();
    stage
        .until("it is loaded again", async || database.loads() > loads)
        .await;
}

async fn busy(stage: &Stage) {
    let database = Database::new(stage);
    let node = database.under(stage.builder());
    let idle = Duration::from_secs(2);
    let node = node.stop_refresh_after(idle).build().unwrap();
    let begun = Instant::now();
    while begun.elapsed() < 2 * idle {
        let asked = Instant::now();
        node.load_with("key", &FRESH).await.unwrap();
        stage.host().sleep(EVERY / 2).await;
        let refreshed = node.activity().refreshes;
        // On a machine that stood still it may have been forgotten.
        assert!(refreshed == 1 || asked.elapsed() >= idle);
    }
}

async fn fails(stage: &Stage) {
    let database = Database::new(stage);
    let node = database.node(stage);
    database.0.fails.store(true, Ordering::SeqCst);
    assert!(node.load_with("unknown", &FRESH).await.is_err());
    assert_eq!(node.activity().refreshes, 0, "it has no value to keep");
    database.0.fails.store(false, Ordering::SeqCst);
    node.load_with("key", &FRESH).await.unwrap();
    database.0.fails.store(true, Ordering::SeqCst);
    stage
        .until("two refreshes have failed", async || {
            assert_eq!(node.get("key").await, is("key 0"));
            node.stats().load_failures >= 3
        })
        .await;
    assert_eq!(stage.node().get("key").await, is("key 0"));
    assert_eq!(node.activity().refreshes, 1);
    database.write(1);
    database.0.fails.store(false, Ordering::SeqCst);
    stage
        .until("one succeeds", async || node.peek("key") == is("key 1"))
        .await;
}

async fn panics(stage: &Stage) {
    let database = Database::new(stage);
    let node = database.node(stage);
    node.load_with("key", &FRESH).await.unwrap();
    database.0.panics.store(true, Ordering::SeqCst);
    stage
        .until("a refresh has panicked", async || {
            node.stats().load_failures >= 1
        })
        .await;
    assert_eq!(node.get("key").await, is("key 0"));
    database.write(1);
    database.0.panics.store(false, Ordering::SeqCst);
    stage
        .until("one succeeds", async || node.peek("key") == is("key 1"))
        .await;
}

async fn hangs(stage: &Stage) {
    let database = Database::new(stage);
    let node = database
        .under(stage.builder())
        .load_timeout(Duration::from_millis(600))
        .refresh_concurrency(2);
    let node = node.build().unwrap();
    node.load_with("hung", &FRESH).await.unwrap();
    node.load_with("good", &FRESH).await.unwrap();
    database.0.hung.lock().unwrap().insert("hung".into());
    for version in 1..6 {
        database.write(version);
        let new = is(&format!("good {version}"));
        stage
            .until("the other key is refreshed", async || {
                node.peek("good") == new
            })
            .await;
    }
    stage
        .until("the hung one has timed out", async || {
            node.stats().load_failures >= 1
        })
        .await;
    assert_eq!(node.get("hung").await, is("hung 0"));
    database.0.hung.lock().unwrap().clear();
    database.write(6);
    stage
        .until("it is refreshed again", async || {
            node.peek("hung") == is("hung 6")
        })
        .await;
}

async fn at_once(stage: &Stage) {
    let database = Database::new(stage);
    let node = database.under(stage.builder()).refresh_concurrency(3);
    let node = node.load_concurrency(1).build().unwrap();
    let keys: Vec<String> = (0..30).map(|key| key.to_string()).collect();
    node.load_many_with(&keys, &FRESH)
        .await
        .into_values()
        .unwrap();
    // The first load of the last key ran beside refreshes.
    database.0.most.store(0, Ordering::SeqCst);
    database.stall(true);
    stage
        .until("three run", async || database.loading() == 3)
        .await;
    stage.host().sleep(3 * EVERY).await;
    assert_eq!(database.loading(), 3);
    database.write(1);
    database.stall(false);
    stage
        .until("all are new", async || {
            keys.iter()
                .all(|key| node.peek(key) == is(&format!("{key} 1")))
        })
        .await;
    assert!(database.0.most.load(Ordering::SeqCst) <= 3);
}

async fn change(stage: &Stage) {
    let database = Database::new(stage);
    let node = database.node(stage);
    node.load_with("removed", &FRESH).await.unwrap();
    node.load_with("replaced", &FRESH).await.unwrap();
    database.stall(true);
    database.write(1);
    stage
        .until("both are being refreshed", async || database.loading() == 2)
        .await;
    database.write(2);
    node.invalidate("removed").await;
    node.insert("replaced".into(), value("new")).await.unwrap();
    for key in ["removed", "replaced"] {
        node.cancel_refresh(key);
    }
    database.stall(false);
    stage.until_quiet(&node).await;
    assert_eq!(node.get("removed").await, Cached::Miss);
    assert_eq!(stage.bytes("removed").await, None);
    assert_eq!(node.get("replaced").await, is("new"));
    assert_eq!(stage.node().get("replaced").await, is("new"));
}

async fn reader(stage: &Stage) {
    let database = Database::new(stage);
    let node = database.under(stage.builder()).no_local().build().unwrap();
    node.load_with("key", &FRESH).await.unwrap();
    database.stall(true);
    stage
        .until("it is being refreshed", async || database.loading() == 1)
        .await;
    let old = Some(value("key 0"));
    assert_eq!(node.load("key").await.unwrap(), old);
    assert_eq!(node.get_or_load("key", nobody).await.unwrap(), old);
    let many = node.load_many(["key"]).await.into_values().unwrap();
    assert_eq!(many[0], old);
    let batch = async |_: Vec<String>| Err::<Vec<(String, Value)>, _>(LoadError::from("it ran"));
    let many = node.get_many_or_load(["key"], batch).await;
    assert_eq!(many.into_values().unwrap(), [old]);
    // When L2 has lost it there is only the load to wait for.
    stage.remove("key").await;
    let waiting = async {
        stage.host().sleep(EVERY).await;
        database.stall(false);
    };
    let (loaded, ()) = futures_util::future::join(node.load("key"), waiting).await;
    assert_eq!(loaded.unwrap(), Some(value("key 0")));
    assert!(node.stats().coalesced >= 1);
}

async fn fleet(stage: &Stage) {
    let every = Duration::from_millis(200);
    let database = Database::new(stage);
    let nodes = [(); 4].map(|()| {
        let builder = database.under(stage.builder()).refresh_every(every);
        builder.build().unwrap()
    });
    let begun = Instant::now();
    for node in &nodes {
        node.load_with("key", &FRESH).await.unwrap();
    }
    assert_eq!(database.loads(), 1);
    for version in 1..10 {
        database.write(version);
        let new = is(&format!("key {version}"));
        stage
            .until("all nodes have it", async || {
                nodes.iter().all(|node| node.peek("key") == new)
            })
            .await;
    }
    let periods = begun.elapsed().as_millis() / every.as_millis();
    let loads = database.loads() as u128;
    // The first period is shorter. Four nodes by themselves would load four times as often.
    assert!(
        loads <= periods * 10 / 9 + 3,
        "{loads} loads in {periods} periods"
    );
    let copied: u64 = nodes.iter().map(|node| node.stats().copied).sum();
    let refreshed: u64 = nodes.iter().map(|node| node.stats().refreshed).sum();
    assert_eq!(refreshed + 1, database.loads() as u64);
    assert!(copied >= 9, "{copied}");
    assert_eq!(
        nodes.each_ref().map(|node| node.stats().load_failures),
        [0; 4]
    );
}

async fn full(stage: &Stage) {
    let database = Database::new(stage);
    let node = database.under(stage.builder()).refresh_capacity(3);
    let node = node.build().unwrap();
    for key in ["1", "2", "3", "4", "5"] {
        assert!(node.load_with(key, &FRESH).await.unwrap().is_some());
    }
    assert_eq!(node.activity().refreshes, 3);
    assert_eq!(node.stats().not_refreshed, 2);
    node.cancel_refresh("2");
    node.load_with("5", &FRESH).await.unwrap();
    assert_eq!(node.activity().refreshes, 3);
    assert_eq!(node.stats().not_refreshed, 2);
}

async fn cancelled(stage: &Stage) {
    let database = Database::new(stage);
    let node = database.node(stage);
    node.load_with("key", &FRESH).await.unwrap();
    node.cancel_refresh("other");
    assert_eq!(node.activity().refreshes, 1);
    node.cancel_refresh("key");
    stage.until_quiet(&node).await;
}

async fn close(stage: &Stage) {
    let database = Database::new(stage);
    let node = database.node(stage);
    node.load_with("key", &FRESH).await.unwrap();
    database.stall(true);
    stage
        .until("it is being refreshed", async || database.loading() == 1)
        .await;
    let ending = async {
        stage.host().sleep(EVERY).await;
        database.stall(false);
    };
    futures_util::future::join(node.close(), ending).await;
    assert_eq!((node.tasks(), node.activity()), (0, Default::default()));
    let loads = database.loads();
    assert!(matches!(
        node.load_with("key", &FRESH).await,
        Err(Error::Closed)
    ));
    stage.host().sleep(3 * EVERY).await;
    assert_eq!((database.loads(), node.tasks()), (loads, 0));
    // The last handle ends it as well.
    let node = database.node(stage);
    node.load_with("other", &FRESH).await.unwrap();
    drop(node);
    stage.host().sleep(3 * EVERY).await;
    let loads = database.loads();
    stage.host().sleep(3 * EVERY).await;
    assert_eq!(database.loads(), loads);
}

async fn wishes(stage: &Stage) {
    let database = Database::new(stage);
    let node = database.node(stage);
    node.load_with("key", &FRESH).await.unwrap();
    // It is in L1, and goes there no more.
    node.load_with("key", &FRESH.skip_local()).await.unwrap();
    database.write(1);
    let other = stage.node();
    stage
        .until("L2 has the new value", async || {
            other.get_with("key", &Call::new().skip_local()).await == is("key 1")
        })
        .await;
    assert_eq!(node.peek("key"), is("key 0"));
    // And only there.
    node.load_with("key", &FRESH.skip_remote()).await.unwrap();
    database.write(2);
    stage
        .until("L1 has the new value", async || {
            node.peek("key") == is("key 2")
        })
        .await;
}

async fn refused(stage: &Stage) {
    let is_refused = |answer: Result<Option<Value>, Error>| {
        assert!(matches!(answer, Err(Error::Config(_))), "{answer:?}");
    };
    let database = Database::new(stage);
    let node = stage.builder().refresh_every(EVERY).build().unwrap();
    is_refused(node.load_with("key", &FRESH).await);
    is_refused(node.get_or_load_with("key", &FRESH, nobody).await);
    for (_, answer) in node.load_many_with(["a", "b"], &FRESH).await {
        is_refused(answer);
    }
    let loader = database.clone();
    let node = stage
        .builder()
        .loader(move |key: String| loader.clone().load(key))
        .build()
        .unwrap();
    is_refused(node.load_with("key", &FRESH).await);
    let node = database.node(stage);
    is_refused(node.load_with("key", &FRESH.no_store()).await);
    assert_eq!(node.activity().refreshes, 0);
    let wrong = [
        database.node_builder(stage).refresh_every(Duration::ZERO),
        database
            .node_builder(stage)
            .stop_refresh_after(Duration::ZERO),
        database.node_builder(stage).refresh_concurrency(0),
        database.node_builder(stage).refresh_capacity(0),
        stage.builder().refresh_every(EVERY).refresh_all(),
        stage.builder().refresh_all(),
    ];
    for (i, builder) in wrong.into_iter().enumerate() {
        assert!(
            matches!(builder.build(), Err(Error::Config(_))),
            "number {i}"
        );
    }
}

impl Database {
    fn node_builder(&self, stage: &Stage) -> Builder<String, Value> {
        self.under(stage.builder())
    }

    /// A node in the jetcache-go format that refreshes so often.
    fn go(&self, stage: &Stage, every: Duration) -> Node {
        let builder = self.under(stage.builder_with(Raw)).refresh_every(every);
        builder.wire(Wire::JetcacheGo).build().unwrap()
    }
}

async fn lock(stage: &Stage) {
    let every = Duration::from_millis(300);
    let database = Database::new(stage);
    let nodes = [database.go(stage, every), database.go(stage, every)];
    for node in &nodes {
        node.load_with("key", &FRESH).await.unwrap();
    }
    database.stall(true);
    stage
        .until("it is being refreshed", async || database.loading() == 1)
        .await;
    assert!(stage.bytes("key_#RL#").await.is_some());
    assert_eq!(stage.bytes("key").await.as_deref(), Some(&b"key 0"[..]));
    database.write(1);
    database.stall(false);
    for version in 1..4 {
        database.write(version);
        let new = is(&format!("key {version}"));
        stage
            .until("both have the new value", async || {
                nodes.iter().all(|node| node.peek("key") == new)
            })
            .await;
    }
    let copied: u64 = nodes.iter().map(|node| node.stats().copied).sum();
    assert!(copied > 0);
}

async fn lock_given_back(stage: &Stage) {
    // Longer than the test: a lock that is not given back stays.
    let every = Duration::from_secs(2);
    let database = Database::new(stage);
    let node = database.go(stage, every);
    node.load_with("key", &FRESH).await.unwrap();
    database.0.fails.store(true, Ordering::SeqCst);
    database.stall(true);
    stage
        .until("it is being refreshed", async || database.loading() == 1)
        .await;
    assert!(stage.bytes("key_#RL#").await.is_some());
    let locked = Instant::now();
    database.stall(false);
    stage
        .until("the lock is given back", async || {
            stage.bytes("key_#RL#").await.is_none()
        })
        .await;
    assert!(
        node.stats().load_failures == 1 || locked.elapsed() > every / 2,
        "it ended by itself"
    );
    assert_eq!(stage.bytes("key").await.as_deref(), Some(&b"key 0"[..]));
    assert_eq!(node.peek("key"), is("key 0"));
}

async fn lock_honoured(stage: &Stage) {
    let database = Database::new(stage);
    let node = database.go(stage, EVERY);
    // A Go service has the turn, for a minute.
    stage.plant("key_#RL#", b"1700000000").await;
    node.load_with("key", &FRESH).await.unwrap();
    database.write(1);
    stage.plant("key", b"key of Go").await;
    stage
        .until("it is copied from L2", async || {
            node.peek("key") == is("key of Go")
        })
        .await;
    stage.host().sleep(3 * EVERY).await;
    assert_eq!((database.loads(), node.stats().refreshed), (1, 0));
    stage.remove("key_#RL#").await;
    stage
        .until("it loads again", async || node.peek("key") == is("key 1"))
        .await;
}

async fn outage(stage: &Stage) {
    let database = Database::new(stage);
    let node = database.node(stage);
    node.load_with("key", &FRESH).await.unwrap();
    stage.server().kill();
    stage
        .until("L2 does not answer", async || {
            node.stats().remote_faults > 0
        })
        .await;
    // One may have had its lease already.
    stage
        .until("it has ended", async || database.loading() == 0)
        .await;
    let loads = database.loads();
    database.write(1);
    stage
        .until("it was tried again", async || {
            node.stats().remote_faults > 2
        })
        .await;
    assert_eq!(database.loads(), loads);
    assert_eq!(node.peek("key"), is("key 0"));
    stage.server().restart();
    stage
        .until("it is refreshed again", async || {
            node.peek("key") == is("key 1")
        })
        .await;
}
