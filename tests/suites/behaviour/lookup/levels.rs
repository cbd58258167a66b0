//! Which level answers, what is kept where and for how long.

use std::io;
use std::time::Duration;

use jetcache_core::{Cached, Call, Error, ErrorKind, Kind, Load, LoadError};

use crate::behaviour::stage::face::Faced;
use crate::behaviour::stage::{Case, Cases, Stage, Value, brings, nobody, value};

pub(crate) const CASES: Cases<Case> = &[
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
    ("a_ttl_of_zero_keeps_nothing_whoever_says_so", |s| {
        Box::pin(zero_ttl(s))
    }),
    (
        "what_always_exists_is_a_value_and_its_absence_an_error",
        |s| Box::pin(always(s)),
    ),
    ("l1_never_outlives_l2", |s| Box::pin(outlive(s))),
    ("without_a_loader_what_is_past_its_life_is_read_once", |s| {
        Box::pin(reads_once(s))
    }),
];

pub(crate) const OWN_REDIS: Cases<Case> = &[(
    "a_copy_in_l1_is_not_served_past_local_ttl_without_a_window",
    |s| Box::pin(no_window(s)),
)];

/// A read that found it over and over would go on until nothing stands there any more.
async fn reads_once(stage: &Stage) {
    let window = Duration::from_secs(10);
    let builder = stage.builder().jitter(0, Duration::ZERO).stale_for(window);
    let node = builder.build().unwrap().faced();
    let life = Duration::from_millis(30);
    let brings = async || Ok::<_, LoadError>(Load::from(value("old")).ttl(life));
    node.get_or_load("key", brings).await.unwrap();
    stage.host().sleep(life * 2).await;
    let other = stage.node();
    let found = other.get_many(["key"]).await;
    assert!(found.into_iter().all(|(_, found)| found == Cached::Miss));
    assert_eq!(other.stats().remote_misses, 1);
}

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
    let node = node.build().unwrap().faced();
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
    // A change removes the key from the level that it skips.
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
}

async fn zero_ttl(stage: &Stage) {
    let (node, other) = (stage.node(), stage.node());
    let zero = Duration::ZERO;
    let load = |key, call: Call, load: Load<Value>| {
        let node = node.clone();
        async move {
            let loader = async || Ok::<_, LoadError>(load);
            node.get_or_load_with(key, &call, loader).await.unwrap()
        }
    };
    let plain = || Load::from(value("v"));
    for (key, call, loaded) in [
        ("call", Call::new().ttl(zero), plain()),
        ("load", Call::new(), plain().ttl(zero)),
    ] {
        assert_eq!(load(key, call, loaded).await, Some(value("v")));
        assert_eq!(other.get(key).await, Cached::Miss, "{key}");
        assert_eq!(node.peek(key), Cached::Miss, "{key}");
    }
    for (key, call, loaded) in [
        ("near call", Call::new().local_ttl(zero), plain()),
        ("near load", Call::new(), plain().local_ttl(zero)),
    ] {
        assert_eq!(load(key, call, loaded).await, Some(value("v")));
        assert_eq!(node.peek(key), Cached::Miss, "{key}");
        assert_eq!(other.get(key).await, Cached::Hit(value("v")), "{key}");
    }
    // What L2 has is not kept in L1 either.
    let near = Call::new().local_ttl(zero);
    assert!(node.get_with("near call", &near).await.is_hit());
    assert_eq!(node.peek("near call"), Cached::Miss);
    // An insert that keeps nothing is a mistake, and so is keeping fresh what is not kept.
    let call = Call::new().ttl(zero);
    let refused = node.insert_with("key".into(), value("v"), &call).await;
    assert!(matches!(refused, Err(Error::Config(text)) if text.contains("invalidate")));
    let refused = node.get_or_load_with("key", &call.refresh(), nobody).await;
    assert!(matches!(refused, Err(Error::Config(text)) if text.contains("refresh")));
}

async fn always(stage: &Stage) {
    let node = stage.node();
    let there = async || Ok::<_, LoadError>(value("v"));
    assert_eq!(
        node.get_or_load_value("key", there).await.unwrap(),
        value("v")
    );
    assert_eq!(
        node.get_or_load_value("key", nobody).await.unwrap(),
        value("v")
    );
    let nothing = async || Ok::<_, LoadError>(None::<Value>);
    // Whether the loader says so, or L1 and L2 remember it.
    let other = stage.node();
    for node in [&node, &node, &other] {
        let absent = node.get_or_load_value("none", nothing).await;
        assert!(matches!(absent, Err(Error::NotFound)), "{absent:?}");
    }
    let call = Call::new().skip_local();
    let absent = node.get_or_load_value_with("none", &call, nobody).await;
    assert_eq!(absent.unwrap_err().kind(), ErrorKind::NotFound);
    let failing = async || Err::<Value, LoadError>("away".into());
    let failed = node.get_or_load_value("key 2", failing).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Load);
    let of = |key: String| async move { Ok::<_, LoadError>((key != "none").then(|| value(&key))) };
    let node = stage.builder().loader(of).build().unwrap();
    assert_eq!(node.load_value("loaded").await.unwrap(), value("loaded"));
    let absent = node.load_value_with("none", &Call::new()).await;
    assert!(matches!(absent, Err(Error::NotFound)), "{absent:?}");
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

/// However long L2 keeps it, and although nobody else can bring it.
async fn no_window(stage: &Stage) {
    let short = Duration::from_millis(50);
    let node = stage.builder().local_ttl(short).build().unwrap().faced();
    for id in ["read", "loaded"] {
        stage
            .node()
            .insert(id.into(), value("theirs"))
            .await
            .unwrap();
    }
    assert!(node.get("read").await.is_hit());
    node.get_or_load("loaded", nobody).await.unwrap();
    stage.host().sleep(2 * short).await;
    stage.server().kill();
    for id in ["read", "loaded"] {
        let fails = || async { Err::<Value, _>("the database is away".into()) };
        let answer = node.get_or_load(id, fails).await;
        assert!(matches!(answer, Err(Error::Load(_))), "{answer:?}");
    }
    node.close().await;
}
