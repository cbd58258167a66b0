//! One load for all who ask, and everyone is answered.

use std::future::{Future, pending};
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::future::{join, join_all, select};
use jetcache_core::{Cached, Error, Limit, LoadError};

use crate::behaviour::stage::face::Faced;
use crate::behaviour::stage::{
    Case, Cases, Node, Stage, Value, brings, expected_panic, nobody, value,
};

pub(crate) const CASES: Cases<Case> = &[
    ("a_thousand_callers_share_one_load", |s| {
        Box::pin(thousand(s))
    }),
    (
        "three_nodes_and_three_thousand_callers_share_one_load",
        |s| Box::pin(fleet(s)),
    ),
    ("ten_thousand_callers_on_many_threads_share_one_load", |s| {
        Box::pin(threads(s))
    }),
    ("a_cancelled_leader_hands_over", |s| Box::pin(cancelled(s))),
    ("a_cancelled_only_caller_gives_its_lease_back", |s| {
        Box::pin(lease_given_back(s))
    }),
    ("a_leader_that_is_never_polled_is_deposed", |s| {
        Box::pin(held(s))
    }),
    (
        "a_lease_holder_that_was_paused_beyond_its_lease_is_refused",
        |s| Box::pin(paused(s)),
    ),
    ("a_panicking_loader_fails_its_flight_and_no_more", |s| {
        Box::pin(panics(s))
    }),
    (
        "a_failing_loader_fails_those_who_waited_and_is_asked_again",
        |s| Box::pin(fails(s)),
    ),
    ("a_slow_loader_times_out", |s| Box::pin(slow(s))),
    ("a_loader_that_asks_for_its_own_key_is_told", |s| {
        Box::pin(own_key(s))
    }),
    ("loaders_that_ask_for_each_others_keys_are_told", |s| {
        Box::pin(each_other(s))
    }),
    ("a_registered_load_survives_its_callers", |s| {
        Box::pin(survives(s))
    }),
    ("a_registered_and_an_ad_hoc_load_share_a_flight", |s| {
        Box::pin(mixed(s))
    }),
    ("load_without_a_loader_says_so", |s| Box::pin(no_loader(s))),
];

async fn thousand(stage: &Stage) {
    let (node, loads) = (stage.node(), AtomicUsize::new(0));
    let callers = (0..1000).map(|_| {
        node.get_or_load("cold", async || {
            loads.fetch_add(1, Ordering::SeqCst);
            stage.host().sleep(Duration::from_millis(20)).await;
            Ok::<_, LoadError>(value("one"))
        })
    });
    for answer in join_all(callers).await {
        assert_eq!(answer.unwrap(), Some(value("one")));
    }
    assert_eq!(loads.load(Ordering::SeqCst), 1);
    assert_eq!(node.stats().coalesced, 999);
    stage.until_quiet(&node).await;
}

async fn fleet(stage: &Stage) {
    let nodes = [stage.node(), stage.node(), stage.node()];
    let loads = AtomicUsize::new(0);
    let callers = (0..3000).map(|i| {
        nodes[i % 3].get_or_load("cold", async || {
            loads.fetch_add(1, Ordering::SeqCst);
            stage.host().sleep(Duration::from_millis(50)).await;
            Ok::<_, LoadError>(value("one"))
        })
    });
    for answer in join_all(callers).await {
        assert_eq!(answer.unwrap(), Some(value("one")));
    }
    assert_eq!(loads.load(Ordering::SeqCst), 1);
    for node in &nodes {
        assert!(node.peek("cold").is_hit());
        stage.until_quiet(node).await;
    }
}

async fn threads(stage: &Stage) {
    let node = stage.node();
    let (loads, answers) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    for _ in 0..10_000 {
        let (node, loads, answers) = (node.clone(), Arc::clone(&loads), Arc::clone(&answers));
        let host = stage.host();
        host.spawn(async move {
            let load = async || {
                loads.fetch_add(1, Ordering::SeqCst);
                host.sleep(Duration::from_millis(20)).await;
                Ok::<_, LoadError>(value("one"))
            };
            if node.get_or_load("cold", load).await.unwrap() == Some(value("one")) {
                answers.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    stage
        .until("all are answered", async || {
            answers.load(Ordering::SeqCst) == 10_000
        })
        .await;
    assert_eq!(loads.load(Ordering::SeqCst), 1);
    stage.until_quiet(&node).await;
}

/// Polls a future until `so_far` holds, and hands it back unfinished.
async fn start<F: Future + Unpin>(stage: &Stage, future: &mut F, so_far: impl Fn() -> bool) {
    while !so_far() {
        let nap = pin!(stage.host().sleep(Duration::from_millis(1)));
        select(&mut *future, nap).await;
    }
}

async fn cancelled(stage: &Stage) {
    let node = stage.node();
    let began = AtomicUsize::new(0);
    let mut first = Box::pin(node.get_or_load("key", async || {
        began.fetch_add(1, Ordering::SeqCst);
        pending::<Result<Value, LoadError>>().await
    }));
    start(stage, &mut first, || began.load(Ordering::SeqCst) == 1).await;
    let mut second = Box::pin(node.get_or_load("key", brings("second")));
    start(stage, &mut second, || node.activity().waiters == 1).await;
    drop(first);
    assert_eq!(second.await.unwrap(), Some(value("second")));
    stage.until_quiet(&node).await;
}

async fn lease_given_back(stage: &Stage) {
    let (one, two) = (stage.node(), stage.node());
    let began = AtomicUsize::new(0);
    let mut gone = Box::pin(one.get_or_load("key", async || {
        began.fetch_add(1, Ordering::SeqCst);
        pending::<Result<Value, LoadError>>().await
    }));
    start(stage, &mut gone, || began.load(Ordering::SeqCst) == 1).await;
    drop(gone);
    stage.until_quiet(&one).await;
    // With the lease still standing, the second node would load without filling.
    two.get_or_load("key", brings("two")).await.unwrap();
    assert!(one.get("key").await.is_hit());
}

async fn held(stage: &Stage) {
    let short = Duration::from_millis(50);
    let node = stage
        .builder()
        .remote_timeout(short)
        .load_timeout(short)
        .build()
        .unwrap()
        .faced();
    let mut silent = Box::pin(node.get_or_load("key", brings("silent")));
    let mut context = Context::from_waker(Waker::noop());
    // It is polled once, so it leads. Then its executor forgets it.
    let polled = silent.as_mut().poll(&mut context);
    if polled.is_pending() {
        let others = (0..50).map(|_| node.get_or_load("key", brings("another")));
        for answer in join_all(others).await {
            assert_eq!(answer.unwrap(), Some(value("another")));
        }
        assert!(node.stats().deposed >= 1);
        assert!(silent.await.unwrap().is_some());
    } else {
        // An L2 in the process answers at once, so the first poll ends the load.
        assert!(matches!(polled, Poll::Ready(Ok(Some(_)))));
    }
    let mut silent = Box::pin(node.get_or_load("other", async || {
        stage.host().sleep(Duration::from_millis(1)).await;
        Ok::<_, LoadError>(value("late"))
    }));
    assert!(silent.as_mut().poll(&mut context).is_pending());
    let answer = node.get_or_load("other", brings("another")).await.unwrap();
    assert_eq!(answer, Some(value("another")));
    drop(silent);
    stage.until_quiet(&node).await;
}

async fn paused(stage: &Stage) {
    let short = Duration::from_millis(50);
    let node = || {
        stage
            .builder()
            .remote_timeout(short)
            .load_timeout(short)
            .build()
            .unwrap()
            .faced()
    };
    let (one, two) = (node(), node());
    let (began, go) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let mut first = Box::pin(one.get_or_load("key", || {
        began.fetch_add(1, Ordering::SeqCst);
        std::future::poll_fn(|_| match go.load(Ordering::SeqCst) {
            0 => Poll::Pending,
            _ => Poll::Ready(Ok::<_, LoadError>(value("old"))),
        })
    }));
    start(stage, &mut first, || began.load(Ordering::SeqCst) == 1).await;
    // Its process now stands still. The second node waits until the lease has expired, and loads.
    let new = two.get_or_load("key", brings("new")).await.unwrap();
    assert_eq!(new, Some(value("new")));
    assert_eq!(stage.node().get("key").await, Cached::Hit(value("new")));
    go.store(1, Ordering::SeqCst);
    assert_eq!(
        first.await.unwrap(),
        Some(value("old")),
        "its own caller is answered"
    );
    assert_eq!(one.get("key").await, Cached::Hit(value("new")));
    assert_eq!(stage.node().get("key").await, Cached::Hit(value("new")));
}

async fn panics(stage: &Stage) {
    let node = stage.node();
    let boom = node.get_or_load("key", async || -> Result<Value, LoadError> {
        stage.host().sleep(Duration::from_millis(5)).await;
        expected_panic("boom")
    });
    let (one, two) = join(boom, node.get_or_load("key", nobody)).await;
    for answer in [one, two] {
        assert!(matches!(answer, Err(Error::Panicked(text)) if &*text == "boom"));
    }
    assert_eq!(
        node.get_or_load("key", brings("again")).await.unwrap(),
        Some(value("again"))
    );
    stage.until_quiet(&node).await;
}

async fn fails(stage: &Stage) {
    let node = stage.node();
    let fail = node.get_or_load("key", async || -> Result<Option<_>, LoadError> {
        stage.host().sleep(Duration::from_millis(5)).await;
        Err(io::Error::other("no database").into())
    });
    let (one, two) = join(fail, node.get_or_load("key", nobody)).await;
    for answer in [one, two] {
        let error = answer.unwrap_err();
        assert_eq!(
            error
                .load_as::<io::Error>()
                .map(ToString::to_string)
                .unwrap(),
            "no database"
        );
    }
    assert_eq!(node.stats().load_failures, 1);
    assert_eq!(
        node.get_or_load("key", brings("again")).await.unwrap(),
        Some(value("again"))
    );
    stage.until_quiet(&node).await;
}

async fn slow(stage: &Stage) {
    let short = Duration::from_millis(30);
    let node = stage.builder().load_timeout(short).build().unwrap().faced();
    let answer = node
        .get_or_load("key", pending::<Result<Option<_>, LoadError>>)
        .await;
    assert!(matches!(answer, Err(Error::Timeout(Limit::Load(_)))));
    assert_eq!(
        node.get_or_load("key", brings("again")).await.unwrap(),
        Some(value("again"))
    );
    stage.until_quiet(&node).await;
}

/// Whether it is said at once; the load's own limit is far away.
fn is_deadlock<T>(answer: &Result<T, Error>) -> bool {
    let mut error = answer.as_ref().err();
    // Each loader around it hands it on.
    while let Some(inner) = error.and_then(Error::load_as::<Error>) {
        error = Some(inner);
    }
    matches!(error, Some(Error::Deadlock))
}

async fn own_key(stage: &Stage) {
    let node = stage.node();
    let again = async || Ok(Box::pin(node.get_or_load("key", nobody)).await?);
    let answer = node.get_or_load("key", again).await;
    assert!(is_deadlock(&answer), "{answer:?}");
    // In the middle of another load, in a batch, and for some keys of a batch.
    let within = async || Ok(Box::pin(node.get_or_load("key", again)).await?);
    assert!(is_deadlock(&node.get_or_load("outer", within).await));
    let batch = async |ids: Vec<String>| {
        let inner = Box::pin(
            node.get_many_or_load(["b", "other"], async |ids: Vec<String>| {
                let rows = ids.into_iter().map(|id| (id, value("inner")));
                Ok::<Vec<_>, LoadError>(rows.collect())
            }),
        );
        let inner = inner.await.into_map();
        assert!(matches!(inner["b"], Err(Error::Deadlock)), "{inner:?}");
        assert_eq!(*inner["other"].as_ref().unwrap(), Some(value("inner")));
        let rows = ids.into_iter().map(|id| (id, value("outer")));
        Ok::<Vec<_>, LoadError>(rows.collect())
    };
    let answer = node.get_many_or_load(["a", "b"], batch).await;
    assert_eq!(
        answer.into_values().unwrap(),
        [Some(value("outer")), Some(value("outer"))]
    );
    // A writer may read its key, but not load it.
    node.insert("row".into(), value("old")).await.unwrap();
    let written = node
        .write_through("row", async || {
            let _ = node.get("row").await;
            let loaded = Box::pin(node.get_or_load("gone", brings("gone"))).await;
            assert!(loaded.is_ok());
            node.invalidate_local("row");
            Ok(Box::pin(node.get_or_load("row", nobody)).await?)
        })
        .await;
    assert!(is_deadlock(&written), "{written:?}");
    // Nothing of it is remembered.
    assert!(node.get_or_load("key", brings("key")).await.is_ok());
    stage.until_quiet(&node).await;
}

async fn each_other(stage: &Stage) {
    // In tasks of their own, three of them; and through the registered loader.
    let node = stage.node();
    let next = ["one", "two", "three"];
    let ask = |at: usize| {
        let (node, host) = (node.clone(), stage.host());
        async move {
            let loader = async || {
                host.sleep(Duration::from_millis(30)).await;
                let next = next[(at + 1) % 3];
                let load = async || Ok::<_, LoadError>(value("one of them loads"));
                Ok(Box::pin(node.get_or_load(next, load)).await?)
            };
            node.get_or_load(next[at], loader).await
        }
    };
    let answers = join_all((0..3).map(ask)).await;
    assert!(answers.iter().any(is_deadlock), "{answers:?}");
    assert!(
        !answers
            .iter()
            .any(|answer| matches!(answer, Err(Error::Timeout(Limit::Load(_)))))
    );

    let own: Arc<OnceLock<Node>> = Arc::default();
    let loaders = Arc::clone(&own);
    let loader = move |key: String| {
        let node = loaders.get().unwrap().clone();
        async move {
            let other = if key == "left" { "right" } else { "left" };
            Ok::<_, LoadError>(node.load(other).await?.unwrap())
        }
    };
    let node = stage.builder().loader(loader).build().unwrap().faced();
    assert!(own.set(node.clone()).is_ok());
    let (left, right) = join(node.load("left"), node.load("right")).await;
    assert!(
        is_deadlock(&left) || is_deadlock(&right),
        "{left:?} {right:?}"
    );
    stage.until_quiet(&node).await;
}

async fn survives(stage: &Stage) {
    let host = stage.host();
    let node = stage.builder().loader(move |key: String| async move {
        host.sleep(Duration::from_millis(30)).await;
        Ok::<_, LoadError>(value(&format!("of {key}")))
    });
    let node = node.build().unwrap().faced();
    let mut caller = Box::pin(node.load("key"));
    start(stage, &mut caller, || node.activity().flights == 1).await;
    drop(caller);
    stage
        .until("the load has landed", async || node.peek("key").is_hit())
        .await;
    assert_eq!(node.stats().loads, 1);
    assert_eq!(node.load("key").await.unwrap(), Some(value("of key")));
    let answers = join_all((0..100).map(|_| node.load("cold"))).await;
    assert!(
        answers
            .into_iter()
            .all(|answer| answer.unwrap() == Some(value("of cold")))
    );
    assert_eq!(node.stats().loads, 2);
    stage.until_quiet(&node).await;
}

async fn mixed(stage: &Stage) {
    let host = stage.host();
    let node = stage.builder().loader(move |_: String| async move {
        host.sleep(Duration::from_millis(30)).await;
        Ok::<_, LoadError>(value("registered"))
    });
    let node = node.build().unwrap().faced();
    let (one, two) = join(node.load("key"), node.get_or_load("key", nobody)).await;
    assert_eq!(
        (one.unwrap(), two.unwrap()),
        (Some(value("registered")), Some(value("registered")))
    );
    stage.until_quiet(&node).await;
}

async fn no_loader(stage: &Stage) {
    assert!(matches!(
        stage.node().load("key").await,
        Err(Error::Config(_))
    ));
}
