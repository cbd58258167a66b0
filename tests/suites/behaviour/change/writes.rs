//! Write-throughs: the row in the database and its entry change as one.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{join, select};
use jetcache_adapters::MessagePack;
use jetcache_core::{BoxError, Cached, Call, Codec, Error, Limit, Load, LoadError};

use crate::behaviour::stage::face::Faced;
use crate::behaviour::stage::{
    Case, Cases, Node, Stage, Value, brings, expected_panic, nobody, value,
};

pub(crate) const CASES: Cases<Case> = &[
    ("what_was_written_stands_in_every_level", |s| {
        Box::pin(written(s))
    }),
    ("a_row_that_was_deleted_is_remembered_as_absent", |s| {
        Box::pin(absent(s))
    }),
    ("a_writer_that_fails_leaves_the_key_empty", |s| {
        Box::pin(failed(s))
    }),
    ("a_writer_that_panics_leaves_the_key_empty", |s| {
        Box::pin(panicked(s))
    }),
    ("a_writer_that_takes_too_long_leaves_the_key_empty", |s| {
        Box::pin(timed_out(s))
    }),
    ("a_writer_that_is_dropped_leaves_the_key_empty", |s| {
        Box::pin(dropped(s))
    }),
    ("what_is_loaded_during_a_write_is_kept_nowhere", |s| {
        Box::pin(loaded_meanwhile(s))
    }),
    ("overlapping_writers_leave_the_key_empty", |s| {
        Box::pin(overlapping(s))
    }),
    ("an_invalidation_during_a_write_wins", |s| {
        Box::pin(invalidated_meanwhile(s))
    }),
    ("what_cannot_be_encoded_is_answered_and_not_kept", |s| {
        Box::pin(unencodable(s))
    }),
    ("a_writer_has_a_say_in_how_long_its_value_lives", |s| {
        Box::pin(own_life(s))
    }),
    ("wishes_that_no_write_can_fulfil_run_no_writer", |s| {
        Box::pin(wishes(s))
    }),
    ("a_closed_cache_runs_no_writer", |s| Box::pin(closed(s))),
    ("without_l2_a_write_stands_in_l1", |s| Box::pin(alone(s))),
];

pub(crate) const OWN_REDIS: Cases<Case> = &[
    ("a_writer_runs_while_l2_is_away", |s| Box::pin(away(s))),
    ("a_writer_ends_while_l2_is_away", |s| Box::pin(goes_away(s))),
    ("a_silent_l2_costs_a_write_one_timeout", |s| {
        Box::pin(silent(s))
    }),
];

async fn written(stage: &Stage) {
    let (node, other) = (stage.node(), stage.node());
    node.get_or_load("key", brings("old")).await.unwrap();
    let row = "new".to_owned();
    // The writer may borrow.
    let answer = node.write_through("key", async || Ok::<_, LoadError>(value(&row)));
    assert_eq!(answer.await.unwrap(), Some(value("new")));
    assert_eq!(node.peek("key"), Cached::Hit(value("new")));
    assert_eq!(other.get("key").await, Cached::Hit(value("new")));
    stage.until_quiet(&node).await;
}

async fn absent(stage: &Stage) {
    let (node, other) = (stage.node(), stage.node());
    node.get_or_load("key", brings("old")).await.unwrap();
    let answer = node.write_through("key", async || Ok::<Option<Value>, LoadError>(None));
    assert_eq!(answer.await.unwrap(), None);
    assert_eq!(node.peek("key"), Cached::Absent);
    assert_eq!(other.get_or_load("key", nobody).await.unwrap(), None);
}

async fn is_empty(stage: &Stage, node: &Node) {
    assert_eq!(node.peek("key"), Cached::Miss);
    assert!(stage.bytes("key").await.is_none());
    assert_eq!(stage.node().get("key").await, Cached::Miss);
    stage.until_quiet(node).await;
}

async fn failed(stage: &Stage) {
    let node = stage.node();
    node.get_or_load("key", brings("old")).await.unwrap();
    let answer = node.write_through("key", async || {
        Err::<Value, LoadError>(std::fmt::Error.into())
    });
    let error = answer.await.unwrap_err();
    assert!(error.load_as::<std::fmt::Error>().is_some(), "{error}");
    is_empty(stage, &node).await;
}

async fn panicked(stage: &Stage) {
    let node = stage.node();
    node.get_or_load("key", brings("old")).await.unwrap();
    let answer = node.write_through("key", async || -> Result<Value, LoadError> {
        expected_panic("as the case says")
    });
    assert!(matches!(answer.await, Err(Error::Panicked(text)) if &*text == "as the case says"));
    is_empty(stage, &node).await;
}

async fn timed_out(stage: &Stage) {
    let node = (stage.builder())
        .write_timeout(Duration::from_millis(20))
        .build()
        .unwrap()
        .faced();
    node.get_or_load("key", brings("old")).await.unwrap();
    let answer = node.write_through("key", async || {
        std::future::pending::<Result<Value, LoadError>>().await
    });
    assert!(matches!(answer.await, Err(Error::Timeout(Limit::Write(_)))));
    is_empty(stage, &node).await;
}

/// Polls `writing` until its writer has begun.
async fn begun<F: Future + Unpin>(stage: &Stage, began: &AtomicBool, mut writing: F) {
    while !began.load(Ordering::SeqCst) {
        let nap = pin!(stage.host().sleep(Duration::from_millis(1)));
        select(&mut writing, nap).await;
    }
}

async fn dropped(stage: &Stage) {
    let node = stage.node();
    node.get_or_load("key", brings("old")).await.unwrap();
    {
        let began = AtomicBool::new(false);
        let writing = pin!(node.write_through("key", async || {
            began.store(true, Ordering::SeqCst);
            std::future::pending::<Result<Value, LoadError>>().await
        }));
        begun(stage, &began, writing).await;
        // Until it ends, L1 goes on serving the old value, and L2 is claimed.
        assert_eq!(node.peek("key"), Cached::Hit(value("old")));
        assert!(stage.bytes("key").await.is_none());
    }
    stage
        .until("the key is removed", async || {
            node.peek("key") == Cached::Miss
        })
        .await;
    stage.until_quiet(&node).await;
    is_empty(stage, &node).await;
    // Nobody holds the lease any more.
    let loaded = stage.node().get_or_load("key", brings("new")).await;
    assert_eq!(loaded.unwrap(), Some(value("new")));
    assert!(stage.bytes("key").await.is_some());
}

/// Runs `meanwhile` between the claim of a write-through and its end.
async fn during_a_write(
    stage: &Stage,
    node: &Node,
    row: &str,
    meanwhile: impl Future<Output = ()>,
) -> Option<Value> {
    let (began, go) = (AtomicBool::new(false), AtomicBool::new(false));
    let mut writing = pin!(node.write_through("key", async || {
        began.store(true, Ordering::SeqCst);
        while !go.load(Ordering::SeqCst) {
            stage.host().sleep(Duration::from_millis(1)).await;
        }
        Ok::<_, LoadError>(value(row))
    }));
    begun(stage, &began, &mut writing).await;
    let after = async {
        meanwhile.await;
        go.store(true, Ordering::SeqCst);
    };
    join(writing, after).await.0.unwrap()
}

async fn loaded_meanwhile(stage: &Stage) {
    let builder = || stage.builder().lease_wait(Duration::ZERO);
    let (node, other) = (
        builder().build().unwrap().faced(),
        builder().build().unwrap().faced(),
    );
    let load = async {
        for node in [&node, &other] {
            // Its own caller is answered.
            let loaded = node.get_or_load("key", brings("old")).await.unwrap();
            assert_eq!(loaded, Some(value("old")));
        }
    };
    let written = during_a_write(stage, &node, "new", load).await;
    assert_eq!(written, Some(value("new")));
    assert_eq!(node.peek("key"), Cached::Hit(value("new")));
    assert_eq!(stage.node().get("key").await, Cached::Hit(value("new")));
}

async fn overlapping(stage: &Stage) {
    let (one, two) = (stage.node(), stage.node());
    let inner = async {
        let answer = two.write_through("key", async || Ok::<_, LoadError>(value("second")));
        assert_eq!(answer.await.unwrap(), Some(value("second")));
    };
    let written = during_a_write(stage, &one, "first", inner).await;
    assert_eq!(written, Some(value("first")));
    is_empty(stage, &one).await;
    // The same on one node alone.
    let inner = async {
        let answer = one.write_through("key", async || Ok::<_, LoadError>(value("second")));
        answer.await.unwrap();
    };
    during_a_write(stage, &one, "first", inner).await;
    is_empty(stage, &one).await;
}

async fn invalidated_meanwhile(stage: &Stage) {
    let (one, two) = (stage.node(), stage.node());
    during_a_write(stage, &one, "row", async {
        two.invalidate("key").await;
    })
    .await;
    is_empty(stage, &one).await;
}

/// Refuses to encode "odd", and panics at "panic".
struct Picky;

impl Codec<Value> for Picky {
    fn id(&self) -> u8 {
        Codec::<Value>::id(&MessagePack)
    }

    fn encode(&self, value: &Value, out: &mut Vec<u8>) -> Result<(), BoxError> {
        match value.as_str() {
            "odd" => Err("odd".into()),
            "panic" => expected_panic("as the case says"),
            _ => MessagePack.encode(value, out),
        }
    }

    fn decode(&self, bytes: &[u8]) -> Result<Value, BoxError> {
        MessagePack.decode(bytes)
    }
}

async fn unencodable(stage: &Stage) {
    let node = (stage.builder_with(Picky))
        .max_value_size(64)
        .build()
        .unwrap()
        .faced();
    let long = "l".repeat(100);
    for row in ["odd", "panic", &long] {
        node.get_or_load("key", brings("old")).await.unwrap();
        let answer = node.write_through("key", async || Ok::<_, LoadError>(value(row)));
        assert_eq!(answer.await.unwrap(), Some(value(row)));
        is_empty(stage, &node).await;
    }
    let stats = node.stats();
    assert_eq!((stats.unencodable, stats.too_large), (2, 1));
}

async fn own_life(stage: &Stage) {
    let node = stage.node();
    let uncached = node.write_through("key", async || {
        Ok::<_, LoadError>(Load::from(value("once")).uncached())
    });
    assert_eq!(uncached.await.unwrap(), Some(value("once")));
    is_empty(stage, &node).await;
    let short = node.write_through("key", async || {
        Ok::<_, LoadError>(Load::from(value("short")).ttl(Duration::from_millis(30)))
    });
    short.await.unwrap();
    stage
        .until("it is over", async || node.get("key").await == Cached::Miss)
        .await;
    let call = Call::new().skip_local();
    let remote = node.write_through_with("key", &call, async || Ok::<_, LoadError>(value("far")));
    remote.await.unwrap();
    assert_eq!(node.peek("key"), Cached::Miss);
    assert_eq!(node.get("key").await, Cached::Hit(value("far")));
}

async fn wishes(stage: &Stage) {
    let node = stage.node();
    let wrong = [Call::new().skip_remote(), Call::new().no_store()];
    for call in wrong {
        let refused = node.write_through_with("key", &call, nobody).await;
        assert!(matches!(refused, Err(Error::Config(_))), "{refused:?}");
    }
    // What is written for no time is not kept, and what stood there is gone.
    node.insert("key".into(), value("old")).await.unwrap();
    let call = Call::new().ttl(Duration::ZERO);
    let writer = async || Ok::<_, LoadError>(value("new"));
    let written = node.write_through_with("key", &call, writer).await.unwrap();
    assert_eq!(written, Some(value("new")));
    assert_eq!(stage.node().get("key").await, Cached::Miss);
    assert_eq!(node.peek("key"), Cached::Miss);
    let refused = stage.builder().write_timeout(Duration::ZERO).build();
    assert!(matches!(refused, Err(Error::Config(text)) if text.contains("write_timeout")));
}

async fn closed(stage: &Stage) {
    let node = stage.node();
    node.close().await;
    let refused = node.write_through("key", nobody).await;
    assert!(matches!(refused, Err(Error::Closed)));
}

async fn alone(stage: &Stage) {
    let node = stage.local_node();
    node.get_or_load("key", brings("old")).await.unwrap();
    let answer = node.write_through("key", async || Ok::<_, LoadError>(value("new")));
    assert_eq!(answer.await.unwrap(), Some(value("new")));
    assert_eq!(node.peek("key"), Cached::Hit(value("new")));
    let inner = async {
        let answer = node.write_through("key", async || Ok::<_, LoadError>(value("second")));
        answer.await.unwrap();
    };
    during_a_write(stage, &node, "first", inner).await;
    assert_eq!(node.peek("key"), Cached::Miss);
    {
        node.get_or_load("key", brings("old")).await.unwrap();
        let began = AtomicBool::new(false);
        let writing = pin!(node.write_through("key", async || {
            began.store(true, Ordering::SeqCst);
            std::future::pending::<Result<Value, LoadError>>().await
        }));
        begun(stage, &began, writing).await;
    }
    assert_eq!(node.peek("key"), Cached::Miss);
    stage.until_quiet(&node).await;
}

async fn away(stage: &Stage) {
    let node = stage.node();
    node.get_or_load("key", brings("old")).await.unwrap();
    stage.server().kill();
    let answer = node.write_through("key", async || Ok::<_, LoadError>(value("new")));
    assert_eq!(answer.await.unwrap(), Some(value("new")));
    assert_eq!(node.peek("key"), Cached::Miss);
    assert_eq!(node.activity().unconfirmed, 1);
    stage.server().restart();
    stage
        .until("the removal is confirmed", async || {
            node.activity().unconfirmed == 0
        })
        .await;
}

async fn silent(stage: &Stage) {
    let node = stage.node();
    node.get_or_load("key", brings("old")).await.unwrap();
    stage.server().pause();
    let answer = node.write_through("key", async || Ok::<_, LoadError>(value("new")));
    assert_eq!(answer.await.unwrap(), Some(value("new")));
    assert_eq!(node.stats().remote_faults, 1);
    assert_eq!(node.peek("key"), Cached::Miss);
    stage.server().resume();
    stage
        .until("the removal is confirmed", async || {
            node.activity().unconfirmed == 0
        })
        .await;
    is_empty(stage, &node).await;
}

async fn goes_away(stage: &Stage) {
    let node = stage.node();
    let written = during_a_write(stage, &node, "new", async { stage.server().kill() }).await;
    assert_eq!(written, Some(value("new")));
    assert_eq!(node.peek("key"), Cached::Miss);
    assert_eq!(node.activity().unconfirmed, 1);
    stage.server().restart();
    stage
        .until("the removal is confirmed", async || {
            node.activity().unconfirmed == 0
        })
        .await;
    is_empty(stage, &node).await;
}
