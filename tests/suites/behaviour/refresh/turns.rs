//! Which keys are refreshed, how often, and by whom.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jetcache_core::{Call, Error, LoadError};

use crate::behaviour::stage::face::Faced;
use crate::behaviour::stage::{Case, Cases, Stage, Value, nobody, value};

use super::{Database, EVERY, FRESH, is};

pub(crate) const CASES: Cases<Case> = &[
    ("a_value_changes_by_itself", |s| Box::pin(changes(s))),
    ("a_cache_without_l2_refreshes_too", |s| Box::pin(local(s))),
    ("every_loaded_key_can_be_kept_fresh", |s| Box::pin(all(s))),
    ("what_nobody_asks_for_is_not_refreshed", |s| {
        Box::pin(idle(s))
    }),
    ("a_hit_counts_as_asking", |s| Box::pin(busy(s))),
    ("no_more_than_so_many_refreshes_run_at_once", |s| {
        Box::pin(at_once(s))
    }),
    ("one_node_of_the_fleet_loads", |s| Box::pin(fleet(s))),
    ("what_has_no_room_is_loaded_and_not_refreshed", |s| {
        Box::pin(full(s))
    }),
    ("a_refresh_can_be_cancelled", |s| Box::pin(cancelled(s))),
    ("close_ends_refreshing", |s| Box::pin(close(s))),
    ("the_latest_wishes_hold", |s| Box::pin(wishes(s))),
    ("a_refresh_that_cannot_be_says_so", |s| Box::pin(refused(s))),
];

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
    let node = node.build().unwrap().faced();
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
    let node = node.build().unwrap().faced();
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
    let node = node.stop_refresh_after(4 * EVERY).build().unwrap().faced();
    node.load_with("key", &FRESH).await.unwrap();
    assert!(node.tasks() > 0);
    stage.until_quiet(&node).await;
    let loads = database.loads();
    stage.host().sleep(4 * EVERY).await;
    assert_eq!(database.loads(), loads);
    // It is asked for again, and so kept fresh again.
    node.load_with("key", &FRESH).await.unwrap();
    stage
        .until("it is loaded again", async || database.loads() > loads)
        .await;
}

async fn busy(stage: &Stage) {
    let database = Database::new(stage);
    let node = database.under(stage.builder());
    let idle = Duration::from_secs(2);
    let node = node.stop_refresh_after(idle).build().unwrap().faced();
    let begun = Instant::now();
    while begun.elapsed() < 2 * idle {
        let asked = Instant::now();
        node.load_with("key", &FRESH).await.unwrap();
        stage.host().sleep(EVERY / 2).await;
        let refreshed = node.activity().refreshes;
        // On a machine that stood still for a while the key may have been forgotten.
        assert!(refreshed == 1 || asked.elapsed() >= idle);
    }
}

async fn at_once(stage: &Stage) {
    let database = Database::new(stage);
    let node = database.under(stage.builder()).refresh_concurrency(3);
    let node = node.load_concurrency(1).build().unwrap().faced();
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

async fn fleet(stage: &Stage) {
    let every = Duration::from_millis(200);
    let database = Database::new(stage);
    let nodes = [(); 4].map(|()| {
        let builder = database.under(stage.builder()).refresh_every(every);
        builder.build().unwrap().faced()
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
    let node = node.build().unwrap().faced();
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
    // It is in L1 already, and is not written there again.
    node.load_with("key", &FRESH.skip_local()).await.unwrap();
    database.write(1);
    let other = stage.node();
    stage
        .until("L2 has the new value", async || {
            other.get_with("key", &Call::new().skip_local()).await == is("key 1")
        })
        .await;
    assert_eq!(node.peek("key"), is("key 0"));
    // And it is only there.
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
    let node = stage
        .builder()
        .refresh_every(EVERY)
        .build()
        .unwrap()
        .faced();
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
        .unwrap()
        .faced();
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
