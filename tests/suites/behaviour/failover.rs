//! Another server process answers where Redis was, and lacks the last changes: it was restarted from
//! an older snapshot.

use std::time::Duration;

use jetcache_adapters::{MessagePack, Raw, Redis};
use jetcache_core::{Builder, BusState, Cached, Reach};

use crate::behaviour::stage::face::Faced;
use crate::behaviour::stage::{Case, Cases, Node, PATIENCE, Stage, Value, brings, value};

pub(crate) const CASES: Cases<Case> = &[
    (
        "what_was_changed_since_a_snapshot_does_not_come_back",
        |s| Box::pin(own(s)),
    ),
    ("nor_does_it_for_those_who_only_heard_of_it", |s| {
        Box::pin(heard(s))
    }),
    ("nor_on_a_bus_that_watches", |s| Box::pin(watched(s))),
    ("an_outage_longer_than_the_window_forgets_nothing", |s| {
        Box::pin(long(s))
    }),
    ("what_changed_before_the_window_stays", |s| {
        Box::pin(before(s))
    }),
    ("of_more_changes_than_fit_the_buckets_are_raised", |s| {
        Box::pin(too_many(s))
    }),
    ("without_a_window_a_lost_change_stays_lost", |s| {
        Box::pin(none(s))
    }),
    (
        "caches_that_share_a_handle_each_make_their_changes_again",
        |s| Box::pin(shared(s)),
    ),
];

/// A node that shows what L2 has.
fn builder(stage: &Stage) -> Builder<String, Value> {
    // Redis is here or gone, and never silent.
    stage.builder().no_local().remote_timeout(PATIENCE)
}

/// Whatever is changed from here on is lost when the server is [replaced](replace).
fn snapshot(stage: &Stage) {
    assert_eq!(stage.server().cli(&["SAVE"]), "OK");
}

/// Another process has the snapshot.
fn replace(stage: &Stage) {
    stage.server().restart();
}

/// L2 holds this, whatever the nodes believe.
async fn holds(stage: &Stage, id: &str, held: bool) {
    assert_eq!(stage.bytes(id).await.is_some(), held, "{id}");
}

/// Old values under each of these.
async fn fill(node: &Node, ids: &[&str]) {
    for id in ids {
        let reach = node.insert((*id).into(), value("old")).await.unwrap();
        assert_eq!(reach, Reach::Everywhere);
    }
}

async fn own(stage: &Stage) {
    let node = builder(stage).build().unwrap().faced();
    let ids = ["removed", "inserted", "written", "batched", "kept"];
    fill(&node, &ids).await;
    // The window is judged by what was changed, not by what was read.
    let node = builder(stage).build().unwrap().faced();
    assert_eq!(node.get("kept").await, Cached::Hit(value("old")));
    snapshot(stage);
    assert_eq!(node.invalidate("removed").await, Reach::Everywhere);
    node.insert("inserted".into(), value("new")).await.unwrap();
    let written = node.write_through("written", brings("new")).await;
    assert_eq!(written.unwrap(), Some(value("new")));
    node.invalidate_many(&["batched".to_owned()]).await;
    let before = node.remote().unwrap().remembered;
    assert_eq!(before, 4);

    replace(stage);
    holds(stage, "removed", true).await;
    for id in &ids[..4] {
        let found = node.get(*id).await;
        assert_eq!(found, Cached::Miss, "{id} came back");
    }
    assert_eq!(node.stats().failovers, 1);
    stage.until_quiet(&node).await;
    for id in &ids[..4] {
        holds(stage, id, false).await;
    }
    assert_eq!(node.get("kept").await, Cached::Hit(value("old")));
    let loaded = node.get_or_load("removed", brings("new")).await.unwrap();
    assert_eq!(loaded, Some(value("new")));
    holds(stage, "removed", true).await;
    assert_eq!(node.stats().failovers, 1);
}

/// Two nodes that hear of each other.
async fn pair(stage: &Stage, tracking: bool) -> [Node; 2] {
    let url = stage.server().url();
    let node = || {
        let redis = Redis::open(&url).unwrap();
        let parent = stage.host().parent().remote(redis.clone());
        let parent = match tracking {
            true => parent.bus(redis.tracking()),
            false => parent.bus(redis.pubsub("shop")),
        };
        let name = stage.key("");
        let builder = parent.cache::<String, Value>("users", MessagePack);
        builder
            .namespace(name.trim_end_matches(':'))
            .remote_timeout(PATIENCE)
            .build()
            .unwrap()
            .faced()
    };
    let nodes = [node(), node()];
    for node in &nodes {
        assert_eq!(node.listen().await, BusState::Up);
    }
    nodes
}

async fn heard(stage: &Stage) {
    hears(stage, false).await;
}

async fn watched(stage: &Stage) {
    hears(stage, true).await;
}

async fn hears(stage: &Stage, tracking: bool) {
    let [one, two] = pair(stage, tracking).await;
    fill(&one, &["key", "other"]).await;
    snapshot(stage);
    assert_eq!(one.invalidate("key").await, Reach::Everywhere);
    stage
        .until("the other has heard of it", async || {
            two.remote().unwrap().remembered > 0 && two.peek("key") == Cached::Miss
        })
        .await;
    // Who made the change is gone.
    drop(one);
    replace(stage);
    assert_eq!(two.get("key").await, Cached::Miss, "it came back");
    stage
        .until("it is removed again", async || {
            stage.bytes("key").await.is_none()
        })
        .await;
    assert!(two.stats().failovers > 0);
    let loaded = two.get_or_load("key", brings("new")).await.unwrap();
    assert_eq!(loaded, Some(value("new")));
}

async fn long(stage: &Stage) {
    let window = Duration::from_millis(100);
    let node = builder(stage)
        .failover_window(window)
        .build()
        .unwrap()
        .faced();
    fill(&node, &["key"]).await;
    snapshot(stage);
    node.invalidate("key").await;
    stage.server().kill();
    for _ in 0..10 {
        assert_eq!(node.get("key").await, Cached::Miss);
        stage.host().sleep(window).await;
    }
    replace(stage);
    stage
        .until("L2 answers again", async || node.ping().await.is_ok())
        .await;
    assert_eq!(node.get("key").await, Cached::Miss, "it came back");
    stage.until_quiet(&node).await;
    holds(stage, "key", false).await;
}

async fn before(stage: &Stage) {
    let node = builder(stage)
        .failover_window(Duration::from_millis(50))
        .remote_timeout(Duration::from_millis(250))
        .build()
        .unwrap()
        .faced();
    fill(&node, &["key"]).await;
    stage
        .until("it is forgotten", async || {
            assert_eq!(node.get("key").await, Cached::Hit(value("old")));
            node.remote().unwrap().remembered == 0
        })
        .await;
    snapshot(stage);
    replace(stage);
    let _ = node.get("key").await;
    assert_eq!(node.get("key").await, Cached::Hit(value("old")));
    assert_eq!(node.stats().failovers, 1);
}

async fn too_many(stage: &Stage) {
    let node = builder(stage)
        .unconfirmed_capacity(1)
        .build()
        .unwrap()
        .faced();
    let ids: Vec<String> = (0..200).map(|id| id.to_string()).collect();
    for id in &ids {
        node.insert(id.clone(), value("old")).await.unwrap();
    }
    snapshot(stage);
    node.invalidate_many(&ids).await;
    replace(stage);
    for id in &ids {
        assert_eq!(node.get(id.as_str()).await, Cached::Miss, "{id} came back");
    }
    assert!(node.stats().overflowed > 0, "{}", node.stats());
    stage
        .until("L2 is used again", async || {
            for id in &ids {
                node.get_or_load(id, brings("new")).await.unwrap();
            }
            node.activity().pending_scopes == 0 && node.activity().unconfirmed == 0
        })
        .await;
    stage
        .until("all of it", async || {
            for id in &ids {
                node.invalidate_local(id);
                node.get_or_load(id, brings("new")).await.unwrap();
            }
            let before = node.stats().remote_hits;
            for id in &ids {
                node.invalidate_local(id);
                node.get(id).await;
            }
            node.stats().remote_hits - before == ids.len() as u64
        })
        .await;
}

async fn none(stage: &Stage) {
    let node = builder(stage)
        .failover_window(Duration::ZERO)
        .build()
        .unwrap()
        .faced();
    fill(&node, &["key"]).await;
    snapshot(stage);
    node.invalidate("key").await;
    replace(stage);
    stage
        .until("L2 answers", async || {
            node.get("key").await == Cached::Hit(value("old"))
        })
        .await;
    assert_eq!(node.stats().failovers, 0);
    assert_eq!(node.remote().unwrap().remembered, 0);
}

async fn shared(stage: &Stage) {
    let parent = stage.parent();
    let names = ["one", "two"].map(|name| stage.key(name).replace(':', "-"));
    let caches = names.map(|name| {
        parent
            .cache::<u32, String>(&name, Raw)
            .build()
            .unwrap()
            .faced()
    });
    for cache in &caches {
        cache.insert(7, "old".into()).await.unwrap();
    }
    snapshot(stage);
    for cache in &caches {
        assert_eq!(cache.invalidate(&7).await, Reach::Everywhere);
    }
    replace(stage);
    for cache in &caches {
        assert_eq!(cache.get(&7).await, Cached::Miss, "it came back");
        assert_eq!(cache.get(&7).await, Cached::Miss, "it came back");
        assert_eq!(cache.stats().failovers, 1);
    }
}
