//! What the nodes of a fleet hear of raises.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jetcache_adapters::{MessagePack, Redis};
use jetcache_core::ports::bus::Kind;
use jetcache_core::{BusState, Cached, Entry, Local, LruLocal, Probe, Reach};

use crate::behaviour::stage::airwaves::Airwaves;
use crate::behaviour::stage::face::Faced;
use crate::behaviour::stage::{Case, Cases, Node, Stage, Value, shared_redis, value};
use crate::behaviour::tags::load;

pub(crate) const CASES: Cases<Case> = &[
    ("others_hear_of_a_raise_over_a_bus_of_ones_own", |s| {
        Box::pin(own_bus(s))
    }),
    ("others_hear_of_a_raise_over_pubsub", |s| {
        Box::pin(pubsub(s))
    }),
    ("others_see_a_raise_by_tracking", |s| Box::pin(tracking(s))),
    ("what_was_missed_while_the_bus_was_down_is_dead", |s| {
        Box::pin(cut(s))
    }),
    ("raises_that_come_together_empty_l1_once", |s| {
        Box::pin(together(s))
    }),
    ("a_raise_that_cannot_be_understood_is_counted", |s| {
        Box::pin(garbled(s))
    }),
];

async fn listens(stage: &Stage, node: &Node) {
    node.listen().await;
    stage
        .until("it listens", async || node.bus() == BusState::Up)
        .await;
}

/// What every bus brings about.
async fn is_told(stage: &Stage, one: &Node, two: &Node) {
    for node in [one, two] {
        listens(stage, node).await;
    }
    load(one, "tagged", "1", &["a"]).await;
    load(one, "other", "1", &["b"]).await;
    for key in ["tagged", "other"] {
        stage
            .until("L1 has it", async || {
                two.get(key).await;
                two.peek(key) == Cached::Hit(value("1"))
            })
            .await;
    }
    one.invalidate_tag("a").await.unwrap();
    stage
        .until("it has heard", async || two.peek("tagged") == Cached::Miss)
        .await;
    assert_eq!(two.get("tagged").await, Cached::Miss);
    assert_eq!(two.peek("other"), Cached::Hit(value("1")), "no other tag");
    load(two, "tagged", "2", &["a"]).await;
    assert_eq!(one.clear().await.unwrap(), Reach::Everywhere);
    stage
        .until("L1 is empty", async || two.peek("other") == Cached::Miss)
        .await;
    assert_eq!(two.get("other").await, Cached::Miss);
    load(two, "other", "3", &["b"]).await;
    assert_eq!(one.get("other").await, Cached::Hit(value("3")));
    one.close().await;
    two.close().await;
}

async fn own_bus(stage: &Stage) {
    let bus = Airwaves::default();
    let node = || stage.builder().bus(bus.clone()).build().unwrap().faced();
    is_told(stage, &node(), &node()).await;
    let raises: Vec<_> = bus.all_said();
    assert!(raises.iter().any(|said| said.kind == Kind::Raise));
}

/// A namespace of the shared server that no other case has.
fn own_namespace(stage: &Stage) -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{}-{count}", stage.key("fleet"))
}

async fn pubsub(stage: &Stage) {
    let namespace = own_namespace(stage);
    let channel = format!("{namespace}-tags");
    let node = || {
        let redis = Redis::open(&shared_redis()).unwrap();
        let builder = stage.host().builder("users").namespace(&namespace);
        let builder = builder.remote(redis.clone(), MessagePack);
        builder
            .bus(redis.pubsub(&*channel))
            .build()
            .unwrap()
            .faced()
    };
    is_told(stage, &node(), &node()).await;
}

async fn tracking(stage: &Stage) {
    let namespace = own_namespace(stage);
    let node = || {
        let redis = Redis::open(&shared_redis()).unwrap();
        let builder = stage.host().builder("users").namespace(&namespace);
        let builder = builder.remote(redis.clone(), MessagePack);
        builder.bus(redis.tracking()).build().unwrap().faced()
    };
    is_told(stage, &node(), &node()).await;
}

async fn cut(stage: &Stage) {
    let bus = Airwaves::default();
    let node = || stage.builder().bus(bus.clone()).build().unwrap().faced();
    let (one, two) = (node(), node());
    for node in [&one, &two] {
        listens(stage, node).await;
    }
    load(&one, "key", "1", &["a"]).await;
    assert_eq!(two.get("key").await, Cached::Hit(value("1")));
    bus.cut();
    one.invalidate_tag("a").await.unwrap();
    bus.mend();
    stage
        .until("it listens again", async || two.peek("key") == Cached::Miss)
        .await;
    assert_eq!(two.get("key").await, Cached::Miss);
    stage.host().sleep(Duration::from_millis(1)).await;
}

async fn garbled(stage: &Stage) {
    let bus = Airwaves::default();
    let node = stage.builder().bus(bus.clone()).build().unwrap().faced();
    listens(stage, &node).await;
    load(&node, "key", "1", &["a"]).await;
    let before = node.stats().garbled;
    let text = |text: &str| stage.key(text);
    for keys in [
        vec![text("3>x"), text("t0001")],
        vec![text("3>4"), text("?")],
        vec![text("nothing")],
        vec![],
    ] {
        bus.say_changed(Kind::Raise, &keys);
    }
    stage
        .until("all are counted", async || {
            node.stats().garbled == before + 4
        })
        .await;
    assert_eq!(node.peek("key"), Cached::Hit(value("1")));
}

/// An L1 that counts how often it is emptied, which takes as long as the case wants.
#[derive(Clone)]
struct Emptied {
    inner: Arc<LruLocal<String, Value>>,
    times: Arc<AtomicUsize>,
    held: Arc<AtomicBool>,
}

impl Local<String, Value> for Emptied {
    fn get(&self, key: &dyn Probe<String>) -> Option<Entry<Value>> {
        self.inner.get(key)
    }

    fn insert(&self, key: String, entry: Entry<Value>) {
        self.inner.insert(key, entry);
    }

    fn remove(&self, key: &dyn Probe<String>) {
        self.inner.remove(key);
    }

    fn clear(&self) {
        self.times.fetch_add(1, Ordering::SeqCst);
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.held.load(Ordering::SeqCst) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.inner.clear();
    }

    fn len(&self) -> usize {
        self.inner.len()
    }

    fn weight(&self) -> u64 {
        self.inner.weight()
    }
}

async fn together(stage: &Stage) {
    let bus = Airwaves::default();
    let l1 = Emptied {
        inner: Arc::new(LruLocal::new(100.try_into().unwrap())),
        times: Arc::default(),
        held: Arc::default(),
    };
    let times = || l1.times.load(Ordering::SeqCst);
    let node = stage.builder().bus(bus.clone()).local(l1.clone());
    let node = node.build().unwrap().faced();
    listens(stage, &node).await;
    load(&node, "key", "1", &[]).await;
    let before = times();
    let raised = |number: u64| {
        let head = format!("{}>{number}", number - 1);
        let texts = [head, format!("k{number:04x}"), "t9fa3".into()];
        bus.say_changed(Kind::Raise, &texts.map(|text| stage.key(&text)));
    };
    l1.held.store(true, Ordering::SeqCst);
    raised(1);
    stage
        .until("L1 is being emptied", async || times() == before + 1)
        .await;
    for number in 2..132 {
        raised(number);
    }
    // The last one that is heard is followed by something else.
    bus.say_changed(Kind::Raise, &[]);
    l1.held.store(false, Ordering::SeqCst);
    stage
        .until("all are heard", async || node.stats().garbled == 1)
        .await;
    stage
        .until("L1 is emptied again", async || times() > before + 1)
        .await;
    assert_eq!(times(), before + 2, "once for all that came meanwhile");
    assert_eq!(node.peek("key"), Cached::Miss);
}
