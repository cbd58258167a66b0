//! Removal by tag, and of everything.

pub(crate) mod fleet;
pub(crate) mod masses;
pub(crate) mod outages;
pub(crate) mod weather;

use std::future::{Ready, ready};
use std::time::Duration;

use futures_channel::oneshot::channel;
use futures_util::future::join;
use jetcache_adapters::Raw;
use jetcache_core::{Cached, Call, Error, Load, LoadError, Reach, Wire};

use crate::behaviour::stage::face::Faced;
use crate::behaviour::stage::{Case, Cases, Node, Stage, Value, brings, nobody, value};

pub(crate) const CASES: Cases<Case> = &[
    ("a_raised_tag_takes_its_values_from_both_tiers", |s| {
        Box::pin(raised(s))
    }),
    ("what_is_loaded_after_a_raise_stays", |s| {
        Box::pin(loaded_again(s))
    }),
    ("another_node_reads_nothing_dead_from_l2", |s| {
        Box::pin(second_node(s))
    }),
    ("clear_takes_everything", |s| Box::pin(cleared(s))),
    ("a_load_that_began_before_a_raise_is_kept_nowhere", |s| {
        Box::pin(overtaken(s))
    }),
    ("who_asks_after_a_clear_waits_for_no_load_before_it", |s| {
        Box::pin(handed_on(s))
    }),
    ("who_joins_after_a_raise_is_not_given_what_is_older", |s| {
        Box::pin(joined(s))
    }),
    ("inserts_and_writes_have_tags", |s| Box::pin(changes(s))),
    ("what_does_not_exist_has_tags", |s| Box::pin(absent(s))),
    ("a_value_has_64_tags_and_no_more", |s| Box::pin(many(s))),
    ("a_thousand_tags_are_raised_by_one_call", |s| {
        Box::pin(thousand(s))
    }),
    ("batches_have_tags", |s| Box::pin(batch(s))),
    ("a_stale_value_is_not_answered_once_it_is_dead", |s| {
        Box::pin(stale(s))
    }),
    ("an_unchanged_value_keeps_its_tags", |s| {
        Box::pin(unchanged(s))
    }),
    ("a_dead_value_counts_as_absent_for_an_insert", |s| {
        Box::pin(conditional(s))
    }),
    ("a_refreshed_value_dies_like_any_other", |s| {
        Box::pin(refreshed(s))
    }),
    ("the_names_of_the_log_are_no_keys", |s| Box::pin(names(s))),
    ("without_an_l2_a_raise_empties_l1", |s| Box::pin(alone(s))),
    ("in_the_format_of_jetcache_go_there_are_no_tags", |s| {
        Box::pin(go(s))
    }),
    ("a_closed_cache_still_raises", |s| Box::pin(closed(s))),
];

/// A loader that brings this text with these tags.
fn tagged<const N: usize>(
    text: &str,
    tags: [&str; N],
) -> impl FnOnce() -> Ready<Result<Load<Value>, LoadError>> + use<N> {
    let load = Load::from(value(text)).tags(tags);
    move || ready(Ok(load))
}

async fn load(node: &Node, key: &str, text: &str, tags: &[&str]) {
    let load = Load::from(value(text)).tags(tags);
    let loaded = node.get_or_load(key, async || Ok::<_, LoadError>(load));
    assert_eq!(loaded.await.unwrap(), Some(value(text)));
}

async fn raised(stage: &Stage) {
    let node = stage.node();
    load(&node, "both", "1", &["a", "b"]).await;
    load(&node, "one", "1", &["b"]).await;
    load(&node, "none", "1", &[]).await;
    assert_eq!(node.invalidate_tag("a").await.unwrap(), Reach::Everywhere);
    assert_eq!(node.peek("both"), Cached::Miss);
    assert_eq!(node.get("both").await, Cached::Miss);
    assert!(!node.exists("both").await);
    for key in ["one", "none"] {
        assert_eq!(node.peek(key), Cached::Hit(value("1")), "{key}");
    }
    let reach = node.invalidate_tags(["b", "unheard of"]).await;
    assert_eq!(reach.unwrap(), Reach::Everywhere);
    assert_eq!(node.get("one").await, Cached::Miss);
    assert_eq!(node.get("none").await, Cached::Hit(value("1")));
    assert_eq!(
        node.invalidate_tags(Vec::<String>::new()).await.unwrap(),
        Reach::Everywhere
    );
    let stats = node.stats();
    assert_eq!(stats.raises, 2);
    assert!(stats.dead_local >= 1 && stats.dead_remote >= 1, "{stats}");
    assert_eq!(node.activity().pending_scopes, 0);
}

async fn loaded_again(stage: &Stage) {
    let node = stage.node();
    for text in ["1", "2", "3"] {
        load(&node, "key", text, &["a"]).await;
        node.get_or_load("key", nobody).await.unwrap();
        assert_eq!(stage.node().get("key").await, Cached::Hit(value(text)));
        node.invalidate_tag("a").await.unwrap();
    }
    assert_eq!(node.stats().loads, 3);
}

async fn second_node(stage: &Stage) {
    let (one, two) = (stage.node(), stage.node());
    load(&one, "key", "1", &["a"]).await;
    load(&one, "other", "1", &["b"]).await;
    assert_eq!(two.get("other").await, Cached::Hit(value("1")));
    one.invalidate_tag("a").await.unwrap();
    // It has never heard of the raise: the highest number came with the value.
    assert_eq!(two.get("key").await, Cached::Miss);
    // And one that begins now knows it as well.
    assert_eq!(stage.node().get("key").await, Cached::Miss);
    load(&two, "key", "2", &["a"]).await;
    assert_eq!(one.get("key").await, Cached::Hit(value("2")));
}

async fn cleared(stage: &Stage) {
    let (one, two) = (stage.node(), stage.node());
    for at in 0..20 {
        load(&one, &at.to_string(), "1", &[]).await;
    }
    assert_ne!(one.len(), 0);
    assert_eq!(one.clear().await.unwrap(), Reach::Everywhere);
    assert_eq!(one.len(), 0);
    for at in 0..20 {
        assert_eq!(two.get(&at.to_string()).await, Cached::Miss);
    }
    load(&two, "0", "2", &[]).await;
    assert_eq!(one.get("0").await, Cached::Hit(value("2")));
    assert_eq!(one.peek("0"), Cached::Hit(value("2")));
}

async fn overtaken(stage: &Stage) {
    for clears in [false, true] {
        let node = stage.node();
        let (began, begun) = channel();
        let (go_on, goes_on) = channel::<()>();
        let loading = node.get_or_load("key", async || {
            began.send(()).unwrap();
            goes_on.await.unwrap();
            Ok::<_, LoadError>(Load::from(value("old")).tags(["a"]))
        });
        let raising = async {
            begun.await.unwrap();
            let reach = match clears {
                true => node.clear().await,
                false => node.invalidate_tag("a").await,
            };
            assert_eq!(reach.unwrap(), Reach::Everywhere);
            go_on.send(()).unwrap();
        };
        let (loaded, ()) = join(loading, raising).await;
        assert_eq!(loaded.unwrap(), Some(value("old")), "it came before");
        assert_eq!(node.peek("key"), Cached::Miss);
        assert_eq!(node.get("key").await, Cached::Miss);
        assert_eq!(stage.node().get("key").await, Cached::Miss);
        // Its lease is given back: the next load waits for nobody, and is kept.
        load(&node, "key", "new", &["a"]).await;
        assert_eq!(stage.node().get("key").await, Cached::Hit(value("new")));
        node.invalidate("key").await;
    }
}

async fn handed_on(stage: &Stage) {
    // A lease that is not given back lasts for longer than anybody waits.
    let long = Duration::from_secs(20);
    let node = stage.builder().remote_timeout(long).lease_wait(long);
    let node = node.load_timeout(10 * long).build().unwrap().faced();
    let (began, begun) = channel();
    let (go_on, goes_on) = channel::<()>();
    let loading = node.get_or_load("key", async || {
        began.send(()).unwrap();
        goes_on.await.unwrap();
        Ok::<_, LoadError>(value("old"))
    });
    let reading = async {
        begun.await.unwrap();
        assert_eq!(node.clear().await.unwrap(), Reach::Everywhere);
        // While the first loader runs. Who had waited for its lease in vain would not fill L2.
        load(&node, "key", "new", &[]).await;
        assert_eq!(stage.node().get("key").await, Cached::Hit(value("new")));
        go_on.send(()).unwrap();
    };
    let (loaded, ()) = join(loading, reading).await;
    assert_eq!(loaded.unwrap(), Some(value("old")), "it came before");
    assert_eq!(stage.node().get("key").await, Cached::Hit(value("new")));
    assert_eq!(node.peek("key"), Cached::Hit(value("new")));
}

async fn joined(stage: &Stage) {
    let node = stage.node();
    let (began, begun) = channel();
    let (go_on, goes_on) = channel::<()>();
    let first = node.get_or_load("key", async || {
        began.send(()).unwrap();
        goes_on.await.unwrap();
        Ok::<_, LoadError>(Load::from(value("old")).tags(["a"]))
    });
    let second = async {
        begun.await.unwrap();
        node.invalidate_tag("a").await.unwrap();
        let joining = node.get_or_load("key", tagged("new", ["a"]));
        let going_on = async {
            stage.host().sleep(Duration::from_millis(20)).await;
            go_on.send(()).unwrap();
        };
        join(joining, going_on).await.0
    };
    let (first, second) = join(first, second).await;
    assert_eq!(first.unwrap(), Some(value("old")));
    assert_eq!(second.unwrap(), Some(value("new")));
    assert_eq!(node.peek("key"), Cached::Hit(value("new")));
}

async fn changes(stage: &Stage) {
    let node = stage.node();
    let call = Call::new().tags(["a"]);
    let reach = node.insert_with("inserted".into(), value("1"), &call).await;
    assert_eq!(reach.unwrap(), Reach::Everywhere);
    let applied = node.insert_if_absent_with("absent".into(), value("1"), &call);
    assert!(applied.await.unwrap());
    let entries = ["many", "more"].map(|key| (key.to_owned(), value("1")));
    drop(node.insert_many_with(entries, &call).await);
    let writer = async || Ok::<_, LoadError>(value("1"));
    node.write_through_with("written", &call, writer)
        .await
        .unwrap();
    let writer = async || Ok::<_, LoadError>(Load::from(value("1")).tags(["a"]));
    node.write_through("by its writer", writer).await.unwrap();
    let keys = [
        "inserted",
        "absent",
        "many",
        "more",
        "written",
        "by its writer",
    ];
    let other = stage.node();
    for key in keys {
        assert_eq!(node.peek(key), Cached::Hit(value("1")), "{key}");
        assert_eq!(other.get(key).await, Cached::Hit(value("1")), "{key}");
    }
    node.invalidate_tag("a").await.unwrap();
    for key in keys {
        assert_eq!(node.peek(key), Cached::Miss, "{key}");
        assert_eq!(node.get(key).await, Cached::Miss, "{key}");
        assert_eq!(stage.node().get(key).await, Cached::Miss, "{key}");
    }
    // What is inserted after a raise lives.
    node.insert_with("inserted".into(), value("2"), &call)
        .await
        .unwrap();
    assert_eq!(stage.node().get("inserted").await, Cached::Hit(value("2")));
}

async fn absent(stage: &Stage) {
    let node = stage.node();
    let nothing = async || Ok::<_, LoadError>(Load::<Value>::from(None).tags(["a"]));
    assert_eq!(node.get_or_load("key", nothing).await.unwrap(), None);
    assert_eq!(node.peek("key"), Cached::Absent);
    assert_eq!(stage.node().get("key").await, Cached::Absent);
    node.invalidate_tag("a").await.unwrap();
    assert_eq!(node.peek("key"), Cached::Miss);
    assert_eq!(stage.node().get("key").await, Cached::Miss);
}

async fn many(stage: &Stage) {
    let node = stage.node();
    let tags: Vec<String> = (0..65).map(|at| format!("tag {at}")).collect();
    let too_many = Load::from(value("1")).tags(&tags);
    let loaded = node.get_or_load("key", async || Ok::<_, LoadError>(too_many));
    assert!(matches!(loaded.await, Err(Error::TooManyTags(_))));
    let call = Call::new().tags(&tags);
    let inserted = node.insert_with("key".into(), value("1"), &call).await;
    assert!(matches!(inserted, Err(Error::TooManyTags(_))));
    let written = node.write_through_with("key", &call, async || {
        Err::<Value, LoadError>("this writer should not have run".into())
    });
    assert!(matches!(written.await, Err(Error::TooManyTags(_))));
    assert_eq!(node.get("key").await, Cached::Miss);
    // Each once.
    let twice = tags[..64].iter().chain(&tags[..64]);
    let call = Call::new().tags(twice);
    node.insert_with("key".into(), value("1"), &call)
        .await
        .unwrap();
    assert_eq!(stage.node().get("key").await, Cached::Hit(value("1")));
    node.invalidate_tag(&tags[63]).await.unwrap();
    assert_eq!(stage.node().get("key").await, Cached::Miss);
}

async fn thousand(stage: &Stage) {
    let node = stage.node();
    load(&node, "first", "1", &["tag 0"]).await;
    load(&node, "last", "1", &["tag 1199"]).await;
    load(&node, "other", "1", &["other"]).await;
    let tags = (0..1_200).map(|at| format!("tag {at}"));
    assert_eq!(node.invalidate_tags(tags).await.unwrap(), Reach::Everywhere);
    for (key, there) in [("first", false), ("last", false), ("other", true)] {
        assert_eq!(node.get(key).await.is_hit(), there, "{key}");
        assert_eq!(stage.node().get(key).await.is_hit(), there, "{key}");
    }
}

async fn batch(stage: &Stage) {
    let node = stage.node();
    let loader = async |keys: Vec<String>| {
        let load = |key: String| {
            let tags = [format!("of {key}"), "all".to_owned()];
            (key, Load::from(value("1")).tags(tags))
        };
        Ok::<Vec<_>, LoadError>(keys.into_iter().map(load).collect())
    };
    let keys = ["a", "b", "c"];
    node.get_many_or_load(keys, loader).await;
    node.invalidate_tag("of b").await.unwrap();
    for at in [node.clone(), stage.node()] {
        let found = at.get_many(keys).await;
        let hits: Vec<bool> = found.into_iter().map(|(_, hit)| hit.is_hit()).collect();
        assert_eq!(hits, [true, false, true]);
    }
    node.invalidate_tag("all").await.unwrap();
    for at in [node.clone(), stage.node()] {
        let found = at.get_many(keys).await;
        assert!(found.into_iter().all(|(_, hit)| !hit.is_hit()));
    }
    node.get_many_or_load(keys, loader).await;
    assert_eq!(node.stats().loads, 6);
}

async fn stale(stage: &Stage) {
    let short = Duration::from_millis(30);
    let window = Duration::from_secs(60);
    let node = stage.builder().ttl(short).stale_for(window).build();
    let node = node.unwrap().faced();
    load(&node, "dead", "1", &["a"]).await;
    load(&node, "alive", "1", &["b"]).await;
    stage.host().sleep(2 * short).await;
    node.invalidate_tag("a").await.unwrap();
    let fails = async || Err::<Value, LoadError>("the database is away".into());
    let dead = node.get_or_load("dead", fails).await;
    assert!(matches!(dead, Err(Error::Load(_))), "{dead:?}");
    let alive = node.get_or_load_cached("alive", &Call::new(), fails).await;
    assert_eq!(alive.unwrap(), Cached::Stale(value("1")));
    let other = stage.builder().ttl(short).stale_for(window).build();
    let dead = other.unwrap().get_or_load("dead", fails).await;
    assert!(matches!(dead, Err(Error::Load(_))), "{dead:?}");
}

async fn unchanged(stage: &Stage) {
    let short = Duration::from_millis(30);
    let window = Duration::from_secs(60);
    let node = stage.builder().ttl(short).stale_for(window).build();
    let node = node.unwrap().faced();
    load(&node, "key", "1", &["a"]).await;
    stage.host().sleep(2 * short).await;
    let call = Call::new().ttl(window);
    let still = node.get_or_load_if_changed("key", &call, async |standing| {
        assert!(standing.is_some());
        Ok::<_, LoadError>(Load::unchanged().ttl(window))
    });
    assert_eq!(still.await.unwrap(), Cached::Hit(value("1")));
    assert_eq!(stage.node().get("key").await, Cached::Hit(value("1")));
    node.invalidate_tag("a").await.unwrap();
    assert_eq!(node.get("key").await, Cached::Miss);
    assert_eq!(stage.node().get("key").await, Cached::Miss);
    // A dead value is shown to nobody.
    let shown = node.get_or_load_if_changed("key", &call, async |standing| {
        assert!(standing.is_none());
        Ok::<_, LoadError>(Load::from(value("2")))
    });
    assert_eq!(shown.await.unwrap(), Cached::Hit(value("2")));
}

async fn conditional(stage: &Stage) {
    let node = stage.node();
    for key in ["absent", "present"] {
        load(&node, key, "dead", &["a"]).await;
    }
    node.invalidate_tag("a").await.unwrap();
    let present = node.insert_if_present("present".into(), value("new")).await;
    assert!(!present.unwrap());
    assert_eq!(node.get("present").await, Cached::Miss);
    let absent = node.insert_if_absent("absent".into(), value("new")).await;
    assert!(absent.unwrap());
    assert_eq!(stage.node().get("absent").await, Cached::Hit(value("new")));
    let again = node.insert_if_absent("absent".into(), value("newer")).await;
    assert!(!again.unwrap());
    // Nothing keeps a later load from being stored.
    load(&node, "present", "loaded", &[]).await;
    assert_eq!(
        stage.node().get("present").await,
        Cached::Hit(value("loaded"))
    );
}

async fn refreshed(stage: &Stage) {
    let every = Duration::from_millis(40);
    let loader = |_: String| async { Ok(Load::from(value("1")).tags(["a"])) };
    let builder = stage.builder().loader(loader).refresh_every(every);
    let node = builder.build().unwrap().faced();
    node.load_with("key", &Call::new().refresh()).await.unwrap();
    stage
        .until("it was refreshed", async || node.stats().refreshed > 0)
        .await;
    node.invalidate_tag("a").await.unwrap();
    let loads = node.stats().loads;
    node.load("key").await.unwrap();
    stage
        .until("it is loaded anew", async || node.stats().loads > loads)
        .await;
    node.close().await;
}

async fn names(stage: &Stage) {
    let node = stage.node();
    for key in ["x#gen", "x#raised"] {
        let inserted = node.insert(key.into(), value("1")).await;
        assert!(matches!(inserted, Err(Error::Key(_))), "{key}");
        assert_eq!(
            node.get_or_load(key, brings("1")).await.unwrap(),
            Some(value("1"))
        );
    }
}

async fn alone(stage: &Stage) {
    let node = stage.local_node();
    load(&node, "a", "1", &["a"]).await;
    load(&node, "b", "1", &[]).await;
    assert_eq!(node.invalidate_tag("a").await.unwrap(), Reach::Everywhere);
    assert_eq!(node.get("a").await, Cached::Miss);
    assert_eq!(node.get("b").await, Cached::Hit(value("1")));
    load(&node, "a", "2", &["a"]).await;
    assert_eq!(node.clear().await.unwrap(), Reach::Everywhere);
    assert_eq!(node.len(), 0);
    load(&node, "a", "3", &["a"]).await;
    assert_eq!(node.get("a").await, Cached::Hit(value("3")));
}

async fn go(stage: &Stage) {
    let node = stage
        .builder_with(Raw)
        .wire(Wire::JetcacheGo)
        .build()
        .unwrap()
        .faced();
    let config = |error: &Error| matches!(error, Error::Config(_));
    assert!(config(&node.invalidate_tag("a").await.unwrap_err()));
    assert!(config(&node.clear().await.unwrap_err()));
    let loaded = node.get_or_load("key", tagged("1", ["a"])).await;
    assert!(config(&loaded.unwrap_err()));
    let call = Call::new().tags(["a"]);
    let inserted = node.insert_with("key".into(), value("1"), &call).await;
    assert!(config(&inserted.unwrap_err()));
    let written = node.write_through_with("key", &call, async || {
        Err::<Value, LoadError>("this writer should not have run".into())
    });
    assert!(config(&written.await.unwrap_err()));
    // Without tags all is as it was.
    assert_eq!(
        node.get_or_load("key", brings("1")).await.unwrap(),
        Some(value("1"))
    );
}

async fn closed(stage: &Stage) {
    let node = stage.node();
    load(&node, "key", "1", &["a"]).await;
    node.close().await;
    assert_eq!(node.invalidate_tag("a").await.unwrap(), Reach::Everywhere);
    assert_eq!(stage.node().get("key").await, Cached::Miss);
}
