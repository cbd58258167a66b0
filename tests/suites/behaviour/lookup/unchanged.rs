//! Loaders that are shown what stands, and say that it is unchanged.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jetcache_core::{Builder, Cached, Call, Error, Load, LoadError, NothingStands, Standing};

use crate::behaviour::stage::face::Faced;
use crate::behaviour::stage::{Case, Cases, Node, Stage, Value, brings, value};

pub(crate) const CASES: Cases<Case> = &[
    ("what_is_unchanged_has_its_life_again", |s| {
        Box::pin(renewed(s))
    }),
    ("the_other_nodes_see_the_renewed_life", |s| {
        Box::pin(elsewhere(s))
    }),
    ("a_mark_outlives_the_node", |s| Box::pin(restarted(s))),
    ("without_an_l2_the_mark_is_in_l1", |s| Box::pin(local(s))),
    ("a_new_mark_takes_the_place_of_the_old_one", |s| {
        Box::pin(remarked(s))
    }),
    ("what_was_changed_is_loaded", |s| Box::pin(changed(s))),
    ("unchanged_behind_a_change_is_kept_nowhere", |s| {
        Box::pin(behind_a_change(s))
    }),
    ("unchanged_of_nothing_is_an_error_that_says_so", |s| {
        Box::pin(of_nothing(s))
    }),
    ("nor_may_a_loader_say_so_that_was_shown_nothing", |s| {
        Box::pin(unshown(s))
    }),
    ("a_batch_and_a_writer_cannot_say_unchanged", |s| {
        Box::pin(not_here(s))
    }),
    ("a_refresh_is_shown_what_is_fresh", |s| Box::pin(refresh(s))),
    ("an_eager_load_is_shown_what_is_fresh", |s| {
        Box::pin(eager(s))
    }),
    ("a_spawned_load_is_shown_what_stands", |s| {
        Box::pin(spawned(s))
    }),
    ("what_was_written_through_has_a_mark", |s| {
        Box::pin(written_through(s))
    }),
    ("a_mark_that_is_too_long_is_not_kept", |s| Box::pin(long(s))),
    ("unchanged_may_be_kept_for_another_time", |s| {
        Box::pin(another_time(s))
    }),
];

const TTL: Duration = Duration::from_millis(250);
const WINDOW: Duration = Duration::from_secs(600);
const PLAIN: &Call = &Call::new();

/// What loaders were shown: the value, and its mark.
type Shown = Option<(String, Option<String>)>;

/// A source that knows the version of its row, and says "unchanged" to who has it.
#[derive(Clone, Default)]
struct Source(Arc<Row>);

#[derive(Default)]
struct Row {
    version: AtomicUsize,
    fetched: AtomicUsize,
    shown: Mutex<Vec<Shown>>,
}

impl Source {
    async fn load(self, standing: Option<Standing<Value>>) -> Result<Load<Value>, LoadError> {
        let mark = |standing: &Standing<Value>| standing.mark_text().map(str::to_owned);
        let shown = (standing.as_ref()).map(|it| (it.value().to_string(), mark(it)));
        let version = format!("v{}", self.0.version.load(Ordering::SeqCst));
        let same = standing.as_ref().and_then(Standing::mark_text) == Some(&version);
        self.shown_so_far().push(shown);
        if same {
            return Ok(Load::unchanged());
        }
        self.0.fetched.fetch_add(1, Ordering::SeqCst);
        Ok(Load::from(value(&format!("row {version}"))).mark(version))
    }

    async fn ask(&self, node: &Node) -> Cached<Value> {
        let source = self.clone();
        let load = async |standing| source.load(standing).await;
        let answer = node.get_or_load_if_changed("key", PLAIN, load).await;
        answer.unwrap()
    }

    fn change(&self) {
        self.0.version.fetch_add(1, Ordering::SeqCst);
    }

    fn fetched(&self) -> usize {
        self.0.fetched.load(Ordering::SeqCst)
    }

    fn shown_so_far(&self) -> std::sync::MutexGuard<'_, Vec<Shown>> {
        self.0.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the loaders were shown since the last time.
    fn shown(&self) -> Vec<Shown> {
        std::mem::take(&mut self.shown_so_far())
    }
}

fn stood(version: usize) -> Shown {
    Some((format!("row v{version}"), Some(format!("v{version}"))))
}

fn hit(version: usize) -> Cached<Value> {
    Cached::Hit(value(&format!("row v{version}")))
}

fn builder(stage: &Stage) -> Builder<String, Value> {
    timed(stage.builder())
}

fn timed(builder: Builder<String, Value>) -> Builder<String, Value> {
    builder.ttl(TTL).jitter(0, Duration::ZERO).stale_for(WINDOW)
}

async fn outlive(stage: &Stage) {
    stage.host().sleep(TTL * 2).await;
}

/// How much is left of what stands in L2, of its life and window together.
async fn end(stage: &Stage) -> u64 {
    let bytes = stage.bytes("key").await.expect("it stands there");
    u64::from_be_bytes(bytes[8..16].try_into().unwrap())
}

async fn renewed(stage: &Stage) {
    let (node, source) = (builder(stage).build().unwrap().faced(), Source::default());
    assert_eq!(source.ask(&node).await, hit(0));
    let before = stage.bytes("key").await.unwrap();
    for round in 1..=3 {
        outlive(stage).await;
        assert_eq!(source.ask(&node).await, hit(0));
        assert_eq!(node.peek("key"), hit(0), "it is a hit again");
        assert_eq!(node.stats().unchanged, round);
    }
    assert_eq!((source.fetched(), node.stats().loads), (1, 4));
    assert_eq!(source.shown(), [None, stood(0), stood(0), stood(0)]);
    // The very bytes, but for their end: whose place is from 8 to 16.
    let after = stage.bytes("key").await.unwrap();
    assert_eq!((&before[..8], &before[16..]), (&after[..8], &after[16..]));
    assert!(end(stage).await > u64::from_be_bytes(before[8..16].try_into().unwrap()));
}

async fn elsewhere(stage: &Stage) {
    let source = Source::default();
    let (one, two) = (
        builder(stage).build().unwrap().faced(),
        builder(stage).build().unwrap().faced(),
    );
    source.ask(&one).await;
    outlive(stage).await;
    assert_eq!(two.get("key").await, Cached::Miss, "its life is over");
    source.ask(&one).await;
    assert_eq!(two.get("key").await, hit(0), "and begins anew");
    // What it copied has its mark.
    outlive(stage).await;
    source.ask(&two).await;
    assert_eq!(source.shown(), [None, stood(0), stood(0)]);
}

async fn restarted(stage: &Stage) {
    let source = Source::default();
    let node = builder(stage).build().unwrap().faced();
    source.ask(&node).await;
    node.close().await;
    outlive(stage).await;
    let node = builder(stage).build().unwrap().faced();
    assert_eq!(source.ask(&node).await, hit(0));
    assert_eq!(
        (source.fetched(), source.shown()),
        (1, vec![None, stood(0)])
    );
}

async fn local(stage: &Stage) {
    let node = timed(stage.host().builder("users"))
        .build()
        .unwrap()
        .faced();
    let source = Source::default();
    for _ in 0..3 {
        assert_eq!(source.ask(&node).await, hit(0));
        assert_eq!(node.peek("key"), hit(0));
        outlive(stage).await;
        assert_eq!(node.peek("key"), Cached::Miss);
    }
    assert_eq!(source.shown(), [None, stood(0), stood(0)]);
    let began = Instant::now();
    let ages = Mutex::new(Vec::new());
    let load = async |standing: Option<Standing<Value>>| {
        let age = standing.as_ref().and_then(Standing::age);
        ages.lock().unwrap().push(age);
        Ok::<_, LoadError>(Load::unchanged())
    };
    (node.get_or_load_if_changed("key", PLAIN, load).await).unwrap();
    let ages = ages.into_inner().unwrap();
    let age = ages[0].expect("what has a mark has an age");
    assert!(age >= TTL * 2, "{age:?} since it was unchanged last");
    assert!(age <= TTL * 2 + began.elapsed() + Duration::from_secs(30));
}

async fn remarked(stage: &Stage) {
    let (node, source) = (builder(stage).build().unwrap().faced(), Source::default());
    source.ask(&node).await;
    outlive(stage).await;
    let load =
        async |_: Option<Standing<Value>>| Ok::<_, LoadError>(Load::unchanged().mark("other"));
    let answer = node.get_or_load_if_changed("key", PLAIN, load).await;
    assert_eq!(answer.unwrap(), hit(0));
    outlive(stage).await;
    source.shown();
    source.ask(&node).await;
    let other = Some(("row v0".to_owned(), Some("other".to_owned())));
    assert_eq!(source.shown(), [other]);
}

async fn changed(stage: &Stage) {
    let (node, source) = (builder(stage).build().unwrap().faced(), Source::default());
    source.ask(&node).await;
    source.change();
    outlive(stage).await;
    assert_eq!(source.ask(&node).await, hit(1));
    outlive(stage).await;
    assert_eq!(source.ask(&node).await, hit(1));
    assert_eq!(source.shown(), [None, stood(0), stood(1)]);
    assert_eq!((source.fetched(), node.stats().unchanged), (2, 1));
    // What a change removed is shown to nobody.
    outlive(stage).await;
    node.invalidate("key").await;
    source.ask(&node).await;
    assert_eq!(source.shown(), [None]);
}

async fn behind_a_change(stage: &Stage) {
    let source = Source::default();
    let (node, other) = (
        builder(stage).build().unwrap().faced(),
        builder(stage).build().unwrap().faced(),
    );
    for change in ["invalidate", "insert", "removed here"] {
        node.invalidate("key").await;
        source.ask(&node).await;
        outlive(stage).await;
        let load = async |standing: Option<Standing<Value>>| {
            assert!(standing.is_some(), "{change}: it is shown what stands");
            match change {
                "invalidate" => drop(other.invalidate("key").await),
                "insert" => {
                    let new = value("new");
                    (other.insert("key".into(), new).await).unwrap();
                }
                _ => drop(node.invalidate("key").await),
            }
            Ok::<_, LoadError>(Load::unchanged())
        };
        let answer = node.get_or_load_if_changed("key", PLAIN, load).await;
        assert_eq!(answer.unwrap(), hit(0), "{change}: its caller came before");
        let found = match change {
            "insert" => Cached::Hit(value("new")),
            _ => Cached::Miss,
        };
        for node in [&node, &other] {
            assert_eq!(node.get("key").await, found, "{change}");
        }
    }
}

async fn of_nothing(stage: &Stage) {
    let node = builder(stage).build().unwrap().faced();
    let load = async |standing: Option<Standing<Value>>| {
        assert!(standing.is_none());
        Ok::<_, LoadError>(Load::unchanged())
    };
    let answer = node.get_or_load_if_changed("key", PLAIN, load).await;
    let error = answer.unwrap_err();
    assert_eq!(error.load_as::<NothingStands>(), Some(&NothingStands));
    assert!(error.to_string().contains("Standing"), "{error}");
    assert_eq!(node.get("key").await, Cached::Miss, "and is kept nowhere");
    let load = async || Ok::<_, LoadError>(Load::unchanged());
    let answer = node.get_or_load("key", load).await;
    assert!(matches!(answer, Err(Error::Load(_))), "{answer:?}");
}

async fn not_here(stage: &Stage) {
    let node = builder(stage).build().unwrap().faced();
    node.insert("key".into(), value("old")).await.unwrap();
    outlive(stage).await;
    let load = async |keys: Vec<String>| {
        let unchanged = |key| (key, Load::unchanged());
        Ok::<_, LoadError>(keys.into_iter().map(unchanged).collect::<Vec<_>>())
    };
    let strict = Call::new().stale_for(Duration::ZERO);
    let batch = node
        .get_many_or_load_with(["key", "none"], &strict, load)
        .await;
    for (key, answer) in batch.iter() {
        let error = answer.as_ref().unwrap_err();
        assert!(error.load_as::<NothingStands>().is_some(), "{key}: {error}");
    }
    let write = async || Ok::<_, LoadError>(Load::unchanged());
    let answer = node.write_through("key", write).await;
    let error = answer.unwrap_err();
    assert!(error.load_as::<NothingStands>().is_some(), "{error}");
    assert_eq!(node.get("key").await, Cached::Miss, "nobody knows the row");
    // A batch loader that loads one key.
    let node = builder(stage).batch_loader(load).build().unwrap().faced();
    node.insert("key".into(), value("old")).await.unwrap();
    outlive(stage).await;
    let error = node.load_with("key", &strict).await.unwrap_err();
    assert!(error.load_as::<NothingStands>().is_some(), "{error}");
}

async fn refresh(stage: &Stage) {
    let without_l2 = stage.host().builder("users");
    for builder in [stage.builder(), without_l2] {
        let source = Source::default();
        let load = source.clone();
        let node = builder
            .jitter(0, Duration::ZERO)
            .conditional_loader(move |_: String, standing| load.clone().load(standing))
            .refresh_every(Duration::from_millis(40))
            .build()
            .unwrap()
            .faced();
        let fresh = Call::new().refresh();
        node.load_with("key", &fresh).await.unwrap();
        stage
            .until("it was refreshed thrice", async || {
                node.load_with("key", &fresh).await.unwrap();
                node.stats().unchanged >= 3
            })
            .await;
        let stats = node.stats();
        assert_eq!(source.fetched(), 1, "{stats:?}");
        assert_eq!(stats.refreshed, stats.unchanged, "{stats:?}");
        source.change();
        stage
            .until("the change is seen", async || node.peek("key") == hit(1))
            .await;
        node.close().await;
    }
}

/// The first load takes long, so that the entry is due for a long time.
async fn eager(stage: &Stage) {
    let host = stage.host();
    let source = Source::default();
    let load = source.clone();
    let node = stage
        .builder()
        .ttl(Duration::from_secs(3))
        .jitter(0, Duration::ZERO)
        .eager()
        .conditional_loader(move |_: String, standing: Option<Standing<Value>>| {
            let load = load.clone();
            async move {
                if standing.is_none() {
                    host.sleep(Duration::from_secs(1)).await;
                }
                load.load(standing).await
            }
        })
        .build()
        .unwrap()
        .faced();
    let ask = async |key: String| {
        node.load(&key).await.unwrap();
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(2200) {
            node.load(&key).await.unwrap();
            host.sleep(Duration::from_millis(10)).await;
        }
    };
    let keys = (0..20).map(|at| ask(format!("key {at}")));
    futures_util::future::join_all(keys).await;
    stage.until_quiet(&node).await;
    let stats = node.stats();
    assert!(stats.unchanged >= 5, "{stats:?}");
    assert_eq!(source.fetched(), 20, "{stats:?}");
    node.close().await;
}

async fn spawned(stage: &Stage) {
    let (node, source) = (builder(stage).build().unwrap().faced(), Source::default());
    for _ in 0..2 {
        let load = source.clone();
        let load = move |standing| load.load(standing);
        let answer = node.get_or_spawn_if_changed("key", PLAIN, load).await;
        assert_eq!(answer.unwrap(), hit(0));
        outlive(stage).await;
    }
    assert_eq!(source.shown(), [None, stood(0)]);
    // The registered loader as well.
    let load = source.clone();
    let node = builder(stage)
        .conditional_loader(move |_: String, standing| load.clone().load(standing))
        .build()
        .unwrap()
        .faced();
    assert_eq!(node.load("key").await.unwrap(), hit(0).hit());
    assert_eq!(source.shown(), [stood(0)]);
}

async fn written_through(stage: &Stage) {
    let without_l2 = timed(stage.host().builder("users"));
    for builder in [builder(stage), without_l2] {
        let (node, source) = (builder.build().unwrap().faced(), Source::default());
        source.change();
        let write = async || Ok::<_, LoadError>(Load::from(value("row v1")).mark("v1"));
        node.write_through("key", write).await.unwrap();
        outlive(stage).await;
        assert_eq!(source.ask(&node).await, hit(1));
        assert_eq!((source.fetched(), source.shown()), (0, vec![stood(1)]));
    }
}

/// It knows something from elsewhere, and not what stands there. That it says so is no absence either,
/// whatever else means one.
async fn unshown(stage: &Stage) {
    let node = builder(stage)
        .not_found_when(|_| true)
        .loader(async |_: String| Ok(Load::<Value>::unchanged()))
        .build()
        .unwrap()
        .faced();
    (node.insert("key".into(), value("old")).await).unwrap();
    outlive(stage).await;
    let stale = Cached::Stale(value("old"));
    let say = || async { Ok::<_, LoadError>(Load::<Value>::unchanged()) };
    let given = node.get_or_load_cached("key", PLAIN, say).await.unwrap();
    assert_eq!(given, stale);
    node.clear_local();
    outlive(stage).await;
    let spawned = node.get_or_spawn("key", PLAIN, say).await.unwrap();
    assert_eq!(spawned, stale);
    let registered = node.load_cached("key", PLAIN).await.unwrap();
    assert_eq!(registered, stale);
    let stats = node.stats();
    assert_eq!((stats.unchanged, stats.not_found), (0, 0));
    assert!(stats.load_failures > 0, "{stats:?}");
}

async fn long(stage: &Stage) {
    let node = builder(stage).build().unwrap().faced();
    for (bytes, kept) in [(1024, true), (1025, false)] {
        let load = async |_: Option<Standing<Value>>| {
            Ok::<_, LoadError>(Load::from(value("row")).mark(vec![7; bytes]))
        };
        (node.get_or_load_if_changed("key", PLAIN, load).await).unwrap();
        outlive(stage).await;
        let load = async |standing: Option<Standing<Value>>| {
            let standing = standing.ok_or_else(|| io::Error::other("nothing"))?;
            let length = standing.mark().map(<[u8]>::len);
            assert_eq!(length, kept.then_some(bytes));
            Ok::<_, LoadError>(Load::unchanged())
        };
        (node.get_or_load_if_changed("key", PLAIN, load).await).unwrap();
        node.invalidate("key").await;
    }
}

/// What cannot be extended is sent: a longer life, or another window.
async fn another_time(stage: &Stage) {
    let node = builder(stage).build().unwrap().faced();
    let other = builder(stage).build().unwrap().faced();
    node.get_or_load("key", brings("row")).await.unwrap();
    outlive(stage).await;
    let longer =
        async |_: Option<Standing<Value>>| Ok::<_, LoadError>(Load::unchanged().ttl(TTL * 1000));
    (node.get_or_load_if_changed("key", PLAIN, longer).await).unwrap();
    outlive(stage).await;
    assert_eq!(other.get("key").await, Cached::Hit(value("row")));
}
