//! Batches share their loads, with each other and with single callers.

use std::collections::HashMap;
use std::future::{pending, ready};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use futures_util::future::{join, join_all};
use jetcache_core::{Cached, LoadError};

use crate::behaviour::stage::face::Faced;
use crate::behaviour::stage::{Case, Cases, Stage, value};

use super::{Row, each_once, now_or_later, rows};

pub(crate) const CASES: Cases<Case> = &[
    ("a_hundred_overlapping_batches_load_each_id_once", |s| {
        Box::pin(hundred(s))
    }),
    ("batches_and_single_callers_share_flights", |s| {
        Box::pin(mixed(s))
    }),
    ("nodes_share_the_loads_of_their_batches", |s| {
        Box::pin(fleet(s))
    }),
    ("a_cancelled_batch_hands_its_ids_over", |s| {
        Box::pin(cancelled(s))
    }),
    ("a_batch_is_deposed_id_by_id", |s| Box::pin(held(s))),
    ("what_a_batch_loads_during_a_change_is_not_kept", |s| {
        Box::pin(superseded(s))
    }),
];

async fn hundred(stage: &Stage) {
    let node = stage.node();
    let loads: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
    let answered = Arc::new(AtomicUsize::new(0));
    for first in 0..100 {
        let (node, host) = (node.clone(), stage.host());
        let (loads, answered) = (Arc::clone(&loads), Arc::clone(&answered));
        host.spawn(async move {
            let ids: Vec<String> = (first..first + 50).map(|id| id.to_string()).collect();
            let batch = node
                .get_many_or_load(&ids, async |ids: Vec<String>| {
                    for id in &ids {
                        *loads.lock().unwrap().entry(id.clone()).or_default() += 1;
                    }
                    host.sleep(Duration::from_millis(10)).await;
                    rows(ids)
                })
                .await;
            let values = batch.into_values().unwrap();
            let wanted = ids.iter().map(|id| Some(value(id)));
            assert!(values.into_iter().eq(wanted));
            answered.fetch_add(1, Ordering::SeqCst);
        });
    }
    stage
        .until("all batches are answered", async || {
            answered.load(Ordering::SeqCst) == 100
        })
        .await;
    each_once(&loads, 149);
    stage.until_quiet(&node).await;
}

async fn mixed(stage: &Stage) {
    let node = stage.node();
    let loads: Mutex<HashMap<String, usize>> = Mutex::default();
    let count = |id: &str| *loads.lock().unwrap().entry(id.into()).or_default() += 1;
    let batches = (0..5).map(|first| {
        let node = &node;
        let count = &count;
        async move {
            let ids: Vec<String> = (first..first + 3).map(|id| id.to_string()).collect();
            let batch = node
                .get_many_or_load(&ids, async |ids: Vec<String>| {
                    ids.iter().for_each(|id| count(id));
                    stage.host().sleep(Duration::from_millis(10)).await;
                    rows(ids)
                })
                .await;
            let values = batch.into_values().unwrap();
            assert!(values.into_iter().flatten().map(|v| (*v).clone()).eq(ids));
        }
    });
    let singles = (0..700).map(|i| {
        let node = &node;
        let count = &count;
        async move {
            let id = (i % 7).to_string();
            let answer = node
                .get_or_load(&id, async || {
                    count(&id);
                    stage.host().sleep(Duration::from_millis(10)).await;
                    Ok::<_, LoadError>(value(&id))
                })
                .await;
            assert_eq!(answer.unwrap(), Some(value(&id)));
        }
    });
    let (first, last): (Vec<_>, Vec<_>) = singles.enumerate().partition(|(i, _)| i % 2 == 0);
    let first = join_all(first.into_iter().map(|(_, single)| single));
    let last = join_all(last.into_iter().map(|(_, single)| single));
    join(join(first, join_all(batches)), last).await;
    each_once(&loads, 7);
    stage.until_quiet(&node).await;
}

async fn fleet(stage: &Stage) {
    let nodes = [stage.node(), stage.node(), stage.node()];
    let loads: Mutex<HashMap<String, usize>> = Mutex::default();
    let batches = nodes.iter().cycle().take(9).enumerate().map(|(i, node)| {
        let loads = &loads;
        async move {
            let ids: Vec<String> = (i..i + 4).map(|id| id.to_string()).collect();
            let batch = node
                .get_many_or_load(&ids, async |ids: Vec<String>| {
                    for id in &ids {
                        *loads.lock().unwrap().entry(id.clone()).or_default() += 1;
                    }
                    stage.host().sleep(Duration::from_millis(30)).await;
                    rows(ids)
                })
                .await;
            assert_eq!(batch.into_values().unwrap().len(), 4);
        }
    });
    join_all(batches).await;
    each_once(&loads, 12);
    for node in &nodes {
        stage.until_quiet(node).await;
    }
}

async fn cancelled(stage: &Stage) {
    let node = stage.node();
    let begun = AtomicUsize::new(0);
    let mut doomed = Box::pin(node.get_many_or_load(["1", "2", "3"], async |ids| {
        begun.fetch_add(1, Ordering::SeqCst);
        drop(ids);
        pending::<Result<Vec<Row>, LoadError>>().await
    }));
    let asked = Mutex::new(Vec::new());
    let load = |ids: Vec<String>| {
        asked.lock().unwrap().push(ids.clone());
        ready(rows(ids))
    };
    let mut heir = Box::pin(node.get_many_or_load(["0", "1", "2", "3"], load));
    stage
        .until("the first loads", async || {
            assert!(now_or_later(&mut doomed).await.is_none());
            begun.load(Ordering::SeqCst) == 1
        })
        .await;
    stage
        .until("the second has loaded what is its own", async || {
            assert!(now_or_later(&mut heir).await.is_none());
            asked.lock().unwrap().len() == 1
        })
        .await;
    drop(doomed);
    let values = heir.await.into_values().unwrap();
    assert_eq!(values, ["0", "1", "2", "3"].map(|id| Some(value(id))));
    assert_eq!(
        *asked.lock().unwrap(),
        [vec!["0"], vec!["1", "2", "3"]],
        "its loader is called again, once, for what was handed over"
    );
    stage.until_quiet(&node).await;
}

async fn held(stage: &Stage) {
    let builder = stage.builder().remote_timeout(Duration::from_millis(50));
    let node = builder
        .load_timeout(Duration::from_millis(200))
        .build()
        .unwrap()
        .faced();
    let begun = AtomicUsize::new(0);
    let mut silent = Box::pin(node.get_many_or_load(["1", "2"], async |_| {
        begun.fetch_add(1, Ordering::SeqCst);
        pending::<Result<Vec<Row>, LoadError>>().await
    }));
    stage
        .until("it loads", async || {
            let _ = silent
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
            begun.load(Ordering::SeqCst) == 1
        })
        .await;
    let batch = node
        .get_many_or_load(["2", "1", "3"], |ids| ready(rows(ids)))
        .await;
    let values = batch.into_values().unwrap();
    assert_eq!(values, ["2", "1", "3"].map(|id| Some(value(id))));
    assert_eq!(node.stats().deposed, 2);
    drop(silent);
    stage.until_quiet(&node).await;
}

async fn superseded(stage: &Stage) {
    let node = stage.node();
    let begun = AtomicUsize::new(0);
    let (go, gone) = futures_channel::oneshot::channel::<()>();
    let mut gone = Some(gone);
    let mut batch = Box::pin(node.get_many_or_load(["a", "b"], |ids| {
        begun.fetch_add(1, Ordering::SeqCst);
        let gone = gone.take();
        async move {
            match gone {
                Some(gone) => drop(gone.await),
                None => pending().await,
            }
            rows(ids)
        }
    }));
    stage
        .until("it loads", async || {
            assert!(now_or_later(&mut batch).await.is_none());
            begun.load(Ordering::SeqCst) == 1
        })
        .await;
    node.invalidate("a").await;
    go.send(()).unwrap();
    let values = batch.await.into_values().unwrap();
    assert_eq!(values, [Some(value("a")), Some(value("b"))]);
    let known = node.get_many(["a", "b"]).await.into_map();
    assert_eq!(known["a"], Cached::Miss, "in neither tier");
    assert_eq!(known["b"], Cached::Hit(value("b")));
    stage.until_quiet(&node).await;
}
