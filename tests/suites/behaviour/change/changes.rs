//! No stale fill: changes of a key, and loads that they overtake.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{join_all, select};
use jetcache_core::{Cached, LoadError, Reach};

use crate::behaviour::stage::{Case, Cases, Node, Stage, Value, brings, value};

pub(crate) const CASES: Cases<Case> = &[
    ("invalidate_clears_every_level", |s| Box::pin(invalidate(s))),
    (
        "a_load_that_an_invalidation_overtook_is_kept_nowhere",
        |s| Box::pin(overtaken(s)),
    ),
    ("a_load_that_an_insert_overtook_is_kept_nowhere", |s| {
        Box::pin(insert_wins(s))
    }),
    (
        "a_load_that_another_nodes_change_overtook_is_kept_nowhere",
        |s| Box::pin(other_node(s)),
    ),
    ("a_load_that_clear_local_overtook_is_not_kept_in_l1", |s| {
        Box::pin(cleared(s))
    }),
    ("insert_replaces_in_both_levels", |s| Box::pin(insert(s))),
    ("insert_if_absent_is_judged_in_l2", |s| {
        Box::pin(if_absent(s))
    }),
    ("insert_if_present_is_judged_in_l2", |s| {
        Box::pin(if_present(s))
    }),
    ("without_l2_conditional_inserts_are_judged_in_l1", |s| {
        Box::pin(judged_in_l1(s))
    }),
    ("many_inserts_at_once_end_equal_in_both_levels", |s| {
        Box::pin(many(s))
    }),
    ("dropping_the_future_does_not_stop_the_change", |s| {
        Box::pin(dropped(s))
    }),
    ("a_removal_of_l1_leaves_l2", |s| Box::pin(local_only(s))),
];

async fn invalidate(stage: &Stage) {
    let node = stage.node();
    node.get_or_load("key", brings("one")).await.unwrap();
    assert_eq!(node.invalidate("key").await, Reach::Everywhere);
    assert_eq!(
        (node.peek("key"), node.get("key").await),
        (Cached::Miss, Cached::Miss)
    );
    assert_eq!(stage.node().get("key").await, Cached::Miss);
    stage.until_quiet(&node).await;
}

/// Makes `change` while a load of `key` runs on `node`. The callers of that load get its value.
async fn during_a_load(stage: &Stage, node: &Node, change: impl Future<Output = ()>) {
    let (began, go) = (AtomicBool::new(false), AtomicBool::new(false));
    let mut load = pin!(node.get_or_load("key", async || {
        began.store(true, Ordering::SeqCst);
        while !go.load(Ordering::SeqCst) {
            stage.host().sleep(Duration::from_millis(1)).await;
        }
        Ok::<_, LoadError>(value("old"))
    }));
    while !began.load(Ordering::SeqCst) {
        let nap = pin!(stage.host().sleep(Duration::from_millis(1)));
        select(&mut load, nap).await;
    }
    change.await;
    go.store(true, Ordering::SeqCst);
    assert_eq!(load.await.unwrap(), Some(value("old")));
}

async fn overtaken(stage: &Stage) {
    let node = stage.node();
    during_a_load(stage, &node, async {
        node.invalidate("key").await;
        // A reader that comes after the change does not wait for the old load.
        let fresh = node.get_or_load("other", brings("x")).await;
        assert!(fresh.is_ok());
    })
    .await;
    assert_eq!(
        (node.peek("key"), node.get("key").await),
        (Cached::Miss, Cached::Miss)
    );
    let new = node.get_or_load("key", brings("new")).await.unwrap();
    assert_eq!(new, Some(value("new")));
    stage.until_quiet(&node).await;
}

async fn insert_wins(stage: &Stage) {
    let node = stage.node();
    during_a_load(stage, &node, async {
        node.insert("key".into(), value("new")).await.unwrap();
    })
    .await;
    assert_eq!(node.peek("key"), Cached::Hit(value("new")));
    assert_eq!(stage.node().get("key").await, Cached::Hit(value("new")));
}

async fn other_node(stage: &Stage) {
    let (one, two) = (stage.node(), stage.node());
    during_a_load(stage, &one, async {
        two.invalidate("key").await;
    })
    .await;
    // The fill was refused, so L1 keeps nothing either.
    assert_eq!(
        (one.peek("key"), one.get("key").await),
        (Cached::Miss, Cached::Miss)
    );
    during_a_load(stage, &one, async {
        two.insert("key".into(), value("new")).await.unwrap();
    })
    .await;
    assert_eq!(one.get("key").await, Cached::Hit(value("new")));
}

async fn cleared(stage: &Stage) {
    let node = stage.node();
    during_a_load(stage, &node, async { node.clear_local() }).await;
    assert_eq!(node.peek("key"), Cached::Miss);
    node.invalidate("key").await;
    during_a_load(stage, &node, async { node.invalidate_local("key") }).await;
    assert_eq!(node.peek("key"), Cached::Miss);
}

async fn insert(stage: &Stage) {
    let (one, two) = (stage.node(), stage.node());
    one.get_or_load("key", brings("old")).await.unwrap();
    assert_eq!(
        one.insert("key".into(), value("new")).await.unwrap(),
        Reach::Everywhere
    );
    assert_eq!(one.peek("key"), Cached::Hit(value("new")));
    assert_eq!(two.get("key").await, Cached::Hit(value("new")));
}

async fn if_absent(stage: &Stage) {
    let (one, two) = (stage.node(), stage.node());
    assert!(
        one.insert_if_absent("key".into(), value("one"))
            .await
            .unwrap()
    );
    assert!(
        !two.insert_if_absent("key".into(), value("two"))
            .await
            .unwrap()
    );
    assert_eq!(
        (two.peek("key"), two.get("key").await),
        (Cached::Miss, Cached::Hit(value("one")))
    );
    assert!(
        !two.insert_if_absent("key".into(), value("two"))
            .await
            .unwrap()
    );
    assert_eq!(
        two.peek("key"),
        Cached::Hit(value("one")),
        "a refused one changes nothing"
    );
    let absent = async || Ok::<Option<Value>, LoadError>(None);
    one.get_or_load("ghost", absent).await.unwrap();
    assert!(
        one.insert_if_absent("ghost".into(), value("born"))
            .await
            .unwrap()
    );
    assert_eq!(one.peek("ghost"), Cached::Hit(value("born")));
}

async fn if_present(stage: &Stage) {
    let (one, two) = (stage.node(), stage.node());
    assert!(
        !one.insert_if_present("key".into(), value("one"))
            .await
            .unwrap()
    );
    assert_eq!(
        (one.peek("key"), one.get("key").await),
        (Cached::Miss, Cached::Miss)
    );
    two.insert("key".into(), value("two")).await.unwrap();
    assert!(
        one.insert_if_present("key".into(), value("one"))
            .await
            .unwrap()
    );
    assert_eq!(one.peek("key"), Cached::Hit(value("one")));
    assert_eq!(stage.node().get("key").await, Cached::Hit(value("one")));
}

async fn judged_in_l1(stage: &Stage) {
    let node = stage.local_node();
    assert!(
        !node
            .insert_if_present("key".into(), value("zero"))
            .await
            .unwrap()
    );
    assert_eq!(node.peek("key"), Cached::Miss);
    let inserts = (0..50).map(|i| node.insert_if_absent("key".into(), value(&i.to_string())));
    let applied = join_all(inserts)
        .await
        .into_iter()
        .filter(|r| *r.as_ref().unwrap())
        .count();
    assert_eq!(applied, 1);
    assert!(
        node.insert_if_present("key".into(), value("last"))
            .await
            .unwrap()
    );
    assert_eq!(node.peek("key"), Cached::Hit(value("last")));
    stage.until_quiet(&node).await;
}

async fn many(stage: &Stage) {
    let node = stage.node();
    for _ in 0..20 {
        let inserts = (0..20).map(|i| node.insert("key".into(), value(&i.to_string())));
        for reach in join_all(inserts).await {
            assert_eq!(reach.unwrap(), Reach::Everywhere);
        }
        let (here, there) = (node.get("key").await, stage.node().get("key").await);
        assert_eq!(here, there);
    }
    stage.until_quiet(&node).await;
}

async fn dropped(stage: &Stage) {
    let (one, two) = (stage.node(), stage.node());
    one.insert("key".into(), value("old")).await.unwrap();
    {
        let mut insert = Box::pin(one.insert("key".into(), value("new")));
        // It is polled once, and so has begun.
        let _ = futures_util::poll!(&mut insert);
    }
    let arrived = async || two.get("key").await == Cached::Hit(value("new"));
    two.clear_local();
    stage
        .until("the insert has arrived", async || {
            two.clear_local();
            arrived().await
        })
        .await;
    stage.until_quiet(&one).await;
}

async fn local_only(stage: &Stage) {
    let node = stage.node();
    node.insert("key".into(), value("one")).await.unwrap();
    node.invalidate_local("key");
    assert_eq!(node.peek("key"), Cached::Miss);
    assert_eq!(node.get("key").await, Cached::Hit(value("one")));
    node.clear_local();
    assert_eq!(
        (node.len(), node.get("key").await),
        (0, Cached::Hit(value("one")))
    );
}
