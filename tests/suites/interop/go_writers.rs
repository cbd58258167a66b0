//! A service in Go that knows nothing of leases writes at any moment, and its value wins.

use jetcache_adapters::{MessagePack, Raw};
use jetcache_core::{Cached, LoadError, Reach};

use super::stage::{Go, Meddled, Stage, builder};
use super::types::Object;

/// A loader that brings `v0` while a Go service does something.
async fn meanwhile(go: impl FnOnce()) -> Result<String, LoadError> {
    go();
    Ok("v0".into())
}

#[tokio::test]
async fn what_go_sets_during_a_load_stays() {
    let stage = Stage::new();
    let cache = stage.builder(Raw).build().unwrap();
    let go = stage.go();
    let loaded = cache
        .get_or_load("k", || meanwhile(|| go.set("shop:k", b"v1")))
        .await;
    assert_eq!(
        loaded.unwrap().as_deref(),
        Some("v0"),
        "its caller has waited for it"
    );
    assert_eq!(go.get("shop:k").unwrap(), b"v1");
    assert_eq!(
        cache.peek("k"),
        Cached::Miss,
        "the older value is kept nowhere"
    );
    assert_eq!(cache.get("k").await, Cached::Hit("v1".into()));
    assert_eq!(go.get("{shop:k}#lease"), None);
}

#[tokio::test]
async fn what_go_sets_within_an_insert_stays() {
    let stage = Stage::new();
    let go = stage.go();
    let cache = builder(
        Meddled {
            redis: stage.redis(),
            before_fill: move || go.set("shop:k", b"v1"),
        },
        Raw,
    )
    .build()
    .unwrap();
    let reach = cache.insert("k".into(), "v0".to_owned()).await.unwrap();
    assert_eq!(reach, Reach::Everywhere);
    assert_eq!(stage.go().get("shop:k").unwrap(), b"v1");
    assert_eq!(cache.peek("k"), Cached::Miss);
    assert_eq!(cache.get("k").await, Cached::Hit("v1".into()));
}

#[tokio::test]
async fn a_conditional_insert_is_judged_by_what_go_set() {
    let stage = Stage::new();
    let (cache, go) = (stage.builder(Raw).build().unwrap(), stage.go());
    let insert = async |condition: &str| {
        let value = "v0".to_owned();
        match condition {
            "absent" => cache.insert_if_absent("k".into(), value).await.unwrap(),
            _ => cache.insert_if_present("k".into(), value).await.unwrap(),
        }
    };
    for there in [&b"v1"[..], b""] {
        go.set("shop:k", there);
        assert!(!insert("absent").await);
        assert_eq!(
            cache.peek("k"),
            Cached::Miss,
            "a refused insert changes nothing"
        );
        assert_eq!(go.get("shop:k").unwrap(), there);
        assert!(insert("present").await);
        assert_eq!(go.get("shop:k").unwrap(), b"v0");
        cache.invalidate("k").await;
    }
    go.set("shop:k", b"*");
    assert!(!insert("present").await);
    assert!(insert("absent").await);
    cache.invalidate("k").await;
    let _: u64 = go.run("LPUSH", &["shop:k", "element"]);
    assert!(!insert("present").await);
    assert!(insert("absent").await);
    assert_eq!(go.get("shop:k").unwrap(), b"v0");
}

fn object(text: &str) -> Object {
    Object {
        text: text.into(),
        number: 1,
    }
}

#[tokio::test]
async fn junk_is_a_miss_that_the_next_load_mends() {
    let stage = Stage::new();
    let go = stage.go();
    for junk in [
        &b""[..],
        b"junk",
        b"\x80\x02",
        b"\0",
        b"\x01",
        b"\xff\xff\xff\xff\x0f\x01",
    ] {
        go.set("shop:k", junk);
        let cache = stage.builder(MessagePack).build().unwrap();
        assert_eq!(cache.get("k").await, Cached::Miss, "{junk:?}");
        assert_eq!(go.get("shop:k").unwrap(), junk, "nobody deletes it");
        let loaded = cache
            .get_or_load("k", async || Ok::<_, LoadError>(object("mended")))
            .await;
        assert_eq!(loaded.unwrap(), Some(object("mended")));
        assert!(cache.stats().undecodable > 0);
        let other = stage.builder(MessagePack).build().unwrap();
        assert_eq!(
            other.get("k").await,
            Cached::Hit(object("mended")),
            "{junk:?}"
        );
        cache.invalidate("k").await;
    }
}

#[tokio::test]
async fn junk_that_go_replaces_meanwhile_is_not_replaced_again() {
    let stage = Stage::new();
    let (cache, go) = (stage.builder(MessagePack).build().unwrap(), stage.go());
    let load = async |go: &dyn Fn()| {
        let loaded = cache
            .get_or_load("k", async || {
                go();
                Ok::<_, LoadError>(object("old"))
            })
            .await;
        assert_eq!(loaded.unwrap(), Some(object("old")));
        assert_eq!(cache.peek("k"), Cached::Miss);
    };
    go.set("shop:k", b"junk");
    load(&|| go.set("shop:k", b"other junk")).await;
    assert_eq!(go.get("shop:k").unwrap(), b"other junk");
    load(&|| go.run("DEL", &["shop:k"])).await;
    assert_eq!(go.get("shop:k"), None, "a removal is a change as well");
    assert_eq!(go.get("{shop:k}#lease"), None);
}

#[tokio::test]
async fn a_key_of_another_type_is_filled() {
    let stage = Stage::new();
    let (cache, go) = (stage.builder(Raw).build().unwrap(), stage.go());
    let fields = |go: &Go| {
        let _: u64 = go.run("HSET", &["shop:k", "field", "value"]);
    };
    fields(&go);
    assert_eq!(cache.get("k").await, Cached::Miss);
    let loaded = cache
        .get_or_load("k", || {
            meanwhile(|| {
                // Made anew while it loads. It may be replaced even so: jetcache-go cannot have
                // written it.
                let _: u64 = go.run("DEL", &["shop:k"]);
                fields(&go);
            })
        })
        .await;
    assert_eq!(loaded.unwrap().as_deref(), Some("v0"));
    assert_eq!(go.get("shop:k").unwrap(), b"v0");
    assert_eq!(cache.peek("k"), Cached::Hit("v0".into()));
    assert_eq!(cache.stats().remote_faults, 0);
}

#[tokio::test]
async fn a_batch_tells_an_empty_string_from_an_absence_and_a_miss() {
    let stage = Stage::new();
    let (cache, go) = (stage.builder(Raw).build().unwrap(), stage.go());
    go.set("shop:empty", b"");
    go.set("shop:absent", b"*");
    let keys = ["empty", "absent", "missing"];
    let batch = cache
        .get_many_or_load(keys, async |ids| {
            assert_eq!(ids, ["missing"]);
            go.set("shop:missing", b"v1");
            let loaded = ids.into_iter().map(|id| (id, "v0".to_owned()));
            Ok::<Vec<_>, LoadError>(loaded.collect())
        })
        .await;
    let wanted = [Some(""), None, Some("v0")].map(|value| value.map(str::to_owned));
    assert_eq!(batch.into_values().unwrap(), wanted);
    assert_eq!(go.get("shop:missing").unwrap(), b"v1");
    assert_eq!(cache.peek("missing"), Cached::Miss);
    assert_eq!(stage.calls("exec"), 2, "one read and one lease for all");
}
