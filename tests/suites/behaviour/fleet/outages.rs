//! A bus that breaks, hangs, panics and comes back.

use std::future::pending;
use std::time::Duration;

use jetcache_adapters::{Memory, MessagePack, Raw};
use jetcache_core::ports::bus::{Bus, Kind, Message, News, Subscription};
use jetcache_core::{BusState, Cached, Error, Fault, LoadError, Reach, Wire};

use crate::behaviour::stage::airwaves::Airwaves;
use crate::behaviour::stage::face::Faced;
use crate::behaviour::stage::{Case, Cases, Stage, brings, expected_panic, value};

use super::{fleet, forgets, listens};

pub(crate) const CASES: Cases<Case> = &[
    ("what_was_missed_is_not_served_once_the_bus_is_back", |s| {
        Box::pin(cut(s))
    }),
    ("a_lost_bus_is_tried_again_and_again", |s| {
        Box::pin(tried_again(s))
    }),
    ("what_could_not_be_told_is_told_as_everything", |s| {
        Box::pin(muted(s))
    }),
    ("while_the_bus_is_down_l1_keeps_less", |s| {
        Box::pin(blind(s))
    }),
    ("a_bus_that_hangs_or_panics_harms_nobody", |s| {
        Box::pin(hostile(s))
    }),
    ("close_tells_what_is_left_and_ends_the_listening", |s| {
        Box::pin(closed(s))
    }),
    ("caches_of_a_node_share_a_subscription", |s| {
        Box::pin(shared(s))
    }),
    ("words_do_not_hurry_a_bus_that_is_down", |s| {
        Box::pin(unhurried(s))
    }),
    ("listening_begins_anew_whenever_it_is_asked_for", |s| {
        Box::pin(listens_anew(s))
    }),
    (
        "among_strangers_a_load_that_may_have_missed_a_removal_does_not_fill",
        |s| Box::pin(missed_among_strangers(s)),
    ),
    ("a_bus_that_makes_no_sense_is_refused", |s| {
        Box::pin(refused(s))
    }),
];

async fn cut(stage: &Stage) {
    let bus = Airwaves::default();
    let [one, two] = fleet(stage, &bus).await;
    two.get_or_load("key", brings("old")).await.unwrap();
    let epoch = two.epoch();
    bus.cut();
    stage
        .until("the cut is noticed", async || two.bus() == BusState::Down)
        .await;
    let health = two.bus_health().unwrap();
    assert_eq!(health.state, BusState::Down);
    assert!(
        matches!(health.fault, Some(Fault::Unreachable(why)) if &*why == "cut" || &*why == "away")
    );
    assert!(health.fault_ago.unwrap() <= two.bus_health().unwrap().fault_ago.unwrap());
    assert_eq!(one.invalidate("key").await, Reach::Everywhere);
    // While nothing is heard, L1 works as without a bus.
    assert_eq!(two.peek("key"), Cached::Hit(value("old")));
    bus.mend();
    forgets(stage, &two, "key").await;
    assert_eq!(two.epoch(), epoch + 1);
    let loaded = two.get_or_load("key", brings("new")).await.unwrap();
    assert_eq!(loaded, Some(value("new")));
    let stats = two.stats();
    assert!(stats.bus_faults > 0 && stats.epochs == two.epoch());
    assert_eq!(two.bus_health().unwrap().state, BusState::Up);
    assert!(stage.node().bus_health().is_none());
    two.close().await;
    assert!(two.bus_health().is_none());
}

async fn tried_again(stage: &Stage) {
    let bus = Airwaves::default();
    bus.cut();
    let node = stage.builder().bus(bus.clone()).build().unwrap().faced();
    assert_eq!((node.bus(), bus.tries()), (BusState::Idle, 0));
    // The first call that goes further than L1 begins to listen. It does not wait.
    node.get_or_load("key", brings("one")).await.unwrap();
    assert_eq!(node.listen().await, BusState::Down);
    assert_eq!(stage.node().listen().await, BusState::None);
    stage.until("it has tried", async || bus.tries() >= 4).await;
    assert_eq!(node.bus(), BusState::Down);
    bus.mend();
    stage
        .until("it listens", async || node.bus() == BusState::Up)
        .await;
    // Anything may have changed before it listened.
    assert_eq!((node.peek("key"), node.epoch()), (Cached::Miss, 1));
}

async fn muted(stage: &Stage) {
    let bus = Airwaves::default();
    let [one, two] = fleet(stage, &bus).await;
    two.get_or_load("key", brings("old")).await.unwrap();
    stage
        .until("it has told of the log that it began", async || {
            two.activity().untold == 0
        })
        .await;
    bus.mute(true);
    // Nobody waits for that word.
    assert_eq!(one.invalidate("key").await, Reach::Everywhere);
    stage
        .until("it failed", async || one.stats().bus_faults > 0)
        .await;
    assert_eq!(two.peek("key"), Cached::Hit(value("old")));
    bus.mute(false);
    forgets(stage, &two, "key").await;
    let kinds: Vec<Kind> = bus.said().iter().map(|said| said.kind).collect();
    assert_eq!(kinds, [Kind::Everything]);
}

async fn blind(stage: &Stage) {
    let bus = Airwaves::default();
    let short = Duration::from_millis(300);
    let builder = stage.builder().bus(bus.clone()).blind_local_ttl(short);
    let node = builder.build().unwrap().faced();
    listens(stage, &node).await;
    node.get_or_load("before", brings("one")).await.unwrap();
    bus.cut();
    stage
        .until("the cut is noticed", async || node.bus() == BusState::Down)
        .await;
    assert_eq!(node.peek("before"), Cached::Hit(value("one")));
    node.get_or_load("while", brings("one")).await.unwrap();
    for key in ["before", "while"] {
        // This is long before `local_ttl`.
        forgets(stage, &node, key).await;
    }
    assert!(stage.bytes("before").await.is_some());
    bus.mend();
    listens(stage, &node).await;
    node.get_or_load("after", brings("one")).await.unwrap();
    stage.host().sleep(short * 2).await;
    assert_eq!(node.peek("after"), Cached::Hit(value("one")));
    let refused = (stage.builder()).blind_local_ttl(Duration::ZERO).build();
    assert!(matches!(refused, Err(Error::Config(text)) if text.contains("blind_local_ttl")));
}

/// A bus that hangs or panics, whatever it is asked.
struct Worst {
    panics: bool,
}

struct Nothing;

impl Subscription for Nothing {
    async fn next(&mut self) -> Result<News, Fault> {
        expected_panic("as the case says")
    }
}

impl Bus for Worst {
    type Subscription = Nothing;

    async fn subscribe(&self, _: &[String]) -> Result<Nothing, Fault> {
        if self.panics {
            return Ok(Nothing);
        }
        pending().await
    }

    async fn publish(&self, _: &[Message]) -> Result<(), Fault> {
        if self.panics {
            expected_panic("as the case says");
        }
        pending().await
    }
}

async fn hostile(stage: &Stage) {
    for panics in [false, true] {
        let node = stage
            .builder()
            .bus(Worst { panics })
            .build()
            .unwrap()
            .faced();
        node.get_or_load("key", brings("one")).await.unwrap();
        let reach = node.insert("key".into(), value("two")).await.unwrap();
        assert_eq!(reach, Reach::Everywhere);
        assert_eq!(node.invalidate("key").await, Reach::Everywhere);
        assert_eq!(stage.node().get("key").await, Cached::Miss);
        if panics {
            stage
                .until("it is counted", async || node.stats().bus_faults > 2)
                .await;
        }
    }
}

async fn closed(stage: &Stage) {
    let bus = Airwaves::default();
    let [one, two] = fleet(stage, &bus).await;
    two.get_or_load("key", brings("old")).await.unwrap();
    one.invalidate("key").await;
    one.close().await;
    one.close().await;
    assert_eq!(bus.said().len(), 1);
    forgets(stage, &two, "key").await;
    stage
        .until("all is told", async || one.activity().untold == 0)
        .await;
    let handle = two.clone();
    drop(two);
    assert_eq!(handle.bus(), BusState::Up);
    let tries = bus.tries();
    drop(handle);
    bus.cut();
    stage.host().sleep(Duration::from_millis(100)).await;
    assert_eq!(bus.tries(), tries, "nobody listens any more");
}

async fn shared(stage: &Stage) {
    let bus = Airwaves::default();
    let node = stage.parent().bus(bus.clone()).source_id("shop");
    let build = |name: &str| {
        let cache =
            node.cache::<String, crate::behaviour::stage::Value>(&stage.key(name), MessagePack);
        cache.build().unwrap().faced()
    };
    let (users, orders) = (build("users"), build("orders"));
    listens(stage, &users).await;
    listens(stage, &orders).await;
    assert_eq!(bus.tries(), 1);
    assert_eq!(users.source_id(), orders.source_id());
    for cache in [&users, &orders] {
        cache.get_or_load("key", brings("one")).await.unwrap();
    }
    bus.say_changed(Kind::Set, &[stage.key("orders:key")]);
    stage
        .until("it has heard", async || orders.peek("key") == Cached::Miss)
        .await;
    assert_eq!(users.peek("key"), Cached::Hit(value("one")));
    // A cache that comes later is part of it as well.
    let later = build("later");
    listens(stage, &later).await;
    later.get_or_load("key", brings("one")).await.unwrap();
    bus.say_changed(Kind::Set, &[stage.key("later:key")]);
    forgets(stage, &later, "key").await;
}

async fn unhurried(stage: &Stage) {
    let bus = Airwaves::default();
    bus.cut();
    let node = stage.builder().bus(bus.clone()).build().unwrap().faced();
    assert_eq!(node.listen().await, BusState::Down);
    // Words can be published all the while.
    for round in 0..200 {
        node.insert("key".into(), value("one")).await.unwrap();
        if round % 20 == 0 {
            stage.host().sleep(Duration::from_millis(5)).await;
        }
    }
    stage
        .until("all is told", async || node.activity().untold == 0)
        .await;
    let (tries, told) = (bus.tries(), bus.said().len());
    assert!(told > 20, "{told}");
    // It tries again after 50, 100 and 200 ms; a busy machine may take longer.
    assert!(tries < 15, "{tries}");
}

async fn listens_anew(stage: &Stage) {
    let bus = Airwaves::default();
    bus.cut();
    let parent = stage.parent().bus(bus.clone());
    let build = || {
        let cache = parent
            .cache::<String, crate::behaviour::stage::Value>(&stage.key("users"), MessagePack);
        cache.build().unwrap().faced()
    };
    let node = build();
    assert_eq!(node.listen().await, BusState::Down);
    let tries = bus.tries();
    assert_eq!(node.listen().await, BusState::Down);
    assert!(bus.tries() > tries, "it did not try");
    bus.mend();
    stage
        .until("it listens", async || node.listen().await == BusState::Up)
        .await;
    node.close().await;
    assert_eq!(
        (node.bus(), node.listen().await),
        (BusState::None, BusState::None)
    );
    drop(node);
    let next = build();
    assert_eq!(next.listen().await, BusState::Up);
    next.get_or_load("key", brings("one")).await.unwrap();
    bus.say_changed(Kind::Set, &[stage.key("users:key")]);
    forgets(stage, &next, "key").await;
}

async fn missed_among_strangers(stage: &Stage) {
    let bus = Airwaves::default();
    let node = (stage.builder_with(Raw))
        .wire(Wire::JetcacheGo)
        .bus(bus.clone())
        .build()
        .unwrap()
        .faced();
    listens(stage, &node).await;
    let epoch = node.epoch();
    let loader = async || {
        bus.say(&News::Everything);
        stage
            .until("it has heard", async || node.epoch() > epoch)
            .await;
        Ok::<_, LoadError>(value("old"))
    };
    assert_eq!(
        node.get_or_load("key", loader).await.unwrap(),
        Some(value("old"))
    );
    assert_eq!(node.peek("key"), Cached::Miss);
    assert!(stage.bytes("key").await.is_none());
    stage.until_quiet(&node).await;
}

async fn refused(stage: &Stage) {
    let bus = Airwaves::default();
    let text = match stage.host().builder("users").bus(bus.clone()).build() {
        Err(Error::Config(text)) => text,
        other => panic!("{other:?}"),
    };
    assert!(text.contains("without an L2"), "{text}");
    let watching = Watching;
    let text = match (stage.host().builder("users"))
        .remote(Memory::new(), MessagePack)
        .bus(watching)
        .build()
    {
        Err(Error::Config(text)) => text,
        other => panic!("{other:?}"),
    };
    assert!(text.contains("watches another store"), "{text}");
}

struct Watching;

impl Bus for Watching {
    type Subscription = Nothing;

    fn telling(&self) -> jetcache_core::ports::bus::Telling {
        jetcache_core::ports::bus::Telling::Watched { server: 7 }
    }

    async fn subscribe(&self, _: &[String]) -> Result<Nothing, Fault> {
        Ok(Nothing)
    }

    async fn publish(&self, _: &[Message]) -> Result<(), Fault> {
        Ok(())
    }
}
