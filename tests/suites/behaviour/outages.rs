//! Redis is killed, stopped and brought back, and no caller gets an error for it.

use std::time::Duration;

use futures_util::future::join_all;
use jetcache_core::{Cached, Error, Reach};

use crate::behaviour::stage::face::Faced;
use crate::behaviour::stage::{Case, Cases, Stage, brings, nobody, value};

pub(crate) const CASES: Cases<Case> = &[
    (
        "with_redis_dead_loads_answer_and_changes_are_repeated_later",
        |s| Box::pin(dead(s)),
    ),
    ("with_redis_stopped_a_lookup_pays_for_one_fault", |s| {
        Box::pin(stopped(s))
    }),
    ("an_unconfirmed_key_is_not_read_from_l2", |s| {
        Box::pin(unconfirmed(s))
    }),
    ("what_is_applied_late_does_not_come_back", |s| {
        Box::pin(late(s))
    }),
    ("a_thousand_unconfirmed_keys_are_all_confirmed", |s| {
        Box::pin(thousand(s))
    }),
    ("redis_may_be_down_at_the_start", |s| {
        Box::pin(late_start(s))
    }),
    ("flushed_scripts_are_loaded_again", |s| Box::pin(flushed(s))),
    ("a_key_of_another_type_is_a_miss_and_is_healed", |s| {
        Box::pin(wrong_type(s))
    }),
    ("close_ends_with_redis_dead", |s| Box::pin(close(s))),
];

async fn dead(stage: &Stage) {
    // What it would leave out depends on how often a removal was repeated by then.
    let node = stage.builder().no_breaker().build().unwrap().faced();
    node.insert("key".into(), value("old")).await.unwrap();
    stage.server().kill();
    assert_eq!(
        node.get_or_load("cold", brings("loaded")).await.unwrap(),
        Some(value("loaded"))
    );
    assert_eq!(
        node.get_or_load("cold", nobody).await.unwrap(),
        Some(value("loaded"))
    );
    assert_eq!(node.get("unknown").await, Cached::Miss);
    assert_eq!(
        node.insert("key".into(), value("new")).await.unwrap(),
        Reach::Pending
    );
    assert_eq!(node.peek("key"), Cached::Hit(value("new")));
    assert_eq!(node.invalidate("key").await, Reach::Pending);
    assert_eq!(node.peek("key"), Cached::Miss);
    let undecided = node.insert_if_absent("other".into(), value("one")).await;
    assert!(matches!(undecided, Err(Error::Undecided)));
    assert_eq!(node.peek("other"), Cached::Miss);
    assert_eq!(node.activity().unconfirmed, 2);
    stage.server().restart();
    // Once it has been asked, the first call succeeds, a claim as well.
    node.ping().await.unwrap();
    assert_eq!(
        node.insert("first".into(), value("one")).await.unwrap(),
        Reach::Everywhere
    );
    stage
        .until("L2 has confirmed", async || {
            node.activity().unconfirmed == 0
        })
        .await;
    assert_eq!(
        node.insert("key".into(), value("last")).await.unwrap(),
        Reach::Everywhere
    );
    stage.until_quiet(&node).await;
}

async fn stopped(stage: &Stage) {
    let node = stage
        .builder()
        .remote_timeout(Duration::from_millis(60))
        .build()
        .unwrap()
        .faced();
    node.insert("warm".into(), value("warm")).await.unwrap();
    stage.server().pause();
    let before = node.stats();
    assert_eq!(
        node.get_or_load("cold", brings("loaded")).await.unwrap(),
        Some(value("loaded"))
    );
    assert_eq!(node.stats().since(&before).remote_faults, 1);
    assert_eq!(
        node.get_or_load("warm", nobody).await.unwrap(),
        Some(value("warm"))
    );
    let keys: Vec<String> = (0..200).map(|i| i.to_string()).collect();
    let loads = keys
        .iter()
        .map(|key| node.get_or_load(key, brings("loaded")));
    assert!(
        join_all(loads)
            .await
            .into_iter()
            .all(|answer| answer.unwrap().is_some())
    );
    assert_eq!(node.stats().since(&before).remote_faults, 201);
    assert_eq!(node.invalidate("warm").await, Reach::Pending);
    stage.server().resume();
    stage
        .until("L2 has confirmed", async || {
            node.activity().unconfirmed == 0
        })
        .await;
    assert_eq!(node.get("warm").await, Cached::Miss);
    stage.until_quiet(&node).await;
}

async fn unconfirmed(stage: &Stage) {
    let node = stage
        .builder()
        .remote_timeout(Duration::from_millis(60))
        .build()
        .unwrap()
        .faced();
    node.insert("key".into(), value("old")).await.unwrap();
    stage.server().pause();
    assert_eq!(node.invalidate("key").await, Reach::Pending);
    assert!(node.stats().unconfirmed >= 1);
    let faults = node.stats().remote_faults;
    // L2 is not asked about this key, so there is no timeout to pay.
    assert_eq!(node.get("key").await, Cached::Miss);
    assert_eq!(
        node.get_or_load("key", brings("new")).await.unwrap(),
        Some(value("new"))
    );
    assert_eq!(node.stats().remote_faults, faults);
    assert_eq!(node.peek("key"), Cached::Hit(value("new")));
    stage.server().resume();
    stage
        .until("L2 has confirmed", async || {
            node.activity().unconfirmed == 0
        })
        .await;
    assert_eq!(stage.node().get("key").await, Cached::Miss);
    stage.until_quiet(&node).await;
}

async fn late(stage: &Stage) {
    let short = Duration::from_millis(60);
    let one = stage
        .builder()
        .remote_timeout(short)
        .build()
        .unwrap()
        .faced();
    let two = stage.node();
    one.insert("key".into(), value("first")).await.unwrap();
    stage.server().pause();
    // Their sender has given them up, and they are applied when the server goes on.
    let given_up = one.insert("key".into(), value("late")).await.unwrap();
    assert_eq!(given_up, Reach::Pending);
    assert_eq!(one.invalidate("key").await, Reach::Pending);
    stage.server().resume();
    two.insert("key".into(), value("new")).await.unwrap();
    stage
        .until("L2 has confirmed", async || one.activity().unconfirmed == 0)
        .await;
    // A repeated removal may cost a miss, but nobody may see what was given up.
    for node in [&one, &stage.node()] {
        let seen = node.get("key").await;
        assert!(
            seen == Cached::Miss || seen == Cached::Hit(value("new")),
            "{seen:?}"
        );
    }
    stage.until_quiet(&one).await;
}

async fn thousand(stage: &Stage) {
    let node = stage.node();
    let keys: Vec<String> = (0..1000).map(|i| i.to_string()).collect();
    for key in &keys {
        node.insert(key.clone(), value("old")).await.unwrap();
    }
    stage.server().kill();
    for reach in join_all(keys.iter().map(|key| node.invalidate(key))).await {
        assert_eq!(reach, Reach::Pending);
    }
    assert_eq!(node.activity().unconfirmed, 1000);
    stage.server().restart();
    stage
        .until("L2 has confirmed", async || {
            node.activity().unconfirmed == 0
        })
        .await;
    stage.until_quiet(&node).await;
}

async fn late_start(stage: &Stage) {
    stage.server().kill();
    let node = stage.node();
    assert_eq!(
        node.get_or_load("key", brings("one")).await.unwrap(),
        Some(value("one"))
    );
    stage.server().restart();
    assert_eq!(
        node.get_or_load("other", brings("two")).await.unwrap(),
        Some(value("two"))
    );
    assert_eq!(stage.node().get("other").await, Cached::Hit(value("two")));
}

async fn flushed(stage: &Stage) {
    let node = stage.node();
    node.insert("key".into(), value("one")).await.unwrap();
    stage.server().cli(&["SCRIPT", "FLUSH"]);
    assert_eq!(
        node.insert("key".into(), value("two")).await.unwrap(),
        Reach::Everywhere
    );
    stage.server().cli(&["SCRIPT", "FLUSH"]);
    node.get_or_load("cold", brings("three")).await.unwrap();
    stage.server().cli(&["FLUSHALL"]);
    assert_eq!(stage.node().get("cold").await, Cached::Miss);
    assert_eq!(node.stats().remote_faults, 0);
}

async fn wrong_type(stage: &Stage) {
    stage.server().cli(&["RPUSH", &stage.key("key"), "1"]);
    let node = stage.node();
    assert_eq!(node.get("key").await, Cached::Miss);
    assert_eq!(
        node.get_or_load("key", brings("one")).await.unwrap(),
        Some(value("one"))
    );
    assert_eq!(node.stats().remote_faults, 0);
    assert_eq!(stage.node().get("key").await, Cached::Hit(value("one")));
}

async fn close(stage: &Stage) {
    let node = stage
        .builder()
        .load_timeout(Duration::from_millis(100))
        .build()
        .unwrap()
        .faced();
    node.insert("key".into(), value("one")).await.unwrap();
    stage.server().kill();
    assert_eq!(node.invalidate("key").await, Reach::Pending);
    node.close().await;
    node.close().await;
    stage
        .until("no task is left", async || node.tasks() == 0)
        .await;
}
