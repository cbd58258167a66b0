//! Values whose life is over: when they are answered, for how long, and what follows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{join_all, pending};
use jetcache_core::{Builder, Cached, Call, Error, Load, LoadError};
use tokio::sync::oneshot;

use crate::behaviour::stage::face::Faced;
use crate::behaviour::stage::{Case, Cases, Node, Stage, Value, brings, value};

pub(crate) const CASES: Cases<Case> = &[
    ("a_failing_loader_is_answered_with_the_stale_value", |s| {
        Box::pin(if_error(s))
    }),
    ("it_is_tried_once_a_period", |s| Box::pin(throttled(s))),
    ("in_a_fleet_one_node_tries_in_a_period", |s| {
        Box::pin(fleet(s))
    }),
    ("nothing_is_stale_past_its_window", |s| Box::pin(window(s))),
    ("nothing_is_stale_after_an_invalidation", |s| {
        Box::pin(invalidated(s))
    }),
    ("what_did_not_exist_is_never_stale", |s| Box::pin(absent(s))),
    ("who_has_a_stale_value_waits_no_longer_than_he_would", |s| {
        Box::pin(soft(s))
    }),
    ("what_is_loaded_in_the_background_is_kept", |s| {
        Box::pin(background(s))
    }),
    (
        "a_loader_that_has_run_says_so_and_no_time_has_run_out",
        |s| Box::pin(spent(s)),
    ),
    ("a_batch_says_which_values_are_stale", |s| {
        Box::pin(batch(s))
    }),
    ("calls_and_loads_have_windows_of_their_own", |s| {
        Box::pin(own_windows(s))
    }),
    ("a_hit_late_in_a_life_loads_anew", |s| Box::pin(eager(s))),
    ("an_early_load_that_fails_is_not_tried_again", |s| {
        Box::pin(eager_fails(s))
    }),
    ("a_stale_value_is_no_hit_for_a_condition", |s| {
        Box::pin(condition(s))
    }),
];

const TTL: Duration = Duration::from_millis(60);
const WINDOW: Duration = Duration::from_secs(600);
const RETRY: Duration = Duration::from_millis(400);
const PLAIN: &Call = &Call::new();

fn builder(stage: &Stage) -> Builder<String, Value> {
    stage
        .builder()
        .ttl(TTL)
        .jitter(0, Duration::ZERO)
        .stale_for(WINDOW)
        .stale_retry(RETRY)
}

async fn fails() -> Result<Value, LoadError> {
    Err("the source is away".into())
}

/// The life of this value is over.
async fn outlived(stage: &Stage, node: &Node, key: &str) {
    // On a machine that stands still meanwhile the life is over before it is stored: then nothing is.
    stage
        .until("it is stored", async || {
            node.insert(key.into(), value("old")).await.unwrap();
            stage.bytes(key).await.is_some()
        })
        .await;
    stage.host().sleep(TTL * 2).await;
    assert_eq!(node.get(key).await, Cached::Miss, "nothing failed yet");
}

async fn ask(node: &Node, key: &str) -> Cached<Value> {
    node.get_or_load_cached(key, PLAIN, fails).await.unwrap()
}

async fn if_error(stage: &Stage) {
    let node = builder(stage).build().unwrap().faced();
    outlived(stage, &node, "key").await;
    assert_eq!(ask(&node, "key").await, Cached::Stale(value("old")));
    // Now it is known, and said by all who read.
    assert_eq!(node.get("key").await, Cached::Stale(value("old")));
    assert_eq!(node.peek("key"), Cached::Stale(value("old")));
    assert!(node.exists("key").await);
    assert_eq!(
        node.get_or_load("key", fails).await.unwrap(),
        Some(value("old"))
    );
    assert!(node.stats().stale >= 4, "{:?}", node.stats());
    assert_eq!(node.stats().load_failures, 1);
    // A panic is no other matter.
    outlived(stage, &node, "panics").await;
    let panics = async || -> Result<Value, LoadError> { std::panic::resume_unwind(Box::new("x")) };
    let answer = node.get_or_load("panics", panics).await.unwrap();
    assert_eq!(answer, Some(value("old")));
    // What never was cannot be stale.
    let unknown = node.get_or_load("unknown", fails).await;
    assert!(matches!(unknown, Err(Error::Load(_))), "{unknown:?}");
    // The source is back.
    stage.host().sleep(RETRY * 2).await;
    let fresh = node.get_or_load_cached("key", PLAIN, brings("new"));
    assert_eq!(fresh.await.unwrap(), Cached::Hit(value("new")));
    assert_eq!(node.get("key").await, Cached::Hit(value("new")));
    stage.until_quiet(&node).await;
}

async fn throttled(stage: &Stage) {
    let node = builder(stage).stale_retry(WINDOW).build().unwrap().faced();
    // Also what was over long ago.
    outlived(stage, &node, "key").await;
    let ran = AtomicUsize::new(0);
    let load = async || {
        ran.fetch_add(1, Ordering::SeqCst);
        fails().await
    };
    for _ in 0..20 {
        let answers = (0..10).map(|_| node.get_or_load("key", load));
        for answer in join_all(answers).await {
            assert_eq!(answer.unwrap(), Some(value("old")));
        }
    }
    assert_eq!(ran.load(Ordering::SeqCst), 1);
    // A change ends that.
    node.invalidate("key").await;
    assert_eq!(
        node.get_or_load("key", brings("new")).await.unwrap(),
        Some(value("new"))
    );
}

async fn fleet(stage: &Stage) {
    let builder = || builder(stage).stale_retry(WINDOW);
    let nodes: Vec<Node> = (0..3).map(|_| builder().build().unwrap().faced()).collect();
    outlived(stage, &nodes[0], "key").await;
    let ran = AtomicUsize::new(0);
    let load = async || {
        ran.fetch_add(1, Ordering::SeqCst);
        fails().await
    };
    let answer = nodes[0].get_or_load("key", load).await.unwrap();
    assert_eq!(answer, Some(value("old")));
    // The others see it under the lease's name, once the release has arrived.
    stage
        .until("the failing is known", async || {
            stage.is_failing("key").await
        })
        .await;
    for node in &nodes {
        let started = Instant::now();
        let answer = node.get_or_load_cached("key", PLAIN, load);
        assert_eq!(answer.await.unwrap(), Cached::Stale(value("old")));
        assert!(
            started.elapsed() < Duration::from_secs(1),
            "nobody waits for a lease that nobody has"
        );
    }
    assert_eq!(ran.load(Ordering::SeqCst), 1);
    // A change takes the mark away, and each may try again.
    nodes[1].invalidate("key").await;
    let answer = nodes[1].get_or_load("key", brings("new")).await.unwrap();
    assert_eq!(answer, Some(value("new")));
}

async fn window(stage: &Stage) {
    let node = builder(stage)
        .stale_for(Duration::from_millis(300))
        .stale_retry(Duration::from_millis(1))
        .build()
        .unwrap()
        .faced();
    outlived(stage, &node, "key").await;
    assert_eq!(ask(&node, "key").await, Cached::Stale(value("old")));
    stage.host().sleep(Duration::from_millis(400)).await;
    let answer = node.get_or_load("key", fails).await;
    assert!(matches!(answer, Err(Error::Load(_))), "{answer:?}");
}

async fn invalidated(stage: &Stage) {
    let (here, there) = (
        builder(stage).build().unwrap().faced(),
        builder(stage).build().unwrap().faced(),
    );
    outlived(stage, &here, "key").await;
    assert_eq!(ask(&here, "key").await, Cached::Stale(value("old")));
    here.invalidate("key").await;
    for node in [&here, &there] {
        let answer = node.get_or_load("key", fails).await;
        assert!(matches!(answer, Err(Error::Load(_))), "{answer:?}");
    }
    // Nor is what another node has removed, of which nobody tells.
    outlived(stage, &here, "other").await;
    there.invalidate("other").await;
    let answer = here.get_or_load("other", fails).await;
    assert!(matches!(answer, Err(Error::Load(_))), "{answer:?}");
}

async fn absent(stage: &Stage) {
    let node = builder(stage).negative_ttl(TTL).build().unwrap().faced();
    let nothing = async || Ok::<Option<Value>, LoadError>(None);
    assert_eq!(node.get_or_load("key", nothing).await.unwrap(), None);
    stage.host().sleep(TTL * 2).await;
    let answer = node.get_or_load("key", fails).await;
    assert!(matches!(answer, Err(Error::Load(_))), "{answer:?}");
}

async fn soft(stage: &Stage) {
    let soft = Duration::from_millis(30);
    let node = builder(stage)
        .soft_timeout(soft)
        .loader(async |_: String| pending::<Result<Value, LoadError>>().await)
        .build()
        .unwrap()
        .faced();
    outlived(stage, &node, "key").await;
    let started = Instant::now();
    let callers = (0..50).map(|_| node.load("key"));
    for answer in join_all(callers).await {
        assert_eq!(answer.unwrap(), Some(value("old")));
    }
    let hangs = pending::<Result<Value, LoadError>>;
    let spawned = node.get_or_spawn("key", PLAIN, hangs).await;
    assert_eq!(spawned.unwrap(), Cached::Stale(value("old")));
    let took = started.elapsed();
    assert!(took >= soft && took < Duration::from_secs(5), "{took:?}");
    // Who follows a loader that lives in its caller does not wait for it either.
    outlived(stage, &node, "lent").await;
    let lent = node.get_or_load("lent", pending::<Result<Value, LoadError>>);
    let waits = node.get_or_load_cached("lent", PLAIN, fails);
    let first = futures_util::future::select(Box::pin(lent), Box::pin(waits)).await;
    match first {
        futures_util::future::Either::Right((answer, _)) => {
            assert_eq!(answer.unwrap(), Cached::Stale(value("old")));
        }
        futures_util::future::Either::Left(_) => panic!("it hangs"),
    }
    node.close().await;
}

async fn background(stage: &Stage) {
    let node = builder(stage)
        .ttl(Duration::from_millis(200))
        .stale_while_revalidate()
        .build()
        .unwrap()
        .faced();
    node.insert("key".into(), value("old")).await.unwrap();
    stage.host().sleep(Duration::from_millis(300)).await;
    let host = stage.host();
    let slow = move || async move {
        host.sleep(Duration::from_millis(50)).await;
        Ok::<Load<Value>, LoadError>(Load::from(value("new")).ttl(WINDOW))
    };
    let answer = node.get_or_spawn("key", PLAIN, slow).await.unwrap();
    assert_eq!(answer, Cached::Stale(value("old")));
    stage
        .until("the load has ended", async || {
            node.get("key").await == Cached::Hit(value("new"))
        })
        .await;
    // And it is not kept if the key was changed meanwhile.
    node.insert("other".into(), value("old")).await.unwrap();
    stage.host().sleep(Duration::from_millis(300)).await;
    let answer = node.get_or_spawn("other", PLAIN, slow).await.unwrap();
    assert_eq!(answer, Cached::Stale(value("old")));
    let call = Call::new().ttl(WINDOW);
    node.insert_with("other".into(), value("inserted"), &call)
        .await
        .unwrap();
    stage.until_quiet(&node).await;
    assert_eq!(node.get("other").await, Cached::Hit(value("inserted")));
}

/// Its task has loaded in vain, and the stale value in its place is removed before the caller has
/// taken it: the caller leads anew, and has no loader any more.
async fn spent(stage: &Stage) {
    let node = builder(stage).build().unwrap().faced();
    outlived(stage, &node, "key").await;
    let (caller_waits, waits) = oneshot::channel();
    let fails_then = async || {
        waits.await?;
        fails().await
    };
    let mut call = Box::pin(node.get_or_spawn("key", PLAIN, fails_then));
    assert!((&mut call).now_or_never().is_none());
    caller_waits.send(()).unwrap();
    stage
        .until("the task has ended", async || {
            node.stats().load_failures == 1 && node.tasks() == 0
        })
        .await;
    node.invalidate("key").await;
    let answer = call.await;
    let Err(Error::Load(why)) = &answer else {
        panic!("{answer:?}")
    };
    assert!(why.to_string().contains("has run already"), "{why}");
    // Another loader is another matter.
    let answer = node.get_or_spawn("key", PLAIN, brings("new")).await;
    assert_eq!(answer.unwrap(), Cached::Hit(value("new")));
    stage.until_quiet(&node).await;
}

async fn batch(stage: &Stage) {
    let node = builder(stage).build().unwrap().faced();
    outlived(stage, &node, "old").await;
    let call = Call::new().ttl(WINDOW);
    node.insert_with("fresh".into(), value("fresh"), &call)
        .await
        .unwrap();
    let keys = ["fresh".to_owned(), "old".to_owned()];
    let load = async |_: Vec<String>| Err::<Vec<(String, Value)>, _>(LoadError::from("away"));
    for _ in 0..2 {
        let answers = node.get_many_or_load(&keys, load).await;
        assert_eq!(answers.stale().collect::<Vec<_>>(), [&"old"]);
        let values: Vec<Option<Value>> = answers.into_values().unwrap();
        assert_eq!(values, [Some(value("fresh")), Some(value("old"))]);
    }
    let read = node.get_many(&keys).await;
    assert_eq!(read.stale().collect::<Vec<_>>(), [&"old"]);
    assert_eq!(read.hits().count(), 2);
}

async fn own_windows(stage: &Stage) {
    let node = stage
        .builder()
        .ttl(TTL)
        .jitter(0, Duration::ZERO)
        .build()
        .unwrap()
        .faced();
    // This one is stale for a while, whatever the cache says.
    let load = async || Ok::<_, LoadError>(Load::from(value("old")).stale_for(WINDOW));
    node.get_or_load("key", load).await.unwrap();
    let call = Call::new().stale_for(WINDOW);
    node.insert_with("other".into(), value("old"), &call)
        .await
        .unwrap();
    node.insert("none".into(), value("old")).await.unwrap();
    stage.host().sleep(TTL * 2).await;
    // This call takes no stale value, also where one stands.
    let strict = Call::new().stale_for(Duration::ZERO);
    for key in ["key", "other"] {
        for _ in 0..2 {
            let answer = node.get_or_load_with(key, &strict, fails).await;
            assert!(matches!(answer, Err(Error::Load(_))), "{key}: {answer:?}");
            assert_eq!(ask(&node, key).await, Cached::Stale(value("old")));
        }
        assert_eq!(node.get_with(key, &strict).await, Cached::Miss);
    }
    let answer = node.get_or_load("none", fails).await;
    assert!(matches!(answer, Err(Error::Load(_))), "{answer:?}");
}

async fn condition(stage: &Stage) {
    let node = builder(stage).build().unwrap().faced();
    outlived(stage, &node, "key").await;
    assert_eq!(ask(&node, "key").await, Cached::Stale(value("old")));
    let present = node.insert_if_present("key".into(), value("new")).await;
    assert!(!present.unwrap());
    assert!(
        node.insert_if_absent("key".into(), value("new"))
            .await
            .unwrap()
    );
    assert_eq!(node.get("key").await, Cached::Hit(value("new")));
}

/// The load takes a second, so of 30 keys about half are loaded anew while 0.8 s of a life of 2.4 s are left.
/// Nobody asks in those 0.8 s, so that a machine that stands still lets no life end.
async fn eager(stage: &Stage) {
    let host = stage.host();
    let load = move |_: String| async move {
        host.sleep(Duration::from_secs(1)).await;
        Ok::<_, LoadError>(Load::from(value("loaded")).ttl(EAGER_LIFE))
    };
    let node = stage
        .builder()
        .jitter(0, Duration::ZERO)
        .eager()
        .loader(load)
        .build()
        .unwrap()
        .faced();
    let keys: Vec<String> = (0..30).map(|at| format!("key {at}")).collect();
    let hits = async |key: &String| {
        node.load(key).await.unwrap();
        let began = Instant::now();
        while began.elapsed() < EAGER_LIFE - Duration::from_millis(800) {
            let found = node.load_cached(key, PLAIN).await.unwrap();
            assert_eq!(found, Cached::Hit(value("loaded")));
            host.sleep(Duration::from_millis(10)).await;
        }
    };
    join_all(keys.iter().map(hits)).await;
    stage.until_quiet(&node).await;
    let stats = node.stats();
    assert_eq!(stats.misses, 30, "nobody waited but at first: {stats:?}");
    let early = stats.loads - 30;
    assert!((3..=30).contains(&early), "{early} of 30: {stats:?}");
    node.close().await;
}

/// One that fails is not tried again, and the value stays.
async fn eager_fails(stage: &Stage) {
    let node = stage
        .builder()
        .jitter(0, Duration::ZERO)
        .eager()
        .build()
        .unwrap()
        .faced();
    let host = stage.host();
    let slow = move || async move {
        host.sleep(Duration::from_millis(500)).await;
        Ok::<_, LoadError>(Load::from(value("old")).ttl(EAGER_LIFE))
    };
    node.get_or_spawn("key", PLAIN, slow).await.unwrap();
    let ran = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    while began.elapsed() < EAGER_LIFE - Duration::from_millis(800) {
        let ran = Arc::clone(&ran);
        let load = move || async move {
            ran.fetch_add(1, Ordering::SeqCst);
            fails().await
        };
        let found = node.get_or_spawn("key", PLAIN, load).await.unwrap();
        assert_eq!(found, Cached::Hit(value("old")));
        host.sleep(Duration::from_millis(5)).await;
    }
    assert!(ran.load(Ordering::SeqCst) <= 1, "{ran:?}");
}

const EAGER_LIFE: Duration = Duration::from_millis(2400);
