//! Go services and caches on one bus: who hears of what, and what a deletion takes with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use jetcache_adapters::Raw;
use jetcache_core::{BusState, Cache, Cached, Call, LoadError, Reach};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::stage::{Go, Stage, builder};

type Text = Cache<String, String>;

const CHANNEL: &str = "jetcache";
const PATIENCE: Duration = Duration::from_secs(20);
const MANY: usize = 200;

/// Caches that listen to the bus, each a node of its own. For the first one, and every other, L2
/// tells in the script of the change; for the rest the bus does, which is on another handle.
async fn nodes<const N: usize>(stage: &Stage) -> [Text; N] {
    let nodes = core::array::from_fn(|at| {
        let redis = stage.redis();
        let bus = if at % 2 == 0 {
            redis.pubsub(CHANNEL)
        } else {
            stage.redis().pubsub(CHANNEL)
        };
        builder(redis, Raw).bus(bus).build().unwrap()
    });
    for node in &nodes {
        listens(node).await;
    }
    nodes
}

/// What is loaded while a node subscribes is superseded.
async fn listens(node: &Text) {
    assert_eq!(node.get("nothing").await, Cached::Miss);
    until("it listens", || node.bus() == BusState::Up).await;
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not in {PATIENCE:?}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// What a Go service tells when it has deleted these keys.
fn deleted(keys: &[&str]) -> String {
    json!({"CacheName": "shop", "SourceID": "go-go-go", "EventType": 5, "Keys": keys}).to_string()
}

fn tell(go: &Go, event: &str) {
    let _: u64 = go.run("PUBLISH", &[CHANNEL, event]);
}

/// Until the nodes have heard of all that was told so far, and L2 has confirmed what follows from it.
async fn until_heard(nodes: &[Text], go: &Go) {
    for (at, node) in nodes.iter().enumerate() {
        let id = format!("mark{at}");
        node.get_or_load(&*id, || brings("")).await.unwrap();
        assert_ne!(node.peek(&*id), Cached::Miss);
        tell(go, &deleted(&[&format!("shop:{id}")]));
        until("it hears", || node.peek(&*id) == Cached::Miss).await;
        until("L2 answers", || node.activity().unconfirmed == 0).await;
    }
}

async fn brings(value: &str) -> Result<String, LoadError> {
    Ok(value.to_owned())
}

async fn go_deletes_and_sets<const N: usize>() {
    let stage = Stage::new();
    let (nodes, go) = (nodes::<N>(&stage).await, stage.go());
    for n in 0..MANY {
        let (id, key) = (format!("k{n}"), format!("shop:k{n}"));
        // Every other key was loaded before, and every fourth holds the bytes that Go sets again.
        let old = if n % 4 == 0 { "new" } else { "old" };
        if n % 2 == 0 {
            nodes[n % N]
                .get_or_load(&*id, || brings(old))
                .await
                .unwrap();
        }
        let _: u64 = go.run("DEL", &[&key]);
        tell(&go, &deleted(&[&key]));
        go.set(&key, b"new");
    }
    until_heard(&nodes, &go).await;
    let kept = (0..MANY).filter(|n| go.get(&format!("shop:k{n}")).as_deref() == Some(b"new"));
    assert_eq!(kept.count(), MANY, "with {N} that listen");
    for node in nodes {
        for n in 0..MANY {
            let id = format!("k{n}");
            assert_eq!(node.get(&*id).await, Cached::Hit("new".into()), "{id}");
        }
    }
}

#[tokio::test]
async fn what_go_sets_after_it_deleted_stays_with_one_listener() {
    go_deletes_and_sets::<1>().await;
}

#[tokio::test]
async fn what_go_sets_after_it_deleted_stays_with_two_listeners() {
    go_deletes_and_sets::<2>().await;
}

/// As when a node stood still: it hears of the deletions long after what came behind them.
#[tokio::test]
async fn a_deletion_that_is_heard_of_late_takes_nothing_newer() {
    let stage = Stage::new();
    let (nodes, go) = (nodes::<2>(&stage).await, stage.go());
    let [one, two] = &nodes;
    let ids = ["set", "nx", "inserted", "absent", "loaded"];
    for id in ids {
        one.get_or_load(id, || brings("old")).await.unwrap();
        let _: u64 = go.run("DEL", &[&format!("shop:{id}")]);
    }
    go.set("shop:set", b"new");
    let () = go.run("SET", &["shop:nx", "new", "NX", "PX", "60000"]);
    let inserted = one.insert("inserted".into(), "new".to_owned()).await;
    assert_eq!(inserted.unwrap(), Reach::Everywhere);
    let absent = two.insert_if_absent("absent".into(), "new".to_owned());
    assert!(absent.await.unwrap());
    one.invalidate("loaded").await;
    one.get_or_load("loaded", || brings("new")).await.unwrap();
    let keys = ids.map(|id| format!("shop:{id}"));
    tell(&go, &deleted(&keys.each_ref().map(String::as_str)));
    until_heard(&nodes, &go).await;
    for id in &ids[..4] {
        let stands = go.get(&format!("shop:{id}"));
        assert_eq!(stands.as_deref(), Some(&b"new"[..]), "{id}");
    }
    // A load comes again.
    assert_eq!(go.get("shop:loaded"), None);
}

#[tokio::test]
async fn what_was_loaded_before_go_deleted_goes_when_that_is_heard() {
    let stage = Stage::new();
    let (nodes, go) = (nodes::<2>(&stage).await, stage.go());
    for n in 0..20 {
        let (id, key) = (format!("k{n}"), format!("shop:k{n}"));
        let loaded = nodes[0].get_or_load(&*id, async || {
            let _: u64 = go.run("DEL", &[&key]);
            Ok::<_, LoadError>("old".to_owned())
        });
        loaded.await.unwrap();
        assert_eq!(go.get(&key).unwrap(), b"old", "nobody has told yet");
        tell(&go, &deleted(&[&key]));
    }
    // The other node alone would do it as well: both remove.
    until_heard(&nodes, &go).await;
    for n in 0..20 {
        let (id, key) = (format!("k{n}"), format!("shop:k{n}"));
        until("it goes", || go.get(&key).is_none()).await;
        for node in &nodes {
            assert_eq!(node.get(&*id).await, Cached::Miss);
        }
    }
}

#[tokio::test]
async fn a_load_under_way_when_go_deletes_fills_nothing() {
    let stage = Stage::new();
    let (nodes, go) = (nodes::<2>(&stage).await, stage.go());
    // Only the other node hears before the fill: it takes the lease away.
    let deaf = stage.builder(Raw).build().unwrap();
    let loaded = deaf.get_or_load("k", async || {
        assert!(go.get("{shop:k}#lease").is_some());
        let _: u64 = go.run("DEL", &["shop:k"]);
        tell(&go, &deleted(&["shop:k"]));
        until("the lease goes", || go.get("{shop:k}#lease").is_none()).await;
        Ok::<_, LoadError>("old".to_owned())
    });
    assert_eq!(loaded.await.unwrap().as_deref(), Some("old"));
    assert_eq!(go.get("shop:k"), None);
    until_heard(&nodes, &go).await;
}

#[tokio::test]
async fn many_keys_of_one_deletion_cost_a_few_scripts() {
    let stage = Stage::new();
    let (nodes, go) = (nodes::<1>(&stage).await, stage.go());
    let keys: Vec<String> = (0..MANY).map(|n| format!("shop:k{n}")).collect();
    let before = stage.calls("evalsha");
    tell(
        &go,
        &deleted(&keys.iter().map(String::as_str).collect::<Vec<_>>()),
    );
    until_heard(&nodes, &go).await;
    let scripts = stage.calls("evalsha") - before;
    // 64 keys go together, and some scripts are sent again once they are loaded.
    assert!((1..=20).contains(&scripts), "{scripts} for {MANY} keys");
}

#[tokio::test]
async fn a_removal_by_a_cache_makes_no_other_remove() {
    let stage = Stage::new();
    let nodes = nodes::<2>(&stage).await;
    until_heard(&nodes, &stage.go()).await;
    let before = stage.calls("evalsha");
    for n in 0..50 {
        nodes[n % 2].invalidate(&*format!("k{n}")).await;
    }
    until_heard(&nodes, &stage.go()).await;
    // Each mark costs its node a fill, and once it is deleted both nodes a script.
    assert_eq!(stage.calls("evalsha") - before, 50 + 6);
}

/// What a plain client hears on the channel.
struct Listener(Receiver<Value>);

impl Listener {
    fn new(stage: &Stage) -> Self {
        let (heard, listener) = channel();
        let (ready, is_ready) = channel();
        let mut connection = stage.connection();
        thread::spawn(move || {
            let mut pubsub = connection.as_pubsub();
            pubsub.subscribe(CHANNEL).unwrap();
            ready.send(()).unwrap();
            // Ends with the server.
            while let Ok(message) = pubsub.get_message() {
                let text: String = message.get_payload().unwrap();
                let event: Value = serde_json::from_str(&text).unwrap();
                // A heartbeat names no keys.
                if event["Keys"] != json!([]) {
                    let _ = heard.send(event);
                }
            }
        });
        is_ready.recv_timeout(PATIENCE).unwrap();
        Self(listener)
    }

    /// The type and the keys of the next event.
    async fn next(&self) -> (i64, Vec<String>) {
        let mut event = None;
        until("an event comes", || {
            event = self.0.try_recv().ok();
            event.is_some()
        })
        .await;
        let event: Value = event.unwrap();
        assert_eq!(event["CacheName"], "shop");
        let keys = serde_json::from_value(event["Keys"].clone()).unwrap();
        (event["EventType"].as_i64().unwrap(), keys)
    }
}

#[tokio::test]
async fn loads_are_told_as_go_tells_them() {
    let stage = Stage::new();
    let [one, two] = nodes::<2>(&stage).await;
    let listener = Listener::new(&stage);
    one.get_or_load("a", || brings("v")).await.unwrap();
    assert_eq!(listener.next().await, (2, vec!["shop:a".into()]));
    let batch = one.get_many_or_load(["b", "c", "a"], async |ids| {
        let loaded = ids.into_iter().map(|id| (id, "v".to_owned()));
        Ok::<Vec<_>, LoadError>(loaded.collect())
    });
    batch.await.into_values().unwrap();
    let mut told: Vec<String> = Vec::new();
    while told.len() < 2 {
        let (kind, keys) = listener.next().await;
        assert_eq!(kind, 4);
        told.extend(keys);
    }
    told.sort();
    assert_eq!(told, ["shop:b", "shop:c"]);
    // What is found is not told, nor what is refused.
    assert_eq!(two.get("a").await, Cached::Hit("v".into()));
    let go = stage.go();
    let refused = two.get_or_load("d", async || {
        go.set("shop:d", b"newer");
        Ok::<_, LoadError>("older".to_owned())
    });
    refused.await.unwrap();
    two.insert("e".into(), "v".into()).await.unwrap();
    assert_eq!(listener.next().await, (1, vec!["shop:e".into()]));
}

/// Node A refreshes; what node B has in L1 follows.
#[tokio::test]
async fn a_refresh_is_told_and_others_follow() {
    let stage = Stage::new();
    let count = Arc::new(AtomicUsize::new(0));
    let loads = Arc::clone(&count);
    let redis = stage.redis();
    let bus = redis.pubsub(CHANNEL);
    let one = builder(redis, Raw)
        .bus(bus)
        .loader(move |_: String| {
            let n = loads.fetch_add(1, Ordering::SeqCst);
            async move { Ok::<_, LoadError>(n.to_string()) }
        })
        .refresh_every(Duration::from_secs(1))
        .stop_refresh_after(Duration::from_secs(60))
        .build()
        .unwrap();
    listens(&one).await;
    let [two] = nodes::<1>(&stage).await;
    let listener = Listener::new(&stage);
    let refreshed = Call::new().refresh();
    assert_eq!(
        one.load_with("k", &refreshed).await.unwrap().as_deref(),
        Some("0")
    );
    assert_eq!(listener.next().await, (2, vec!["shop:k".into()]));
    until("the load is heard of", || two.stats().heard > 0).await;
    assert_eq!(two.get("k").await, Cached::Hit("0".into()));
    assert_eq!(listener.next().await, (3, vec!["shop:k".into()]));
    until("L1 drops what was replaced", || {
        two.peek("k") == Cached::Miss
    })
    .await;
    let Cached::Hit(newer) = two.get("k").await else {
        panic!("it stands in L2");
    };
    assert_ne!(newer, "0");
}
