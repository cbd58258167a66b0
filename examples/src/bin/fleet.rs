//! Three nodes of one fleet: an L1 each, one Redis, and a bus by which they hear of each other's
//! changes.
//!
//! `fleet --redis URL`. It ends with exit code 1 if something that it shows did not happen.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it is here to talk"
)]

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use jetcache_tokio::{Cache, Cached, LoadError, MessagePack, Reach, Redis};

type Prices = Cache<String, u32>;

#[tokio::main]
async fn main() -> ExitCode {
    let Some(url) = url() else {
        eprintln!("usage: fleet --redis URL");
        return ExitCode::from(2);
    };
    match show(&url).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fleet: {error}");
            ExitCode::FAILURE
        }
    }
}

fn url() -> Option<String> {
    let mut arguments = std::env::args().skip(1);
    let url = (arguments.next()? == "--redis").then(|| arguments.next())??;
    arguments.next().is_none().then_some(url)
}

/// What a process does once: a handle of Redis, which all its caches share, and a bus over it.
fn node(url: &str, namespace: &str) -> Result<Prices, Box<dyn Error>> {
    let redis = Redis::open(url)?;
    let node = jetcache_tokio::node()
        .bus(redis.pubsub("fleet"))
        .remote(redis);
    Ok(node
        .cache("prices", MessagePack)
        .namespace(namespace)
        .ttl(Duration::from_secs(60))
        .build()?)
}

async fn show(url: &str) -> Result<(), Box<dyn Error>> {
    // What an earlier run left in Redis is not this run's.
    let namespace = format!("prices-{}", SystemTime::UNIX_EPOCH.elapsed()?.as_nanos());
    let mut nodes = Vec::new();
    for _ in 0..3 {
        let node = node(url, &namespace)?;
        println!("a node, whose bus is {}", node.listen().await);
        nodes.push(node);
    }

    println!("\nTwo hundred callers on each of three nodes ask for one cold key.");
    let loads = Arc::new(AtomicU64::new(0));
    let mut callers = Vec::new();
    for node in &nodes {
        for _ in 0..200 {
            let (node, loads) = (node.clone(), Arc::clone(&loads));
            callers.push(tokio::spawn(async move {
                let load = async || {
                    loads.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    Ok::<_, LoadError>(100)
                };
                node.get_or_load("chair", load).await
            }));
        }
    }
    for caller in callers {
        check(caller.await?? == Some(100), "a caller got the price")?;
    }
    let loads = loads.load(Ordering::Relaxed);
    println!("  loads in the whole fleet: {loads}");
    check(loads == 1, "one load in the fleet")?;

    println!("\nThe first node writes a new price through.");
    let written = async || Ok::<_, LoadError>(120);
    nodes[0].write_through("chair", written).await?;
    let heard = Instant::now();
    for (number, node) in nodes.iter().enumerate() {
        // The word is a millisecond or so under way; L2 has the new price already.
        while node.get("chair").await != Cached::Hit(120) {
            check(heard.elapsed() < PATIENCE, "the word has come")?;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        println!("  node {number} reads 120");
    }

    println!("\nThe third node removes it.");
    let reach = nodes[2].invalidate("chair").await;
    check(reach == Reach::Everywhere, "L2 has confirmed it")?;
    let heard = Instant::now();
    for (number, node) in nodes.iter().enumerate() {
        while node.peek("chair") != Cached::Miss {
            check(heard.elapsed() < PATIENCE, "the word has come")?;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        println!("  gone from the L1 of node {number}");
    }
    for node in &nodes {
        node.close().await;
    }
    Ok(())
}

fn check(happened: bool, what: &str) -> Result<(), String> {
    if happened {
        return Ok(());
    }
    Err(format!("this did not happen: {what}"))
}

const PATIENCE: Duration = Duration::from_secs(10);
