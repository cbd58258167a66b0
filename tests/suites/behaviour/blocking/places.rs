//! Where a thread may wait for the cache, and where not.

use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use jetcache_adapters::{Memory, MessagePack, Redis};
use jetcache_core::{Blocking, Cached, Error, LoadError, Reach};

use crate::behaviour::stage::{Cases, shared_redis};

pub(crate) const CASES: Cases<fn()> = &[
    ("a_task_of_tokios_is_not_blocked", tokio_tasks),
    ("a_thread_of_tokios_for_blocking_code_is", tokio_threads),
    ("a_task_of_smols_is_not_blocked", smol_tasks),
    ("a_task_of_async_stds_is_not_blocked", async_std_tasks),
    ("no_runtime_is_needed_anywhere", nowhere),
    ("a_static_cache_serves_threads_and_runtimes", both),
];

type Node = Blocking<u64, Arc<str>>;

/// In the middle of a task: what would wait does not, what is at hand is answered, and a removal is
/// carried out.
fn stands_in_the_way(node: &Node) {
    let nobody = || -> Result<Arc<str>, LoadError> { panic!("nobody waits for it") };
    let loaded = node.get_or_load(&7, nobody);
    assert!(matches!(loaded, Err(Error::Config(_))), "{loaded:?}");
    let inserted = node.insert(7, "v".into());
    assert!(matches!(inserted, Err(Error::Config(_))), "{inserted:?}");
    assert_eq!(node.get(&7), Cached::Miss);
    assert_eq!(node.get(&1), Cached::Hit("one".into()), "it is in L1");
    let hit = node.get_or_load(&1, nobody).unwrap();
    assert_eq!(hit.as_deref(), Some("one"));
    let removed = node.invalidate(&1);
    assert!(matches!(removed, Err(Error::Config(_))), "{removed:?}");
}

/// The removal that began there ends.
fn is_removed(node: &Node) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while node.get(&1) != Cached::Miss {
        assert!(Instant::now() < deadline, "it was not removed");
        thread::sleep(Duration::from_millis(5));
    }
}

fn filled(node: &Node) {
    let reach = node.insert(1, "one".into()).unwrap();
    assert_eq!(reach, Reach::Everywhere);
}

fn tokio_node(name: &str) -> Node {
    let redis = Redis::open(&shared_redis()).unwrap();
    let builder = jetcache_tokio::builder(name).remote(redis, MessagePack);
    builder.build().unwrap().blocking()
}

fn tokio_tasks() {
    let threaded = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let single = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for runtime in [threaded, single] {
        let node = tokio_node("tokio-tasks");
        filled(&node);
        runtime.block_on(async {
            stands_in_the_way(&node);
            is_removed_here(&node).await;
        });
        filled(&node);
        let here = node.clone();
        runtime.block_on(async {
            let task = tokio::spawn(async move { stands_in_the_way(&here) });
            task.await.unwrap();
            is_removed_here(&node).await;
        });
    }
}

/// The removal is a task of the runtime that it began in.
async fn is_removed_here(node: &Node) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while node.cache().get(&1).await != Cached::Miss {
        assert!(Instant::now() < deadline, "it was not removed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn tokio_threads() {
    let single = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    single.block_on(async {
        let node = tokio_node("tokio-threads");
        let here = node.clone();
        let waited = tokio::task::spawn_blocking(move || {
            let loaded = here.get_or_load(&7, || Ok(Arc::from("seven")));
            loaded.unwrap()
        });
        assert_eq!(waited.await.unwrap().as_deref(), Some("seven"));
        // The cache itself goes on here.
        assert!(node.cache().get(&7).await.is_hit());
    });
}

fn smol_tasks() {
    let redis = Redis::open(&shared_redis()).unwrap();
    let builder = jetcache_smol::builder("smol-tasks").remote(redis, MessagePack);
    let node: Node = builder.build().unwrap().blocking();
    filled(&node);
    let here = node.clone();
    smol::block_on(smol::spawn(async move { stands_in_the_way(&here) }));
    is_removed(&node);
    let here = node.clone();
    let loaded = smol::unblock(move || here.get_or_load(&7, || Ok(Arc::from("seven"))));
    assert_eq!(smol::block_on(loaded).unwrap().as_deref(), Some("seven"));
    // The thread that waits for a future runs no other's tasks.
    assert!(smol::block_on(async { node.get(&7) }).is_hit());
}

fn async_std_tasks() {
    let redis = Redis::open(&shared_redis()).unwrap();
    let builder = jetcache_smol::async_std::builder("async-std-tasks").remote(redis, MessagePack);
    let node: Node = builder.build().unwrap().blocking();
    filled(&node);
    let here = node.clone();
    async_std::task::block_on(async_std::task::spawn(
        async move { stands_in_the_way(&here) },
    ));
    is_removed(&node);
}

fn nowhere() {
    let threads = || jetcache_core::Cache::builder("threads", jetcache_adapters::Threads::new());
    let local: Node = threads().build().unwrap().blocking();
    let remote: Node = threads()
        .remote(Memory::new(), MessagePack)
        .build()
        .unwrap()
        .blocking();
    let tokio: Node = jetcache_tokio::builder("nowhere")
        .build()
        .unwrap()
        .blocking();
    for node in [local, remote, tokio] {
        thread::scope(|scope| {
            for _ in 0..4 {
                let load = || node.get_or_load(&7, || Ok(Arc::from("seven")));
                let loading = scope.spawn(load);
                assert_eq!(loading.join().unwrap().unwrap().as_deref(), Some("seven"));
            }
        });
        filled(&node);
        node.close().unwrap();
    }
}

fn both() {
    static NODE: LazyLock<Node> = LazyLock::new(|| tokio_node("threads-and-runtimes"));
    for round in 0..3 {
        let loaded = NODE
            .get_or_load(&(2 * round), || Ok(Arc::from("thread")))
            .unwrap();
        assert_eq!(loaded.as_deref(), Some("thread"));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let cache = NODE.cache();
            assert!(cache.get(&(2 * round)).await.is_hit());
            cache.clear_local();
            let load = async || Ok::<_, LoadError>(Arc::from("task"));
            let loaded = cache.get_or_load(&(2 * round + 1), load).await.unwrap();
            assert_eq!(loaded.as_deref(), Some("task"));
        });
        // That runtime is gone, with its connections.
        NODE.cache().clear_local();
        assert_eq!(NODE.get(&(2 * round + 1)), Cached::Hit("task".into()));
        assert_eq!(NODE.invalidate(&(2 * round)).unwrap(), Reach::Everywhere);
    }
}
