//! Nodes that hear of each other's changes, over a bus of a user's own.

use std::future::pending;
use std::time::Duration;

use jetcache_adapters::{Memory, MessagePack, Raw};
use jetcache_core::ports::bus::{Bus, Kind, Message, News, Subscription};
use jetcache_core::{BusState, Cached, Error, Fault, LoadError, Reach, Wire};

use crate::behaviour::airwaves::Airwaves;
use crate::behaviour::stage::{Case, Node, Stage, brings, expected_panic, nobody, value};

pub(crate) const CASES: &[(&str, Case)] = &[
    ("others_hear_of_every_kind_of_change", |s| {
        Box::pin(changes(s))
    }),
    ("a_load_is_not_told", |s| Box::pin(loads(s))),
    ("own_words_are_ignored", |s| Box::pin(own_words(s))),
    ("words_are_as_jetcache_go_says_them", |s| Box::pin(words(s))),
    ("every_life_of_a_node_has_an_id_of_its_own", |s| {
        Box::pin(source_ids(s))
    }),
    ("a_load_that_a_word_overtook_is_kept_nowhere", |s| {
        Box::pin(overtaken(s))
    }),
    ("what_was_missed_is_not_served_once_the_bus_is_back", |s| {
        Box::pin(cut(s))
    }),
    ("a_lost_bus_is_tried_again_and_again", |s| {
        Box::pin(tried_again(s))
    }),
    ("everything_may_be_said_to_have_changed", |s| {
        Box::pin(everything(s))
    }),
    ("what_cannot_be_understood_is_counted", |s| {
        Box::pin(garbled(s))
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
    ("a_flood_of_removals_is_taken_in_as_l2_takes_it", |s| {
        Box::pin(flooded(s))
    }),
    (
        "among_strangers_a_load_that_may_have_missed_a_removal_does_not_fill",
        |s| Box::pin(missed_among_strangers(s)),
    ),
    (
        "of_two_caches_with_the_same_keys_one_goes_on_hearing",
        |s| Box::pin(namesakes(s)),
    ),
    (
        "a_removal_by_jetcache_go_is_followed_by_one_of_our_own",
        |s| Box::pin(go_removes(s)),
    ),
    ("a_bus_that_makes_no_sense_is_refused", |s| {
        Box::pin(refused(s))
    }),
];

/// Nodes on one bus, which listen.
async fn fleet<const N: usize>(stage: &Stage, bus: &Airwaves) -> [Node; N] {
    let nodes = [(); N].map(|()| stage.builder().bus(bus.clone()).build().unwrap());
    for node in &nodes {
        listens(stage, node).await;
    }
    nodes
}

async fn listens(stage: &Stage, node: &Node) {
    node.listen().await;
    stage
        .until("it listens", async || node.bus() == BusState::Up)
        .await;
}

async fn forgets(stage: &Stage, node: &Node, key: &str) {
    stage
        .until("it has heard", async || node.peek(key) == Cached::Miss)
        .await;
}

async fn changes(stage: &Stage) {
    let bus = Airwaves::default();
    let [one, two] = fleet(stage, &bus).await;
    let mut said = 0;
    for change in 0..6 {
        one.insert("key".into(), value("old")).await.unwrap();
        stage
            .until("its insert was heard of", async || {
                said += bus.said().len() as u64;
                one.activity().untold == 0 && two.stats().heard == said
            })
            .await;
        assert_eq!(two.get("key").await, Cached::Hit(value("old")));
        match change {
            0 => drop(one.invalidate("key").await),
            1 => drop(one.insert("key".into(), value("new")).await.unwrap()),
            2 => assert!(
                one.insert_if_present("key".into(), value("new"))
                    .await
                    .unwrap()
            ),
            3 => drop(
                one.write_through("key", async || Ok::<_, LoadError>(value("new")))
                    .await
                    .unwrap(),
            ),
            4 => drop(one.write_through("key", nobody_writes).await.unwrap_err()),
            _ => drop(one.invalidate_many(["key"]).await),
        }
        stage
            .until("it has heard", async || {
                two.peek("key") != Cached::Hit(value("old"))
            })
            .await;
    }
}

async fn nobody_writes() -> Result<Option<crate::behaviour::stage::Value>, LoadError> {
    Err("as the case says".into())
}

async fn loads(stage: &Stage) {
    let bus = Airwaves::default();
    let [one, two] = fleet(stage, &bus).await;
    one.get_or_load("key", brings("one")).await.unwrap();
    assert_eq!(
        two.get_or_load("key", nobody).await.unwrap(),
        Some(value("one"))
    );
    assert!(
        !one.insert_if_absent("key".into(), value("two"))
            .await
            .unwrap()
    );
    one.close().await;
    assert_eq!(bus.said(), []);
    assert_eq!(two.peek("key"), Cached::Hit(value("one")));
}

async fn own_words(stage: &Stage) {
    let bus = Airwaves::default();
    let [one, two] = fleet(stage, &bus).await;
    one.insert("key".into(), value("one")).await.unwrap();
    stage
        .until("the other has heard", async || two.stats().heard > 0)
        .await;
    assert_eq!(one.peek("key"), Cached::Hit(value("one")));
    assert_eq!(one.stats().heard, 0);
    // Hearing tells nothing.
    assert!(
        bus.said()
            .iter()
            .all(|said| Some(&*said.source) == one.source_id())
    );
}

async fn words(stage: &Stage) {
    let bus = Airwaves::default();
    let [node] = fleet(stage, &bus).await;
    node.insert("a b".into(), value("one")).await.unwrap();
    node.invalidate("a b").await;
    node.close().await;
    let said: Vec<(Kind, Vec<String>)> = (bus.said().into_iter())
        .map(|message| {
            assert_eq!(message.cache, "users");
            (message.kind, message.keys)
        })
        .collect();
    let sets: usize = (said.iter())
        .filter(|(kind, _)| *kind == Kind::Set)
        .map(|(_, keys)| keys.len())
        .sum();
    assert_eq!(sets, 2, "a claim and a fill: {said:?}");
    assert!(
        said.iter()
            .all(|(_, keys)| keys.iter().all(|key| *key == stage.key("a b")))
    );
    assert_eq!(said.last().unwrap().0, Kind::Delete);
}

async fn source_ids(stage: &Stage) {
    let bus = Airwaves::default();
    let named = || {
        let builder = stage.builder().bus(bus.clone()).source_id("shop");
        let node = builder.build().unwrap();
        node.source_id().unwrap().to_owned()
    };
    let random = |id: &str| id.len() == 16 && id.chars().all(|c| c.is_ascii_hexdigit());
    let (one, two) = (named(), named());
    assert_ne!(one, two);
    assert!(random(one.strip_prefix("shop-").unwrap()));
    let node = stage.builder().bus(bus.clone()).build().unwrap();
    assert!(random(node.source_id().unwrap()));
    assert_eq!(stage.node().source_id(), None);
    assert_eq!(stage.node().bus(), BusState::None);
}

async fn overtaken(stage: &Stage) {
    let bus = Airwaves::default();
    let [node] = fleet(stage, &bus).await;
    let heard = async || {
        bus.say_changed(Kind::Set, &[stage.key("key")]);
        stage
            .until("it has heard", async || node.stats().heard == 1)
            .await;
        Ok::<_, LoadError>(value("old"))
    };
    assert_eq!(
        node.get_or_load("key", heard).await.unwrap(),
        Some(value("old"))
    );
    assert_eq!(node.peek("key"), Cached::Miss);
}

async fn cut(stage: &Stage) {
    let bus = Airwaves::default();
    let [one, two] = fleet(stage, &bus).await;
    two.get_or_load("key", brings("old")).await.unwrap();
    let epoch = two.epoch();
    bus.cut();
    stage
        .until("the cut is noticed", async || two.bus() == BusState::Down)
        .await;
    assert_eq!(one.invalidate("key").await, Reach::Everywhere);
    // While nothing is heard L1 is as without a bus.
    assert_eq!(two.peek("key"), Cached::Hit(value("old")));
    bus.mend();
    forgets(stage, &two, "key").await;
    assert_eq!(two.epoch(), epoch + 1);
    let loaded = two.get_or_load("key", brings("new")).await.unwrap();
    assert_eq!(loaded, Some(value("new")));
    let stats = two.stats();
    assert!(stats.bus_faults > 0 && stats.epochs == two.epoch());
}

async fn tried_again(stage: &Stage) {
    let bus = Airwaves::default();
    bus.cut();
    let node = stage.builder().bus(bus.clone()).build().unwrap();
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
    // Anything may have happened before.
    assert_eq!((node.peek("key"), node.epoch()), (Cached::Miss, 1));
}

async fn everything(stage: &Stage) {
    let bus = Airwaves::default();
    let [node] = fleet(stage, &bus).await;
    for (news, epoch) in [
        (News::Everything, 2),
        (
            News::Message(Message {
                cache: String::new(),
                source: "another".into(),
                kind: Kind::Everything,
                keys: Vec::new(),
            }),
            3,
        ),
    ] {
        node.get_or_load("key", brings("one")).await.unwrap();
        bus.say(&news);
        forgets(stage, &node, "key").await;
        assert_eq!(node.epoch(), epoch);
    }
}

async fn garbled(stage: &Stage) {
    let bus = Airwaves::default();
    let node = stage.parent().bus(bus.clone());
    let numbers = node
        .cache::<u64, crate::behaviour::stage::Value>(&stage.key("numbers"), MessagePack)
        .build()
        .unwrap();
    numbers.get(&0).await;
    stage
        .until("it listens", async || numbers.bus() == BusState::Up)
        .await;
    numbers.get_or_load(&7, brings("seven")).await.unwrap();
    bus.say(&News::Unreadable);
    bus.say_changed(Kind::Set, &[stage.key("numbers:no number")]);
    // Another cache's, of another program.
    bus.say_changed(Kind::Set, &["others:7".into(), stage.key("numbers")]);
    bus.say_changed(Kind::Set, &[stage.key("numbers:8")]);
    stage
        .until("it has heard", async || numbers.stats().heard == 1)
        .await;
    assert_eq!(numbers.stats().garbled, 2);
    assert_eq!(numbers.peek(&7), Cached::Hit(value("seven")));
    bus.say(&News::Changed(vec![stage.key("numbers:7")]));
    stage
        .until("it has heard", async || numbers.peek(&7) == Cached::Miss)
        .await;
}

async fn muted(stage: &Stage) {
    let bus = Airwaves::default();
    let [one, two] = fleet(stage, &bus).await;
    two.get_or_load("key", brings("old")).await.unwrap();
    bus.mute(true);
    // Nobody waits for that.
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
    let node = builder.build().unwrap();
    listens(stage, &node).await;
    node.get_or_load("before", brings("one")).await.unwrap();
    bus.cut();
    stage
        .until("the cut is noticed", async || node.bus() == BusState::Down)
        .await;
    assert_eq!(node.peek("before"), Cached::Hit(value("one")));
    node.get_or_load("while", brings("one")).await.unwrap();
    for key in ["before", "while"] {
        // Long before `local_ttl`.
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

/// A bus that does its worst.
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
        let node = stage.builder().bus(Worst { panics }).build().unwrap();
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
        cache.build().unwrap()
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
    // One that comes later is heard for as well.
    let later = build("later");
    listens(stage, &later).await;
    later.get_or_load("key", brings("one")).await.unwrap();
    bus.say_changed(Kind::Set, &[stage.key("later:key")]);
    forgets(stage, &later, "key").await;
}

async fn unhurried(stage: &Stage) {
    let bus = Airwaves::default();
    bus.cut();
    let node = stage.builder().bus(bus.clone()).build().unwrap();
    assert_eq!(node.listen().await, BusState::Down);
    // It can be told all the while.
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
    // 50 ms, 100 ms, 200 ms: a busy machine may take long.
    assert!(tries < 15, "{tries}");
}

async fn listens_anew(stage: &Stage) {
    let bus = Airwaves::default();
    bus.cut();
    let parent = stage.parent().bus(bus.clone());
    let build = || {
        let cache = parent
            .cache::<String, crate::behaviour::stage::Value>(&stage.key("users"), MessagePack);
        cache.build().unwrap()
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

async fn flooded(stage: &Stage) {
    let bus = Airwaves::default();
    let node = (stage.builder_with(Raw))
        .wire(Wire::JetcacheGo)
        .unconfirmed_capacity(512)
        .bus(bus.clone())
        .build()
        .unwrap();
    listens(stage, &node).await;
    let keys: Vec<String> = (0..4_000).map(|n| stage.key(&n.to_string())).collect();
    for keys in keys.chunks(1_000) {
        bus.say_changed(Kind::Delete, keys);
    }
    stage
        .until("it has heard of all", async || {
            node.stats().heard >= 4 && node.activity().unconfirmed == 0
        })
        .await;
    assert_eq!((node.stats().bypassed, node.activity().bypassed), (0, 0));
}

async fn missed_among_strangers(stage: &Stage) {
    let bus = Airwaves::default();
    let node = (stage.builder_with(Raw))
        .wire(Wire::JetcacheGo)
        .bus(bus.clone())
        .build()
        .unwrap();
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

async fn namesakes(stage: &Stage) {
    let bus = Airwaves::default();
    let node = stage.parent().bus(bus.clone());
    let build =
        || node.cache::<String, crate::behaviour::stage::Value>(&stage.key("users"), MessagePack);
    let users = build().build().unwrap();
    // Another L2 has other entries under the same keys.
    let others = build().remote(Memory::new(), MessagePack).build().unwrap();
    listens(stage, &users).await;
    listens(stage, &others).await;
    drop(others);
    users.get_or_load("key", brings("one")).await.unwrap();
    stage
        .until("it has heard", async || {
            bus.say_changed(Kind::Set, &[stage.key("users:key")]);
            users.stats().heard > 0
        })
        .await;
    assert_eq!(users.peek("key"), Cached::Miss);
}

async fn go_removes(stage: &Stage) {
    let bus = Airwaves::default();
    let node = (stage.builder_with(Raw))
        .wire(Wire::JetcacheGo)
        .bus(bus.clone())
        .build()
        .unwrap();
    listens(stage, &node).await;
    node.insert("key".into(), value("old")).await.unwrap();
    stage
        .until("it was told", async || node.activity().untold == 0)
        .await;
    assert!(!bus.said().is_empty());
    // A word of a value leaves L2 alone; one of a removal does not: it may have been filled since.
    bus.say_changed(Kind::Set, &[stage.key("key")]);
    forgets(stage, &node, "key").await;
    assert!(stage.bytes("key").await.is_some());
    bus.say_changed(Kind::Delete, &[stage.key("key")]);
    stage
        .until("it is removed from L2", async || {
            stage.bytes("key").await.is_none()
        })
        .await;
    stage
        .until("that is confirmed", async || {
            node.activity().unconfirmed == 0
        })
        .await;
    node.close().await;
    assert_eq!(bus.said(), [], "hearing tells nothing");
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
