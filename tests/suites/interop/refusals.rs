//! Values that the Go format cannot hold are refused, and the error says so.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jetcache_adapters::{Json, MessagePack, Postcard, Raw, S2};
use jetcache_core::{
    BoxError, Cached, Codec, Compression, EntryFormat, EntryKind, Error, Event, Holder, InL2,
    Inspection, LoadError, Observer, Unreadable, Wire,
};
use serde::{Serialize, Serializer};

use super::stage::Stage;
use super::types::Object;

#[tokio::test]
async fn the_placeholder_is_no_value() {
    let stage = Stage::new();
    let cache = stage.builder(Raw).build().unwrap();
    cache.insert("k".into(), "old".to_owned()).await.unwrap();
    let star = || "*".to_owned();
    let refused = [
        cache.insert("k".into(), star()).await.map(drop),
        cache.insert_if_absent("n".into(), star()).await.map(drop),
        cache.insert_if_present("k".into(), star()).await.map(drop),
    ];
    for refused in refused {
        let error = refused.unwrap_err();
        assert!(matches!(error, Error::Encode(_)), "{error}");
        assert!(error.to_string().contains("inside something"), "{error}");
    }
    assert_eq!(cache.peek("k"), Cached::Hit("old".into()));
    assert_eq!(cache.peek("n"), Cached::Miss);
    assert_eq!(stage.go().get("shop:k").unwrap(), b"old");
    let keys: Vec<String> = stage.go().run("KEYS", &["*"]);
    assert_eq!(keys, ["shop:k"], "no lease either");
}

#[tokio::test]
async fn a_loaded_placeholder_is_answered_and_kept_in_l1_only() {
    let stage = Stage::new();
    let cache = stage.builder(Raw).build().unwrap();
    let loaded = cache
        .get_or_load("k", async || Ok::<_, LoadError>("*".to_owned()))
        .await;
    assert_eq!(loaded.unwrap().as_deref(), Some("*"));
    assert_eq!(cache.peek("k"), Cached::Hit("*".into()));
    let stats = cache.stats();
    assert_eq!((stats.unencodable, stats.remote_faults), (1, 0));
    assert_eq!(stage.go().get("shop:k"), None);
    // The lease is given back by a task.
    while stage.go().run::<u64>("DBSIZE", &[]) != 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
struct Broken(u8);

impl Serialize for Broken {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it cannot be written"))
    }
}

#[tokio::test]
async fn what_cannot_be_encoded_is_never_taken_for_absent() {
    let stage = Stage::new();
    let cache = stage.builder(MessagePack).build().unwrap();
    let refused = cache.insert("k".into(), Broken(1)).await.unwrap_err();
    assert!(matches!(refused, Error::Encode(_)), "{refused}");
    let loaded = cache
        .get_or_load("k", async || Ok::<_, LoadError>(Broken(2)))
        .await;
    assert_eq!(loaded.unwrap(), Some(Broken(2)));
    assert_eq!(cache.peek("k"), Cached::Hit(Broken(2)));
    assert_eq!(stage.go().get("shop:k"), None);
    let other = stage.builder::<Broken>(MessagePack).build().unwrap();
    assert_eq!(other.get("k").await, Cached::Miss);
}

/// A codec of a user's own.
struct Own;

impl Codec<String> for Own {
    fn id(&self) -> u8 {
        128
    }

    fn encode(&self, value: &String, out: &mut Vec<u8>) -> Result<(), BoxError> {
        Raw.encode(value, out)
    }

    fn decode(&self, bytes: &[u8]) -> Result<String, BoxError> {
        Raw.decode(bytes)
    }
}

/// A codec that compresses.
struct Packed;

impl Codec<Object> for Packed {
    fn id(&self) -> u8 {
        Codec::<Object>::id(&MessagePack)
    }

    fn encode(&self, value: &Object, out: &mut Vec<u8>) -> Result<(), BoxError> {
        MessagePack.encode(value, out)
    }

    fn decode(&self, bytes: &[u8]) -> Result<Object, BoxError> {
        MessagePack.decode(bytes)
    }

    fn compression(&self) -> Option<(&dyn Compression, usize)> {
        Some((&S2, 64))
    }
}

#[test]
fn what_does_not_go_together_is_not_built() {
    fn built<V>(codec: impl Codec<V>, s2: bool) -> Result<(), String>
    where
        V: Clone + Send + Sync + 'static,
    {
        let builder =
            jetcache_core::Cache::<String, V>::builder("shop", jetcache_tokio::Tokio::new())
                .remote(jetcache_adapters::Memory::new(), codec)
                .wire(Wire::JetcacheGo);
        let builder = if s2 {
            builder.decompress(Arc::new(S2))
        } else {
            builder
        };
        match builder.build() {
            Ok(_) => Ok(()),
            Err(Error::Config(why)) => Err(why.to_string()),
            Err(other) => panic!("{other}"),
        }
    }
    let refused = |built: Result<(), String>, word: &str| {
        let why = built.unwrap_err();
        assert!(why.contains(word), "{why}");
    };
    refused(built::<String>(MessagePack, true), "Raw");
    refused(built::<Arc<str>>(MessagePack, true), "Raw");
    refused(built::<Arc<String>>(Json, true), "Raw");
    refused(built::<Vec<u8>>(Json, true), "Raw");
    refused(built::<Box<[u8]>>(Postcard, true), "Raw");
    refused(built::<Object>(MessagePack, false), "s2");
    refused(built::<Object>(Packed, true), "compress");
    built::<Object>(MessagePack, true).unwrap();
    built::<Option<String>>(MessagePack, true).unwrap();
    built::<Object>(Json, false).unwrap();
    built::<Arc<String>>(Raw, false).unwrap();
    built::<Arc<Vec<u8>>>(Raw, false).unwrap();
    built::<String>(Own, false).unwrap();
}

/// Notes what cannot be read.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<(String, Unreadable)>>>);

impl Observer for Diary {
    fn on(&self, _: &str, event: &Event) {
        if let Event::Undecodable { key, why } = event {
            self.0.lock().unwrap().push((key.to_string(), why.clone()));
        }
    }
}

#[tokio::test]
async fn what_cannot_be_read_says_why() {
    let stage = Stage::new();
    let diary = Diary::default();
    let builder = stage.builder(MessagePack).observer(diary.clone());
    let cache = builder.build().unwrap();
    let why_of = async |bytes: &[u8]| {
        stage.go().set("shop:k", bytes);
        let found: Cached<u32> = cache.get("k").await;
        assert_eq!(found, Cached::Miss);
        let seen = core::mem::take(&mut *diary.0.lock().unwrap());
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert_eq!(seen[0].0, "shop:k");
        seen[0].1.clone()
    };
    assert_eq!(why_of(b"").await, Unreadable::Trailer(None));
    assert_eq!(why_of(b"\x07\x09").await, Unreadable::Trailer(Some(9)));
    let text = why_of(b"{\"Num\":1}").await.to_string();
    assert!(text.contains("its last byte is 0x7d"), "{text}");
    let why = why_of(b"\xc1\x00").await;
    assert!(matches!(why, Unreadable::Decode { codec: 1, .. }), "{why}");
    let why = why_of(b"\xff\xff\xff\x01").await;
    assert!(
        matches!(why, Unreadable::Decompress { compression: 3, .. }),
        "{why}"
    );
    assert_eq!(cache.stats().undecodable, 5);
}

#[tokio::test]
async fn an_inspection_shows_what_go_has_written() {
    let stage = Stage::new();
    let cache = stage.builder(MessagePack).build().unwrap();
    let look = async |bytes: &[u8]| {
        stage.go().set("shop:k", bytes);
        let seen = cache.inspect("k").await;
        match seen.l2 {
            InL2::Answered {
                entry: Some(entry),
                lease,
            } => {
                assert_eq!(lease.holder, Holder::Nobody);
                assert_eq!(entry.size, bytes.len());
                entry
            }
            other => panic!("{other:?}"),
        }
    };
    let seen = look(b"\x07\x00").await;
    assert_eq!(seen.format, EntryFormat::JetcacheGo);
    assert_eq!(seen.kind, Some(EntryKind::Value));
    assert_eq!(
        (seen.codec_name(), seen.compression),
        (Some("MessagePack"), Some(0))
    );
    assert!(
        seen.left
            .is_some_and(|left| left <= Duration::from_secs(60))
    );
    assert_eq!((seen.life, seen.age, &seen.unreadable), (None, None, &None));
    let text = seen.to_string();
    assert!(
        text.starts_with("a value in the format of jetcache-go, 2 bytes"),
        "{text}"
    );
    let absent = look(b"*").await;
    assert_eq!(
        (absent.kind, absent.codec),
        (Some(EntryKind::NotFound), None)
    );
    assert_eq!(
        look(b"\x07\x09").await.unreadable,
        Some(Unreadable::Trailer(Some(9)))
    );
    let s2 = look(b"\xff\xff\x01").await;
    assert_eq!(s2.compression_name(), Some("S2"));
    assert!(s2.unreadable.is_some());
    // What has no end lives for ever.
    let () = stage.go().run("PERSIST", &["shop:k"]);
    let seen: Inspection = cache.inspect("k").await;
    assert!(seen.to_string().contains("fresh for ever"), "{seen}");
    let found: Cached<u32> = cache.peek("k");
    assert_eq!(found, Cached::Miss);
}
