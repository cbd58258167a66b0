//! An outage from beginning to end: what the callers of a service feel while L2 hangs, answers
//! errors and comes back.
//!
//! `outage` needs no server: L2 is in the process, behind a `Faulty` that breaks it. It ends with
//! exit code 1 if a caller got an error, or if L2 was not used again. `--phase-ms` says how long
//! each phase lasts (3,000).

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it is here to talk"
)]

mod caller;

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use jetcache_tokio::{BreakerState, Cache, Faults, Faulty, Memory, MessagePack, Tokio};

use crate::caller::ask;

type Users = Cache<u64, String>;

/// Tasks that ask, each for one user after the other.
const TASKS: u64 = 64;
/// L2 has them all, L1 has room for those that are asked for most.
const USERS: u64 = 20_000;
const L1: usize = 2_000;
/// How long the database takes for a row.
const ROW: Duration = Duration::from_millis(5);
const REMOTE_TIMEOUT: Duration = Duration::from_millis(250);

#[tokio::main]
async fn main() -> ExitCode {
    let phase = match phase() {
        Ok(phase) => phase,
        Err(error) => {
            eprintln!("outage: {error}\nusage: outage [--phase-ms N]");
            return ExitCode::from(2);
        }
    };
    match show(phase).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("outage: {error}");
            ExitCode::FAILURE
        }
    }
}

fn phase() -> Result<Duration, lexopt::Error> {
    use lexopt::{Arg, Parser, ValueExt};
    let (mut parser, mut millis) = (Parser::from_env(), 3_000);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("phase-ms") => millis = parser.value()?.parse()?,
            _ => return Err(arg.unexpected()),
        }
    }
    Ok(Duration::from_millis(millis))
}

async fn show(phase: Duration) -> Result<(), Box<dyn Error>> {
    let faults = Faults::new(Tokio::new());
    let users: Users = jetcache_tokio::builder("users")
        .remote(Faulty::new(Memory::new(), faults.clone()), MessagePack)
        .remote_timeout(REMOTE_TIMEOUT)
        .capacity(L1)
        .ttl(Duration::from_secs(600))
        .build()?;
    let rows = (0..USERS).map(|id| (id, format!("user {id}")));
    users.insert_many(rows).await;

    println!(
        "{TASKS} tasks; L1 has room for {L1} of {USERS} users; a row takes {ROW:?}, remote_timeout \
         is {REMOTE_TIMEOUT:?}.\n"
    );
    println!(
        "{:<15} {:>8} {:>9} {:>9} {:>9} {:>6} {:>6} {:>6} {:>6} {:>7}  breaker",
        "phase", "calls/s", "p50", "p99", "worst", "L1", "L2", "loader", "shared", "errors"
    );
    let network = Duration::from_micros(200)..=Duration::from_millis(1);
    faults.latency(network.clone());
    let mut errors = measure("before", &users, phase).await?;
    faults.hang();
    errors += measure("L2 hangs", &users, phase).await?;
    faults.error_rate(1.0).resume();
    errors += measure("L2 answers errors", &users, phase).await?;
    faults.heal().latency(network);
    let healed = Instant::now();
    while breaker(&users) != Some(BreakerState::Closed) {
        if healed.elapsed() > Duration::from_secs(30) {
            return Err("L2 is back, and its breaker did not close".into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let closed = healed.elapsed();
    errors += measure("back", &users, phase).await?;

    println!("\nThe breaker closed {closed:.1?} after L2 was back.");
    println!("Injected: {:?}", faults.injected());
    users.close().await;
    if errors > 0 {
        return Err(format!("{errors} callers got an error").into());
    }
    println!("No caller got an error.");
    Ok(())
}

fn breaker(users: &Users) -> Option<BreakerState> {
    users.remote().map(|health| health.state)
}

/// Lets all tasks ask for so long, prints what they felt, and says how many errors they got.
async fn measure(name: &str, users: &Users, phase: Duration) -> Result<usize, Box<dyn Error>> {
    let (start, earlier) = (Instant::now(), users.stats());
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| tokio::spawn(ask(users.clone(), task, start + phase)))
        .collect();
    let (mut times, mut errors) = (Vec::new(), 0);
    for task in tasks {
        let (took, failed) = task.await?;
        times.extend(took);
        errors += failed;
    }
    times.sort_unstable();
    let at = |percent: usize| times.get(times.len().saturating_sub(1) * percent / 100);
    let [p50, p99, worst] = [50, 99, 100].map(|percent| at(percent).copied().unwrap_or_default());

    let stats = users.stats().since(&earlier);
    let calls = f64::from(u32::try_from(times.len())?.max(1));
    let share = |count: u64| format!("{:.1}%", 100.0 * count as f64 / calls);
    println!(
        "{name:<17} {:>6.0} {p50:>9.1?} {p99:>9.1?} {worst:>9.1?} {:>6} {:>6} {:>6} {:>6} {errors:>7}  {}",
        calls / start.elapsed().as_secs_f64(),
        share(stats.local_hits),
        share(stats.remote_hits),
        share(stats.loads),
        share(stats.coalesced),
        breaker(users).map_or("none".into(), |state| format!("{state:?}")),
    );
    Ok(errors)
}
