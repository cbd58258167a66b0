//! A node's caches: what they share, and what each has to itself.

use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::thread;

use futures_util::future::join_all;
use jetcache_adapters::{Json, Memory, MessagePack, Redis};
use jetcache_core::{Cache, Cached, Error, Event, Kind, Observer};

use crate::behaviour::stage::face::Faced;
use crate::behaviour::stage::{Case, Cases, Stage, Value, brings, nobody, value};

pub(crate) const CASES: Cases<Case> = &[
    ("caches_of_a_node_have_keys_of_their_own", |s| {
        Box::pin(own_keys(s))
    }),
    ("a_separator_may_be_anything_and_nothing", |s| {
        Box::pin(separators(s))
    }),
    ("observers_of_a_node_hear_all_its_caches", |s| {
        Box::pin(observers(s))
    }),
    ("keys_that_another_cache_may_have_are_refused", |s| {
        Box::pin(clashes(s))
    }),
    ("a_name_is_free_after_the_last_handle", |s| {
        Box::pin(last_handle(s))
    }),
    ("of_builds_at_once_one_wins", |s| Box::pin(at_once(s))),
    ("a_cache_of_a_node_may_do_without_a_level", |s| {
        Box::pin(levels(s))
    }),
];

pub(crate) const OWN_REDIS: Cases<Case> = &[
    ("fifty_caches_of_a_node_use_the_connections_of_one", |s| {
        Box::pin(connections(s))
    }),
    ("builders_on_one_handle_of_redis_share_no_keys", |s| {
        Box::pin(one_handle(s))
    }),
];

async fn one_handle(stage: &Stage) {
    let url = stage.server().url();
    let redis = Redis::open(&url).unwrap();
    let build = |name, redis: &Redis| {
        let builder = stage.host().builder(name);
        builder.remote(redis.clone(), MessagePack).build()
    };
    let users: Cache<String, Value> = build("users", &redis).unwrap();
    let refused = build("users", &redis);
    assert!(matches!(refused, Err(Error::Config(text)) if text.contains("`users`")));
    // Others may have another name, or be another node.
    let _orders = build("orders", &redis).unwrap();
    let _other = build("users", &Redis::open(&url).unwrap()).unwrap();
    drop(users);
    build("users", &redis).unwrap();
}

async fn own_keys(stage: &Stage) {
    let (one, two) = (stage.parent(), stage.parent());
    let build = |node: &jetcache_tokio::Node| {
        let users = node.cache::<u64, Value>(&stage.key("users"), MessagePack);
        let orders = node.cache::<(u64, String), Value>(&stage.key("orders"), Json);
        (
            users.build().unwrap().faced(),
            orders.build().unwrap().faced(),
        )
    };
    let ((users, orders), (others_users, others_orders)) = (build(&one), build(&two));
    let order = (7, "a:b".to_owned());
    users.insert(7, value("Ada")).await.unwrap();
    orders.get_or_load(&order, brings("one")).await.unwrap();
    assert_eq!(others_users.get(&7).await, Cached::Hit(value("Ada")));
    let found = others_orders.get_or_load(&order, nobody).await.unwrap();
    assert_eq!(found, Some(value("one")));
    assert!(stage.bytes("users:7").await.is_some());
    assert!(stage.bytes(r"orders:7:a\:b").await.is_some());
    orders.invalidate(&order).await;
    assert_eq!(users.get(&7).await, Cached::Hit(value("Ada")));
}

async fn separators(stage: &Stage) {
    let node = stage.parent();
    let cache = |name: &str, separator: &str| {
        let builder = node.cache::<u64, Value>(&stage.key(name), MessagePack);
        builder.separator(separator).build().unwrap().faced()
    };
    let caches = [
        cache("slash", "/"),
        cache("none-", ""),
        cache("words", " of "),
    ];
    for cache in &caches {
        cache.insert(7, value("seven")).await.unwrap();
    }
    for key in ["slash/7", "none-7", "words of 7"] {
        assert!(stage.bytes(key).await.is_some(), "{key}");
    }
}

#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl Observer for Diary {
    fn on(&self, cache: &str, event: &Event) {
        let line = format!("{cache} {event:?}");
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(line);
    }
}

async fn observers(stage: &Stage) {
    let (all, own) = (Diary::default(), Diary::default());
    let node = stage.parent().observer(all.clone());
    let (a, b) = (stage.key("a"), stage.key("b"));
    let users = node
        .cache::<u64, Value>(&a, MessagePack)
        .build()
        .unwrap()
        .faced();
    let orders = node.cache::<u64, Value>(&b, MessagePack);
    let orders = orders.observer(own.clone()).build().unwrap().faced();
    users.get_or_load(&1, brings("one")).await.unwrap();
    users.get(&1).await;
    orders.get_or_load(&1, brings("one")).await.unwrap();
    orders.get(&1).await;
    let lines = |diary: &Diary| diary.0.lock().unwrap().clone();
    for name in [&a, &b] {
        let hit = format!("{name} LocalHit");
        assert!(lines(&all).contains(&hit), "{name}: {:?}", lines(&all));
    }
    let own = lines(&own);
    assert!(!own.is_empty() && own.iter().all(|line| line.starts_with(&b)));
}

async fn clashes(stage: &Stage) {
    let node = stage.parent();
    let named = |name: &str| node.cache::<u64, Value>(name, MessagePack);
    let users = named("user").build().unwrap().faced();
    let _orders = named("orders").namespace("order").build().unwrap().faced();
    let wrong = [
        named("user"),
        named("mine").namespace("user"),
        // Longer than the prefix of a living cache's keys, and shorter.
        named("user:admin"),
        named("user").separator("::"),
        named("use").separator(""),
        named("").separator(""),
        named("order"),
        // A clone is the same node.
        node.clone().cache("user", Json),
    ];
    for (i, builder) in wrong.into_iter().enumerate() {
        let Err(Error::Config(text)) = builder.build() else {
            panic!("number {i} was built");
        };
        assert!(text.contains("`user:`") || text.contains("`order:`"));
    }
    let fine = [
        named("users"),
        named("user").namespace("other"),
        named("user").separator("/"),
        // It has an L2 of its own.
        named("user").no_remote(),
        node.local_cache("user"),
        named("user").remote(Memory::new(), MessagePack),
    ];
    let fine: Vec<_> = fine.map(|b| b.build().unwrap().faced()).into();
    // Another node knows nothing of this one.
    let other = stage.parent().cache::<u64, Value>("user", MessagePack);
    other.build().unwrap().faced();
    drop((users, fine));
}

async fn last_handle(stage: &Stage) {
    let node = stage.parent();
    let build = || {
        node.cache::<u64, Value>(&stage.key("users"), MessagePack)
            .build()
    };
    let users = build().unwrap();
    let clone = users.clone();
    users.insert(1, value("one")).await.unwrap();
    drop(users);
    assert!(build().is_err(), "a clone lives");
    clone.close().await;
    assert!(build().is_err(), "it is closed, not gone");
    drop(clone);
    let again = build().unwrap();
    assert_eq!(again.get(&1).await, Cached::Hit(value("one")));
    drop(again);
    // A cache that cannot be built takes no name.
    let wrong = node.cache::<u64, Value>(&stage.key("users"), MessagePack);
    assert!(wrong.max_value_size(0).build().is_err());
    let last = build().unwrap();
    drop(node);
    assert_eq!(last.get(&1).await, Cached::Hit(value("one")));
}

async fn at_once(stage: &Stage) {
    let node = stage.parent();
    let start = Barrier::new(8);
    let (node, start) = (&node, &start);
    let built: Vec<Result<Cache<u64, Value>, Error>> = thread::scope(|scope| {
        let builds = (0..8).map(|i| {
            scope.spawn(move || {
                let name = ["user", "user:admin"][i % 2];
                let builder = node.cache::<u64, Value>(name, MessagePack);
                start.wait();
                builder.build()
            })
        });
        let builds: Vec<_> = builds.collect();
        builds.into_iter().map(|b| b.join().unwrap()).collect()
    });
    assert_eq!(built.iter().filter(|built| built.is_ok()).count(), 1);
}

async fn levels(stage: &Stage) {
    let lone = stage.host().parent();
    let name = &stage.key("users");
    let cache = lone
        .cache::<u64, Value>(name, MessagePack)
        .build()
        .unwrap()
        .faced();
    assert_eq!(cache.kind(), Kind::Local);
    // Without an L2 there is nothing to share.
    lone.cache::<u64, Value>(name, MessagePack)
        .build()
        .unwrap()
        .faced();
    cache.get_or_load(&1, brings("one")).await.unwrap();
    assert_eq!(cache.get(&1).await, Cached::Hit(value("one")));

    let node = stage.parent();
    let named = |name: &str| node.cache::<u64, Value>(&stage.key(name), MessagePack);
    let cache = named("local").no_remote().build().unwrap().faced();
    assert_eq!(cache.kind(), Kind::Local);
    cache.insert(1, value("one")).await.unwrap();
    assert_eq!(stage.bytes("local:1").await, None);
    let cache = named("remote").no_local().build().unwrap().faced();
    assert_eq!(cache.kind(), Kind::Remote);
    let neither = named("neither").no_local().no_remote().build();
    assert!(matches!(neither, Err(Error::Config(_))));
    // A type that no codec knows.
    struct Opaque;
    let opaque = node.local_cache::<[u8; 2], Arc<Opaque>>("opaque");
    let opaque = opaque.build().unwrap().faced();
    opaque.insert([1, 2], Arc::new(Opaque)).await.unwrap();
    assert!(opaque.get(&[1, 2]).await.is_hit());
}

async fn connections(stage: &Stage) {
    let node = stage.parent();
    let cache = |i: u32| {
        let builder = node.cache::<u32, Value>(&format!("cache{i}"), MessagePack);
        builder.build().unwrap().faced()
    };
    let connections = || {
        let list = stage.server().cli(&["client", "list"]);
        // redis-cli's own connections do not count.
        list.lines()
            .filter(|line| !line.contains("cmd=client"))
            .count()
    };
    let first = cache(0);
    first.insert(1, value("one")).await.unwrap();
    first.get_or_load(&2, brings("two")).await.unwrap();
    let of_one = connections();
    assert!(of_one > 0);
    let rest: Vec<_> = (1..50).map(cache).collect();
    let uses = rest.iter().map(async |cache| {
        cache.insert(1, value("one")).await.unwrap();
        cache.get_or_load(&2, brings("two")).await.unwrap();
        assert_eq!(cache.stats().remote_faults, 0);
    });
    join_all(uses).await;
    assert_eq!(connections(), of_one);
    // The measure can fail: another node has connections of its own.
    let other = stage.parent().cache::<u32, Value>("cache0", MessagePack);
    let other = other.build().unwrap().faced();
    assert_eq!(other.get(&1).await, Cached::Hit(value("one")));
    assert!(connections() > of_one);
}
