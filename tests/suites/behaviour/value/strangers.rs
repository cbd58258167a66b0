//! Values and bytes that a cache cannot read or write, and those that only look so.

use std::sync::Arc;

use jetcache_adapters::{Json, Memory};
use jetcache_core::{BoxError, Cached, Codec, Error, Reach};

use crate::behaviour::stage::face::Faced;
use crate::behaviour::stage::{Case, Cases, Stage, Value, brings, nobody, value};

pub(crate) const CASES: Cases<Case> = &[
    ("junk_in_l2_is_a_miss_and_is_healed", |s| Box::pin(junk(s))),
    ("another_codec_is_a_miss", |s| Box::pin(codec(s))),
    ("what_cannot_be_encoded_stays_in_l1", |s| {
        Box::pin(unencodable(s))
    }),
    ("any_string_survives", |s| Box::pin(any_string(s))),
    ("a_key_that_looks_like_a_lease_is_refused", |s| {
        Box::pin(lease_key(s))
    }),
];

async fn junk(stage: &Stage) {
    stage
        .plant(
            "key",
            b"* not an entry of ours, but long enough to be one *",
        )
        .await;
    stage.plant("short", b"*").await;
    let node = stage.node();
    assert_eq!(node.get("key").await, Cached::Miss);
    assert_eq!(
        node.get_or_load("key", brings("one")).await.unwrap(),
        Some(value("one"))
    );
    assert_eq!(
        node.get_or_load("short", brings("two")).await.unwrap(),
        Some(value("two"))
    );
    assert!(node.stats().undecodable >= 3);
    assert_eq!(stage.node().get("key").await, Cached::Hit(value("one")));
    assert_eq!(stage.node().get("short").await, Cached::Hit(value("two")));
}

async fn codec(stage: &Stage) {
    stage
        .node()
        .insert("key".into(), value("one"))
        .await
        .unwrap();
    let memory = Memory::new();
    let one = stage
        .host()
        .builder("mixed")
        .remote(memory.clone(), Json)
        .build()
        .unwrap()
        .faced();
    one.insert("key".into(), value("json")).await.unwrap();
    let builder = stage.host().builder("mixed");
    let two = builder
        .remote(memory, jetcache_adapters::Postcard)
        .build()
        .unwrap()
        .faced();
    assert_eq!(two.get("key").await, Cached::Miss);
    assert_eq!(two.stats().undecodable, 1);
}

/// Encodes only what begins with a y.
struct Picky;

impl Codec<Value> for Picky {
    fn id(&self) -> u8 {
        200
    }

    fn encode(&self, value: &Value, out: &mut Vec<u8>) -> Result<(), BoxError> {
        if !value.starts_with('y') {
            return Err("it does not begin with a y".into());
        }
        out.extend_from_slice(value.as_bytes());
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Value, BoxError> {
        Ok(Arc::new(String::from_utf8(bytes.to_vec())?))
    }
}

async fn unencodable(stage: &Stage) {
    let memory = Memory::new();
    let build = || {
        let builder = stage.host().builder("picky").remote(memory.clone(), Picky);
        builder.build().unwrap().faced()
    };
    let node = build();
    assert_eq!(
        node.get_or_load("key", brings("no")).await.unwrap(),
        Some(value("no"))
    );
    assert_eq!(node.peek("key"), Cached::Hit(value("no")));
    assert_eq!(node.stats().unencodable, 1);
    assert_eq!(build().get("key").await, Cached::Miss);
    stage
        .until("the lease is back", async || memory.leases() == 0)
        .await;
    assert_eq!(
        node.get_or_load("other", brings("yes")).await.unwrap(),
        Some(value("yes"))
    );
    let refused = node.insert("other".into(), value("no")).await;
    assert!(matches!(refused, Err(Error::Encode(_))));
    assert_eq!(
        node.get("other").await,
        Cached::Hit(value("yes")),
        "nothing was changed"
    );
}

async fn any_string(stage: &Stage) {
    let node = stage.node();
    for text in [
        "*",
        "",
        "\0",
        "null",
        "\u{c1}J\u{1}",
        "#lease",
        &"x".repeat(100_000),
    ] {
        node.insert(text.len().to_string(), value(text))
            .await
            .unwrap();
        let found = stage.node().get(&text.len().to_string()).await;
        assert_eq!(found, Cached::Hit(value(text)));
    }
}

async fn lease_key(stage: &Stage) {
    let node = stage.node();
    let one = || Some(value("one"));
    for key in ["key#lease", "{key}#lease"] {
        let loaded = node.get_or_load(key, brings("one")).await;
        assert_eq!(loaded.unwrap(), one());
        assert_eq!(node.peek(key).hit(), one(), "L1 has it");
        let again = node.get_or_load(key, nobody).await;
        assert_eq!(again.unwrap(), one());
        assert_eq!(stage.node().get(key).await, Cached::Miss, "L2 has nothing");

        let insert = node.insert(key.into(), value("two")).await;
        assert!(matches!(insert, Err(Error::Key(_))));
        let insert = node.insert_if_absent(key.into(), value("two")).await;
        assert!(matches!(insert, Err(Error::Key(_))));
        let written = node.write_through(key, nobody).await;
        assert!(
            matches!(written, Err(Error::Key(_))),
            "and no row is written"
        );
        assert_eq!(node.get(key).await.hit(), one(), "nothing was changed");
        assert_eq!(node.invalidate(key).await, Reach::Everywhere);
        assert_eq!(node.peek(key), Cached::Miss);
    }
    // What stands beside it goes its usual way.
    node.get_or_load("key", brings("one")).await.unwrap();
    assert_eq!(stage.node().get("key").await.hit(), one());
    assert_eq!(node.stats().remote_faults, 0);
    stage.until_quiet(&node).await;
}
