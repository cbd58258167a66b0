//! Looking at a key: each level, and what is under way.

use std::time::Duration;

use jetcache_core::machine::generations::scope::Scope;
use jetcache_core::{
    Call, EntryFormat, EntryKind, Fault, Freshness, Holder, InL1, InL2, Inspection, L1Entry,
    L2Entry, Load, LoadError, Unreadable,
};

use crate::behaviour::stage::face::Faced;
use crate::behaviour::stage::{Case, Cases, Stage, Value, brings, value};
use crate::behaviour::value::bytes::entry;

pub(crate) const CASES: Cases<Case> = &[
    ("an_inspection_shows_what_each_level_has", |s| {
        Box::pin(levels(s))
    }),
    ("an_inspection_changes_and_counts_nothing", |s| {
        Box::pin(unnoticed(s))
    }),
    ("an_inspection_shows_what_does_not_exist", |s| {
        Box::pin(absent(s))
    }),
    ("an_inspection_shows_marks_and_stale_windows", |s| {
        Box::pin(marked(s))
    }),
    ("an_inspection_shows_tags_and_the_number_of_birth", |s| {
        Box::pin(tagged(s))
    }),
    ("an_inspection_shows_what_is_stale", |s| Box::pin(stale(s))),
    ("an_inspection_shows_flights_and_leases", |s| {
        Box::pin(flight(s))
    }),
    ("an_inspection_shows_why_something_is_unreadable", |s| {
        Box::pin(unreadable(s))
    }),
    ("an_inspection_shows_levels_that_are_off", |s| {
        Box::pin(off(s))
    }),
    ("an_inspection_shows_what_is_kept_fresh", |s| {
        Box::pin(kept_fresh(s))
    }),
    ("an_inspection_can_be_serialized", |s| {
        Box::pin(serialized(s))
    }),
];

pub(crate) const OWN_REDIS: Cases<Case> = &[
    ("an_inspection_says_that_l2_is_away", |s| Box::pin(away(s))),
    ("an_inspection_waits_no_longer_than_l2_may_take", |s| {
        Box::pin(silent(s))
    }),
];

fn l1(seen: &Inspection) -> &L1Entry {
    match &seen.l1 {
        InL1::Entry(entry) => entry,
        other => panic!("no entry in L1 but {other:?}"),
    }
}

fn l2(seen: &Inspection) -> &L2Entry {
    match &seen.l2 {
        InL2::Answered {
            entry: Some(entry), ..
        } => entry,
        other => panic!("no entry in L2 but {other:?}"),
    }
}

fn holder(seen: &Inspection) -> Holder {
    match &seen.l2 {
        InL2::Answered { lease, .. } => lease.holder,
        other => panic!("no answer of L2 but {other:?}"),
    }
}

fn is_at_most(span: Option<Duration>, most: u64) -> bool {
    span.is_some_and(|span| !span.is_zero() && span <= Duration::from_secs(most))
}

async fn levels(stage: &Stage) {
    let builder = stage.builder().ttl(Duration::from_secs(600));
    let node = builder
        .local_ttl(Duration::from_secs(60))
        .build()
        .unwrap()
        .faced();
    node.insert("key".into(), value("text")).await.unwrap();
    let seen = node.inspect("key").await;
    assert_eq!(&*seen.cache, "users");
    assert_eq!(seen.key.as_deref(), Some(&*stage.key("key")));
    let near = l1(&seen);
    assert_eq!(
        (near.kind, near.freshness),
        (EntryKind::Value, Freshness::Fresh)
    );
    assert!(is_at_most(Some(near.left), 60), "{near:?}");
    assert_eq!((near.stale_left, near.age), (Duration::ZERO, None));
    let far = l2(&seen);
    assert_eq!(far.format, EntryFormat::Native);
    assert_eq!(far.kind, Some(EntryKind::Value));
    assert_eq!((far.codec, far.compression), (Some(1), Some(0)));
    assert_eq!(far.codec_name(), Some("MessagePack"));
    let bytes = stage.bytes("key").await.unwrap();
    assert_eq!(far.size, bytes.len());
    assert_eq!(far.freshness, Some(Freshness::Fresh));
    for span in [far.life, far.left, far.kept] {
        assert!(is_at_most(span, 600), "{far:?}");
    }
    assert!(far.age < Some(Duration::from_secs(60)), "{far:?}");
    assert_eq!((&far.mark, &far.unreadable), (&None, &None));
    assert_eq!(holder(&seen), Holder::Nobody);
    assert_eq!(seen.here, Default::default());
    let text = seen.to_string();
    for part in [
        &stage.key("key"),
        "L1     a value, fresh for ",
        "L2     a value in the native format, ",
        " bytes, MessagePack, not compressed\n",
        " old of ",
        "lease  none\n",
        "here   nothing is under way",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    // Who knows nothing of it.
    let seen = stage.node().inspect("other").await;
    assert_eq!(seen.l1, InL1::Nothing);
    assert!(matches!(seen.l2, InL2::Answered { entry: None, .. }));
}

async fn unnoticed(stage: &Stage) {
    let node = stage.node();
    node.insert("key".into(), value("text")).await.unwrap();
    stage.plant("junk", b"junk").await;
    let other = stage.node();
    let (before, bytes) = (other.stats(), stage.bytes("key").await);
    for key in ["key", "none", "junk", "key"] {
        let seen = other.inspect(key).await;
        assert_eq!(seen.l1, InL1::Nothing, "it fills nothing");
        assert_eq!(holder(&seen), Holder::Nobody);
    }
    let mut after = other.stats();
    assert_eq!(after.remote_calls, 4, "but for its round trips");
    after.remote_calls = before.remote_calls;
    assert_eq!(after, before);
    assert_eq!((other.len(), other.tasks()), (0, 0));
    assert_eq!(other.activity(), Default::default());
    assert_eq!(stage.bytes("key").await, bytes);
    assert_eq!(stage.bytes("none").await, None);
    // A closed one still shows.
    other.close().await;
    assert_eq!(l2(&other.inspect("key").await).kind, Some(EntryKind::Value));
}

async fn absent(stage: &Stage) {
    let node = stage.node();
    let nothing = async || Ok::<Option<Value>, LoadError>(None);
    assert_eq!(node.get_or_load("key", nothing).await.unwrap(), None);
    let seen = node.inspect("key").await;
    assert_eq!(l1(&seen).kind, EntryKind::NotFound);
    let far = l2(&seen);
    assert_eq!(far.kind, Some(EntryKind::NotFound));
    assert_eq!((far.codec, far.compression), (None, None));
    assert!(is_at_most(far.left, 60), "{far:?}");
    assert!(seen.to_string().contains("\"does not exist\", fresh for"));
}

async fn marked(stage: &Stage) {
    let builder = stage.builder().stale_for(Duration::from_secs(90));
    let node = builder.build().unwrap().faced();
    let loader = async || Ok::<_, LoadError>(Load::from(value("text")).mark("v7"));
    node.get_or_load("key", loader).await.unwrap();
    let seen = node.inspect("key").await;
    for mark in [&l1(&seen).mark, &l2(&seen).mark] {
        assert_eq!(mark.as_deref(), Some(&b"v7"[..]));
    }
    assert!(l1(&seen).age.is_some(), "a value with a mark has its age");
    assert_eq!(l2(&seen).stale_left, Some(Duration::from_secs(90)));
    assert!(l2(&seen).kept > l2(&seen).left, "{seen}");
    let text = seen.to_string();
    assert!(text.contains("marked \"v7\""), "{text}");
    assert!(text.contains("then stale for 90 s"), "{text}");
}

async fn tagged(stage: &Stage) {
    let node = stage.node();
    let load = async |key: &str| {
        let loader = async || Ok::<_, LoadError>(Load::from(value("text")).tags(["a", "b"]));
        node.get_or_load(key, loader).await.unwrap();
        node.inspect(key).await
    };
    let first = load("first").await;
    let names = ["a", "b"].map(|tag| Scope::of_tag(tag).member());
    let mut tags = l2(&first).tags.clone();
    tags.sort();
    let mut expected = names.to_vec();
    expected.sort();
    assert_eq!(tags, expected);
    assert_eq!(l1(&first).tags, l2(&first).tags);
    assert!(
        first
            .to_string()
            .contains(&format!("; tags {}", l2(&first).tags.join(" ")))
    );
    node.invalidate_tag("a").await.unwrap();
    let second = load("second").await;
    assert!(l2(&second).born > l2(&first).born, "{first}\n{second}");
    let born = l2(&second).born.unwrap();
    assert!(second.to_string().contains(&format!("; born under {born}")));
    node.insert("untagged".into(), value("text")).await.unwrap();
    let seen = node.inspect("untagged").await;
    assert!(l2(&seen).tags.is_empty() && !seen.to_string().contains("; tags"));
}

async fn stale(stage: &Stage) {
    let node = stage.builder().stale_for(Duration::from_secs(90));
    let node = node.ttl(Duration::from_secs(1)).build().unwrap().faced();
    node.insert("key".into(), value("text")).await.unwrap();
    let is_stale = async || {
        let seen = node.inspect("key").await;
        let far = l2(&seen);
        far.freshness == Some(Freshness::Stale) && l1(&seen).freshness == Freshness::Stale
    };
    stage.until("its life is over", is_stale).await;
    let seen = node.inspect("key").await;
    let far = l2(&seen);
    assert_eq!(far.left, Some(Duration::ZERO));
    assert!(is_at_most(far.stale_left, 90) && is_at_most(Some(l1(&seen).stale_left), 90));
    assert!(far.age >= far.life, "{far:?}");
    assert!(seen.to_string().contains("stale, for "), "{seen}");
}

async fn flight(stage: &Stage) {
    let node = stage.node();
    let (open, mut gate) = futures_channel::oneshot::channel::<()>();
    let leader = async {
        let loader = async || {
            let _ = (&mut gate).await;
            Ok::<_, LoadError>(value("text"))
        };
        node.get_or_load("key", loader).await.unwrap()
    };
    let follower = async { node.get_or_load("key", brings("none")).await.unwrap() };
    let watcher = async {
        let loads = async || {
            let seen = node.inspect("key").await;
            holder(&seen) == Holder::Load && seen.here.flight == Some(1)
        };
        stage.until("it loads, and one waits", loads).await;
        let seen = node.inspect("key").await;
        let InL2::Answered { lease, .. } = &seen.l2 else {
            panic!("{seen}");
        };
        assert!(is_at_most(lease.left, 20), "{seen}");
        let text = seen.to_string();
        assert!(text.contains("held by a load"), "{text}");
        assert!(text.contains("under way, 1 caller waits"), "{text}");
        // Another node sees the lease and has no flight.
        let other = stage.node().inspect("key").await;
        assert_eq!((holder(&other), other.here.flight), (Holder::Load, None));
        open.send(()).unwrap();
    };
    let (one, two, ()) = futures_util::join!(leader, follower, watcher);
    assert_eq!((one, two), (Some(value("text")), Some(value("text"))));
    let seen = node.inspect("key").await;
    assert_eq!((holder(&seen), seen.here.flight), (Holder::Nobody, None));
}

async fn unreadable(stage: &Stage) {
    let node = stage.node();
    let cases = [
        (b"*".to_vec(), EntryFormat::Foreign, Unreadable::Foreign),
        (
            entry(2, 0, b"1"),
            EntryFormat::Native,
            Unreadable::Codec {
                written: 2,
                ours: 1,
            },
        ),
        (
            entry(1, 77, b"1"),
            EntryFormat::Native,
            Unreadable::Compression(77),
        ),
    ];
    for (bytes, format, why) in cases {
        stage.plant("key", &bytes).await;
        let seen = node.inspect("key").await;
        let far = l2(&seen);
        assert_eq!((far.format, far.size), (format, bytes.len()));
        assert_eq!(far.unreadable.as_ref(), Some(&why));
        let text = seen.to_string();
        assert!(text.contains(&format!("cannot be read: {why}")), "{text}");
    }
    assert_eq!(node.stats().undecodable, 0, "nobody was to read it");
}

async fn off(stage: &Stage) {
    let local = stage.local_node();
    local.insert("key".into(), value("text")).await.unwrap();
    let seen = local.inspect("key").await;
    assert!(matches!(seen.l2, InL2::Off), "{seen}");
    assert_eq!(
        (seen.key.as_deref(), l1(&seen).kind),
        (None, EntryKind::Value)
    );
    let remote = stage.builder().no_local().build().unwrap().faced();
    remote.insert("key".into(), value("text")).await.unwrap();
    let seen = remote.inspect("key").await;
    assert_eq!(seen.l1, InL1::Off);
    assert_eq!(l2(&seen).kind, Some(EntryKind::Value));
    // A key that only L1 can hold.
    let node = stage.node();
    node.get_or_load("key#lease", brings("text")).await.unwrap();
    let seen = node.inspect("key#lease").await;
    assert_eq!(l1(&seen).kind, EntryKind::Value);
    assert!(matches!(&seen.l2, InL2::Unheld(why) if why.contains("#lease")));
}

async fn kept_fresh(stage: &Stage) {
    let builder = stage.builder().refresh_every(Duration::from_secs(3600));
    let builder = builder.loader(async |_: String| Ok::<_, LoadError>(value("text")));
    let node = builder.build().unwrap().faced();
    assert!(!node.inspect("key").await.here.kept_fresh);
    let call = Call::new().refresh();
    node.load_with("key", &call).await.unwrap();
    let seen = node.inspect("key").await;
    assert!(seen.here.kept_fresh);
    assert!(seen.to_string().ends_with("kept fresh"), "{seen}");
    node.cancel_refresh("key");
    assert!(!node.inspect("key").await.here.kept_fresh);
}

async fn serialized(stage: &Stage) {
    let node = stage.node();
    node.insert("key".into(), value("text")).await.unwrap();
    let json = serde_json::to_value(node.inspect("key").await).unwrap();
    assert_eq!(json["key"], stage.key("key"));
    assert_eq!(json["l1"]["entry"]["kind"], "value");
    let far = &json["l2"]["answered"];
    assert_eq!(far["lease"]["holder"], "nobody");
    assert_eq!(far["entry"]["format"], "native");
    assert!(far["entry"]["left_seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(json["here"]["unconfirmed"], false);
    stage.plant("junk", b"junk").await;
    let json = serde_json::to_value(node.inspect("junk").await).unwrap();
    let why = &json["l2"]["answered"]["entry"]["unreadable"];
    assert!(why.as_str().unwrap().contains("something else"), "{json}");
}

async fn away(stage: &Stage) {
    let builder = stage.builder().remote_timeout(Duration::from_secs(2));
    let node = builder.build().unwrap().faced();
    node.insert("key".into(), value("text")).await.unwrap();
    stage.server().kill();
    let seen = node.inspect("key").await;
    assert!(
        matches!(seen.l2, InL2::Away(Fault::Unreachable(_))),
        "{seen}"
    );
    assert_eq!(l1(&seen).kind, EntryKind::Value, "L1's part is there");
    assert!(seen.to_string().contains("L2     is away: "), "{seen}");
    // It respects the breaker, and counts nothing.
    let (before, mut asked) = (node.stats().remote_faults, 0);
    while !matches!(node.inspect("key").await.l2, InL2::Away(Fault::NotAsked(_))) {
        asked += 1;
        assert!(asked < 100, "the breaker does not open");
    }
    assert_eq!(node.stats().remote_faults, before);
    // A change that L2 did not take is shown.
    node.invalidate("key").await;
    let seen = node.inspect("key").await;
    assert!(seen.here.unconfirmed, "{seen}");
    assert!(
        seen.to_string().contains("a change is unconfirmed"),
        "{seen}"
    );
    stage.server().restart();
    node.ping().await.unwrap();
    let is_confirmed = async || {
        let seen = node.inspect("key").await;
        !seen.here.unconfirmed && matches!(seen.l2, InL2::Answered { entry: None, .. })
    };
    stage.until("L2 has confirmed", is_confirmed).await;
}

async fn silent(stage: &Stage) {
    let builder = stage.builder().remote_timeout(Duration::from_millis(60));
    let node = builder.build().unwrap().faced();
    node.insert("key".into(), value("text")).await.unwrap();
    stage.server().pause();
    let seen = node.inspect("key").await;
    assert!(
        matches!(seen.l2, InL2::Away(Fault::Timeout | Fault::NotAsked(_))),
        "{seen}"
    );
    stage.server().resume();
}
