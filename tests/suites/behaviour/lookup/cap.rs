//! A bound of the loaders that run at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{join_all, pending};
use jetcache_core::{Error, LoadError};

use crate::behaviour::stage::face::Faced;
use crate::behaviour::stage::{Case, Cases, Node, Stage, Value, brings, expected_panic, value};

pub(crate) const CASES: Cases<Case> = &[
    ("no_more_loaders_run_than_may", |s| Box::pin(bounded(s))),
    ("who_finds_no_room_in_time_is_told", |s| {
        Box::pin(overloaded(s))
    }),
    ("a_loader_that_is_dropped_or_panics_makes_room", |s| {
        Box::pin(makes_room(s))
    }),
];

const SOON: Duration = Duration::from_millis(30);

fn capped(stage: &Stage, loads: usize, wait: Duration) -> Node {
    stage
        .builder()
        .max_loads(loads, wait)
        .build()
        .unwrap()
        .faced()
}

async fn bounded(stage: &Stage) {
    let node = capped(stage, 4, Duration::from_secs(10));
    let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let load = async || {
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        stage.host().sleep(Duration::from_millis(2)).await;
        now.fetch_sub(1, Ordering::SeqCst);
        Ok::<_, LoadError>(value("loaded"))
    };
    let single = async |at: usize| node.get_or_load(&*format!("key {at}"), load).await;
    let batch = async |at: usize| {
        let ids: Vec<String> = (0..10).map(|id| format!("batch {at} {id}")).collect();
        let rows = async |ids: Vec<String>| {
            let row: Value = load().await?;
            let rows = ids.into_iter().map(|id| (id, row.clone()));
            Ok::<Vec<_>, LoadError>(rows.collect())
        };
        node.get_many_or_load(&ids, rows).await.into_values()
    };
    let (singles, batches) =
        futures_util::future::join(join_all((0..100).map(single)), join_all((0..10).map(batch)))
            .await;
    for single in singles {
        assert_eq!(single.unwrap(), Some(value("loaded")));
    }
    for batch in batches {
        assert_eq!(batch.unwrap().len(), 10);
    }
    assert_eq!(most.load(Ordering::SeqCst), 4);
    let stats = node.stats();
    assert_eq!((stats.loads, stats.overloaded), (200, 0));
    stage.until_quiet(&node).await;
}

async fn overloaded(stage: &Stage) {
    let node = capped(stage, 1, SOON);
    let mut first = Box::pin(node.get_or_load("first", pending::<Result<Value, LoadError>>));
    stage
        .until("the first one loads", async || {
            assert!((&mut first).now_or_never().is_none());
            node.stats().misses == 1
        })
        .await;
    let refused = node.get_or_load("second", brings("second")).await;
    assert!(matches!(refused, Err(Error::Overloaded)), "{refused:?}");
    let stats = node.stats();
    assert_eq!((stats.overloaded, stats.load_failures), (1, 0));
    // What is cached is not concerned.
    node.insert("known".into(), value("known")).await.unwrap();
    assert_eq!(
        node.get_or_load("known", brings("not this")).await.unwrap(),
        Some(value("known"))
    );
    drop(first);
    assert!(node.get_or_load("second", brings("second")).await.is_ok());
    let none = stage.builder().max_loads(0, SOON).build();
    assert!(matches!(none, Err(Error::Config(text)) if text.contains("max_loads")));
    stage.until_quiet(&node).await;
}

async fn makes_room(stage: &Stage) {
    let node = capped(stage, 1, SOON);
    for _ in 0..3 {
        let dropped = node.get_or_load("dropped", pending::<Result<Value, LoadError>>);
        let mut dropped = Box::pin(dropped);
        let misses = node.stats().misses;
        stage
            .until("it loads", async || {
                assert!((&mut dropped).now_or_never().is_none());
                node.stats().misses > misses
            })
            .await;
        drop(dropped);
        let panics = async || -> Result<Value, LoadError> { expected_panic("a loader's") };
        let panicked = node.get_or_load("panics", panics).await;
        assert!(matches!(panicked, Err(Error::Panicked(_))), "{panicked:?}");
    }
    assert!(node.get_or_load("last", brings("last")).await.is_ok());
    assert_eq!(node.stats().overloaded, 0);
    stage.until_quiet(&node).await;
}
