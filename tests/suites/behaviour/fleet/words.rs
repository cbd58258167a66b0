//! What is said on the bus, and what a node does when it hears it.

use jetcache_adapters::{Memory, MessagePack, Raw};
use jetcache_core::ports::bus::{Kind, Message, News};
use jetcache_core::{BusState, Cached, LoadError, Wire};

use crate::behaviour::stage::airwaves::Airwaves;
use crate::behaviour::stage::face::Faced;
use crate::behaviour::stage::{Case, Cases, Stage, brings, nobody, value};

use super::{fleet, forgets, listens};

pub(crate) const CASES: Cases<Case> = &[
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
    ("everything_may_be_said_to_have_changed", |s| {
        Box::pin(everything(s))
    }),
    ("what_cannot_be_understood_is_counted", |s| {
        Box::pin(garbled(s))
    }),
    ("a_flood_of_removals_is_taken_in_as_l2_takes_it", |s| {
        Box::pin(flooded(s))
    }),
    (
        "of_two_caches_with_the_same_keys_one_goes_on_hearing",
        |s| Box::pin(namesakes(s)),
    ),
    (
        "a_removal_by_jetcache_go_takes_what_was_loaded_and_nothing_else",
        |s| Box::pin(go_removes(s)),
    ),
    (
        "in_the_format_of_jetcache_go_loads_are_told_as_it_tells_them",
        |s| Box::pin(go_loads(s)),
    ),
];

async fn nobody_writes() -> Result<Option<crate::behaviour::stage::Value>, LoadError> {
    Err("as the case says".into())
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
    // A node that hears of a change tells nobody.
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
    assert_eq!(sets, 1, "an insert is told once: {said:?}");
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
        let node = builder.build().unwrap().faced();
        node.source_id().unwrap().to_owned()
    };
    let random = |id: &str| id.len() == 16 && id.chars().all(|c| c.is_ascii_hexdigit());
    let (one, two) = (named(), named());
    assert_ne!(one, two);
    assert!(random(one.strip_prefix("shop-").unwrap()));
    let node = stage.builder().bus(bus.clone()).build().unwrap().faced();
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
                fenced: false,
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
        .unwrap()
        .faced();
    numbers.get(&0).await;
    stage
        .until("it listens", async || numbers.bus() == BusState::Up)
        .await;
    numbers.get_or_load(&7, brings("seven")).await.unwrap();
    bus.say(&News::Unreadable);
    bus.say_changed(Kind::Set, &[stage.key("numbers:no number")]);
    // A word about another cache, of another program.
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

async fn flooded(stage: &Stage) {
    let bus = Airwaves::default();
    let node = (stage.builder_with(Raw))
        .wire(Wire::JetcacheGo)
        .unconfirmed_capacity(512)
        .bus(bus.clone())
        .build()
        .unwrap()
        .faced();
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

async fn namesakes(stage: &Stage) {
    let bus = Airwaves::default();
    let node = stage.parent().bus(bus.clone());
    let build =
        || node.cache::<String, crate::behaviour::stage::Value>(&stage.key("users"), MessagePack);
    let users = build().build().unwrap().faced();
    // The other L2 has entries of its own under the same keys.
    let others = build()
        .remote(Memory::new(), MessagePack)
        .build()
        .unwrap()
        .faced();
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
        .unwrap()
        .faced();
    listens(stage, &node).await;
    let confirmed = async || {
        stage
            .until("L2 has confirmed", async || {
                node.activity().unconfirmed == 0
            })
            .await;
    };
    node.get_or_load("key", brings("old")).await.unwrap();
    node.insert("inserted".into(), value("new")).await.unwrap();
    stage
        .until("it was told", async || node.activity().untold == 0)
        .await;
    assert!(!bus.said().is_empty());
    // A word of a set leaves L2 alone, and so does a removal that took the lease with it.
    bus.say_changed(Kind::Set, &[stage.key("key")]);
    forgets(stage, &node, "key").await;
    assert_eq!(node.get("key").await, Cached::Hit(value("old")));
    bus.say(&News::Message(Message {
        cache: "users".into(),
        source: "0123456789abcdef".into(),
        kind: Kind::Delete,
        keys: vec![stage.key("key")],
        fenced: true,
    }));
    forgets(stage, &node, "key").await;
    confirmed().await;
    assert!(stage.bytes("key").await.is_some());
    // After any other removal L2 may have been filled with what was loaded before.
    let keys = ["key", "inserted"].map(|id| stage.key(id));
    bus.say_changed(Kind::Delete, &keys);
    forgets(stage, &node, "inserted").await;
    stage
        .until("it is removed from L2", async || {
            stage.bytes("key").await.is_none()
        })
        .await;
    confirmed().await;
    assert_eq!(node.get("inserted").await, Cached::Hit(value("new")));
    node.close().await;
    assert_eq!(bus.said(), [], "hearing tells nothing");
}

async fn go_loads(stage: &Stage) {
    let bus = Airwaves::default();
    let node = (stage.builder_with(Raw))
        .wire(Wire::JetcacheGo)
        .bus(bus.clone())
        .build()
        .unwrap()
        .faced();
    listens(stage, &node).await;
    node.get_or_load("one", brings("one")).await.unwrap();
    let batch = node.get_many_or_load(["two", "three"], async |ids| {
        let loaded = ids.into_iter().map(|id| (id, value("many")));
        Ok::<Vec<_>, LoadError>(loaded.collect())
    });
    batch.await.into_values().unwrap();
    node.close().await;
    let said: Vec<_> = (bus.said().into_iter())
        .flat_map(|said| said.keys.into_iter().map(move |key| (said.kind, key)))
        .collect();
    let wanted = [
        (Kind::SetByOnce, stage.key("one")),
        (Kind::SetByMGet, stage.key("two")),
        (Kind::SetByMGet, stage.key("three")),
    ];
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(wanted.iter().all(|one| said.contains(one)), "{said:?}");
}
