//! Batches that run registered loaders.

use std::future::ready;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jetcache_core::{Error, LoadError};

use crate::behaviour::stage::face::Faced;
use crate::behaviour::stage::{Case, Cases, Stage, value};

use super::{now_or_later, rows};

pub(crate) const CASES: Cases<Case> = &[
    ("a_registered_batch_loader_survives_its_callers", |s| {
        Box::pin(survives(s))
    }),
    ("a_registered_batch_loader_serves_single_callers", |s| {
        Box::pin(serves_one(s))
    }),
    ("a_single_loader_serves_a_batch_a_few_at_a_time", |s| {
        Box::pin(one_by_one(s))
    }),
];

async fn survives(stage: &Stage) {
    let calls: Arc<Mutex<Vec<Vec<String>>>> = Arc::default();
    let (seen, host) = (Arc::clone(&calls), stage.host());
    let node = stage
        .builder()
        .batch_loader(move |ids: Vec<String>| {
            seen.lock().unwrap().push(ids.clone());
            async move {
                host.sleep(Duration::from_millis(30)).await;
                rows(ids)
            }
        })
        .build()
        .unwrap()
        .faced();
    let mut caller = Box::pin(node.load_many(["1", "x", "2", "1"]));
    stage
        .until("it loads", async || {
            assert!(now_or_later(&mut caller).await.is_none());
            calls.lock().unwrap().len() == 1
        })
        .await;
    drop(caller);
    stage
        .until("the load is done", async || node.peek("1").is_hit())
        .await;
    let values = node.load_many(["x", "2", "1"]).await.into_values().unwrap();
    assert_eq!(values, [None, Some(value("2")), Some(value("1"))]);
    assert_eq!(*calls.lock().unwrap(), [["1", "x", "2"]]);
    stage.until_quiet(&node).await;
}

async fn serves_one(stage: &Stage) {
    let node = stage
        .builder()
        .batch_loader(|ids: Vec<String>| ready(rows(ids)))
        .build()
        .unwrap()
        .faced();
    assert_eq!(node.load("7").await.unwrap(), Some(value("7")));
    assert_eq!(node.load("x").await.unwrap(), None);
    stage.until_quiet(&node).await;
}

async fn one_by_one(stage: &Stage) {
    let most = Arc::new(AtomicUsize::new(0));
    let running = Arc::new(AtomicUsize::new(0));
    let host = stage.host();
    let (seen, now) = (Arc::clone(&most), Arc::clone(&running));
    let node = stage
        .builder()
        .load_concurrency(3)
        .loader(move |id: String| {
            let (seen, now) = (Arc::clone(&seen), Arc::clone(&now));
            async move {
                seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                host.sleep(Duration::from_millis(5)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, LoadError>((!id.starts_with('x')).then(|| value(&id)))
            }
        })
        .build()
        .unwrap()
        .faced();
    let ids: Vec<String> = (0..20)
        .map(|id| id.to_string())
        .chain(["x".into()])
        .collect();
    let values = node.load_many(&ids).await.into_values().unwrap();
    assert_eq!(values.len(), 21);
    assert_eq!(values[20], None);
    assert!(
        values[..20]
            .iter()
            .zip(&ids)
            .all(|(v, id)| *v == Some(value(id)))
    );
    assert_eq!(most.load(Ordering::SeqCst), 3);
    let unregistered = stage.node().load_many(["1"]).await;
    let error = unregistered.into_values().unwrap_err();
    assert!(
        matches!(&error, Error::Config(text) if text.contains("loader")),
        "{error}"
    );
    stage.until_quiet(&node).await;
}
