//! jetcache-go can read whatever is written here.

use std::time::Duration;

use jetcache_adapters::{MessagePack, Raw};
use jetcache_core::{Cached, LoadError};

use super::rows::{Form, Row};
use super::s2::unpacked;
use super::stage::Stage;
use super::types::Object;

/// Checks the bytes that were written for the value of a row. Returns whether they are the row's
/// own where they must be: there is more than one way to compress something.
pub(super) fn writes_like(row: &Row, bytes: &[u8]) -> bool {
    let wanted = row.bytes();
    let same = bytes == wanted;
    match (row.form, &*row.go_type) {
        (Form::Raw, "string" | "[]uint8" | "lock") => assert!(same, "{}", row.name),
        (Form::Raw, go_type) => {
            let [ours, theirs] = [bytes, &wanted]
                .map(|json| serde_json::from_slice::<serde_json::Value>(json).unwrap());
            // Rust writes a whole float with a point, and Go without one.
            let floats = go_type
                .starts_with("float")
                .then(|| (ours.as_f64(), theirs.as_f64()));
            let is_equal = floats.map_or(ours == theirs, |(ours, theirs)| ours == theirs);
            assert!(is_equal, "{}: {ours}", row.name);
        }
        (Form::Plain | Form::S2, go_type) => {
            let (ours, theirs) = (plain(bytes), plain(&wanted));
            // NaN is not equal to itself, but its bytes are.
            let is_equal = same || message(&ours) == message(&theirs);
            assert!(is_equal, "{}: {:?}", row.name, message(&ours));
            // Go writes these at full width, and readers take any width.
            let is_wide = go_type.contains("int8")
                || go_type.contains("int16")
                || go_type.contains("int32")
                || go_type.contains("int64")
                || ["time.Duration", "Dur", "Tagged", "[]interface {}"].contains(&go_type);
            assert!(same || is_wide || row.form == Form::S2, "{}", row.name);
        }
    }
    same && row.form != Form::S2
}

/// The MessagePack of a stored value, which is compressed if and only if it has 64 bytes.
fn plain(stored: &[u8]) -> Vec<u8> {
    let (last, payload) = stored.split_last().unwrap();
    let plain = match last {
        0 => payload.to_vec(),
        1 => unpacked(payload),
        other => panic!("a trailing byte {other}"),
    };
    assert_eq!(*last == 1, plain.len() >= 64);
    plain
}

fn message(mut bytes: &[u8]) -> rmpv::Value {
    let value = rmpv::decode::read_value(&mut bytes).unwrap();
    assert!(bytes.is_empty());
    value
}

#[tokio::test]
async fn a_value_is_compressed_from_64_bytes_on() {
    let stage = Stage::new();
    let cache = stage.builder(MessagePack).build().unwrap();
    for (text, size, last) in [(51, 63, 0), (52, 64, 1)] {
        let object = Object {
            text: "a".repeat(text),
            number: 42,
        };
        cache.insert("k".into(), object).await.unwrap();
        let stored = stage.go().get("shop:k").unwrap();
        assert_eq!((plain(&stored).len(), stored.last()), (size, Some(&last)));
    }
}

#[tokio::test]
async fn an_absence_is_an_asterisk_for_its_own_time() {
    let stage = Stage::new();
    let cache = stage
        .builder::<Object>(MessagePack)
        .negative_ttl(Duration::from_secs(30))
        .jitter(10, Duration::from_secs(2))
        .build()
        .unwrap();
    let loaded = cache
        .get_or_load("k", async || Ok::<Option<Object>, LoadError>(None))
        .await;
    assert_eq!(loaded.unwrap(), None);
    assert_eq!(stage.go().get("shop:k").unwrap(), b"*");
    let life = stage.go().life("shop:k");
    assert!((20_000..=30_000).contains(&life), "{life}");
}

#[tokio::test]
async fn a_life_is_kept_to_the_millisecond() {
    let stage = Stage::new();
    let builder = || stage.builder(Raw).jitter(0, Duration::ZERO);
    let long = builder()
        .ttl(Duration::from_millis(600_750))
        .build()
        .unwrap();
    long.insert("long".into(), "v".to_owned()).await.unwrap();
    let life = stage.go().life("shop:long");
    // The command took a while, so less than the whole life is left.
    assert!((590_000..=600_750).contains(&life), "{life}");
    let short = builder().ttl(Duration::from_millis(900)).build().unwrap();
    short.insert("short".into(), "v".to_owned()).await.unwrap();
    let life = stage.go().life("shop:short");
    assert!(life <= 900, "less than a second is not an hour: {life}");
    let loaded = short
        .get_or_load("loaded", async || Ok::<_, LoadError>("v".to_owned()))
        .await;
    assert_eq!(loaded.unwrap().as_deref(), Some("v"));
    assert!(stage.go().life("shop:loaded") <= 900);
    // L1 does not keep it longer than L2.
    while stage.go().get("shop:loaded").is_some() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(short.get("loaded").await, Cached::Miss);
}

#[tokio::test]
async fn strings_and_bytes_are_stored_as_they_are() {
    let stage = Stage::new();
    let texts = stage.builder(Raw).build().unwrap();
    let bytes = stage.builder(Raw).build().unwrap();
    // The last one begins like a native entry, whose end the server would stamp.
    for text in ["", "hello", "**", &"x".repeat(200)] {
        texts.insert("t".into(), text.to_owned()).await.unwrap();
        assert_eq!(stage.go().get("shop:t").unwrap(), text.as_bytes());
    }
    let envelope = [&b"\xC1J\x01\0"[..], &[0; 60]].concat();
    for value in [&b""[..], &[0, 1, 2, 255], &envelope] {
        bytes.insert("b".into(), value.to_vec()).await.unwrap();
        assert_eq!(stage.go().get("shop:b").unwrap(), value);
        let other = stage.builder::<Vec<u8>>(Raw).build().unwrap();
        assert_eq!(other.get("b").await, Cached::Hit(value.to_vec()));
    }
}

#[tokio::test]
async fn a_value_as_long_as_may_be_is_read_though_its_block_is_longer() {
    let stage = Stage::new();
    let builder = || stage.builder(MessagePack).max_value_size(1000);
    let mut random = fastrand::Rng::with_seed(7);
    let text: String = (0..987).map(|_| random.alphanumeric()).collect();
    let object = Object { text, number: 42 };
    let cache = builder().build().unwrap();
    cache.insert("k".into(), object.clone()).await.unwrap();
    let stored = stage.go().get("shop:k").unwrap();
    assert_eq!(plain(&stored).len(), 1000);
    assert!(stored.len() > 1001, "a block that is longer");
    let other = builder().build().unwrap();
    assert_eq!(other.get("k").await, Cached::Hit(object));
}
