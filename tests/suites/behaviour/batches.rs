//! Many keys as one operation.

use std::collections::HashMap;
use std::future::{Future, pending, ready};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::future::{Either, join, join_all};
use jetcache_core::{Cached, Call, Error, Load, LoadError, Loads, Reach};

use crate::behaviour::stage::{Case, Node, Stage, Value, brings, expected_panic, nobody, value};

pub(crate) const CASES: &[(&str, Case)] = &[
    ("a_batch_answers_in_the_order_of_the_request", |s| {
        Box::pin(order(s))
    }),
    ("a_batch_without_a_loader_loads_nothing", |s| {
        Box::pin(reads(s))
    }),
    ("a_hundred_overlapping_batches_load_each_id_once", |s| {
        Box::pin(hundred(s))
    }),
    ("batches_and_single_callers_share_flights", |s| {
        Box::pin(mixed(s))
    }),
    ("nodes_share_the_loads_of_their_batches", |s| {
        Box::pin(fleet(s))
    }),
    ("an_error_of_one_id_reaches_all_who_asked_for_it", |s| {
        Box::pin(one_error(s))
    }),
    ("a_loader_that_fails_as_a_whole_fails_its_ids_alone", |s| {
        Box::pin(whole_error(s))
    }),
    ("a_loader_that_panics_fails_its_ids_alone", |s| {
        Box::pin(panics(s))
    }),
    ("a_cancelled_batch_hands_its_ids_over", |s| {
        Box::pin(cancelled(s))
    }),
    ("a_batch_is_deposed_id_by_id", |s| Box::pin(held(s))),
    ("a_large_batch_is_split", |s| Box::pin(split(s))),
    ("a_registered_batch_loader_survives_its_callers", |s| {
        Box::pin(survives(s))
    }),
    ("a_registered_batch_loader_serves_single_callers", |s| {
        Box::pin(serves_one(s))
    }),
    ("a_single_loader_serves_a_batch_a_few_at_a_time", |s| {
        Box::pin(one_by_one(s))
    }),
    ("many_values_are_inserted_and_removed_together", |s| {
        Box::pin(changes(s))
    }),
    ("a_value_that_cannot_be_stored_holds_up_no_other", |s| {
        Box::pin(unstorable(s))
    }),
    ("values_of_a_batch_keep_their_own_times", |s| {
        Box::pin(own_times(s))
    }),
    ("what_a_batch_loads_during_a_change_is_not_kept", |s| {
        Box::pin(superseded(s))
    }),
    ("a_closed_cache_refuses_a_batch", |s| Box::pin(closed(s))),
    ("a_batch_is_a_task_like_any_other", |s| Box::pin(task(s))),
];

type Row = (String, Value);

/// The rows of a table that has none for ids that begin with an x.
fn rows(ids: Vec<String>) -> Result<Vec<Row>, LoadError> {
    let row = |id: String| (!id.starts_with('x')).then(|| (id.clone(), value(&id)));
    Ok(ids.into_iter().filter_map(row).collect())
}

/// So many ids were loaded, each once.
fn each_once(loads: &Mutex<HashMap<String, usize>>, ids: usize) {
    let loads = loads.lock().unwrap();
    assert!(loads.values().all(|&count| count == 1), "{loads:?}");
    assert_eq!(loads.len(), ids);
}

async fn none(_: Vec<String>) -> Result<Vec<Row>, LoadError> {
    panic!("this loader should not have run")
}

async fn order(stage: &Stage) {
    let (node, other) = (stage.node(), stage.node());
    node.insert("l1".into(), value("l1")).await.unwrap();
    other.insert("l2".into(), value("l2")).await.unwrap();
    let asked = Mutex::new(Vec::new());
    let keys = ["l1", "new", "x", "l2", "new", "l1", "x", ""];
    let batch = node
        .get_many_or_load(keys, |ids| {
            asked.lock().unwrap().push(ids.clone());
            ready(rows(ids))
        })
        .await;
    let answers: Vec<_> = batch
        .into_iter()
        .map(|(key, answer)| (key, answer.unwrap()))
        .collect();
    let is = |key, text: &str| (key, Some(value(text)));
    assert_eq!(
        answers,
        [
            is("l1", "l1"),
            is("new", "new"),
            ("x", None),
            is("l2", "l2"),
            is("new", "new"),
            is("l1", "l1"),
            ("x", None),
            is("", ""),
        ]
    );
    assert_eq!(*asked.lock().unwrap(), [["new", "x", ""]]);

    // All of it is in L1 now, and in L2.
    let again = node.get_many_or_load(keys, none).await;
    assert_eq!(again.into_values().unwrap().len(), keys.len());
    let there = stage.node().get_many(["new", "x", "l1"]).await;
    let there: Vec<_> = there.into_iter().map(|(_, cached)| cached).collect();
    assert_eq!(
        there,
        [
            Cached::Hit(value("new")),
            Cached::Absent,
            Cached::Hit(value("l1")),
        ]
    );
    stage.until_quiet(&node).await;
}

async fn reads(stage: &Stage) {
    let node = stage.node();
    node.insert("a".into(), value("1")).await.unwrap();
    node.invalidate_local("a");
    let batch = node.get_many(["b", "a", "b"]).await;
    assert_eq!(batch.hits().collect::<Vec<_>>(), [(&"a", &value("1"))]);
    assert_eq!(batch.into_map()["b"], Cached::Miss);
    assert!(node.peek("a").is_hit(), "what L2 had is kept in L1");
    let none = node.get_many([] as [&str; 0]).await;
    assert!(none.is_empty());
    let skipped = node
        .get_many_with(["a"], &Call::new().skip_local().skip_remote())
        .await;
    assert_eq!(skipped.into_map()["a"], Cached::Miss);
    stage.until_quiet(&node).await;
}

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

async fn one_error(stage: &Stage) {
    let node = stage.node();
    let load = async |ids: Vec<String>| {
        stage.host().sleep(Duration::from_millis(20)).await;
        let row = |id: String| match &*id {
            "3" => (id, Err(LoadError::from("shard 3 is away"))),
            _ => (id.clone(), Ok(value(&id))),
        };
        Ok::<Loads<String, Value>, LoadError>(ids.into_iter().map(row).collect())
    };
    let batches = [["1", "2", "3"], ["2", "3", "4"], ["3", "4", "5"]];
    let answers = join_all(batches.map(|ids| node.get_many_or_load(ids, load))).await;
    for batch in answers {
        assert_eq!(batch.len(), 3);
        for (id, answer) in &batch {
            match (*id, answer) {
                ("3", Err(Error::Load(error))) => {
                    assert_eq!(error.to_string(), "shard 3 is away");
                }
                (_, Ok(Some(found))) => assert_eq!(*found, value(id)),
                (id, answer) => panic!("{id}: {answer:?}"),
            }
        }
        assert_eq!(batch.errors().count(), 1);
    }
    // A failure is not remembered.
    assert!(node.get_or_load("3", brings("back")).await.is_ok());
    stage.until_quiet(&node).await;
}

async fn whole_error(stage: &Stage) {
    let node = stage.node();
    node.insert("known".into(), value("known")).await.unwrap();
    let batch = node
        .get_many_or_load(["a", "known", "b"], async |_| {
            Err::<Vec<Row>, _>(LoadError::from("no database"))
        })
        .await;
    let failed: Vec<_> = batch.errors().map(|(id, _)| *id).collect();
    assert_eq!(failed, ["a", "b"]);
    assert_eq!(node.stats().load_failures, 2);

    // Unless the error means that none of them exists.
    let builder = stage.builder().namespace(&stage.key("rows"));
    let node = builder
        .not_found_when(|error| error.to_string() == "no rows")
        .build()
        .unwrap();
    let batch = node
        .get_many_or_load(["a", "b"], async |_| {
            Err::<Vec<Row>, _>(LoadError::from("no rows"))
        })
        .await;
    assert_eq!(batch.into_values().unwrap(), [None, None]);
    assert_eq!(node.peek("a"), Cached::Absent);
    stage.until_quiet(&node).await;
}

async fn panics(stage: &Stage) {
    let node = stage.node();
    node.insert("known".into(), value("known")).await.unwrap();
    let at_call = |_: Vec<String>| -> std::future::Ready<Result<Vec<Row>, LoadError>> {
        expected_panic("at the call")
    };
    let batch = node.get_many_or_load(["a", "known", "b"], at_call).await;
    assert_eq!(batch.errors().count(), 2);
    for (_, error) in batch.errors() {
        assert!(matches!(error, Error::Panicked(text) if &**text == "at the call"));
    }
    let later = async |_| -> Result<Vec<Row>, LoadError> { expected_panic("later") };
    let batch = node.get_many_or_load(["a", "known", "b"], later).await;
    assert_eq!(batch.errors().count(), 2);
    assert!(node.get_or_load("a", brings("again")).await.is_ok());
    stage.until_quiet(&node).await;
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

/// Polls a future once.
async fn now_or_later<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|cx| {
        Poll::Ready(match std::pin::Pin::new(&mut *future).poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

async fn held(stage: &Stage) {
    let builder = stage.builder().remote_timeout(Duration::from_millis(50));
    let node = builder
        .load_timeout(Duration::from_millis(200))
        .build()
        .unwrap();
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

async fn split(stage: &Stage) {
    let node = stage.builder().batch_chunk(7).build().unwrap();
    let sizes = Mutex::new(Vec::new());
    let ids: Vec<String> = (0..30).map(|id| id.to_string()).collect();
    let batch = node
        .get_many_or_load(&ids, |ids| {
            sizes.lock().unwrap().push(ids.len());
            ready(rows(ids))
        })
        .await;
    let wanted: Vec<_> = ids.iter().map(|id| Some(value(id))).collect();
    assert_eq!(batch.into_values().unwrap(), wanted);
    assert_eq!(*sizes.lock().unwrap(), [7, 7, 7, 7, 2]);
    let entries = ids.iter().map(|id| (id.clone(), value("new")));
    let reached = node.insert_many(entries).await;
    assert!(reached.iter().all(|(_, reach)| reach.is_ok()));
    let there = stage.node().get_many(&ids).await;
    assert_eq!(there.hits().filter(|(_, v)| ***v == "new").count(), 30);
    stage.until_quiet(&node).await;
}

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
        .unwrap();
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
        .unwrap();
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
        .unwrap();
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

async fn changes(stage: &Stage) {
    let (node, other) = (stage.node(), stage.node());
    let entries = [("a", "1"), ("b", "2"), ("a", "3")];
    let entries = entries.map(|(key, text)| (key.to_string(), value(text)));
    let reached = node.insert_many(entries).await;
    let reached: Vec<_> = reached
        .into_iter()
        .map(|(key, r)| (key, r.unwrap()))
        .collect();
    let everywhere = |key: &str| (key.to_string(), Reach::Everywhere);
    assert_eq!(reached, ["a", "b", "a"].map(everywhere));
    for node in [&node, &other] {
        let known = node.get_many(["a", "b"]).await;
        let known: Vec<_> = known.into_iter().map(|(_, cached)| cached.hit()).collect();
        assert_eq!(known, [Some(value("3")), Some(value("2"))]);
    }
    let reached = node.invalidate_many(["a", "never", "a"]).await;
    let reached: Vec<_> = reached.into_iter().collect();
    assert_eq!(
        reached,
        ["a", "never", "a"].map(|key| (key, Reach::Everywhere))
    );
    assert_eq!(node.get("a").await, Cached::Miss);
    assert_eq!(node.get("b").await, Cached::Hit(value("2")));
    let refused = node
        .insert_many_with([("a".to_string(), value("4"))], &Call::new().no_store())
        .await;
    assert!(matches!(refused.into_values(), Err(Error::Config(_))));
    stage.until_quiet(&node).await;
}

async fn unstorable(stage: &Stage) {
    let node = stage.builder().max_value_size(100).build().unwrap();
    let big = value(&"x".repeat(200));
    let mut entries: Vec<_> = (0..100).map(|i| (i.to_string(), value("small"))).collect();
    entries[17].1 = Arc::clone(&big);
    entries[18].0 = "18#lease".into();
    let reached = node.insert_many(entries).await;
    let failed: Vec<_> = reached.errors().collect();
    assert_eq!(failed.len(), 2);
    assert!(matches!(failed[0], (key, Error::TooLarge { limit: 100, .. }) if key == "17"));
    assert!(matches!(failed[1], (key, Error::Key(_)) if key == "18#lease"));
    let keys: Vec<String> = (0..100).map(|i| i.to_string()).collect();
    assert_eq!(stage.node().get_many(&keys).await.hits().count(), 98);

    // A loaded one is answered and stays in L1.
    let batch = node
        .get_many_or_load(["17", "18", "18#lease"], |ids: Vec<String>| {
            let row = |id: String| (id, Arc::clone(&big));
            ready(Ok(ids.into_iter().map(row).collect::<Vec<_>>()))
        })
        .await;
    let answers: Vec<_> = batch.into_iter().map(|(_, answer)| answer).collect();
    assert_eq!(answers[0].as_ref().unwrap(), &Some(Arc::clone(&big)));
    assert_eq!(answers[1].as_ref().unwrap(), &Some(Arc::clone(&big)));
    assert!(matches!(answers[2], Err(Error::Key(_))));
    assert_eq!(node.stats().too_large, 2);
    assert!(node.peek("17").is_hit());
    assert_eq!(stage.node().get("17").await, Cached::Miss);
    stage.until_quiet(&node).await;
}

async fn own_times(stage: &Stage) {
    let node = stage.builder().no_local().build().unwrap();
    let batch = node
        .get_many_or_load(["short", "long", "never", "x"], async |_| {
            let loads = Loads::new()
                .value(
                    "short".to_string(),
                    Load::from(value("1")).ttl(Duration::from_millis(40)),
                )
                .value("long".to_string(), value("2"))
                .value("never".to_string(), Load::from(value("3")).uncached())
                .value("nobody asked for this".to_string(), value("4"));
            Ok::<_, LoadError>(loads)
        })
        .await;
    assert_eq!(batch.into_values().unwrap().len(), 4);
    stage
        .until("the short one has ended", async || {
            node.get("short").await == Cached::Miss
        })
        .await;
    let known = node
        .get_many(["long", "never", "x", "nobody asked for this"])
        .await;
    let known: Vec<_> = known.into_iter().map(|(_, cached)| cached).collect();
    assert_eq!(
        known,
        [
            Cached::Hit(value("2")),
            Cached::Miss,
            Cached::Absent,
            Cached::Miss,
        ]
    );
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

async fn closed(stage: &Stage) {
    let node = stage.node();
    node.close().await;
    let batch = node.get_many_or_load(["a"], none).await;
    assert!(matches!(batch.into_values(), Err(Error::Closed)));
    let inserted = node.insert_many([("a".to_string(), value("1"))]).await;
    assert!(matches!(inserted.into_values(), Err(Error::Closed)));
    assert_eq!(node.get_many(["a"]).await.into_map()["a"], Cached::Miss);
    assert!(matches!(
        node.get_or_load("a", nobody).await,
        Err(Error::Closed)
    ));
}

/// What a service does: a spawned task that borrows its ids and its database.
async fn task(stage: &Stage) {
    struct Db;
    impl Db {
        async fn users(&self, ids: &[String]) -> Result<HashMap<String, Value>, std::io::Error> {
            Ok(ids.iter().map(|id| (id.clone(), value(id))).collect())
        }
    }
    struct Service {
        users: Node,
        db: Db,
    }
    impl Service {
        async fn users(&self, ids: &[String]) -> Result<Vec<Option<Value>>, Error> {
            let load = async |ids: Vec<String>| Ok(self.db.users(&ids).await?);
            self.users.get_many_or_load(ids, load).await.into_values()
        }
    }
    let (done, hears) = futures_channel::oneshot::channel();
    let service = Service {
        users: stage.node(),
        db: Db,
    };
    stage.host().spawn(async move {
        let ids = vec!["1".to_string(), "2".to_string()];
        let users = service.users(&ids).await;
        service.users.get_many(&ids).await;
        service.users.load_many(&ids).await;
        service.users.invalidate_many(&ids).await;
        let _ = done.send(users.map(|users| users.len()));
    });
    let deadline = pin!(stage.host().sleep(Duration::from_secs(20)));
    match futures_util::future::select(hears, deadline).await {
        Either::Left((users, _)) => assert_eq!(users.unwrap().unwrap(), 2),
        Either::Right(_) => panic!("no answer"),
    }
}
