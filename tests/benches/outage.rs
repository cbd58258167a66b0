//! What callers feel of a Redis that stands still for some seconds and comes back: how long their
//! calls take before, meanwhile and after, with the circuit breaker and without.
//!
//! Each phase lasts as long as the first argument says, in seconds (3 if there is none). It starts
//! a Redis server of its own. Run it with `cargo bench -p jetcache-tests --bench outage`.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints, and ends where it cannot go on"
)]

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use jetcache_adapters::{Raw, Redis};
use jetcache_core::{Builder, Cache, LoadError};
use jetcache_tests::redis_server::RedisServer;

/// How many callers ask at once, each for one cold key after the other.
const CALLERS: u64 = 32;
/// How long a loader takes.
const LOAD: Duration = Duration::from_millis(8);
const REMOTE_TIMEOUT: Duration = Duration::from_millis(250);

type Setting = fn(Builder<u64, String>) -> Builder<u64, String>;

fn main() {
    let seconds = std::env::args().skip(1).find_map(|word| word.parse().ok());
    let phase = Duration::from_secs(seconds.unwrap_or(3));
    println!(
        "{CALLERS} callers of cold keys, loader {LOAD:?}, remote_timeout {REMOTE_TIMEOUT:?}; Redis stands \
         still for {phase:?}:"
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let settings: [(&str, Setting); 2] = [
        ("with the breaker", |builder| builder),
        ("without", Builder::no_breaker),
    ];
    for (name, set) in settings {
        runtime.block_on(measure(name, set, phase));
    }
}

async fn measure(name: &str, set: Setting, phase: Duration) {
    let server = RedisServer::start();
    let builder = jetcache_tokio::builder("outage")
        .remote(Redis::open(&server.url()).unwrap(), Raw)
        .remote_timeout(REMOTE_TIMEOUT);
    let cache: Cache<u64, String> = set(builder).build().unwrap();
    println!("  {name}");
    for (at, when) in ["before", "meanwhile", "after"].into_iter().enumerate() {
        match when {
            "meanwhile" => server.pause(),
            "after" => server.resume(),
            _ => {}
        }
        let begun = Instant::now();
        let callers = (0..CALLERS).map(|caller| {
            let cache = cache.clone();
            let caller = async move {
                let mut took = Vec::new();
                while begun.elapsed() < phase {
                    let key = ((at as u64 * CALLERS + caller) << 32) | took.len() as u64;
                    let asked = Instant::now();
                    let load = async || {
                        tokio::time::sleep(LOAD).await;
                        Ok::<_, LoadError>(String::from("row"))
                    };
                    cache.get_or_load(&key, load).await.unwrap();
                    took.push(asked.elapsed());
                }
                took
            };
            tokio::spawn(caller)
        });
        let callers = join_all(callers).await;
        let mut took: Vec<Duration> = callers.into_iter().flat_map(Result::unwrap).collect();
        took.sort_unstable();
        let part = |percent: usize| took[(took.len() - 1) * percent / 100];
        println!(
            "    {when:9}  {:>6} calls/s  p50 {:>7.1?}  p99 {:>7.1?}  worst {:>7.1?}  faults {}",
            took.len() / usize::try_from(phase.as_secs()).unwrap().max(1),
            part(50),
            part(99),
            part(100),
            cache.stats().remote_faults,
        );
    }
}
