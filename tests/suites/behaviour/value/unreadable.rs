//! What cannot be read says why: in its event, and in the log.

use std::sync::{Arc, Mutex};

use jetcache_adapters::{Lz4, MessagePack};
use jetcache_core::machine::tier::envelope;
use jetcache_core::{
    BoxError, Cached, Codec, Compression, Event, LoadError, Observer, Unreadable, roll,
};

use crate::behaviour::stage::face::Faced;
use crate::behaviour::stage::{
    Case, Cases, Log, Node, Stage, Value, brings, expected_panic, value,
};
use crate::behaviour::value::bytes::{entry, packed};

pub(crate) const CASES: Cases<Case> = &[
    ("what_is_unreadable_says_why_once_a_read", |s| {
        Box::pin(why(s))
    }),
    ("what_is_unreadable_is_logged_with_its_key_once", |s| {
        Box::pin(logged(s))
    }),
    ("a_batch_and_a_load_say_why_as_well", |s| Box::pin(batch(s))),
    ("a_codec_that_panics_is_named", |s| Box::pin(panics(s))),
];

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

impl Diary {
    fn take(&self) -> Vec<(String, Unreadable)> {
        core::mem::take(&mut *self.0.lock().unwrap())
    }
}

fn watched(stage: &Stage) -> (Node, Diary) {
    let diary = Diary::default();
    let builder = stage.builder().observer(diary.clone()).max_value_size(100);
    (builder.build().unwrap().faced(), diary)
}

/// Bytes, whether this is why they cannot be read, and what that says.
type Unread = (Vec<u8>, fn(&Unreadable) -> bool, &'static str);

async fn why(stage: &Stage) {
    let good = packed("good");
    let mut newer = entry(1, 0, &good);
    newer[2] = 9;
    let mut damaged = entry(1, 0, &good);
    *damaged.last_mut().unwrap() ^= 1;
    let mut block = Vec::new();
    Lz4.compress(&packed(&"x".repeat(5000)), &mut block)
        .unwrap();
    let cases: &[Unread] = &[
        (
            b"* no entry of this project at all, and a long text *".to_vec(),
            |why| *why == Unreadable::Foreign,
            "something else writes",
        ),
        (newer, |why| *why == Unreadable::Version(9), "version 9"),
        (damaged, |why| *why == Unreadable::Damaged, "damaged"),
        (
            entry(2, 0, b"\"json\""),
            |why| {
                let (written, ours) = (2, 1);
                *why == Unreadable::Codec { written, ours }
            },
            "by the codec Json, and this cache has MessagePack",
        ),
        (
            entry(200, 0, b""),
            |why| matches!(why, Unreadable::Codec { written: 200, .. }),
            "number 200 (a user's own)",
        ),
        (
            entry(1, 77, &good),
            |why| *why == Unreadable::Compression(77),
            "give the builder `decompress`",
        ),
        (
            entry(1, 1, b"\xff\xff"),
            |why| matches!(why, Unreadable::Decompress { compression: 1, .. }),
            "LZ4 cannot decompress it: ",
        ),
        (
            entry(1, 1, &block),
            |why| matches!(why, Unreadable::Decompress { compression: 1, .. }),
            "LZ4 cannot decompress it: ",
        ),
        (
            entry(1, 0, &packed(&"x".repeat(200))),
            |why| {
                matches!(
                    why,
                    Unreadable::TooLarge {
                        size: 200..,
                        limit: 100
                    }
                )
            },
            "more than max_value_size (100)",
        ),
        (
            entry(1, 0, &[0x81, 0xA1, b'a', 7]),
            |why| matches!(why, Unreadable::Decode { codec: 1, .. }),
            "MessagePack cannot decode it: ",
        ),
    ];
    let (node, diary) = watched(stage);
    for (at, (bytes, is_it, text)) in cases.iter().enumerate() {
        let key = at.to_string();
        stage.plant(&key, bytes).await;
        for _ in 0..2 {
            assert_eq!(node.get(&key).await, Cached::Miss, "{text}");
            let seen = diary.take();
            let [(seen_key, why)] = &seen[..] else {
                panic!("{text}: {seen:?}");
            };
            assert_eq!(*seen_key, stage.key(&key));
            assert!(is_it(why), "{text}: {why:?}");
            assert!(why.to_string().contains(text), "{why}");
        }
    }
    assert_eq!(node.stats().undecodable, 2 * cases.len() as u64);
}

async fn logged(stage: &Stage) {
    let log = Log::capture();
    let node = stage.node();
    // The same case runs over several stores, with one log.
    let [first, second] = ["first", "second"].map(|key| format!("{key}{:x}", roll()));
    for key in [&first, &second] {
        stage.plant(key, &entry(1, 0, &[0xC1])).await;
    }
    for key in [&first, &first, &second] {
        assert_eq!(node.get(key).await, Cached::Miss);
    }
    // What the codec itself says.
    let own: Result<Value, BoxError> = MessagePack.decode(&[0xC1]);
    let text = format!(
        "cannot be read and counts as a miss; it stands there until its key is loaded anew \
         cache=\"users\" key=\"{}\" fault=MessagePack cannot decode it: {}",
        stage.key(&first),
        own.unwrap_err()
    );
    assert_eq!(log.count(&text), 1, "{text}");
    assert_eq!(log.count(&second), 0, "once in ten seconds");
    // Another cache has a turn of its own.
    assert_eq!(stage.node().get(&second).await, Cached::Miss);
    assert_eq!(log.count(&format!("key=\"{}\"", stage.key(&second))), 1);
}

async fn batch(stage: &Stage) {
    let (node, diary) = watched(stage);
    let keys = ["0", "1", "2"];
    for key in ["0", "2"] {
        stage.plant(key, &entry(2, 0, b"")).await;
    }
    let is_codec = |seen: &[(String, Unreadable)]| {
        let (written, ours) = (2, 1);
        let codec = Unreadable::Codec { written, ours };
        seen.iter().all(|(_, why)| *why == codec)
    };
    node.get_many(keys).await;
    let mut seen = diary.take();
    seen.sort_by(|one, other| one.0.cmp(&other.0));
    let planted = ["0", "2"].map(|key| stage.key(key));
    let seen_keys: Vec<&String> = seen.iter().map(|(key, _)| key).collect();
    assert_eq!(seen_keys, planted.iter().collect::<Vec<_>>());
    assert!(is_codec(&seen), "{seen:?}");
    // A load looks twice: before it asks for its lease, and with it.
    let loaded = node.get_or_load("0", brings("new")).await;
    assert_eq!(loaded.unwrap(), Some(value("new")));
    let seen = diary.take();
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!(is_codec(&seen), "{seen:?}");
    let loader = async |missing: Vec<String>| {
        let loads = missing.into_iter().map(|key| (key, value("new")));
        Ok::<_, LoadError>(loads.collect::<Vec<_>>())
    };
    node.get_many_or_load(keys, loader).await;
    let seen = diary.take();
    assert!(!seen.is_empty() && is_codec(&seen), "{seen:?}");
    assert!(
        seen.iter().all(|(key, _)| *key == stage.key("2")),
        "{seen:?}"
    );
}

/// Cannot read at all.
struct Nervous;

impl Codec<Value> for Nervous {
    fn id(&self) -> u8 {
        1
    }

    fn encode(&self, value: &Value, out: &mut Vec<u8>) -> Result<(), BoxError> {
        MessagePack.encode(value, out)
    }

    fn decode(&self, _: &[u8]) -> Result<Value, BoxError> {
        expected_panic("no nerves")
    }
}

async fn panics(stage: &Stage) {
    let diary = Diary::default();
    let builder = stage.builder_with(Nervous).observer(diary.clone());
    let node = builder.build().unwrap().faced();
    let bytes = entry(1, 0, &packed("good"));
    assert!(envelope::parse(&bytes).is_ok());
    stage.plant("key", &bytes).await;
    assert_eq!(node.get("key").await, Cached::Miss);
    let panicked = Unreadable::Panicked("no nerves".into());
    assert_eq!(diary.take(), [(stage.key("key"), panicked)]);
}
