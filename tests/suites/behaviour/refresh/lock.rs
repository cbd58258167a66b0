//! The lock with which jetcache-go's nodes agree on who refreshes.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::behaviour::stage::{Case, Cases, Stage};

use super::{Database, EVERY, FRESH, is};

pub(crate) const CASES: Cases<Case> = &[
    ("jetcache_go_sees_the_lock", |s| Box::pin(lock(s))),
    ("a_failed_refresh_gives_the_lock_of_jetcache_go_back", |s| {
        Box::pin(lock_given_back(s))
    }),
    ("the_lock_of_jetcache_go_is_honoured", |s| {
        Box::pin(lock_honoured(s))
    }),
];

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
    // Longer than the test, so that a lock that is not given back is still there.
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
