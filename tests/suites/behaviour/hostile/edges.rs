//! Settings and engines at the edge of what makes sense.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jetcache_core::{
    Cache, Cached, Entry, Error, Key, Load, LoadError, Local, LruLocal, Probe, Reach,
};
use jetcache_tokio::MessagePack;

use crate::behaviour::stage::Cases;
use crate::behaviour::stage::moody::{Mood, Moody};

use super::{brings, builder, in_tokio, ms, until};

pub(crate) const CASES: Cases<fn()> = &[
    (
        "a_change_waits_for_a_write_to_l1_on_another_thread",
        slow_l1,
    ),
    ("times_beyond_all_measure_work", endless_times),
    ("a_lone_registered_load_is_not_coalesced", lone_load),
    ("a_namespace_with_an_open_brace_is_refused", open_brace),
    (
        "a_removal_whose_key_has_lost_its_text_is_not_sent",
        fickle_key,
    ),
];

/// An engine whose writes wait until the case lets them go.
struct Slow {
    inner: LruLocal<String, Arc<str>>,
    writing: Arc<AtomicBool>,
    go: Arc<AtomicBool>,
}

impl Local<String, Arc<str>> for Slow {
    fn get(&self, key: &dyn Probe<String>) -> Option<Entry<Arc<str>>> {
        self.inner.get(key)
    }

    fn insert(&self, key: String, entry: Entry<Arc<str>>) {
        self.writing.store(true, Ordering::SeqCst);
        while !self.go.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        self.inner.insert(key, entry);
    }

    fn remove(&self, key: &dyn Probe<String>) {
        self.inner.remove(key);
    }

    fn clear(&self) {
        self.inner.clear();
    }

    fn len(&self) -> usize {
        self.inner.len()
    }

    fn weight(&self) -> u64 {
        self.inner.weight()
    }
}

fn slow_l1() {
    let (writing, go) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let slow = Slow {
        inner: LruLocal::new(100.try_into().unwrap()),
        writing: Arc::clone(&writing),
        go: Arc::clone(&go),
    };
    let node = builder().local(slow).build().unwrap();
    let reader = node.clone();
    let reads =
        std::thread::spawn(move || smol::block_on(reader.get_or_load("key", brings("old"))));
    while !writing.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    let (changer, changed) = (node.clone(), Arc::new(AtomicBool::new(false)));
    let done = Arc::clone(&changed);
    std::thread::spawn(move || {
        smol::block_on(changer.invalidate("key"));
        done.store(true, Ordering::SeqCst);
    });
    std::thread::sleep(ms(50));
    assert!(
        !changed.load(Ordering::SeqCst),
        "the old value is still on its way into L1"
    );
    go.store(true, Ordering::SeqCst);
    in_tokio(until("the change is made", async || {
        changed.load(Ordering::SeqCst)
    }));
    assert_eq!(reads.join().unwrap().unwrap().as_deref(), Some("old"));
    assert_eq!(node.peek("key"), Cached::Miss);
}

fn endless_times() {
    in_tokio(async {
        let builder = jetcache_tokio::builder::<String, Arc<str>>("long");
        let builder = builder.ttl(Duration::MAX).local_ttl(Duration::MAX);
        let builder = builder
            .negative_ttl(Duration::MAX)
            .remote_timeout(Duration::MAX);
        let builder = builder
            .load_timeout(Duration::MAX)
            .lease_wait(Duration::MAX);
        let node = builder
            .remote(Moody::default(), MessagePack)
            .build()
            .unwrap();
        node.get_or_load("key", brings("value")).await.unwrap();
        assert_eq!(
            node.insert("key".into(), "two".into()).await.unwrap(),
            Reach::Everywhere
        );
        let long = || {
            ready(Ok::<_, LoadError>(
                Load::from(Arc::from("x")).ttl(Duration::MAX),
            ))
        };
        node.get_or_load("other", long).await.unwrap();
        node.close().await;
    });
}

fn lone_load() {
    in_tokio(async {
        let node = builder().loader(|_: String| ready(Ok::<_, LoadError>(Arc::from("value"))));
        let node = node.build().unwrap();
        node.load("key").await.unwrap();
        assert_eq!((node.stats().coalesced, node.stats().misses), (0, 1));
    });
}

fn open_brace() {
    let open = builder()
        .namespace("{ns")
        .remote(Moody::default(), MessagePack)
        .build();
    assert!(matches!(open, Err(Error::Config(_))));
    builder()
        .namespace("{ns}")
        .remote(Moody::default(), MessagePack)
        .build()
        .unwrap();
}

/// A key that writes another text today than when it was admitted: one that L2 cannot hold.
#[derive(Clone, Debug)]
struct Fickle(Arc<AtomicBool>);

impl PartialEq for Fickle {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Fickle {}

impl std::hash::Hash for Fickle {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

impl Key for Fickle {
    fn write(&self, out: &mut String) {
        let refused = self.0.load(Ordering::SeqCst);
        out.push_str(if refused { "key#lease" } else { "key" });
    }

    fn parse(_: &str) -> Option<Self> {
        None
    }
}

fn fickle_key() {
    let moody = Moody::default();
    let node: Cache<Fickle, Arc<str>> = jetcache_tokio::builder("fickle")
        .remote_timeout(ms(100))
        .remote(moody.clone(), MessagePack)
        .build()
        .unwrap();
    let refused = Arc::new(AtomicBool::new(false));
    let key = Fickle(Arc::clone(&refused));
    in_tokio(async {
        node.insert(key.clone(), "old".into()).await.unwrap();
        moody.set(Mood::Broken);
        assert_eq!(node.invalidate(&key).await, Reach::Pending);
        refused.store(true, Ordering::SeqCst);
        moody.set(Mood::Good);
        node.close().await;
        assert_eq!(
            (moody.nameless(), node.activity().unconfirmed),
            (0, 1),
            "what cannot be named is not sent, and stays in doubt"
        );
    });
}
