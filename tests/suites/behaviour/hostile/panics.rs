//! Users' code that panics: it fails what it was asked for, and nothing else.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use futures_util::future::join_all;
use jetcache_core::{BoxError, Cached, Codec, Error, Event, LoadError, Observer, Reach};
use jetcache_tokio::MessagePack;

use crate::behaviour::stage::moody::{Mood, Moody};
use crate::behaviour::stage::{Cases, expected_panic};

use super::{Node, brings, builder, in_tokio, ms, soon, until};

pub(crate) const CASES: Cases<fn()> = &[
    ("a_predicate_that_panics_fails_the_flight", predicate),
    ("a_codec_that_panics_fails_the_flight", encoder),
    (
        "a_panic_gives_the_lease_back_though_a_waiter_is_silent",
        silent_waiter,
    ),
    ("a_codec_that_panics_on_what_it_reads_is_a_miss", decoder),
    ("an_observer_that_panics_changes_nothing", observer),
    ("a_codec_that_panics_holds_up_no_other_insert", insert_many),
];

fn panics(node: &Node, loads: &AtomicUsize) {
    in_tokio(async {
        let answer = soon(node.load("key")).await;
        assert!(matches!(answer, Err(Error::Panicked(_))), "{answer:?}");
        assert_eq!(loads.load(Ordering::SeqCst), 1);
        let load = async || {
            loads.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(ms(20)).await;
            Err::<Arc<str>, LoadError>("no".into())
        };
        let answers = soon(join_all((0..100).map(|_| node.get_or_load("other", load)))).await;
        assert!(answers.iter().all(Result::is_err));
        assert_eq!(
            loads.load(Ordering::SeqCst),
            2,
            "nobody led in the place of a panic"
        );
        until("nothing is under way", async || {
            node.activity() == Default::default()
        })
        .await;
        node.close().await;
    });
}

fn predicate() {
    let loads = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&loads);
    let node = builder()
        .not_found_when(|_| expected_panic("the predicate"))
        .loader(move |_: String| {
            count.fetch_add(1, Ordering::SeqCst);
            ready(Err::<Arc<str>, LoadError>("no".into()))
        });
    panics(&node.build().unwrap(), &loads);
}

/// Panics when it encodes.
struct Explosive;

impl Codec<Arc<str>> for Explosive {
    fn id(&self) -> u8 {
        200
    }

    fn encode(&self, _: &Arc<str>, _: &mut Vec<u8>) -> Result<(), BoxError> {
        expected_panic("the codec")
    }

    fn decode(&self, _: &[u8]) -> Result<Arc<str>, BoxError> {
        Err("never".into())
    }
}

fn encoder() {
    let loads = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&loads);
    let node = builder()
        .remote(Moody::default(), Explosive)
        .loader(move |_: String| {
            count.fetch_add(1, Ordering::SeqCst);
            ready(Ok::<Arc<str>, LoadError>("value".into()))
        });
    panics(&node.build().unwrap(), &loads);
}

fn silent_waiter() {
    in_tokio(async {
        let moody = Moody::default();
        let node = builder().remote(moody.clone(), Explosive);
        let node = node.loader(|_: String| async {
            tokio::time::sleep(ms(20)).await;
            Ok::<Arc<str>, LoadError>("value".into())
        });
        let node = node.build().unwrap();
        let mut silent = Box::pin(node.load("key"));
        assert!(silent.as_mut().now_or_never().is_none());
        soon(node.load("key")).await.unwrap_err();
        until("the lease is back", async || moody.inner().leases() == 0).await;
        drop(silent);
    });
}

/// Panics when it decodes.
struct Delicate;

impl Codec<Arc<str>> for Delicate {
    fn id(&self) -> u8 {
        201
    }

    fn encode(&self, value: &Arc<str>, out: &mut Vec<u8>) -> Result<(), BoxError> {
        out.extend_from_slice(value.as_bytes());
        Ok(())
    }

    fn decode(&self, _: &[u8]) -> Result<Arc<str>, BoxError> {
        expected_panic("the codec")
    }
}

fn decoder() {
    in_tokio(async {
        let moody = Moody::default();
        // Otherwise the insert finds out.
        let node = || {
            let builder = builder().remote(moody.clone(), Delicate);
            builder.read_back(0).build().unwrap()
        };
        node().insert("key".into(), "one".into()).await.unwrap();
        let node = node();
        assert_eq!(node.get("key").await, Cached::Miss);
        let loaded = node.get_or_load("key", brings("two")).await.unwrap();
        assert_eq!(loaded.as_deref(), Some("two"));
        assert!(node.stats().undecodable >= 2);
        until("the lease is back", async || moody.inner().leases() == 0).await;
    });
}

/// Panics at every event.
struct Nervous;

impl Observer for Nervous {
    fn on(&self, _: &str, _: &Event) {
        expected_panic("the observer")
    }
}

fn observer() {
    in_tokio(async {
        let moody = Moody::default();
        let builder = builder()
            .observer(Nervous)
            .remote(moody.clone(), MessagePack);
        let node = builder.loader(|_: String| ready(Ok::<_, LoadError>(Arc::from("value"))));
        let node = node.build().unwrap();
        assert_eq!(
            soon(node.load("key")).await.unwrap().as_deref(),
            Some("value")
        );
        assert!(node.peek("key").is_hit());
        moody.set(Mood::Broken);
        assert_eq!(node.invalidate("key").await, Reach::Pending);
        moody.set(Mood::Good);
        until("the removal was repeated", async || {
            node.activity().unconfirmed == 0
        })
        .await;
    });
}

fn insert_many() {
    /// Panics at one value.
    struct Squeamish;
    impl Codec<Arc<str>> for Squeamish {
        fn id(&self) -> u8 {
            201
        }
        fn encode(&self, value: &Arc<str>, out: &mut Vec<u8>) -> Result<(), BoxError> {
            if &**value == "bad" {
                expected_panic("the codec");
            }
            out.extend_from_slice(value.as_bytes());
            Ok(())
        }
        fn decode(&self, bytes: &[u8]) -> Result<Arc<str>, BoxError> {
            Ok(str::from_utf8(bytes)?.into())
        }
    }
    let node = builder()
        .remote(Moody::default(), Squeamish)
        .build()
        .unwrap();
    in_tokio(async {
        let entries = [("a", "1"), ("b", "bad"), ("c", "3")];
        let entries = entries.map(|(key, text)| (key.to_string(), Arc::<str>::from(text)));
        let inserted: Vec<_> = soon(node.insert_many(entries)).await.into_iter().collect();
        assert!(matches!(inserted[0].1, Ok(Reach::Everywhere)));
        assert!(matches!(inserted[1].1, Err(Error::Panicked(_))));
        assert!(matches!(inserted[2].1, Ok(Reach::Everywhere)));
        assert_eq!(node.activity(), Default::default(), "nothing is in doubt");
        assert!(node.peek("c").is_hit());
    });
}
