//! What a batch answers: in which order, and which of its keys fail.

use std::collections::HashMap;
use std::future::ready;
use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::{Either, join_all};
use jetcache_core::{Cached, Call, Error, LoadError, Loads};

use crate::behaviour::stage::face::Faced;
use crate::behaviour::stage::{
    Case, Cases, Node, Stage, Value, brings, expected_panic, nobody, value,
};

use super::{Row, rows};

pub(crate) const CASES: Cases<Case> = &[
    ("a_batch_answers_in_the_order_of_the_request", |s| {
        Box::pin(order(s))
    }),
    ("a_batch_without_a_loader_loads_nothing", |s| {
        Box::pin(reads(s))
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
    ("a_large_batch_is_split", |s| Box::pin(split(s))),
    ("a_closed_cache_refuses_a_batch", |s| Box::pin(closed(s))),
    ("a_batch_is_a_task_like_any_other", |s| Box::pin(task(s))),
];

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
    let found = node.get_many_or_load(["l1", "none"], async |_| {
        Ok::<_, LoadError>(Vec::<(String, Value)>::new())
    });
    let found = found.await.into_found().unwrap();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [("l1", value("l1"))]);
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

    // All of it is now in L1 and in L2.
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
    let found = batch.clone().into_found();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [("a", value("1"))]);
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
        .unwrap()
        .faced();
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

async fn split(stage: &Stage) {
    let node = stage.builder().batch_chunk(7).build().unwrap().faced();
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
