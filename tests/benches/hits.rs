//! What a hit in L1 costs, against the bare engine and one read of the coarse clock.
//!
//! The two are measured in turn, so that a machine whose speed drifts slows both; the ratio is
//! taken pair by pair. Run it with `cargo bench -p jetcache-tests --bench hits`.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints, and ends where it cannot go on"
)]

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use jetcache_adapters::{Metrics, OpenTelemetry, QuickCache};
use jetcache_core::{Cache, Clock, Entry, Load, LoadError, Local, Timestamp};
use metrics_exporter_prometheus::PrometheusBuilder;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;

const KEYS: usize = 1000;
const ROUNDS: usize = 200_000;
const PAIRS: usize = 31;

fn main() {
    let keys: Vec<String> = (0..KEYS).map(|i| format!("key-{i:05}")).collect();
    let value: Arc<str> = Arc::from("value");

    let clock = Clock::system();
    let bare = QuickCache::<String, Arc<str>>::new(10 * KEYS);
    let engine = quick_cache::sync::Cache::<String, (Arc<str>, u64)>::new(10 * KEYS);
    for key in &keys {
        bare.insert(key.clone(), Entry::new(Some(value.clone()), Timestamp::MAX));
        engine.insert(key.clone(), (value.clone(), u64::MAX));
    }
    let builder = || jetcache_tokio::builder::<String, Arc<str>>("hits");
    let cache: Cache<String, Arc<str>> = builder().build().unwrap();
    let _prometheus = PrometheusBuilder::new().install_recorder().unwrap();
    let meter = SdkMeterProvider::default().meter("hits");
    let measured: Cache<String, Arc<str>> = builder()
        .observer(Metrics::new())
        .observer(OpenTelemetry::new(&meter))
        .build()
        .unwrap();
    let tagged: Cache<String, Arc<str>> = builder().build().unwrap();
    let silent: Cache<String, Arc<str>> = builder().no_stats().build().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let load = || async { Ok::<_, LoadError>(Arc::clone(&value)) };
    let with_tags = || async {
        let load = Load::from(Arc::clone(&value)).tags(["one", "two"]);
        Ok::<_, LoadError>(load)
    };
    for key in &keys {
        ready(tagged.get_or_load(key.as_str(), with_tags)).unwrap();
        ready(cache.get_or_load(key.as_str(), load)).unwrap();
        ready(measured.get_or_load(key.as_str(), load)).unwrap();
        ready(silent.get_or_load(key.as_str(), load)).unwrap();
    }

    let by_engine = || {
        time(|i| {
            let found = engine.get(keys[i % KEYS].as_str());
            let fresh = found.filter(|(_, until)| clock.coarse().as_nanos() < *until);
            black_box(fresh);
        })
    };
    let by_port = || {
        time(|i| {
            let found = Local::get(&bare, &keys[i % KEYS].as_str());
            black_box(found.filter(|entry| entry.is_fresh(clock.coarse())));
        })
    };
    let by_cache = || {
        ready(time_async(async |i| {
            black_box(cache.get_or_load(keys[i % KEYS].as_str(), load).await.ok());
        }))
    };
    let by_measured = || {
        ready(time_async(async |i| {
            let key = keys[i % KEYS].as_str();
            black_box(measured.get_or_load(key, load).await.ok());
        }))
    };
    let by_tagged = || {
        ready(time_async(async |i| {
            let key = keys[i % KEYS].as_str();
            black_box(tagged.get_or_load(key, with_tags).await.ok());
        }))
    };
    let by_silent = || {
        ready(time_async(async |i| {
            black_box(silent.get_or_load(keys[i % KEYS].as_str(), load).await.ok());
        }))
    };
    let by_peek = || {
        time(|i| {
            black_box(cache.peek(keys[i % KEYS].as_str()));
        })
    };
    println!("L1 hit, medians of {PAIRS} interleaved pairs (range in brackets):");
    compare(
        "get_or_load / bare quick_cache + clock",
        &by_cache,
        &by_engine,
    );
    compare(
        "without statistics / the same         ",
        &by_silent,
        &by_engine,
    );
    compare(
        "with metrics / without them           ",
        &by_measured,
        &by_cache,
    );
    compare(
        "a value with two tags / without any   ",
        &by_tagged,
        &by_cache,
    );
    compare(
        "peek / bare quick_cache + clock       ",
        &by_peek,
        &by_engine,
    );
    compare(
        "the L1 port + clock / the same        ",
        &by_port,
        &by_engine,
    );
}

fn compare(what: &str, ours: &dyn Fn() -> Duration, theirs: &dyn Fn() -> Duration) {
    let mut pairs: Vec<(f64, f64, f64)> = (0..PAIRS)
        .map(|_| {
            let (ours, theirs) = (ours().as_secs_f64(), theirs().as_secs_f64());
            (
                ours / theirs,
                ours * 1e9 / ROUNDS as f64,
                theirs * 1e9 / ROUNDS as f64,
            )
        })
        .collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (ratio, ours, theirs) = pairs[PAIRS / 2];
    let (least, most) = (pairs[0].0, pairs[PAIRS - 1].0);
    println!("{what}: {ratio:.2} [{least:.2} to {most:.2}]  ({ours:.0} ns / {theirs:.0} ns)");
}

fn time(mut step: impl FnMut(usize)) -> Duration {
    let begin = Instant::now();
    for i in 0..ROUNDS {
        step(i);
    }
    begin.elapsed()
}

async fn time_async(mut step: impl AsyncFnMut(usize)) -> Duration {
    let begin = Instant::now();
    for i in 0..ROUNDS {
        step(i).await;
    }
    begin.elapsed()
}

fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("a hit does not wait"),
    }
}
