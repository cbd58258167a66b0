//! Both runtime crates in one program, and one cache in several runtimes, one after the other.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use jetcache_adapters::contract;
use jetcache_core::{Cache, Call, Error, LoadError};
use jetcache_tests::redis_server::RedisServer;
use jetcache_tokio::{MessagePack, Redis};

use crate::behaviour::stage::{Cases, Log, PATIENCE, shared_redis};

pub(crate) const CASES: Cases<fn()> = &[
    ("each_runtime_keeps_its_contract", contracts),
    ("a_static_cache_outlives_its_runtimes", outlives),
    ("removals_are_repeated_in_the_next_runtime", repeated),
    ("refreshing_goes_on_in_the_next_runtime", refreshed),
    ("two_runtimes_share_a_redis_in_one_program", pair),
    ("a_cache_is_built_and_dropped_without_a_runtime", without),
    ("a_thousand_caches_leave_no_task_behind", thousand),
    ("a_tokio_without_timers_is_named", timeless),
    ("a_tokio_without_sockets_is_named", wireless),
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
    smol::block_on(contract::runtime::run(&jetcache_adapters::Threads::new()));
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

/// A runtime without this driver is named by every call that can answer an error, and by the log;
/// no user code runs, and nothing panics or hangs.
fn timeless() {
    let log = Log::capture();
    for threads in [0, 2] {
        let lame = match threads {
            0 => tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .build(),
            _ => tokio::runtime::Builder::new_multi_thread()
                .worker_threads(threads)
                .enable_io()
                .build(),
        };
        let lame = lame.unwrap();
        let name = format!("timeless{threads}");
        let cache: Node = jetcache_tokio::builder(&name)
            .remote(Redis::open(&shared_redis()).unwrap(), MessagePack)
            .bus(Redis::open(&shared_redis()).unwrap().pubsub("timeless"))
            .loader(|_: u64| nobody())
            .refresh_every(Duration::from_secs(1))
            .stats_every(Duration::from_secs(1))
            .build()
            .unwrap();
        let says = |outcome: Result<(), Error>| {
            let error = outcome.unwrap_err();
            assert!(matches!(error, Error::Config(_)), "{error:?}");
            assert!(error.to_string().contains("enable_time()"), "{error}");
        };
        let calls = async {
            says(cache.get_or_load(&1, nobody).await.map(drop));
            says(cache.load(&1).await.map(drop));
            says(cache.load_with(&1, &Call::new().refresh()).await.map(drop));
            says(
                cache
                    .get_many_or_load(&[1, 2], async |_: Vec<u64>| {
                        unreachable!("no loader runs");
                        #[expect(unreachable_code, reason = "it names the type")]
                        Ok::<Vec<(u64, Arc<str>)>, LoadError>(Vec::new())
                    })
                    .await
                    .into_values()
                    .map(drop),
            );
            says(cache.insert(1, "one".into()).await.map(drop));
            says(cache.insert_if_absent(1, "one".into()).await.map(drop));
            says(
                cache
                    .insert_many([(1, "one".into())])
                    .await
                    .into_values()
                    .map(drop),
            );
            says(cache.write_through(&1, nobody).await.map(drop));
            assert!(!cache.get(&1).await.is_hit());
            assert!(!cache.exists(&1).await);
            assert!(
                cache
                    .get_many(&[1, 2])
                    .await
                    .into_iter()
                    .all(|(_, read)| !read.is_hit())
            );
            assert_eq!(cache.tasks(), 0);
            // It is tried, and nothing confirms it.
            assert_eq!(cache.invalidate(&1).await, jetcache_core::Reach::Pending);
            assert_ne!(cache.listen().await, jetcache_core::BusState::Up);
        };
        lame.block_on(calls);
        assert!(log.contains(&format!("the runtime of a caller of {name}: this tokio")));
        drop(lame);
        // The same cache is well elsewhere.
        in_tokio(async {
            let loaded = cache.get_or_load(&1, brings("one")).await.unwrap();
            assert_eq!(loaded.as_deref(), Some("one"));
            cache.close().await;
        });
    }
}

async fn nobody() -> Result<Arc<str>, LoadError> {
    unreachable!("no loader runs")
}

/// Only L2 needs sockets: loads do without it, and its fault says why.
fn wireless() {
    let log = Log::capture();
    let lame = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let lame = lame.unwrap();
    let redis = Redis::open(&shared_redis()).unwrap();
    let cache: Node = jetcache_tokio::builder("wireless")
        .remote(redis.clone(), MessagePack)
        .remote_timeout(PATIENCE)
        .bus(redis.pubsub("wireless"))
        .build()
        .unwrap();
    lame.block_on(async {
        let loaded = cache.get_or_load(&1, brings("one")).await.unwrap();
        assert_eq!(loaded.as_deref(), Some("one"));
        assert_eq!(cache.invalidate(&1).await, jetcache_core::Reach::Pending);
        assert_eq!(cache.listen().await, jetcache_core::BusState::Down);
    });
    for of in ["L2 of wireless: ", "the bus of wireless: "] {
        let words = format!("{of}not reachable: this tokio runtime has no sockets: build it with");
        assert!(log.contains(&words), "{words}");
    }
    drop(lame);
    in_tokio(async {
        assert_eq!(cache.listen().await, jetcache_core::BusState::Up);
        let reach = cache.insert(2, "two".into()).await.unwrap();
        assert_eq!(reach, jetcache_core::Reach::Everywhere);
        cache.close().await;
    });
}
