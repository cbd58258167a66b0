//! How a cache is built, watched and closed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jetcache_core::{Cached, Counters, Error, Event, Kind, LoadError, Observer};

use crate::behaviour::stage::face::Faced;
use crate::behaviour::stage::{Case, Cases, Log, Stage, brings, nobody, value};

pub(crate) const CASES: Cases<Case> = &[
    ("what_cannot_work_is_not_built", |s| Box::pin(refused(s))),
    ("each_kind_of_cache_works", |s| Box::pin(kinds(s))),
    ("statistics_and_observers_count", |s| Box::pin(counts(s))),
    ("the_table_is_logged", |s| Box::pin(table(s))),
    ("close_drains_and_refuses", |s| Box::pin(close(s))),
    ("dropping_the_last_handle_ends_the_tasks", |s| {
        Box::pin(dropped(s))
    }),
];

async fn refused(stage: &Stage) {
    let local = || stage.host().builder("wrong");
    let wrong = [
        local().no_local().build(),
        local().capacity(0).build(),
        local().ttl(Duration::ZERO).build(),
        local().local_ttl(Duration::ZERO).build(),
        local().negative_ttl(Duration::ZERO).build(),
        local().load_timeout(Duration::ZERO).build(),
        local().jitter(101, Duration::ZERO).build(),
        local().stats_every(Duration::ZERO).build(),
        stage.builder().remote_timeout(Duration::ZERO).build(),
        stage.builder().lease(Duration::from_millis(900)).build(),
        stage.builder().unconfirmed_capacity(0).build(),
    ];
    for (i, built) in wrong.into_iter().enumerate() {
        assert!(
            matches!(built, Err(Error::Config(_))),
            "number {i} was built"
        );
    }
}

async fn kinds(stage: &Stage) {
    let local = stage.local_node();
    assert_eq!(local.kind(), Kind::Local);
    local.get_or_load("key", brings("one")).await.unwrap();
    assert_eq!(local.get("key").await, Cached::Hit(value("one")));
    assert_eq!(local.policy().local_ttl, local.policy().ttl);
    let remote = stage.builder().no_local().build().unwrap().faced();
    assert_eq!(remote.kind(), Kind::Remote);
    remote.get_or_load("key", brings("two")).await.unwrap();
    assert_eq!(
        remote.get_or_load("key", nobody).await.unwrap(),
        Some(value("two"))
    );
    assert_eq!((remote.peek("key"), remote.len()), (Cached::Miss, 0));
    remote.invalidate("key").await;
    assert_eq!(remote.get("key").await, Cached::Miss);
}

#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl Observer for Diary {
    fn on(&self, cache: &str, event: &Event) {
        let line = format!("{cache} {event:?}");
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(line);
    }
}

/// Counts the events of several caches in one place.
struct Sum(Arc<Counters>);

impl Observer for Sum {
    fn on(&self, cache: &str, event: &Event) {
        self.0.on(cache, event);
    }
}

async fn counts(stage: &Stage) {
    let (diary, sum) = (Diary::default(), Arc::new(Counters::new()));
    let builder = stage
        .builder()
        .observer(diary.clone())
        .observer(Sum(Arc::clone(&sum)));
    let node = builder.no_stats().build().unwrap().faced();
    node.get_or_load("key", brings("one")).await.unwrap();
    node.get_or_load("key", nobody).await.unwrap();
    let stats = node.stats();
    assert_eq!((stats.loads, stats.hits(), stats.misses), (0, 0, 0), "off");
    let counted = sum.read();
    assert_eq!((counted.loads, counted.hits(), counted.misses), (1, 1, 1));
    let lines = diary.0.lock().unwrap().clone();
    assert!(lines.contains(&"users LocalHit".to_owned()), "{lines:?}");
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("users Loaded { took: ")),
        "{lines:?}"
    );
}

async fn table(stage: &Stage) {
    let node = stage
        .host()
        .builder(&stage.key("logged"))
        .stats_every(Duration::from_millis(20));
    let (node, written) = (node.build().unwrap().faced(), Log::capture());
    node.get_or_load("key", brings("one")).await.unwrap();
    let name = &stage.key("logged_remote");
    stage
        .until("a table is logged", async || written.contains(name))
        .await;
    node.close().await;
    assert_eq!(node.tasks(), 0);
}

async fn close(stage: &Stage) {
    let host = stage.host();
    let landed = Arc::new(AtomicUsize::new(0));
    let (count, node) = (Arc::clone(&landed), stage.builder());
    let node = node.loader(move |_: String| {
        let count = Arc::clone(&count);
        async move {
            host.sleep(Duration::from_millis(50)).await;
            count.fetch_add(1, Ordering::SeqCst);
            Ok::<_, LoadError>(value("late"))
        }
    });
    let node = node.build().unwrap().faced();
    node.get_or_load("kept", brings("one")).await.unwrap();
    {
        let mut caller = Box::pin(node.load("key"));
        let nap = Box::pin(host.sleep(Duration::from_millis(20)));
        futures_util::future::select(&mut caller, nap).await;
    }
    node.close().await;
    assert_eq!(
        landed.load(Ordering::SeqCst),
        1,
        "the load under way was drained"
    );
    node.clone().close().await;
    assert!(matches!(node.load("key").await, Err(Error::Closed)));
    assert!(matches!(
        node.get_or_load("kept", nobody).await,
        Err(Error::Closed)
    ));
    assert!(matches!(
        node.insert("kept".into(), value("two")).await,
        Err(Error::Closed)
    ));
    assert_eq!(node.get("kept").await, Cached::Miss);
    assert_eq!((node.len(), node.tasks()), (0, 0));
    node.invalidate("kept").await;
    assert_eq!(stage.node().get("kept").await, Cached::Miss);
}

async fn dropped(stage: &Stage) {
    let sum = Arc::new(Counters::new());
    let builder = stage.builder().observer(Sum(Arc::clone(&sum)));
    let node = builder
        .stats_every(Duration::from_secs(3600))
        .build()
        .unwrap()
        .faced();
    node.get_or_load("key", brings("one")).await.unwrap();
    assert_eq!(Arc::strong_count(&sum), 2);
    drop(node);
    // The last task that held the cache held its observers too.
    stage
        .until("nothing holds the cache", async || {
            Arc::strong_count(&sum) == 1
        })
        .await;
}
