//! The bus of a server whose breaker is open: nobody dials it but the breaker's probe.

use std::time::{Duration, Instant};

use jetcache_adapters::{MessagePack, Redis};
use jetcache_core::ports::bus::{Bus, Message, News, Subscription, Telling};
use jetcache_core::{Breaker, BreakerState, Builder, BusState, Cached, Fault, Reach};
use jetcache_tests::proxy::Proxy;

use super::open;
use crate::behaviour::stage::face::Faced;
use crate::behaviour::stage::{Case, Cases, Node, Stage, Value, brings, value};

pub(crate) const CASES: Cases<Case> = &[
    ("while_it_is_open_the_bus_does_not_dial", |s| {
        Box::pin(barred(s))
    }),
    ("the_bus_is_back_soon_after_redis", |s| Box::pin(back(s))),
    ("a_subscription_that_stands_is_left_alone", |s| {
        Box::pin(stands(s))
    }),
    ("who_comes_while_it_is_open_is_not_kept_waiting", |s| {
        Box::pin(newcomers(s))
    }),
    ("a_bus_that_waits_for_it_can_be_closed", |s| {
        Box::pin(closed(s))
    }),
    ("a_bus_on_another_server_goes_on_trying", |s| {
        Box::pin(elsewhere(s))
    }),
    ("what_the_bus_is_to_tell_waits_for_it", |s| {
        Box::pin(untold(s))
    }),
];

/// Longer than the first few pauses of a bus that tries again.
const A_WHILE: Duration = Duration::from_millis(1200);

/// What a stranger says who has changed a key.
const CHANGED: &str =
    r#"{"CacheName":"any","SourceID":"12345678","EventType":1,"Keys":["users:key"]}"#;

/// A way to the stage's server of which the connections are counted.
struct Way {
    proxy: Proxy,
    redis: Redis,
}

impl Way {
    fn new(stage: &Stage) -> Self {
        let proxy = Proxy::start(stage.server().port());
        let redis = Redis::builder(proxy.url()).connections(1).open().unwrap();
        Self { proxy, redis }
    }

    /// Breaks all connections; new ones work.
    fn cut(&self) {
        self.proxy.cut();
        self.proxy.mend();
    }

    /// How many connections come within a while.
    async fn dialled(&self, stage: &Stage) -> u64 {
        let before = self.proxy.connections();
        stage.host().sleep(A_WHILE).await;
        self.proxy.connections() - before
    }

    /// A node whose L2 and bus this is.
    fn builder(&self, stage: &Stage, breaker: Breaker) -> Builder<String, Value> {
        (stage.host().builder("users"))
            .remote(self.redis.clone(), MessagePack)
            .bus(self.redis.pubsub("shop"))
            .remote_timeout(Duration::from_millis(60))
            .breaker(breaker)
    }
}

/// A breaker that probes so seldom that a case does not live to see it.
fn patient() -> Breaker {
    let mut breaker = Breaker::default();
    breaker.first_pause = Duration::from_secs(100);
    breaker.longest_pause = breaker.first_pause;
    breaker
}

/// One that the first call opens, whatever is answered.
fn touchy() -> Breaker {
    let mut breaker = patient();
    breaker.slow_call = Some(Duration::from_nanos(1));
    breaker.least_calls = 1;
    breaker
}

/// The first call of a node with a touchy breaker: it is answered, and the last one.
async fn opens(node: &Node) {
    assert_eq!(node.get("any").await, Cached::Miss);
    assert_eq!(node.stats().breaker, BreakerState::Open);
}

async fn is_up(stage: &Stage, node: &Node) {
    stage
        .until("the bus is up", async || node.bus() == BusState::Up)
        .await;
}

async fn is_down(stage: &Stage, node: &Node) {
    stage
        .until("the cut is noticed", async || node.bus() == BusState::Down)
        .await;
}

async fn forgets(stage: &Stage, node: &Node, key: &str) {
    stage
        .until("it has heard", async || node.peek(key) == Cached::Miss)
        .await;
}

/// L2 is reached again by who asks: nothing is sent but this.
async fn closes(stage: &Stage, node: &Node) {
    stage
        .until("L2 answers", async || node.ping().await.is_ok())
        .await;
    assert_eq!(node.stats().breaker, BreakerState::Closed);
}

async fn barred(stage: &Stage) {
    // Each with a bus of another kind.
    for watches in [false, true] {
        let way = Way::new(stage);
        let builder = way.builder(stage, touchy());
        let node = match watches {
            false => builder.build(),
            true => builder.bus(way.redis.tracking()).build(),
        };
        let node = node.unwrap().faced();
        assert_eq!(node.listen().await, BusState::Up);
        opens(&node).await;
        way.cut();
        is_down(stage, &node).await;
        let fault = node.bus_health().unwrap().fault;
        assert!(matches!(fault, Some(Fault::Unreachable(_))), "{fault:?}");
        let (epoch, faults) = (node.epoch(), node.stats().bus_faults);
        assert_eq!(way.dialled(stage).await, 0);
        // Nor does it dial because somebody asks; that one is told at once.
        assert_eq!(node.listen().await, BusState::Down);
        assert_eq!(way.dialled(stage).await, 0);
        // What it says of itself is what happened to it.
        let health = node.bus_health().unwrap();
        assert_eq!(health.state, BusState::Down);
        assert!(matches!(health.fault, Some(Fault::Unreachable(_))));
        assert!(health.lasts >= A_WHILE && health.fault_ago.unwrap() >= A_WHILE);
        assert_eq!(node.stats().bus_faults, faults);
        closes(stage, &node).await;
        is_up(stage, &node).await;
        assert_eq!(node.epoch(), epoch + 1);
        node.close().await;
    }
}

/// As in life: Redis dies, the breaker opens, probes, and closes.
async fn back(stage: &Stage) {
    let way = Way::new(stage);
    let pause = Duration::from_millis(400);
    let mut breaker = Breaker::default();
    (breaker.first_pause, breaker.longest_pause) = (pause, pause);
    breaker.jitter_percent = 0;
    let node = way.builder(stage, breaker).build().unwrap().faced();
    assert_eq!(node.listen().await, BusState::Up);
    stage.server().kill();
    open(&node).await;
    is_down(stage, &node).await;
    let began = Instant::now();
    let dialled = way.dialled(stage).await;
    let probes = began.elapsed().as_millis() / pause.as_millis() + 1;
    assert!(u128::from(dialled) <= probes, "{dialled} of {probes}");
    stage.server().restart();
    is_up(stage, &node).await;
    assert_eq!(node.stats().breaker, BreakerState::Closed);
    node.get_or_load("key", brings("old")).await.unwrap();
    assert_eq!(node.peek("key"), Cached::Hit(value("old")));
    stage.server().cli(&["PUBLISH", "shop", CHANGED]);
    forgets(stage, &node, "key").await;
    node.close().await;
}

async fn stands(stage: &Stage) {
    let way = Way::new(stage);
    let node = way.builder(stage, touchy()).build().unwrap().faced();
    assert_eq!(node.listen().await, BusState::Up);
    opens(&node).await;
    node.get_or_load("key", brings("old")).await.unwrap();
    let epoch = node.epoch();
    assert_eq!(way.dialled(stage).await, 0);
    assert_eq!((node.bus(), node.epoch()), (BusState::Up, epoch));
    assert_eq!(node.listen().await, BusState::Up);
    assert_eq!(node.peek("key"), Cached::Hit(value("old")));
    stage.server().cli(&["PUBLISH", "shop", CHANGED]);
    forgets(stage, &node, "key").await;
    node.close().await;
}

/// A bus that watches, and whose subscription cannot be extended.
struct Stiff(Redis);

struct Ear(<jetcache_adapters::RedisTracking as Bus>::Subscription);

impl Bus for Stiff {
    type Subscription = Ear;

    fn telling(&self) -> Telling {
        self.0.tracking().telling()
    }

    async fn subscribe(&self, prefixes: &[String]) -> Result<Ear, Fault> {
        self.0.tracking().subscribe(prefixes).await.map(Ear)
    }

    async fn publish(&self, _: &[Message]) -> Result<(), Fault> {
        Ok(())
    }
}

impl Subscription for Ear {
    async fn next(&mut self) -> Result<News, Fault> {
        self.0.next().await
    }
}

async fn newcomers(stage: &Stage) {
    let way = Way::new(stage);
    let parent = stage.host().parent().remote(way.redis.clone());
    let parent = parent.bus(Stiff(way.redis.clone()));
    let build = |name: &str| {
        let builder = parent.cache::<String, Value>(name, MessagePack);
        builder.breaker(touchy()).build().unwrap().faced()
    };
    let users = build("users");
    assert_eq!(users.listen().await, BusState::Up);
    opens(&users).await;
    users.get_or_load("key", brings("old")).await.unwrap();
    // A node of its own, which has never listened.
    let late = way.builder(stage, touchy()).build().unwrap().faced();
    assert_eq!(late.listen().await, BusState::Down);
    let health = late.bus_health().unwrap();
    assert!(matches!(health.fault, Some(Fault::NotAsked(_))));
    // A cache that the subscription does not cover. It stands on for the other one.
    let orders = build("orders");
    assert_eq!(orders.listen().await, BusState::Down);
    assert_eq!(way.dialled(stage).await, 0);
    assert_eq!(users.bus(), BusState::Up);
    stage.server().cli(&["SET", "users:key", "new"]);
    forgets(stage, &users, "key").await;
    closes(stage, &users).await;
    stage
        .until("it is covered", async || {
            orders.listen().await == BusState::Up
        })
        .await;
    is_up(stage, &late).await;
    for node in [users, orders, late] {
        node.close().await;
    }
}

async fn closed(stage: &Stage) {
    let way = Way::new(stage);
    let node = way.builder(stage, touchy()).build().unwrap().faced();
    assert_eq!(node.listen().await, BusState::Up);
    opens(&node).await;
    way.cut();
    is_down(stage, &node).await;
    // It asks L2 once more, in vain.
    way.proxy.hold();
    let before = way.proxy.connections();
    node.close().await;
    assert!(node.bus_health().is_none());
    assert_eq!(node.stats().breaker, BreakerState::Open);
    way.proxy.release();
    assert_eq!(way.dialled(stage).await, 0, "nobody listens any more");
    assert_eq!(way.proxy.connections(), before + 1);
    // One that is dropped asks nothing.
    let way = Way::new(stage);
    let node = way.builder(stage, touchy()).build().unwrap().faced();
    assert_eq!(node.listen().await, BusState::Up);
    opens(&node).await;
    way.cut();
    is_down(stage, &node).await;
    drop(node);
    assert_eq!(way.dialled(stage).await, 0);
}

async fn elsewhere(stage: &Stage) {
    let (way, other) = (Way::new(stage), Way::new(stage));
    let builder = way.builder(stage, touchy());
    let node = builder
        .bus(other.redis.pubsub("shop"))
        .build()
        .unwrap()
        .faced();
    assert_eq!(node.listen().await, BusState::Up);
    opens(&node).await;
    let epoch = node.epoch();
    other.cut();
    stage
        .until("it listens anew", async || node.epoch() > epoch)
        .await;
    assert_eq!(node.stats().breaker, BreakerState::Open);
    is_up(stage, &node).await;
    // Who wants no breaker is not held up by one of somebody else's.
    let free = way.builder(stage, touchy()).namespace("free");
    let free = free.no_breaker().build().unwrap().faced();
    assert_eq!(free.listen().await, BusState::Up);
    assert_eq!(node.stats().breaker, BreakerState::Open);
    node.close().await;
    free.close().await;
}

/// Two caches on one bus, one of them in another L2: what that one has to tell is published.
async fn untold(stage: &Stage) {
    let (way, other) = (Way::new(stage), Way::new(stage));
    let parent = stage.host().parent().remote(way.redis.clone());
    let parent = parent.bus(way.redis.pubsub("shop"));
    let users = parent.cache::<String, Value>("users", MessagePack);
    let users = users.breaker(touchy()).build().unwrap().faced();
    let orders = parent.cache::<String, Value>("orders", MessagePack);
    let orders = (orders.remote(other.redis.clone(), MessagePack))
        .build()
        .unwrap()
        .faced();
    let redis = Redis::builder(other.proxy.url()).open().unwrap();
    let far = (stage.host().builder("orders"))
        .remote(redis.clone(), MessagePack)
        .bus(redis.pubsub("shop"))
        .build()
        .unwrap()
        .faced();
    for node in [&users, &orders, &far] {
        assert_eq!(node.listen().await, BusState::Up);
    }
    far.get_or_load("key", brings("old")).await.unwrap();
    opens(&users).await;
    way.cut();
    is_down(stage, &orders).await;
    assert_eq!(orders.invalidate("key").await, Reach::Everywhere);
    assert_eq!(way.dialled(stage).await, 0);
    assert_eq!(orders.activity().untold, 1);
    assert_eq!(far.peek("key"), Cached::Hit(value("old")));
    // It need not wait for that, since the other one is there to tell.
    orders.close().await;
    assert_eq!(users.activity().untold, 1);
    closes(stage, &users).await;
    forgets(stage, &far, "key").await;
    is_up(stage, &users).await;
    stage
        .until("all is told", async || users.activity().untold == 0)
        .await;
    users.close().await;
    far.close().await;
}
