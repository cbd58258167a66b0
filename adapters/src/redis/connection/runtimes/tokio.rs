//! Connections on tokio.

use std::collections::VecDeque;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::net::{Ipv4Addr, UdpSocket};
use std::panic::catch_unwind;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::coop;

use crate::redis::connection::host::{Home, Host};

pub(super) const HOST: Host = Host {
    home,
    check,
    has_time: coop::has_budget_remaining,
    spawn: |task| drop(tokio::spawn(task)),
    sleep: |span| Box::pin(tokio::time::sleep(span)),
    breathe: || Box::pin(breathe()),
};

/// A runtime's id shows its number only as text, so its hash stands in for it.
fn home() -> Option<Home> {
    let id = Handle::try_current().ok()?.id();
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    Some(Home(hasher.hash_one(id)))
}

/// redis-rs needs both drivers of tokio, and panics without them.
fn check(home: Home) -> Result<(), &'static str> {
    static KNOWN: Mutex<VecDeque<(Home, Result<(), &'static str>)>> = Mutex::new(VecDeque::new());
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, outcome)) = known().iter().find(|(known, _)| *known == home) {
        return *outcome;
    }
    let outcome = drivers();
    let mut known = known();
    known.push_front((home, outcome));
    known.truncate(MOST_KNOWN);
    outcome
}

/// Whether this thread's runtime has its drivers. Tokio tells only by a panic, of which the panic
/// hook hears.
fn drivers() -> Result<(), &'static str> {
    if catch_unwind(|| drop(tokio::time::sleep(Duration::ZERO))).is_err() {
        return Err(
            "this tokio runtime has no timers: build it with enable_time() or enable_all()",
        );
    }
    // If none can be had, connecting will say why.
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).ok();
    let socket = socket.filter(|socket| socket.set_nonblocking(true).is_ok());
    let watched = catch_unwind(|| socket.map(tokio::net::UdpSocket::from_std).map(drop));
    if watched.is_err() {
        return Err("this tokio runtime has no sockets: build it with enable_io() or enable_all()");
    }
    Ok(())
}

/// tokio resumes a task that yielded only after it has polled its sockets. The tasks that they woke
/// may be queued behind this one, hence the second turn. It is a task of its own because the caller
/// need not be one, and outside a task a yield means nothing.
async fn breathe() {
    let turns = tokio::spawn(async {
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
    });
    // It fails only if the runtime ends.
    let _ = turns.await;
}

/// How many runtimes are remembered.
const MOST_KNOWN: usize = 16;
