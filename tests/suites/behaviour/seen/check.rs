//! Checking hits against L2: what is found out, and what is no difference.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join;
use jetcache_adapters::{Memory, MessagePack};
use jetcache_core::ports::bus::Kind;
use jetcache_core::{Error, Event, Observer};

use crate::behaviour::stage::airwaves::Airwaves;
use crate::behaviour::stage::face::Faced;
use crate::behaviour::stage::{Case, Cases, Host, Log, Stage, brings, nobody, value};

pub(crate) const CASES: Cases<Case> = &[
    // Side by side: both mostly wait.
    (
        "only_a_difference_that_lasts_is_told_and_with_its_key",
        |s| {
            Box::pin(async {
                join(lasting(s), healthy(s)).await;
            })
        },
    ),
];

pub(crate) const ALONE: Cases<fn()> = &[
    ("maps_in_another_order_are_no_difference", maps),
    ("checking_needs_both_levels_and_a_bus", needs),
];

#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl Observer for Diary {
    fn on(&self, _: &str, event: &Event) {
        if matches!(event, Event::Differs { .. }) {
            self.0.lock().unwrap().push(format!("{event:?}"));
        }
    }

    fn wants_hits(&self) -> bool {
        false
    }
}

async fn lasting(stage: &Stage) {
    let (log, diary, airwaves) = (Log::capture(), Diary::default(), Airwaves::default());
    let node = stage.builder().bus(airwaves.clone()).check_one_in(1);
    let node = node.observer(diary.clone()).build().unwrap().faced();
    // It is on no bus, so nobody hears of what it does.
    let stranger = stage.node();
    node.listen().await;
    let keys = ["same", "lost", "healed", "gone", "vanished", "appeared"];
    for key in keys {
        let load = || async { Ok((key != "appeared").then(|| value("old"))) };
        node.get_or_load(key, load).await.unwrap();
    }
    for key in ["lost", "healed", "appeared"] {
        stranger.insert(key.into(), value("new")).await.unwrap();
    }
    stranger.invalidate("gone").await;
    stranger.invalidate("vanished").await;
    let none = || async { Ok(None) };
    stranger.get_or_load("vanished", none).await.unwrap();
    let begun = Instant::now();
    let mut told = false;
    let found = || diary.0.lock().unwrap().clone();
    // For longer than it takes: what is no difference has its time to be told as well.
    while found().len() < 3 || begun.elapsed() < Duration::from_secs(15) {
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", found());
        for key in keys.iter().filter(|key| !told || **key != "healed") {
            node.get_or_load(*key, nobody).await.unwrap();
        }
        if !told && begun.elapsed() > Duration::from_millis(1500) {
            airwaves.say_changed(Kind::Set, &[stage.key("healed")]);
            told = true;
        }
        stage.host().sleep(Duration::from_millis(50)).await;
    }
    let found = found();
    let differs = |id: &str, l1: &str, l2: &str| {
        let key = stage.key(id);
        let event = format!("Differs {{ key: {key:?}, l1: {l1}, l2: {l2} }}");
        found.contains(&event)
    };
    assert!(differs("lost", "Value", "Value"), "{found:?}");
    assert!(differs("appeared", "NotFound", "Value"), "{found:?}");
    assert!(differs("vanished", "Value", "NotFound"), "{found:?}");
    let innocent = ["same", "healed", "gone"].map(|id| format!("{:?}", stage.key(id)));
    let accused = |key: &String| found.iter().any(|event| event.contains(key));
    assert!(!innocent.iter().any(accused), "{found:?}");
    let stats = node.stats();
    assert_eq!(stats.differences, found.len() as u64);
    assert!(stats.checked > stats.differences, "{stats}");
    let line = format!("key=\"{}", stage.key(""));
    let line = log.line(&line).unwrap();
    assert!(line.contains("WARN jetcache: L1 has answered"), "{line}");
    node.close().await;
    assert_eq!(node.tasks(), 0);
}

/// A fleet under changes shows no difference.
async fn healthy(stage: &Stage) {
    let airwaves = Airwaves::default();
    let diary = Diary::default();
    let nodes = [(); 2].map(|()| {
        let node = stage.builder().bus(airwaves.clone()).check_one_in(1);
        node.observer(diary.clone()).build().unwrap().faced()
    });
    for node in &nodes {
        node.listen().await;
    }
    let keys: Vec<String> = (0..10).map(|at| format!("key {at}")).collect();
    let begun = Instant::now();
    let mut turn = 0;
    while begun.elapsed() < Duration::from_secs(15) {
        turn += 1;
        let (key, other) = (&keys[turn % 10], &keys[turn / 7 % 5]);
        match turn % 5 {
            0 => drop(
                nodes[turn % 2]
                    .insert(other.clone(), value(&turn.to_string()))
                    .await,
            ),
            1 => drop(nodes[turn % 2].invalidate(&**other).await),
            _ => {}
        }
        for node in &nodes {
            let load = brings(&format!("loaded at {turn}"));
            node.get_or_load(&**key, load).await.unwrap();
        }
        stage.host().sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(*diary.0.lock().unwrap(), Vec::<String>::new());
    assert!(nodes.iter().all(|node| node.stats().checked > 0));
    for node in &nodes {
        node.close().await;
    }
}

type Map = Arc<HashMap<String, u32>>;

/// Their bytes are in another order each time that they are built.
fn maps() {
    let map = || -> Map { Arc::new((0..50).map(|at| (at.to_string(), at)).collect()) };
    let (memory, airwaves) = (Memory::new(), Airwaves::default());
    Host::Tokio.block_on(async {
        let builder =
            || jetcache_tokio::builder::<u64, Map>("maps").remote(memory.clone(), MessagePack);
        let node = builder()
            .bus(airwaves)
            .check_one_in(1)
            .build()
            .unwrap()
            .faced();
        let stranger = builder().build().unwrap().faced();
        node.listen().await;
        node.insert(1, map()).await.unwrap();
        stranger.insert(1, map()).await.unwrap();
        let begun = Instant::now();
        while node.stats().checked == 0 {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "{}",
                node.stats()
            );
            assert!(node.get(&1).await.is_hit());
            Host::Tokio.sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(node.stats().differences, 0);
    });
}

fn needs() {
    let builder = || jetcache_tokio::builder::<u64, String>("needs");
    let with_l2 = || builder().remote(Memory::new(), MessagePack);
    let wrong = [
        builder().check_one_in(10).build(),
        with_l2().check_one_in(10).build(),
        with_l2()
            .no_local()
            .bus(Airwaves::default())
            .check_one_in(10)
            .build(),
        with_l2().bus(Airwaves::default()).check_one_in(0).build(),
    ];
    for built in wrong {
        assert!(
            matches!(&built, Err(Error::Config(why)) if why.contains("check_one_in")),
            "{built:?}"
        );
    }
    with_l2()
        .bus(Airwaves::default())
        .check_one_in(1)
        .build()
        .unwrap()
        .faced();
}
