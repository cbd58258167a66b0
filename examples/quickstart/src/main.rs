//! The first look: what a two-level cache does, with numbers that check themselves.
//!
//! `quickstart` runs with an L2 in the process, `quickstart --redis URL` with Redis. It ends with
//! exit code 1 if something that it shows did not happen.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it is here to talk"
)]

use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use jetcache_tokio::{
    Builder, Cache, Cached, Call, Event, Fault, Memory, MessagePack, Observer, Reach, Redis,
};
use serde::{Deserialize, Serialize};

/// What is cached. Hits clone it, so caches hold it in an `Arc`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
}

type Users = Cache<u64, Arc<User>>;

/// How often a hit is timed, in L1 and in L2.
const HITS: u64 = 10_000;
const FEWER: u64 = 200;

/// A database that takes its time and counts what it is asked.
#[derive(Debug, Default)]
struct Db {
    asked: AtomicU64,
}

impl Db {
    async fn user(&self, id: u64) -> Result<Option<Arc<User>>, std::io::Error> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok((id < 100).then(|| {
            let name = format!("user {id}");
            Arc::new(User { id, name })
        }))
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let redis = match url() {
        Ok(redis) => redis,
        Err(error) => {
            eprintln!("quickstart: {error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let faults = Faults::default();
    let (here, there) = match two_nodes(redis.as_deref(), &faults) {
        Ok(nodes) => nodes,
        Err(error) => {
            eprintln!("quickstart: {error}");
            return ExitCode::from(2);
        }
    };
    match show(redis.is_some(), &here, &there).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quickstart: {error}");
            if let Ok(Some(fault)) = faults.0.lock().as_deref() {
                eprintln!("quickstart: the last fault of L2: {fault}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Remembers why L2 failed, to say so where something did not happen.
#[derive(Clone, Default)]
struct Faults(Arc<Mutex<Option<Fault>>>);

impl Observer for Faults {
    fn on(&self, _cache: &str, event: &Event) {
        if let (Event::RemoteFault(fault), Ok(mut last)) = (event, self.0.lock()) {
            *last = Some(fault.clone());
        }
    }
}

fn url() -> Result<Option<String>, lexopt::Error> {
    use lexopt::{Arg, Parser, ValueExt};
    let mut parser = Parser::from_env();
    let mut url = None;
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("help") | Arg::Short('h') => {
                println!("{USAGE}");
                std::process::exit(0);
            }
            Arg::Long("redis") => url = Some(parser.value()?.string()?),
            _ => return Err(arg.unexpected()),
        }
    }
    Ok(url)
}

async fn show(redis: bool, here: &Users, there: &Users) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let db = Arc::new(Db::default());
    let l2 = if redis { "Redis" } else { "L2 in this process" };
    println!("Two caches, each with its own L1, around one {l2}.");
    println!("The database behind them takes 50 ms for a row.\n");

    let ada = timed("a miss: the loader runs", || {
        here.get_or_load(&7, async || Ok(db.user(7).await?))
    })
    .await?;
    check("the value was loaded", ada.is_some() && db.asked() == 1)?;

    let hit = median("the same again, from L1", HITS, || {
        here.get_or_load(&7, async || Ok(db.user(7).await?))
    })
    .await?;
    let local = here.stats().local_hits == HITS;
    check("L1 had it", hit == ada && local && db.asked() == 1)?;

    let hit = timed("the other cache asks", || {
        there.get_or_load(&7, async || Ok(db.user(7).await?))
    })
    .await?;
    let remote = there.stats().remote_hits == 1;
    check("L2 had it", hit == ada && remote && db.asked() == 1)?;

    // As if its own L1 had lost it each time.
    let afresh = Call::new().skip_local();
    median("the same again, from L2", FEWER, || {
        there.get_or_load_with(&7, &afresh, async || Ok(db.user(7).await?))
    })
    .await?;
    let remote = there.stats().remote_hits == 1 + FEWER;
    check("L2 had it each time", remote && db.asked() == 1)?;

    for round in ["nobody has id 404", "nobody has it still"] {
        let nobody = timed(round, || {
            here.get_or_load(&404, async || Ok(db.user(404).await?))
        })
        .await?;
        check("does not exist", nobody.is_none())?;
    }
    check("and was looked for once", db.asked() == 2)?;

    let start_of_crowd = Instant::now();
    let crowd: Vec<_> = (0..1000)
        .map(|_| {
            let (here, db) = (here.clone(), Arc::clone(&db));
            tokio::spawn(async move { here.get_or_load(&8, async || Ok(db.user(8).await?)).await })
        })
        .collect();
    let mut answered = 0;
    for caller in crowd {
        answered += usize::from(caller.await??.is_some());
    }
    told("1000 callers of one cold key", start_of_crowd);
    let once = answered == 1000 && db.asked() == 3;
    check("one load answered them all", once)?;

    let reach = timed("the row changed: invalidate", || here.invalidate(&7)).await;
    let gone = here.get(&7).await == Cached::Miss && reach == Reach::Everywhere;
    check("neither L1 nor L2 has it any more", gone)?;

    println!("\nWhat the two counted (`stats_every` logs such a table through tracing):\n");
    for (name, cache) in [("here", here), ("there", there)] {
        println!("{}", cache.stats().table(name, start.elapsed()));
    }

    for id in [7, 8, 404] {
        here.invalidate(&id).await;
    }
    here.close().await;
    there.close().await;
    Ok(())
}

/// Two caches as two processes would have them: one L2, and an L1 each.
fn two_nodes(redis: Option<&str>, faults: &Faults) -> Result<(Users, Users), Box<dyn Error>> {
    // What an earlier run left in Redis is not this run's.
    let run = SystemTime::UNIX_EPOCH.elapsed()?.as_nanos();
    let node = || -> Builder<u64, Arc<User>> {
        jetcache_tokio::builder("users")
            .namespace(&format!("quickstart-{run}"))
            .capacity(10_000)
            .ttl(Duration::from_secs(60))
            .observer(faults.clone())
    };
    match redis {
        Some(url) => {
            // Two nodes have two connections: caches of one name cannot share a handle.
            let here = node().remote(Redis::open(url)?, MessagePack).build()?;
            Ok((here, node().remote(Redis::open(url)?, MessagePack).build()?))
        }
        None => {
            let memory = Memory::new();
            let here = node().remote(memory.clone(), MessagePack).build()?;
            Ok((here, node().remote(memory, MessagePack).build()?))
        }
    }
}

async fn timed<T, F: Future<Output = T>>(what: &str, call: impl FnOnce() -> F) -> T {
    let start = Instant::now();
    let answer = call().await;
    told(what, start);
    answer
}

/// The same over and over, and the median of how long it took.
async fn median<T, E, F>(what: &str, times: u64, mut call: impl FnMut() -> F) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let mut took = Vec::new();
    loop {
        let start = Instant::now();
        let answer = call().await?;
        took.push(start.elapsed());
        if took.len() as u64 == times {
            took.sort_unstable();
            let middle = took[took.len() / 2];
            println!("{what:<30} {middle:>10.1?}   median of {times}");
            return Ok(answer);
        }
    }
}

fn told(what: &str, start: Instant) {
    println!("{what:<30} {:>10.1?}", start.elapsed());
}

fn check(what: &str, happened: bool) -> Result<(), String> {
    if happened {
        println!("  {what}");
        Ok(())
    } else {
        Err(format!("this did not happen: {what}"))
    }
}

const USAGE: &str = "usage: quickstart [--redis URL]";
