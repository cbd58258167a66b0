//! News of changes, from one node to the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jetcache_core::{Cached, LoadError};
use jetcache_tokio::{Cache, Raw, Redis};
use redis::aio::MultiplexedConnection;
use tokio::time::sleep;

use crate::measure::{Contest, Run};
use crate::remote;
use crate::report::{By, Table};
use crate::stock::{HOUR, Value, value};
use crate::tables::Stage;

/// One node invalidates what three others hold, until none of them has it any more.
pub fn storm(stage: &mut Stage<'_>) {
    let (runtime, url) = (stage.runtime, stage.url);
    let keys: u64 = if stage.full { 20_000 } else { 5_000 };
    let nodes: Vec<_> = (0..NODES).map(|_| node(url)).collect();
    runtime.block_on(async {
        for node in &nodes {
            node.listen().await;
        }
    });
    let heard = Arc::new(AtomicUsize::new(0));
    let listeners: Vec<_> = (1..NODES)
        .map(|_| runtime.block_on(listener(url, &heard)))
        .collect();
    let bare = runtime.block_on(remote::by_hand(url));

    let mut contest = Contest::default();
    contest.enter("DEL and PUBLISH by redis-rs, to three who count", || {
        heard.store(0, Ordering::Relaxed);
        let bare = bare.clone();
        Run::of(keys as usize, || {
            runtime.block_on(async {
                by_many(keys, move |key| tell(bare.clone(), key)).await;
                let all = keys as usize * listeners.len();
                until(|| heard.load(Ordering::Relaxed) >= all).await;
            });
        })
    });
    contest.enter("jetcache invalidate", || {
        runtime.block_on(fill(&nodes, keys));
        let first = nodes[0].clone();
        Run::of(keys as usize, || {
            runtime.block_on(async {
                let ask = move |key| {
                    let first = first.clone();
                    async move {
                        first.invalidate(&key).await;
                    }
                };
                by_many(keys, ask).await;
                // News come in the order in which they were sent, but 64 tasks send them.
                for node in &nodes[1..] {
                    for key in 0..keys {
                        until(|| matches!(node.peek(&key), Cached::Miss)).await;
                    }
                }
            });
        })
    });
    let scores = contest.run(stage.rounds());
    let title =
        format!("{keys} invalidations by 64 tasks, until three other nodes have all of them");
    let note = "Messages a second, each to three. All nodes are caches of one process, each with a connection and a \
                subscription of its own. By hand nobody holds anything that must be removed.";
    stage
        .report
        .table(&Table::race(&title, note, By::Speed, &scores, &[]));
    for listener in listeners {
        listener.abort();
    }
}

fn node(url: &str) -> Cache<u64, Value> {
    let redis = Redis::open(url).expect("the URL is valid");
    jetcache_tokio::builder("storm")
        .capacity(100_000)
        .ttl(HOUR)
        .local_ttl(HOUR)
        .bus(redis.pubsub("news"))
        .remote(redis, Raw)
        .build()
        .expect("the settings are valid")
}

/// Lets every node hold every key.
async fn fill(nodes: &[Cache<u64, Value>], keys: u64) {
    for node in nodes {
        let all: Vec<u64> = (0..keys).collect();
        for some in all.chunks(1000) {
            let load = async |ids: Vec<u64>| {
                Ok::<_, LoadError>(
                    ids.into_iter()
                        .map(|id| (id, value(100)))
                        .collect::<Vec<_>>(),
                )
            };
            node.get_many_or_load(some, load).await;
        }
    }
    for key in 0..keys {
        until(|| nodes.iter().all(|node| node.peek(&key).is_hit())).await;
    }
}

async fn listener(url: &str, heard: &Arc<AtomicUsize>) -> tokio::task::JoinHandle<()> {
    let (sender, mut messages) = tokio::sync::mpsc::unbounded_channel();
    let client = redis::Client::open(format!("{url}?protocol=resp3")).expect("the URL is valid");
    let config = redis::AsyncConnectionConfig::new().set_push_sender(sender);
    let connection = client.get_multiplexed_async_connection_with_config(&config);
    let mut connection = connection.await.expect("the server answers");
    connection
        .subscribe("by-hand")
        .await
        .expect("the server answers");
    let heard = Arc::clone(heard);
    tokio::spawn(async move {
        // It ends with its task.
        let _connection = connection;
        while let Some(push) = messages.recv().await {
            if push.kind == redis::PushKind::Message {
                heard.fetch_add(1, Ordering::Relaxed);
            }
        }
    })
}

async fn tell(mut bare: MultiplexedConnection, key: u64) {
    let mut pipeline = redis::pipe();
    let pipeline = pipeline.atomic().del(format!("storm:{key}")).ignore();
    let told = pipeline.publish("by-hand", key).ignore();
    told.query_async::<()>(&mut bare)
        .await
        .expect("Redis answers");
}

async fn by_many<F>(keys: u64, ask: impl Fn(u64) -> F + Clone + Send + 'static)
where
    F: Future<Output = ()> + Send,
{
    const TASKS: u64 = 64;
    let work = |task: u64| {
        let ask = ask.clone();
        async move {
            for key in (task..keys).step_by(TASKS as usize) {
                ask(key).await;
            }
        }
    };
    let tasks: Vec<_> = (0..TASKS).map(|task| tokio::spawn(work(task))).collect();
    for task in tasks {
        task.await.expect("no task panics");
    }
}

async fn until(holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "news came too late");
        sleep(Duration::from_micros(200)).await;
    }
}

const NODES: usize = 4;
