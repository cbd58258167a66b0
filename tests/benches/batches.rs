//! What a batch of 100 keys that L2 has costs, against a bare `MGET` of the same keys through the
//! same client.
//!
//! The two are measured in turn, so that a machine whose speed drifts slows both; the ratio is
//! taken pair by pair. It starts a Redis server of its own. Run it with
//! `cargo bench -p jetcache-tests --bench batches`.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints, and ends where it cannot go on"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use jetcache_adapters::{Raw, Redis};
use jetcache_core::{Cache, Call};
use jetcache_tests::redis_server::RedisServer;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client};

const KEYS: u64 = 100;
const ROUNDS: usize = 200;
const PAIRS: usize = 31;

type Value = Arc<[u8]>;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    println!(
        "{KEYS} hits in L2, medians of {PAIRS} interleaved pairs of {ROUNDS} rounds (range in brackets):"
    );
    for size in [100, 1000] {
        runtime.block_on(measure(size));
    }
}

async fn measure(size: usize) {
    let server = RedisServer::start();
    let redis = || Redis::builder(server.url()).connections(1).open().unwrap();
    let keys: Vec<u64> = (0..KEYS).collect();
    let alone: Cache<u64, Value> = jetcache_tokio::builder("batch")
        .no_local()
        .remote(redis(), Raw)
        .build()
        .unwrap();
    let both: Cache<u64, Value> = jetcache_tokio::builder("batch")
        .remote(redis(), Raw)
        .build()
        .unwrap();
    let values = keys.iter().map(|key| (*key, vec![7; size].into()));
    let inserted = alone.insert_many(values).await;
    assert!(inserted.iter().all(|(_, reached)| reached.is_ok()));

    let mut bare = connection(&server).await;
    let texts: Vec<String> = keys.iter().map(|key| format!("batch:{key}")).collect();
    let skip = Call::new().skip_local();
    let mut ratios = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..PAIRS {
        let by_mget = time(async || {
            let found: Vec<Option<Vec<u8>>> = redis::cmd("MGET")
                .arg(&texts)
                .query_async(&mut bare)
                .await
                .unwrap();
            assert!(found.iter().all(Option::is_some));
            black_box(found);
        })
        .await;
        let by_alone = time(async || {
            let found = alone.get_many(&keys).await;
            assert_eq!(found.hits().count(), keys.len());
            black_box(found);
        })
        .await;
        let by_both = time(async || {
            let found = both.get_many_with(&keys, &skip).await;
            assert_eq!(found.hits().count(), keys.len());
            black_box(found);
        })
        .await;
        let by_filling = time(async || {
            both.clear_local();
            let found = both.get_many(&keys).await;
            assert_eq!(found.hits().count(), keys.len());
            black_box(found);
        })
        .await;
        for (ratio, took) in ratios.iter_mut().zip([by_alone, by_both, by_filling]) {
            ratio.push(took / by_mget);
        }
    }
    let names = [
        "get_many, no L1",
        "get_many, L1 skipped",
        "get_many, L1 emptied before and filled",
    ];
    for (name, mut ratios) in names.into_iter().zip(ratios) {
        ratios.sort_by(f64::total_cmp);
        println!(
            "  {size:>5} bytes  {name:<40} {:.2} [{:.2} to {:.2}] x bare MGET",
            ratios[PAIRS / 2],
            ratios[0],
            ratios[PAIRS - 1],
        );
    }
}

/// The client that the adapter uses, set as the adapter sets it.
async fn connection(server: &RedisServer) -> MultiplexedConnection {
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let url = format!("{}?protocol=resp3", server.url());
    let client = Client::open(url).unwrap();
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .unwrap()
}

/// Seconds for all rounds.
async fn time(mut round: impl AsyncFnMut()) -> f64 {
    round().await;
    let start = Instant::now();
    for _ in 0..ROUNDS {
        round().await;
    }
    start.elapsed().as_secs_f64()
}
