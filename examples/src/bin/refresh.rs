//! Values that are kept fresh: loaded anew every so often by one node of the fleet, for as long as
//! somebody asks for them.
//!
//! `refresh` needs no server: its two nodes are two caches over one L2 in the process. It ends with exit code 1
//! if something that it shows did not happen.

#![expect(clippy::print_stdout, reason = "it is here to talk")]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jetcache_tokio::{Cache, Call, LoadError, Memory, MessagePack};

type Rates = Cache<String, u64>;

const EVERY: Duration = Duration::from_millis(200);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // The rate rises each time that the bank is asked.
    let bank = Arc::new(AtomicU64::new(0));
    let memory = Memory::new();
    let node = || -> Result<Rates, jetcache_tokio::Error> {
        let bank = Arc::clone(&bank);
        let rate = move |_: String| {
            let bank = Arc::clone(&bank);
            async move { Ok::<_, LoadError>(bank.fetch_add(1, Ordering::Relaxed) + 1) }
        };
        jetcache_tokio::builder("rates")
            .remote(memory.clone(), MessagePack)
            .ttl(Duration::from_secs(60))
            .loader(rate)
            .refresh_every(EVERY)
            .stop_refresh_after(4 * EVERY)
            .build()
    };
    let nodes = [node()?, node()?];

    println!("Both nodes ask for a rate that is to be loaded anew every {EVERY:?}.");
    let wish = Call::new().refresh();
    let start = Instant::now();
    let mut seen = [0, 0];
    while seen.iter().any(|rate| *rate < 5) {
        check(start.elapsed() < PATIENCE, "both nodes see the fifth rate")?;
        for (node, seen) in nodes.iter().zip(&mut seen) {
            let rate = node.load_with("EUR", &wish).await?.unwrap_or_default();
            check(rate >= *seen, "no node sees an older rate than before")?;
            *seen = rate;
        }
        tokio::time::sleep(EVERY / 8).await;
    }
    let (asked, [one, two]) = (bank.load(Ordering::Relaxed), &nodes);
    println!("  after {:.1?} both see rate 5 or later", start.elapsed());
    println!(
        "  the bank was asked {asked} times: {} by one node, {} by the other",
        one.stats().loads,
        two.stats().loads
    );
    let (refreshed, copied) = nodes.iter().fold((0, 0), |(refreshed, copied), node| {
        let stats = node.stats();
        (refreshed + stats.refreshed, copied + stats.copied)
    });
    println!("  {refreshed} refreshes by who had the lock, {copied} copies by who had not");
    check(copied > 0, "who does not load copies")?;

    println!("\nNobody asks any more.");
    let asked = loop {
        let before = bank.load(Ordering::Relaxed);
        tokio::time::sleep(8 * EVERY).await;
        if bank.load(Ordering::Relaxed) == before {
            break before;
        }
        check(start.elapsed() < PATIENCE, "refreshing has stopped")?;
    };
    println!("  the bank was asked {asked} times altogether, and is left alone now");
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

const PATIENCE: Duration = Duration::from_secs(30);
