//! Both runtime crates in one program, and one cache in several runtimes, one after the other.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use jetcache_adapters::contract;
use jetcache_core::{Cache, Call, LoadError};
use jetcache_tests::redis_server::RedisServer;
use jetcache_tokio::{MessagePack, Redis};

use crate::behaviour::stage::{Cases, shared_redis};

pub(crate) const CASES: Cases<fn()> = &[
    ("each_runtime_keeps_its_contract", contracts),
    ("a_static_cache_outlives_its_runtimes", outlives),
    ("removals_are_repeated_in_the_next_runtime", repeated),
    ("refreshing_goes_on_in_the_next_runtime", refreshed),
    ("two_runtimes_share_a_redis_in_one_program", pair),
    ("a_cache_is_built_and_dropped_without_a_runtime", without),
    ("a_thousand_caches_leave_no_task_behind", thousand),
    ("caches_and_their_futures_cross_threads", threads),
];

type Node = Cache<u64, Arc<str>>;

fn in_tokio<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

fn brings(text: &str) -> impl FnOnce() -> std::future::Ready<Result<Arc<str>, LoadError>> + use<> {
    let text = Arc::from(text);
    move || std::future::ready(Ok(text))
}

fn contracts() {
    in_tokio(contract::runtime::run(&jetcache_tokio::Tokio::new()));
    smol::block_on(contract::runtime::run(&jetcache_smol::Smol::new()));
    let async_std = jetcache_smol::async_std::AsyncStd::new();
    async_std::task::block_on(contract::runtime::run(&async_std));
}

fn outlives() {
    static CACHE: LazyLock<Node> = LazyLock::new(|| {
        let redis = Redis::open(&shared_redis()).unwrap();
        let builder = jetcache_tokio::builder("static").remote(redis, MessagePack);
        builder
            .stats_every(Duration::from_secs(3600))
            .build()
            .unwrap()
    });
    for round in 0..3 {
        in_tokio(async {
            // The connection died with the last runtime. A claim is never sent twice, so that must
            // be noticed before it is sent.
            let reach = CACHE.insert(round, "one".into()).await.unwrap();
            assert_eq!(reach, jetcache_core::Reach::Everywhere);
            CACHE.clear_local();
            assert!(CACHE.get(&round).await.is_hit());
            assert_eq!(CACHE.tasks(), 1, "the table's task was started again");
        });
    }
    assert_eq!(CACHE.stats().remote_faults, 0);
}

fn repeated() {
    let mut server = RedisServer::start();
    let redis = Redis::open(&server.url()).unwrap();
    let cache: Node = jetcache_tokio::builder("next")
        .remote(redis, MessagePack)
        .build()
        .unwrap();
    in_tokio(async {
        cache.insert(1, "old".into()).await.unwrap();
        server.kill();
        assert_eq!(cache.invalidate(&1).await, jetcache_core::Reach::Pending);
    });
    // The task that repeats the removal died with its runtime.
    assert_eq!((cache.activity().unconfirmed, cache.tasks()), (1, 0));
    server.restart();
    in_tokio(async {
        assert_eq!(
            cache
                .get_or_load(&1, brings("new"))
                .await
                .unwrap()
                .as_deref(),
            Some("new")
        );
        while cache.activity().unconfirmed > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}

fn refreshed() {
    let version = Arc::new(AtomicU64::new(0));
    let loaded = Arc::clone(&version);
    let cache: Node = jetcache_tokio::builder("next-refresh")
        .loader(move |key: u64| {
            let version = loaded.load(Ordering::SeqCst);
            std::future::ready(Ok::<Arc<str>, LoadError>(format!("{key} {version}").into()))
        })
        .refresh_every(Duration::from_millis(40))
        .stop_refresh_after(Duration::from_secs(60))
        .build()
        .unwrap();
    let fresh = Call::new().refresh();
    for round in 1..4 {
        in_tokio(async {
            cache.load_with(&1, &fresh).await.unwrap();
            assert!(cache.tasks() > 0, "the task was started again");
            version.store(round, Ordering::SeqCst);
            let new = format!("1 {round}");
            while cache.peek(&1).hit().as_deref() != Some(&*new) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert_eq!((cache.tasks(), cache.activity().refreshes), (0, 1));
    }
}

fn pair() {
    let (tokio, smol): (Node, Node) = (
        jetcache_tokio::builder("pair")
            .remote(Redis::open(&shared_redis()).unwrap(), MessagePack)
            .build()
            .unwrap(),
        jetcache_smol::builder("pair")
            .remote(Redis::open(&shared_redis()).unwrap(), MessagePack)
            .build()
            .unwrap(),
    );
    in_tokio(tokio.get_or_load(&1, brings("one"))).unwrap();
    assert!(smol::block_on(smol.get(&1)).is_hit());
    smol::block_on(smol.insert(2, "two".into())).unwrap();
    assert!(in_tokio(tokio.get(&2)).is_hit());
}

fn without() {
    let redis = Redis::open("redis://127.0.0.1:1").unwrap();
    let cache: Node = jetcache_tokio::builder("none")
        .remote(redis, MessagePack)
        .build()
        .unwrap();
    assert_eq!(cache.tasks(), 0);
    assert!(!cache.peek(&1).is_hit());
    cache.clear_local();
    drop(cache);
}

fn thousand() {
    in_tokio(async {
        for _ in 0..1000 {
            let cache: Node = jetcache_tokio::builder("many")
                .stats_every(Duration::from_secs(60))
                .build()
                .unwrap();
            cache.get_or_load(&1, brings("one")).await.unwrap();
            cache.close().await;
            assert_eq!(cache.tasks(), 0);
        }
        let cache: Node = jetcache_tokio::builder("last").build().unwrap();
        cache.load(&1).await.unwrap_err();
    });
}

fn assert_send_sync<T: Send + Sync + Clone + std::fmt::Debug>(_: &T) {}
fn assert_send<T: Send>(future: T) -> T {
    future
}

fn threads() {
    let cache: Node = jetcache_smol::builder("threads").build().unwrap();
    assert_send_sync(&cache);
    let load = assert_send(cache.get_or_load(&1, brings("one")));
    smol::block_on(load).unwrap();
    smol::block_on(assert_send(cache.load(&1))).unwrap();
    smol::block_on(assert_send(cache.invalidate(&1)));
    smol::block_on(assert_send(cache.insert(1, "two".into()))).unwrap();
    smol::block_on(assert_send(cache.close()));
}
