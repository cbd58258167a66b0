//! Raises while Redis is away, and a Redis that has lost the log of them.

use std::time::Duration;

use jetcache_adapters::{Faults, Faulty, MessagePack, Redis};
use jetcache_core::doc::Threads;
use jetcache_core::{BusState, Cached, Reach};

use crate::behaviour::stage::airwaves::Airwaves;
use crate::behaviour::stage::face::Faced;
use crate::behaviour::stage::{Case, Cases, Node, PATIENCE, Stage, value};
use crate::behaviour::tags::load;

pub(crate) const CASES: Cases<Case> = &[
    (
        "a_raise_while_l2_is_away_holds_on_its_node_and_is_made_later",
        |s| Box::pin(away(s)),
    ),
    ("a_raise_that_a_silent_l2_takes_late_holds", |s| {
        Box::pin(silent(s))
    }),
    ("a_log_that_was_evicted_brings_nothing_back", |s| {
        Box::pin(evicted(s))
    }),
    ("what_a_lost_log_clears_is_told_over_any_bus", |s| {
        Box::pin(told(s))
    }),
    ("an_emptied_server_is_used_again", |s| Box::pin(emptied(s))),
    (
        "changes_that_did_not_fit_are_made_up_for_within_seconds",
        |s| Box::pin(overflow(s)),
    ),
    ("a_node_that_starts_while_l2_is_away_fills_it_later", |s| {
        Box::pin(late(s))
    }),
    (
        "a_node_that_starts_against_a_full_log_believes_l2_in_the_end",
        |s| Box::pin(full(s)),
    ),
];

fn quick(stage: &Stage) -> Node {
    let builder = stage.builder().remote_timeout(Duration::from_millis(200));
    builder.build().unwrap().faced()
}

async fn is_confirmed(stage: &Stage, node: &Node) {
    stage
        .until("all raises are confirmed", async || {
            node.activity().pending_scopes == 0
        })
        .await;
    node.raises_confirmed().await.unwrap();
}

async fn away(stage: &Stage) {
    let node = quick(stage);
    load(&node, "tagged", "1", &["a"]).await;
    load(&node, "other", "1", &["b"]).await;
    // What it holds survives: it is paused, and not killed.
    stage.server().pause();
    assert_eq!(node.invalidate_tag("a").await.unwrap(), Reach::Pending);
    assert_eq!(node.activity().pending_scopes, 1);
    assert_eq!(node.peek("tagged"), Cached::Miss);
    assert_eq!(node.get("tagged").await, Cached::Miss);
    assert_eq!(node.peek("other"), Cached::Hit(value("1")));
    load(&node, "tagged", "2", &["a"]).await;
    assert_eq!(node.peek("tagged"), Cached::Hit(value("2")));
    assert_eq!(node.clear().await.unwrap(), Reach::Pending);
    assert_eq!(node.len(), 0);
    load(&node, "tagged", "3", &["a"]).await;
    stage.server().resume();
    is_confirmed(stage, &node).await;
    for key in ["tagged", "other"] {
        assert_eq!(stage.node().get(key).await, Cached::Miss, "{key}");
    }
    load(&node, "other", "4", &["b"]).await;
    assert_eq!(stage.node().get("other").await, Cached::Hit(value("4")));
}

async fn silent(stage: &Stage) {
    let (node, other) = (quick(stage), quick(stage));
    load(&node, "key", "1", &["a"]).await;
    assert_eq!(other.get("key").await, Cached::Hit(value("1")));
    for _ in 0..3 {
        stage.server().pause();
        assert_eq!(node.invalidate_tag("a").await.unwrap(), Reach::Pending);
        stage.server().resume();
        assert_eq!(node.get("key").await, Cached::Miss);
        is_confirmed(stage, &node).await;
        assert_eq!(node.get("key").await, Cached::Miss);
        stage
            .until("L2 is read again", async || {
                load(&node, "key", "new", &["a"]).await;
                stage.node().get("key").await == Cached::Hit(value("new"))
            })
            .await;
    }
}

async fn evicted(stage: &Stage) {
    let (top, list) = (stage.key("#gen"), stage.key("#raised"));
    let name = |text: &str| {
        format!(
            "{{{}}}{}",
            text.split('#').next().unwrap(),
            &text[text.find('#').unwrap()..]
        )
    };
    let (top, list) = (name(&top), name(&list));
    for gone in [vec![&top], vec![&list], vec![&top, &list]] {
        let node = stage.node();
        load(&node, "old", "old", &["a"]).await;
        node.invalidate_tag("a").await.unwrap();
        load(&node, "new", "new", &["a"]).await;
        let mut command = vec!["DEL"];
        command.extend(gone.iter().map(|key| key.as_str()));
        let deleted = stage.server().cli(&command);
        assert_eq!(deleted, gone.len().to_string());
        // One that knows nothing, and one that knew all.
        for reader in [stage.node(), node] {
            assert_eq!(reader.get("old").await, Cached::Miss, "{gone:?}");
            load(&reader, "again", "again", &["a"]).await;
            reader.invalidate_tag("a").await.unwrap();
            assert_eq!(reader.get("again").await, Cached::Miss, "{gone:?}");
            assert_eq!(stage.node().get("again").await, Cached::Miss);
            load(&reader, "again", "kept", &["b"]).await;
            assert_eq!(stage.node().get("again").await, Cached::Hit(value("kept")));
            reader.invalidate("again").await;
        }
    }
}

async fn told(stage: &Stage) {
    let bus = Airwaves::default();
    let node = || stage.builder().bus(bus.clone()).build().unwrap().faced();
    let (one, two) = (node(), node());
    for node in [&one, &two] {
        node.listen().await;
        stage
            .until("it listens", async || node.bus() == BusState::Up)
            .await;
    }
    load(&one, "key", "1", &[]).await;
    assert_eq!(two.get("key").await, Cached::Hit(value("1")));
    assert_eq!(two.peek("key"), Cached::Hit(value("1")));
    assert_eq!(stage.server().cli(&["FLUSHALL"]), "OK");
    assert_eq!(one.get("other").await, Cached::Miss);
    stage
        .until(
            "the other node hears that everything was raised",
            async || two.peek("key") == Cached::Miss,
        )
        .await;
}

async fn emptied(stage: &Stage) {
    let node = stage.node();
    load(&node, "key", "1", &["a"]).await;
    node.invalidate_tag("b").await.unwrap();
    assert_eq!(stage.server().cli(&["FLUSHALL"]), "OK");
    load(&node, "other", "2", &["a"]).await;
    assert_eq!(stage.node().get("other").await, Cached::Hit(value("2")));
    node.invalidate_tag("a").await.unwrap();
    assert_eq!(stage.node().get("other").await, Cached::Miss);
    assert_eq!(node.get("other").await, Cached::Miss);
}

async fn overflow(stage: &Stage) {
    let url = stage.server().url();
    let node = |capacity| {
        let redis = Redis::open(&url).unwrap();
        let builder = stage.host().builder("users").namespace("overflow");
        let builder = builder.remote(redis.clone(), MessagePack);
        let builder = builder.bus(redis.pubsub("overflow"));
        let builder = builder.remote_timeout(Duration::from_millis(200));
        builder
            .unconfirmed_capacity(capacity)
            .build()
            .unwrap()
            .faced()
    };
    let (one, two) = (node(10), node(10));
    for node in [&one, &two] {
        node.listen().await;
        stage
            .until("it listens", async || node.bus() == BusState::Up)
            .await;
    }
    let keys: Vec<String> = (0..100).map(|key| key.to_string()).collect();
    for key in &keys {
        load(&one, key, "old", &[]).await;
        assert!(two.get(key).await.is_hit());
    }
    stage.server().pause();
    drop(one.invalidate_many(&keys).await);
    assert!(one.stats().overflowed > 0, "{}", one.stats());
    for key in &keys {
        assert_eq!(one.peek(key), Cached::Miss);
    }
    assert_eq!(one.get("99").await, Cached::Miss);
    stage.server().resume();
    is_confirmed(stage, &one).await;
    stage
        .until("all are confirmed", async || {
            one.activity().unconfirmed == 0
        })
        .await;
    for node in [&one, &two] {
        for key in &keys {
            stage
                .until("nobody has what was removed", async || {
                    node.get(key).await == Cached::Miss
                })
                .await;
        }
    }
    // L2 is used again.
    for key in &keys {
        load(&one, key, "new", &[]).await;
        assert_eq!(two.get(key).await, Cached::Hit(value("new")));
    }
    assert_eq!(two.stats().remote_hits, 200);
    one.close().await;
    two.close().await;
}

async fn late(stage: &Stage) {
    stage.server().kill();
    let node = quick(stage);
    load(&node, "key", "1", &["a"]).await;
    assert_eq!(node.invalidate_tag("a").await.unwrap(), Reach::Pending);
    load(&node, "key", "2", &["a"]).await;
    stage.server().restart();
    is_confirmed(stage, &node).await;
    stage
        .until("L2 is filled", async || {
            node.invalidate_local("key");
            load(&node, "key", "3", &["a"]).await;
            stage.node().get("key").await == Cached::Hit(value("3"))
        })
        .await;
}

/// All tags there are were raised, so the list has 66 pages. Each takes so long that no call waits for
/// all of them, and every fifth question fails, so that no attempt gets through all of them.
async fn full(stage: &Stage) {
    let first = stage.builder().remote_timeout(PATIENCE);
    let first = first.build().unwrap().faced();
    load(&first, "key", "1", &["a"]).await;
    let fill = "local top = tonumber(redis.call('GET', KEYS[1])) - 70000
        for tag = 0, 65535 do
            redis.call('ZADD', KEYS[2], string.format('%.0f', top + tag), string.format('t%04x', tag))
        end
        return redis.call('ZCARD', KEYS[2])";
    let name = |end: &str| format!("{{{}}}{end}", stage.key(""));
    let (top, list) = (name("#gen"), name("#raised"));
    let marks = stage.server().cli(&["EVAL", fill, "2", &top, &list]);
    assert_eq!(marks, "65537");
    let faults = Faults::seeded(Threads, 1);
    let step = Duration::from_millis(20);
    faults.latency(step..=step).error_rate(0.2);
    let redis = Redis::open(&stage.server().url()).unwrap();
    let builder = stage.builder().no_breaker();
    let late = builder.remote(Faulty::new(redis, faults.clone()), MessagePack);
    let late = late.remote_timeout(Duration::from_millis(250));
    let late = late.build().unwrap().faced();
    stage
        .until("it knows all that was raised", async || {
            late.get("key").await == Cached::Hit(value("1"))
        })
        .await;
    assert!(faults.injected().errors > 0);
}
