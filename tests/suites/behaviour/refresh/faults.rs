//! Refreshes that fail, hang or meet a change.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jetcache_core::{Cached, LoadError};

use crate::behaviour::stage::face::Faced;
use crate::behaviour::stage::{Case, Cases, Stage, Value, nobody, value};

use super::{Database, EVERY, FRESH, is};

pub(crate) const CASES: Cases<Case> = &[
    ("a_failing_refresh_keeps_the_value", |s| Box::pin(fails(s))),
    ("a_panicking_refresh_keeps_the_value", |s| {
        Box::pin(panics(s))
    }),
    ("a_hung_loader_does_not_stop_the_others", |s| {
        Box::pin(hangs(s))
    }),
    ("a_change_wins_over_a_refresh", |s| Box::pin(change(s))),
    ("a_reader_does_not_wait_for_a_refresh", |s| {
        Box::pin(reader(s))
    }),
];

pub(crate) const OWN_REDIS: Cases<Case> =
    &[("without_l2_nothing_is_refreshed", |s| Box::pin(outage(s)))];

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
    let node = node.build().unwrap().faced();
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
    let node = database
        .under(stage.builder())
        .no_local()
        .build()
        .unwrap()
        .faced();
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
    // L2 has lost it, so there is only the load to wait for.
    stage.remove("key").await;
    let waiting = async {
        stage.host().sleep(EVERY).await;
        database.stall(false);
    };
    let (loaded, ()) = futures_util::future::join(node.load("key"), waiting).await;
    assert_eq!(loaded.unwrap(), Some(value("key 0")));
    assert!(node.stats().coalesced >= 1);
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
    // One of them may have had its lease already.
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
