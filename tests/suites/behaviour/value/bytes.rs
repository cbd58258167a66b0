//! The bytes in L2: compressed, too long, damaged, foreign, or a bomb.

use std::time::Duration;

use jetcache_adapters::{Compressed, Lz4, MessagePack, Raw, S2, Zstd, compressions};
use jetcache_core::machine::generations::scope::Mark;
use jetcache_core::machine::tier::envelope::{self, END_AT, HEADER};
use jetcache_core::{BoxError, Builder, Cached, Codec, Compression, Error, LoadError, Wire};

use crate::behaviour::stage::face::Faced;
use crate::behaviour::stage::{Case, Cases, Node, Stage, Value, brings, nobody, value};

pub(crate) const CASES: Cases<Case> = &[
    ("whatever_compressed_it_everyone_reads_it", |s| {
        Box::pin(compressed(s))
    }),
    ("only_what_is_long_and_becomes_shorter_is_compressed", |s| {
        Box::pin(threshold(s))
    }),
    ("junk_is_counted_left_alone_and_healed_by_a_load", |s| {
        Box::pin(junk(s))
    }),
    ("any_flipped_bit_is_a_miss", |s| Box::pin(flipped(s))),
    ("any_truncation_is_a_miss", |s| Box::pin(truncated(s))),
    ("a_bomb_is_a_miss", |s| Box::pin(bomb(s))),
    ("too_large_is_an_error_on_insert_only", |s| {
        Box::pin(too_large(s))
    }),
    ("one_of_a_batch_that_is_too_large_holds_up_none", |s| {
        Box::pin(one_too_large(s))
    }),
    ("ten_megabytes_come_through", |s| Box::pin(ten_megabytes(s))),
    ("compressions_that_cannot_work_are_refused", |s| {
        Box::pin(refused(s))
    }),
];

fn long() -> Value {
    value(&"a long text that says the same again and again; ".repeat(200))
}

/// The payload of an entry of L2.
async fn payload(stage: &Stage, id: &str) -> Vec<u8> {
    let bytes = stage.bytes(id).await.unwrap();
    bytes[HEADER..].to_vec()
}

async fn compressed(stage: &Stage) {
    let plain = || stage.builder().build().unwrap().faced();
    let writers = [
        stage.builder_with(Compressed::new(MessagePack, Lz4)),
        stage.builder_with(Compressed::new(MessagePack, Zstd::new())),
        stage.builder_with(Compressed::new(MessagePack, S2)),
        stage.builder(),
    ];
    for (i, writer) in writers.into_iter().enumerate() {
        let (writer, id) = (writer.build().unwrap().faced(), i.to_string());
        let text = value(&format!("{i} {}", long()));
        if i % 2 == 0 {
            writer.insert(id.clone(), text.clone()).await.unwrap();
        } else {
            writer.get_or_load(&id, brings(&text)).await.unwrap();
        }
        assert_eq!(payload(stage, &id).await.len() < 2000, i < 3, "number {i}");
        let other = stage.builder_with(Compressed::new(MessagePack, Lz4));
        for reader in [plain(), other.build().unwrap().faced()] {
            assert_eq!(reader.get(&id).await, Cached::Hit(text.clone()));
        }
    }
}

async fn threshold(stage: &Stage) {
    let node = |above| {
        let codec = Compressed::new(Raw, Lz4).above(above);
        // `Raw` cannot encode the stage's values, so `Text` wraps it.
        stage.builder_with(Text(codec)).build().unwrap().faced()
    };
    let text = "x".repeat(500);
    node(500).insert("at".into(), value(&text)).await.unwrap();
    assert_eq!(payload(stage, "at").await, text.as_bytes());
    node(499)
        .insert("above".into(), value(&text))
        .await
        .unwrap();
    assert!(payload(stage, "above").await.len() < 50);
    // Text that LZ4 would make longer.
    let odd: String = (0..200)
        .map(|i| char::from(32 + (i * i * 7 % 94) as u8))
        .collect();
    let odd = &odd[..40];
    node(0).insert("odd".into(), value(odd)).await.unwrap();
    assert_eq!(payload(stage, "odd").await, odd.as_bytes());
    let reader = node(0);
    assert_eq!(reader.get("odd").await, Cached::Hit(value(odd)));
    assert_eq!(reader.get("above").await, Cached::Hit(value(&text)));
}

/// Makes a codec of strings one of the stage's values.
struct Text<C>(C);

impl<C: Codec<String>> Codec<Value> for Text<C> {
    fn id(&self) -> u8 {
        self.0.id()
    }

    fn encode(&self, value: &Value, out: &mut Vec<u8>) -> Result<(), BoxError> {
        self.0.encode(value, out)
    }

    fn decode(&self, bytes: &[u8]) -> Result<Value, BoxError> {
        Ok(self.0.decode(bytes)?.into())
    }

    fn compression(&self) -> Option<(&dyn Compression, usize)> {
        self.0.compression()
    }
}

/// An entry with these numbers of codec and compression, and this payload.
pub(crate) fn entry(codec: u8, compression: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    envelope::open(&mut bytes, Some(codec));
    envelope::compressed(&mut bytes, compression);
    // Whatever was raised until now, it is alive.
    envelope::born(&mut bytes, Mark::new(1 << 52));
    bytes.extend_from_slice(payload);
    envelope::seal(&mut bytes, Duration::from_secs(60), Duration::ZERO);
    bytes
}

pub(crate) fn packed(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    MessagePack.encode(&text.to_owned(), &mut bytes).unwrap();
    bytes
}

/// Checks that these bytes are a miss each time they are read, are counted, and stay where they
/// are.
async fn is_junk(stage: &Stage, bytes: &[u8], what: &str) {
    stage.plant("junk", bytes).await;
    let planted = stage.bytes("junk").await;
    let node = stage.node();
    for seen in 1..=3 {
        assert_eq!(node.get("junk").await, Cached::Miss, "{what}");
        assert_eq!(node.stats().undecodable, seen, "{what}");
    }
    assert_eq!(stage.bytes("junk").await, planted, "{what} was touched");
}

/// Checks that one load heals the key, for this node and the others.
async fn is_healed(stage: &Stage, what: &str) {
    let node = stage.node();
    let loaded = node.get_or_load("junk", brings("healed")).await.unwrap();
    assert_eq!(loaded, Some(value("healed")), "{what}");
    let other = stage.node();
    assert_eq!(other.get_or_load("junk", nobody).await.unwrap(), loaded);
    assert_eq!(other.stats().undecodable, 0, "{what}");
    node.invalidate("junk").await;
}

async fn junk(stage: &Stage) {
    let good = packed("good");
    let mut newer = entry(1, 0, &good);
    newer[2] += 1;
    let cases: &[(&str, Vec<u8>)] = &[
        ("another codec", entry(2, 0, b"\"json\"")),
        ("an unknown codec", entry(200, 0, &good)),
        ("an unknown compression", entry(1, 77, &good)),
        ("what no compression wrote", entry(1, 1, &good)),
        ("a newer version of the header", newer),
        ("another type", entry(1, 0, &[0x81, 0xA1, b'a', 7])),
        ("nothing", entry(1, 0, b"")),
        (
            "bytes after the value",
            entry(1, 0, &[&good[..], &good].concat()),
        ),
        ("no entry", b"*".to_vec()),
        ("no entry, and long", vec![b'*'; 100]),
        ("no bytes", Vec::new()),
        (
            "a length of four gigabytes",
            entry(1, 0, &[0xDB, 0xFF, 0xFF, 0xFF, 0xFF]),
        ),
    ];
    for (what, bytes) in cases {
        is_junk(stage, bytes, what).await;
        is_healed(stage, what).await;
    }
}

async fn flipped(stage: &Stage) {
    let good = entry(1, 0, &packed("good"));
    let node = stage.builder().no_local().build().unwrap().faced();
    stage.plant("junk", &good).await;
    assert!(node.get("junk").await.is_hit());
    let mut junk = 0;
    for bit in 0..good.len() * 8 {
        // The server stamps the end of an entry itself.
        if (END_AT..END_AT + 8).contains(&(bit / 8)) {
            continue;
        }
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        stage.plant("junk", &bytes).await;
        assert_eq!(node.get("junk").await, Cached::Miss, "bit {bit}");
        junk += 1;
        assert_eq!(node.stats().undecodable, junk, "bit {bit}");
    }
    is_healed(stage, "the last one").await;
}

async fn truncated(stage: &Stage) {
    let mut block = Vec::new();
    Lz4.compress(&packed(&long()), &mut block).unwrap();
    for (compression, payload) in [(0, packed("good")), (1, block)] {
        let good = entry(1, compression, &payload);
        for len in (0..good.len()).rev().step_by(3) {
            is_junk(stage, &good[..len], &format!("{len} bytes")).await;
        }
        // Cut off in front of the checksum.
        let cut = entry(1, compression, &payload[..payload.len() - 1]);
        is_junk(stage, &cut, "a payload that is cut short").await;
    }
    is_healed(stage, "the last one").await;
}

async fn bomb(stage: &Stage) {
    for method in compressions() {
        let plain = [&[0xDB, 0x05, 0, 0, 0][..], &vec![b'x'; 0x0500_0000]].concat();
        let mut payload = Vec::new();
        method.compress(&plain, &mut payload).unwrap();
        assert!(payload.len() < plain.len() / 100);
        let bytes = entry(1, method.id(), &payload);
        is_junk(stage, &bytes, "a bomb").await;
        is_healed(stage, "a bomb").await;
    }
}

async fn too_large(stage: &Stage) {
    let limited =
        |builder: Builder<_, _>| -> Node { builder.max_value_size(100).build().unwrap().faced() };
    // The limit counts before compression, however short the value becomes.
    let codec = Compressed::new(MessagePack, Lz4).above(0);
    let nodes = [limited(stage.builder()), limited(stage.builder_with(codec))];
    let (fits, long) = (value(&"x".repeat(98)), value(&"x".repeat(99)));
    for node in &nodes {
        node.insert("key".into(), fits.clone()).await.unwrap();
        assert_eq!(stage.node().get("key").await, Cached::Hit(fits.clone()));
        let refused = node.insert("key".into(), long.clone()).await;
        let (size, limit) = match refused {
            Err(Error::TooLarge { size, limit }) => (size, limit),
            other => panic!("{other:?}"),
        };
        assert_eq!((size, limit), (101, 100));
        let refused = node.insert_if_present("key".into(), long.clone()).await;
        assert!(matches!(refused, Err(Error::TooLarge { .. })));
        assert_eq!(node.peek("key"), Cached::Hit(fits.clone()));
        assert_eq!(stage.node().get("key").await, Cached::Hit(fits.clone()));
        // The callers of a load are answered, and L1 keeps the value.
        let loaded = node.get_or_load("loaded", brings(&long)).await.unwrap();
        assert_eq!(loaded, Some(long.clone()));
        assert_eq!(node.peek("loaded"), Cached::Hit(long.clone()));
        assert_eq!((node.stats().too_large, node.stats().unencodable), (1, 0));
        assert_eq!(stage.bytes("loaded").await, None);
        stage.until_quiet(node).await;
        // The lease was given back: another node need not wait for it.
        let other = stage.node();
        other.get_or_load("loaded", brings("other")).await.unwrap();
        assert_eq!(
            stage.node().get("loaded").await,
            Cached::Hit(value("other"))
        );
        other.invalidate("loaded").await;
    }
    // A value of another node that is too long is a miss.
    for codec in [0, 1] {
        let builder = match codec {
            0 => stage.builder(),
            _ => stage.builder_with(Compressed::new(MessagePack, Zstd::new()).above(0)),
        };
        let writer = builder.build().unwrap().faced();
        writer.insert("big".into(), long.clone()).await.unwrap();
        let node = limited(stage.builder());
        assert_eq!(node.get("big").await, Cached::Miss);
        assert_eq!(node.stats().undecodable, 1);
    }
}

async fn one_too_large(stage: &Stage) {
    let node = stage.builder().max_value_size(100).build().unwrap().faced();
    let (short, long) = (value("short"), value(&"x".repeat(99)));
    let entry = |id: &str, value: &Value| (id.to_owned(), value.clone());
    let entries = [entry("a", &short), entry("b", &long), entry("c", &short)];
    let batch = node.insert_many(entries).await;
    let failed: Vec<_> = batch.errors().collect();
    assert!(
        matches!(failed[..], [(id, Error::TooLarge { size: 101, .. })] if id == "b"),
        "{failed:?}"
    );
    assert_eq!(stage.node().get("b").await, Cached::Miss);
    assert_eq!(stage.node().get("c").await, Cached::Hit(short.clone()));
    let ids = ["d", "e", "f"];
    let load = async |ids: Vec<String>| {
        let rows = ids.into_iter().map(|id| {
            let value = if id == "e" { &long } else { &short };
            (id, value.clone())
        });
        Ok::<Vec<_>, LoadError>(rows.collect())
    };
    let loaded = node.get_many_or_load(ids, load).await;
    let wanted = [&short, &long, &short].map(|value| Some(value.clone()));
    assert_eq!(loaded.into_values().unwrap(), wanted);
    assert_eq!(node.stats().too_large, 1);
    assert_eq!(node.peek("e"), Cached::Hit(long.clone()));
    assert_eq!(stage.node().get("e").await, Cached::Miss);
    assert_eq!(stage.node().get("f").await, Cached::Hit(short));
    stage.until_quiet(&node).await;
}

async fn ten_megabytes(stage: &Stage) {
    let text: String = ('!'..='~').cycle().take(10 << 20).collect();
    let patient = |builder: Builder<_, _>| -> Node {
        builder
            .remote_timeout(Duration::from_secs(20))
            .build()
            .unwrap()
            .faced()
    };
    for i in 0..4 {
        let node = || {
            patient(match i {
                0 => stage.builder(),
                1 => stage.builder_with(Compressed::new(MessagePack, Lz4)),
                2 => stage.builder_with(Compressed::new(MessagePack, Zstd::new())),
                _ => stage.builder_with(Compressed::new(MessagePack, S2)),
            })
        };
        let (one, two) = (node(), node());
        one.insert("inserted".into(), value(&text)).await.unwrap();
        assert!(two.get("inserted").await == Cached::Hit(value(&text)));
        let loaded = one.get_or_load("loaded", brings(&text)).await.unwrap();
        assert!(loaded == two.get_or_load("loaded", nobody).await.unwrap());
        assert_eq!(two.stats().remote_hits, 2);
        one.invalidate("inserted").await;
        one.invalidate("loaded").await;
    }
}

/// Claims the number that means "not compressed".
struct Zero;

impl Compression for Zero {
    fn id(&self) -> u8 {
        0
    }

    fn compress(&self, _: &[u8], _: &mut Vec<u8>) -> Result<(), BoxError> {
        Err("not at all".into())
    }

    fn decompress(&self, _: &[u8], _: usize, _: &mut Vec<u8>) -> Result<(), BoxError> {
        Err("not at all".into())
    }
}

async fn refused(stage: &Stage) {
    let wrong = [
        stage.builder().max_value_size(0),
        stage.builder_with(Compressed::new(MessagePack, Zero)),
        stage.builder().decompress(std::sync::Arc::new(Zero)),
        stage
            .builder_with(Compressed::new(MessagePack, S2))
            .wire(Wire::JetcacheGo),
    ];
    for (i, builder) in wrong.into_iter().enumerate() {
        let built = builder.build();
        assert!(matches!(built, Err(Error::Config(_))), "number {i}");
    }
    // If the method refuses, the value is stored as it is.
    let codec = Compressed::new(MessagePack, Refuses).above(0);
    let node = stage.builder_with(codec).build().unwrap().faced();
    node.get_or_load("key", async || Ok::<_, LoadError>(value("plain")))
        .await
        .unwrap();
    assert_eq!(stage.node().get("key").await, Cached::Hit(value("plain")));
    assert_eq!(node.stats().unencodable, 0);
}

struct Refuses;

impl Compression for Refuses {
    fn id(&self) -> u8 {
        200
    }

    fn compress(&self, _: &[u8], out: &mut Vec<u8>) -> Result<(), BoxError> {
        out.push(7);
        Err("after some bytes".into())
    }

    fn decompress(&self, _: &[u8], _: usize, _: &mut Vec<u8>) -> Result<(), BoxError> {
        Err("not at all".into())
    }
}
