//! Which level answers, what is kept where and for how long.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jetcache_adapters::{Json, Memory};
use jetcache_core::{
    BoxError, Cached, Call, Codec, Counters, Error, Event, Kind, Load, LoadError, Observer,
};

use crate::behaviour::stage::{Case, Log, Stage, Value, brings, nobody, value};

pub(crate) const CASES: &[(&str, Case)] = &[
    ("a_miss_loads_and_a_hit_does_not", |s| Box::pin(hit(s))),
    ("another_node_finds_it_in_l2", |s| Box::pin(second_node(s))),
    ("not_found_is_remembered_in_both_levels", |s| {
        Box::pin(not_found(s))
    }),
    ("an_error_can_mean_not_found", |s| {
        Box::pin(not_found_when(s))
    }),
    ("get_peek_and_exists_run_no_loader", |s| Box::pin(reads(s))),
    ("a_call_can_skip_a_level", |s| Box::pin(skips(s))),
    ("a_call_can_keep_nothing", |s| Box::pin(keeps_nothing(s))),
    ("a_loader_decides_how_long", |s| Box::pin(loaders_ttl(s))),
    ("l1_never_outlives_l2", |s| Box::pin(outlive(s))),
    ("junk_in_l2_is_a_miss_and_is_healed", |s| Box::pin(junk(s))),
    ("another_codec_is_a_miss", |s| Box::pin(codec(s))),
    ("what_cannot_be_encoded_stays_in_l1", |s| {
        Box::pin(unencodable(s))
    }),
    ("any_string_survives", |s| Box::pin(any_string(s))),
    ("a_key_that_looks_like_a_lease_is_refused", |s| {
        Box::pin(lease_key(s))
    }),
    ("what_cannot_work_is_not_built", |s| Box::pin(refused(s))),
    ("each_kind_of_cache_works", |s| Box::pin(kinds(s))),
    ("statistics_and_observers_count", |s| Box::pin(counts(s))),
    ("the_table_is_logged", |s| Box::pin(table(s))),
    ("close_drains_and_refuses", |s| Box::pin(close(s))),
    ("dropping_the_last_handle_ends_the_tasks", |s| {
        Box::pin(dropped(s))
    }),
];

async fn hit(stage: &Stage) {
    let node = stage.node();
    assert_eq!(
        node.get_or_load("key", brings("one")).await.unwrap(),
        Some(value("one"))
    );
    assert_eq!(
        node.get_or_load("key", nobody).await.unwrap(),
        Some(value("one"))
    );
    let stats = node.stats();
    assert_eq!((stats.loads, stats.local_hits, stats.misses), (1, 1, 1));
    assert_eq!((node.len(), node.weight(), node.kind()), (1, 1, Kind::Both));
}

async fn second_node(stage: &Stage) {
    stage
        .node()
        .get_or_load("key", brings("one"))
        .await
        .unwrap();
    let node = stage.node();
    assert_eq!(
        node.get_or_load("key", nobody).await.unwrap(),
        Some(value("one"))
    );
    assert_eq!(node.stats().remote_hits, 1);
    assert!(node.peek("key").is_hit());
}

async fn not_found(stage: &Stage) {
    let (one, two) = (stage.node(), stage.node());
    let absent = async || Ok::<Option<Value>, LoadError>(None);
    assert_eq!(one.get_or_load("ghost", absent).await.unwrap(), None);
    assert_eq!(one.get_or_load("ghost", nobody).await.unwrap(), None);
    assert_eq!(one.peek("ghost"), Cached::Absent);
    assert_eq!(two.get_or_load("ghost", nobody).await.unwrap(), None);
    assert_eq!(two.peek("ghost"), Cached::Absent);
    assert!(!two.exists("ghost").await);
    assert_eq!(one.stats().not_found, 1);
    one.insert("ghost".into(), value("born")).await.unwrap();
    assert_eq!(one.get("ghost").await, Cached::Hit(value("born")));
}

async fn not_found_when(stage: &Stage) {
    let node = stage.builder().not_found_when(|error| {
        error
            .downcast_ref::<io::Error>()
            .is_some_and(|e| e.kind() == io::ErrorKind::NotFound)
    });
    let node = node.build().unwrap();
    let absent = async || -> Result<Value, LoadError> {
        Err(io::Error::from(io::ErrorKind::NotFound).into())
    };
    assert_eq!(node.get_or_load("ghost", absent).await.unwrap(), None);
    assert_eq!(node.get("ghost").await, Cached::Absent);
    let broken = async || -> Result<Value, LoadError> { Err(io::Error::other("broken").into()) };
    assert!(matches!(
        node.get_or_load("key", broken).await,
        Err(Error::Load(_))
    ));
    assert_eq!(node.get("key").await, Cached::Miss);
}

async fn reads(stage: &Stage) {
    let (one, two) = (stage.node(), stage.node());
    assert_eq!(one.get("key").await, Cached::Miss);
    assert!(!one.exists("key").await);
    one.get_or_load("key", brings("one")).await.unwrap();
    assert_eq!(two.peek("key"), Cached::Miss);
    assert!(two.exists("key").await);
    assert_eq!(two.peek("key"), Cached::Miss, "exists keeps nothing");
    assert_eq!(two.get("key").await, Cached::Hit(value("one")));
    assert_eq!(two.peek("key"), Cached::Hit(value("one")));
}

async fn skips(stage: &Stage) {
    let node = stage.node();
    let past_l1 = Call::new().skip_local();
    node.get_or_load_with("key", &past_l1, brings("one"))
        .await
        .unwrap();
    assert_eq!(node.peek("key"), Cached::Miss);
    assert_eq!(
        node.get_with("key", &past_l1).await,
        Cached::Hit(value("one"))
    );
    assert_eq!(node.peek("key"), Cached::Miss);
    let past_l2 = Call::new().skip_remote();
    assert_eq!(node.get_with("key", &past_l2).await, Cached::Miss);
    let two = node
        .get_or_load_with("key", &past_l2, brings("two"))
        .await
        .unwrap();
    assert_eq!(two, Some(value("two")));
    assert_eq!(stage.node().get("key").await, Cached::Hit(value("one")));
    // A change clears the level that it skips.
    node.insert_with("key".into(), value("three"), &past_l2)
        .await
        .unwrap();
    assert_eq!(node.peek("key"), Cached::Hit(value("three")));
    assert_eq!(stage.node().get("key").await, Cached::Miss);
    node.insert_with("key".into(), value("four"), &past_l1)
        .await
        .unwrap();
    assert_eq!(node.peek("key"), Cached::Miss);
    assert_eq!(stage.node().get("key").await, Cached::Hit(value("four")));
    let nothing = node
        .insert_with("key".into(), value("five"), &Call::new().no_store())
        .await;
    assert!(matches!(nothing, Err(Error::Config(_))));
    let odd = node
        .insert_if_absent_with("key".into(), value("five"), &past_l2)
        .await;
    assert!(matches!(odd, Err(Error::Config(_))));
}

async fn keeps_nothing(stage: &Stage) {
    let node = stage.node();
    let call = Call::new().no_store();
    node.get_or_load_with("key", &call, brings("one"))
        .await
        .unwrap();
    assert_eq!(node.get("key").await, Cached::Miss);
    let once = async || Ok::<_, LoadError>(Load::from(value("once")).uncached());
    assert_eq!(
        node.get_or_load("key", once).await.unwrap(),
        Some(value("once"))
    );
    assert_eq!(node.get("key").await, Cached::Miss);
    // Neither left a lease behind: the next load fills.
    node.get_or_load("key", brings("kept")).await.unwrap();
    assert_eq!(stage.node().get("key").await, Cached::Hit(value("kept")));
}

async fn loaders_ttl(stage: &Stage) {
    let node = stage.node();
    let short =
        async || Ok::<_, LoadError>(Load::from(value("short")).ttl(Duration::from_millis(40)));
    node.get_or_load("key", short).await.unwrap();
    stage
        .until("it is gone", async || node.get("key").await == Cached::Miss)
        .await;
    assert_eq!(node.len(), 0, "expired entries are removed when touched");
    let zero = node
        .get_or_load_with("key", &Call::new().ttl(Duration::ZERO), nobody)
        .await;
    assert!(matches!(zero, Err(Error::Config(_))));
}

async fn outlive(stage: &Stage) {
    let (one, two) = (stage.node(), stage.node());
    let call = Call::new()
        .ttl(Duration::from_millis(300))
        .local_ttl(Duration::from_secs(60));
    one.insert_with("key".into(), value("short"), &call)
        .await
        .unwrap();
    assert_eq!(two.get("key").await, Cached::Hit(value("short")));
    stage
        .until("L1 has let go of it", async || {
            two.peek("key") == Cached::Miss
        })
        .await;
    stage
        .until("L2 has let go of it", async || {
            one.get("key").await == Cached::Miss
        })
        .await;
}

async fn junk(stage: &Stage) {
    stage
        .plant(
            "key",
            b"* not an entry of ours, but long enough to be one *",
        )
        .await;
    stage.plant("short", b"*").await;
    let node = stage.node();
    assert_eq!(node.get("key").await, Cached::Miss);
    assert_eq!(
        node.get_or_load("key", brings("one")).await.unwrap(),
        Some(value("one"))
    );
    assert_eq!(
        node.get_or_load("short", brings("two")).await.unwrap(),
        Some(value("two"))
    );
    assert!(node.stats().undecodable >= 3);
    assert_eq!(stage.node().get("key").await, Cached::Hit(value("one")));
    assert_eq!(stage.node().get("short").await, Cached::Hit(value("two")));
}

async fn codec(stage: &Stage) {
    stage
        .node()
        .insert("key".into(), value("one"))
        .await
        .unwrap();
    let memory = Memory::new();
    let one = stage
        .host()
        .builder("mixed")
        .remote(memory.clone(), Json)
        .build()
        .unwrap();
    one.insert("key".into(), value("json")).await.unwrap();
    let builder = stage.host().builder("mixed");
    let two = builder
        .remote(memory, jetcache_adapters::Postcard)
        .build()
        .unwrap();
    assert_eq!(two.get("key").await, Cached::Miss);
    assert_eq!(two.stats().undecodable, 1);
}

/// Encodes nothing but what begins with a y.
struct Picky;

impl Codec<Value> for Picky {
    fn id(&self) -> u8 {
        200
    }

    fn encode(&self, value: &Value, out: &mut Vec<u8>) -> Result<(), BoxError> {
        if !value.starts_with('y') {
            return Err("it does not begin with a y".into());
        }
        out.extend_from_slice(value.as_bytes());
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Value, BoxError> {
        Ok(Arc::new(String::from_utf8(bytes.to_vec())?))
    }
}

async fn unencodable(stage: &Stage) {
    let memory = Memory::new();
    let build = || {
        let builder = stage.host().builder("picky").remote(memory.clone(), Picky);
        builder.build().unwrap()
    };
    let node = build();
    assert_eq!(
        node.get_or_load("key", brings("no")).await.unwrap(),
        Some(value("no"))
    );
    assert_eq!(node.peek("key"), Cached::Hit(value("no")));
    assert_eq!(node.stats().unencodable, 1);
    assert_eq!(build().get("key").await, Cached::Miss);
    stage
        .until("the lease is back", async || memory.leases() == 0)
        .await;
    assert_eq!(
        node.get_or_load("other", brings("yes")).await.unwrap(),
        Some(value("yes"))
    );
    let refused = node.insert("other".into(), value("no")).await;
    assert!(matches!(refused, Err(Error::Encode(_))));
    assert_eq!(
        node.get("other").await,
        Cached::Hit(value("yes")),
        "nothing was changed"
    );
}

async fn any_string(stage: &Stage) {
    let node = stage.node();
    for text in [
        "*",
        "",
        "\0",
        "null",
        "\u{c1}J\u{1}",
        "#lease",
        &"x".repeat(100_000),
    ] {
        node.insert(text.len().to_string(), value(text))
            .await
            .unwrap();
        let found = stage.node().get(&text.len().to_string()).await;
        assert_eq!(found, Cached::Hit(value(text)));
    }
}

async fn lease_key(stage: &Stage) {
    let node = stage.node();
    let load = node.get_or_load("key#lease", nobody).await;
    assert!(matches!(load, Err(Error::Key(_))));
    let insert = node.insert("key#lease".into(), value("one")).await;
    assert!(matches!(insert, Err(Error::Key(_))));
    assert_eq!(node.get("key#lease").await, Cached::Miss);
}

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
        stage.builder().lease(Duration::from_secs(10)).build(),
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
    let remote = stage.builder().no_local().build().unwrap();
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

/// Counts into one place for several caches.
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
    let node = builder.no_stats().build().unwrap();
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
    let (node, written) = (node.build().unwrap(), Log::capture());
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
    let node = node.build().unwrap();
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
        .unwrap();
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
