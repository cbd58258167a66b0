//! Caches that are closed and runtimes that end while something is under way.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use jetcache_core::{LoadError, Reach};
use jetcache_tokio::MessagePack;

use crate::behaviour::stage::moody::{Mood, Moody};
use crate::behaviour::stage::{Cases, Log};

use super::{Node, brings, builder, in_tokio, ms, runtime, soon, until};

pub(crate) const CASES: Cases<fn()> = &[
    ("a_load_that_its_runtime_drops_does_not_spin", dropped_load),
    (
        "close_sends_every_removal_that_is_not_confirmed",
        close_removes,
    ),
    ("close_waits_for_loads_that_callers_lead", close_waits),
    (
        "close_does_not_wait_for_a_lease_that_never_answers",
        close_gives_up,
    ),
    (
        "a_repair_that_stands_still_with_its_runtime_is_taken_over",
        repair,
    ),
    (
        "a_table_of_statistics_that_stands_still_with_its_runtime_is_taken_over",
        table,
    ),
];

fn dropped_load() {
    let node = builder().loader(|_: String| ready(Ok::<_, LoadError>(Arc::from("value"))));
    let node = node.build().unwrap();
    let (ending, inside) = (runtime(), node.clone());
    let (begun, answered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let (b, a) = (Arc::clone(&begun), Arc::clone(&answered));
    ending.spawn(async move {
        b.store(true, Ordering::SeqCst);
        // The runtime begins to end while this poll lasts.
        std::thread::sleep(ms(200));
        let _ = inside.load("key").await;
        a.store(true, Ordering::SeqCst);
    });
    while !begun.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    drop(ending);
    assert!(answered.load(Ordering::SeqCst) || node.activity().flights == 0);
    // The cache remembers the handle of a runtime that is dead.
    let value = smol::block_on(node.load("other")).unwrap();
    assert_eq!(value.as_deref(), Some("value"));
}

fn close_removes() {
    in_tokio(async {
        let moody = Moody::default();
        let node = builder()
            .remote(moody.clone(), MessagePack)
            .build()
            .unwrap();
        let keys: Vec<String> = (0..600).map(|i| i.to_string()).collect();
        for key in &keys {
            node.insert(key.clone(), "old".into()).await.unwrap();
        }
        moody.set(Mood::Broken);
        join_all(keys.iter().map(|key| node.invalidate(key))).await;
        assert_eq!(
            (node.activity().unconfirmed, moody.inner().len()),
            (600, 600)
        );
        moody.set(Mood::Good);
        node.close().await;
        assert_eq!((node.activity().unconfirmed, moody.inner().len()), (0, 0));
    });
}

fn close_waits() {
    in_tokio(async {
        let node: Node = builder().build().unwrap();
        let load = node.get_or_load("key", async || {
            tokio::time::sleep(ms(100)).await;
            Ok::<_, LoadError>(Arc::from("value"))
        });
        let close = async {
            tokio::time::sleep(ms(20)).await;
            node.close().await;
            node.activity()
        };
        let (loaded, left) = futures_util::future::join(load, close).await;
        assert_eq!(
            (loaded.unwrap().as_deref(), left),
            (Some("value"), Default::default())
        );
        assert!(node.is_empty());
    });
}

fn close_gives_up() {
    in_tokio(async {
        let moody = Moody::default();
        let node = builder().load_timeout(Duration::from_secs(3600));
        let node = node.remote(moody.clone(), MessagePack).build().unwrap();
        moody.set(Mood::SilentLease);
        node.get_or_load("key", brings("value")).await.unwrap();
        assert_eq!(node.tasks(), 1, "somebody listens for the late reply");
        soon(node.close()).await;
        assert_eq!(node.tasks(), 0);
    });
}

fn repair() {
    let moody = Moody::default();
    let node = builder()
        .remote(moody.clone(), MessagePack)
        .build()
        .unwrap();
    let still = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    still.block_on(async {
        node.insert("key".into(), "old".into()).await.unwrap();
        moody.set(Mood::Broken);
        assert_eq!(node.invalidate("key").await, Reach::Pending);
    });
    moody.set(Mood::Good);
    // The first runtime still lives, but nobody drives it.
    in_tokio(until("the removal was repeated", async || {
        node.get("other").await;
        node.activity().unconfirmed == 0
    }));
    drop(still);
}

fn table() {
    let log = Log::capture();
    let node: Node = jetcache_tokio::builder("table-taken-over")
        .stats_every(ms(20))
        .build()
        .unwrap();
    let still = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    // The first call further than L1 begins the task, which is never polled.
    let first = still.block_on(node.get_or_load("key", brings("value")));
    assert!(first.unwrap().is_some() && node.tasks() == 1);
    in_tokio(until("a table is logged", async || {
        node.get("other").await;
        log.contains("table-taken-over")
    }));
    drop(still);
}
