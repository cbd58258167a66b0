//! Caches that come to a node whose subscription stands, over a bus that watches prefixes.

use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jetcache_core::ports::bus::{Bus, Message, News, Subscription};
use jetcache_core::{BusState, Cached, Fault, LoadError};
use jetcache_tokio::{Cache, Memory, Node, Raw};

use crate::behaviour::stage::{Cases, expected_panic};

pub(crate) const CASES: Cases<fn()> = &[
    (
        "a_newcomer_keeps_nothing_from_before_it_is_heard_for",
        || on_tokio(awaited()),
    ),
    ("without_an_extension_all_begin_anew", || {
        on_tokio(replaced())
    }),
    ("an_extension_that_fails_ends_the_subscription", || {
        on_tokio(failed())
    }),
];

fn on_tokio(case: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(case);
}

/// What an attempt to extend a subscription comes to.
#[derive(Clone, Copy, Default)]
enum Mood {
    /// It is confirmed once the gate is open.
    #[default]
    Takes,
    Refuses,
    Fails,
    Panics,
}

#[derive(Clone, Default)]
struct Watch(Arc<Inner>);

#[derive(Default)]
struct Inner {
    open: AtomicBool,
    mood: Mutex<Mood>,
    subscriptions: AtomicUsize,
    extended: Mutex<Vec<Vec<String>>>,
}

impl Watch {
    fn feels(&self, mood: Mood) {
        *self.0.mood.lock().unwrap() = mood;
    }

    fn subscriptions(&self) -> usize {
        self.0.subscriptions.load(Ordering::SeqCst)
    }
}

impl Bus for Watch {
    type Subscription = Self;

    async fn subscribe(&self, _: &[String]) -> Result<Self, Fault> {
        self.0.subscriptions.fetch_add(1, Ordering::SeqCst);
        Ok(self.clone())
    }

    async fn publish(&self, _: &[Message]) -> Result<(), Fault> {
        Ok(())
    }
}

impl Subscription for Watch {
    async fn next(&mut self) -> Result<News, Fault> {
        pending().await
    }

    async fn extend(&mut self, prefixes: &[String]) -> Result<bool, Fault> {
        self.0.extended.lock().unwrap().push(prefixes.to_vec());
        let mood = *self.0.mood.lock().unwrap();
        match mood {
            Mood::Takes => {
                while !self.0.open.load(Ordering::SeqCst) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Ok(true)
            }
            Mood::Refuses => Ok(false),
            Mood::Fails => Err(Fault::Unreachable("it broke".into())),
            Mood::Panics => expected_panic("expected"),
        }
    }
}

type Texts = Cache<u64, String>;

/// A node, and its first cache, which listens and has a value.
async fn stands(watch: &Watch) -> (Node, Texts) {
    let node = jetcache_tokio::node()
        .remote(Memory::new())
        .bus(watch.clone());
    let first: Texts = node.cache("first", Raw).build().unwrap();
    assert_eq!(first.listen().await, BusState::Up);
    holds(&first).await;
    (node, first)
}

async fn holds(cache: &Texts) {
    cache
        .get_or_load(&1, async || Ok::<_, LoadError>("old".to_owned()))
        .await
        .unwrap();
    assert!(cache.peek(&1).is_hit());
}

async fn awaited() {
    let watch = Watch::default();
    let (node, first) = stands(&watch).await;
    let epoch = first.epoch();
    let second: Texts = node.cache("second", Raw).build().unwrap();
    holds(&second).await;
    // Until here anybody may have changed it unheard.
    watch.0.open.store(true, Ordering::SeqCst);
    assert_eq!(second.listen().await, BusState::Up);
    assert_eq!(second.peek(&1), Cached::Miss);
    assert!(first.peek(&1).is_hit());
    assert_eq!((first.epoch(), watch.subscriptions()), (epoch, 1));
    assert_eq!((first.stats().epochs, second.stats().epochs), (1, 1));
    // Its namesake is heard for already. One whose keys begin so is not: it has a log of its own.
    holds(&second).await;
    second.close().await;
    drop(second);
    for (name, epochs) in [("second", 0), ("second:part", 1)] {
        let again: Texts = node.cache(name, Raw).build().unwrap();
        assert_eq!(again.listen().await, BusState::Up);
        again.close().await;
        assert_eq!(first.epoch(), epoch + epochs);
    }
    assert_eq!(*watch.0.extended.lock().unwrap(), [["second:".to_owned()]]);
}

async fn replaced() {
    let watch = Watch::default();
    let (node, first) = stands(&watch).await;
    watch.feels(Mood::Refuses);
    let epoch = first.epoch();
    let second: Texts = node.cache("second", Raw).build().unwrap();
    assert_eq!(second.listen().await, BusState::Up);
    assert_eq!((first.epoch(), watch.subscriptions()), (epoch + 1, 2));
    assert_eq!(
        (first.peek(&1), first.stats().bus_faults),
        (Cached::Miss, 0)
    );
}

async fn failed() {
    for mood in [Mood::Fails, Mood::Panics] {
        let watch = Watch::default();
        let (node, first) = stands(&watch).await;
        watch.feels(mood);
        let epoch = first.epoch();
        let second: Texts = node.cache("second", Raw).build().unwrap();
        while second.listen().await != BusState::Up {}
        assert_eq!((first.epoch(), watch.subscriptions()), (epoch + 1, 2));
        assert_eq!(
            (first.peek(&1), first.stats().bus_faults),
            (Cached::Miss, 1)
        );
    }
}
