//! The Sentinels of one group of servers: they say which of them is the primary.
//!
//! They are asked at each attempt to connect, over a connection that lives as long as the question.
//! And while calls are made they are asked from time to time: after a failover by hand, or a
//! partition, the old primary goes on taking changes for some ten seconds, until the Sentinels make
//! it a replica, and what it took is lost then. A subscription to their `+switch-master` would say so
//! sooner, and would have to be kept alive on one runtime or another.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jetcache_core::Fault;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, Value,
};
use tokio::sync::watch;

use crate::redis::connection::dial::reign::Reign;
use crate::redis::connection::fault::fault;

/// The Sentinels of one group.
#[derive(Debug)]
pub(crate) struct Sentinels {
    group: Arc<str>,
    sentinels: Vec<Client>,
    /// Which of them is asked first: the one that answered last, unless its word was not good.
    first: AtomicUsize,
    login: ConnectionInfo,
    /// The primary to which this handle connected last. With tokio's feature `parking_lot`, which a
    /// user's program may turn on, the channel is not `RefUnwindSafe` by itself; no code of ours that
    /// could panic runs under its lock.
    primary: AssertUnwindSafe<watch::Sender<Option<ConnectionAddr>>>,
    /// When they were asked last.
    asked: Mutex<Option<Instant>>,
}

impl Sentinels {
    /// `login`: how to connect to the group's servers, at whatever address.
    pub(crate) fn new(group: Arc<str>, sentinels: Vec<Client>, login: ConnectionInfo) -> Self {
        Self {
            group,
            sentinels,
            first: AtomicUsize::new(0),
            login,
            primary: AssertUnwindSafe(watch::Sender::new(None)),
            asked: Mutex::default(),
        }
    }

    pub(super) fn login(&self) -> &ConnectionInfo {
        &self.login
    }

    /// Which of them answered, and the primary's host and port. Each may take an equal part of the
    /// time, and such a part is left for connecting.
    pub(super) async fn ask_around(
        &self,
        timeout: Duration,
    ) -> Result<(usize, String, u16), Fault> {
        *self.asked() = Some(Instant::now());
        let count = self.sentinels.len();
        let parts = u32::try_from(count).unwrap_or(u32::MAX).saturating_add(1);
        let first = self.first.load(Ordering::Relaxed);
        let (mut said, mut is_unknown, mut is_refused) = (Vec::new(), false, false);
        for at in (0..count).map(|at| (first + at) % count) {
            let Some(sentinel) = self.sentinels.get(at) else {
                continue;
            };
            let address = sentinel.get_connection_info().addr();
            match self.ask(sentinel, timeout / parts).await {
                Ok(Some((host, port))) => {
                    self.first.store(at, Ordering::Relaxed);
                    return Ok((at, host, port));
                }
                Ok(None) => {
                    is_unknown = true;
                    said.push(format!("{address}: no such group"));
                }
                Err(why) => {
                    is_refused |= matches!(why, Fault::Refused(_));
                    said.push(format!("{address}: {why}"));
                }
            }
        }
        let (group, said) = (&self.group, said.join("; "));
        Err(if is_unknown {
            let why = format!(
                "no Sentinel knows a group `{group}`, look at its name in their `sentinel \
                 monitor`: {said}"
            );
            Fault::Refused(why.into())
        } else if is_refused {
            Fault::Refused(format!("no Sentinel says who leads `{group}`: {said}").into())
        } else {
            let why = format!(
                "no Sentinel of `{group}` answered, look whether they run and whether these are \
                 their addresses: {said}"
            );
            Fault::Unreachable(why.into())
        })
    }

    /// Asks one of them; none if it does not know the group.
    async fn ask(
        &self,
        sentinel: &Client,
        patience: Duration,
    ) -> Result<Option<(String, u16)>, Fault> {
        let begun = Instant::now();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(patience))
            .set_response_timeout(None);
        let connecting = sentinel.get_multiplexed_async_connection_with_config(&config);
        let mut connection = connecting.await.map_err(|error| denial(&error))?;
        connection.set_response_timeout(patience.saturating_sub(begun.elapsed()));
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(&*self.group);
        let answer = connection.send_packed_command(&question).await;
        let answer = answer.and_then(Value::extract_error);
        read(&answer.map_err(|error| denial(&error))?)
    }

    /// Whether they are to be asked again though nothing is wrong. Then nobody else is told so for a
    /// while.
    pub(super) fn is_due(&self) -> bool {
        let mut asked = self.asked();
        let is_due = asked.is_none_or(|at| at.elapsed() >= LOOK);
        if is_due {
            *asked = Some(Instant::now());
        }
        is_due
    }

    /// Whether this is the primary to which this handle connected last.
    pub(super) fn is_known(&self, primary: &ConnectionAddr) -> bool {
        self.primary.borrow().as_ref() == Some(primary)
    }

    fn asked(&self) -> MutexGuard<'_, Option<Instant>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next attempt begins with another Sentinel: this one's word was not good, so it may be
    /// behind the others.
    pub(super) fn doubt(&self, by: usize) {
        let next = (by + 1) % self.sentinels.len().max(1);
        self.first.store(next, Ordering::Relaxed);
    }

    /// There is a connection to this primary. Those to the one before are left.
    pub(super) fn found(&self, primary: &ConnectionAddr) -> Reign {
        self.primary.send_if_modified(|known| {
            let is_new = known.as_ref() != Some(primary);
            if is_new {
                *known = Some(primary.clone());
            }
            is_new
        });
        Reign::of(primary.clone(), self.primary.subscribe())
    }
}

/// The host and port that a Sentinel answered.
fn read(answer: &Value) -> Result<Option<(String, u16)>, Fault> {
    let text = |value: &Value| match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) => Some(text.clone()),
        _ => None,
    };
    match answer {
        Value::Nil => Ok(None),
        Value::Array(parts) => match &parts[..] {
            [host, port] => text(host).zip(text(port).and_then(|port| port.parse().ok())),
            _ => None,
        }
        .map(Some)
        .ok_or_else(|| strange(answer)),
        _ => Err(strange(answer)),
    }
}

fn strange(answer: &Value) -> Fault {
    Fault::Refused(format!("this is no Sentinel's answer: {answer:?}").into())
}

/// Why a Sentinel does not say who leads.
fn denial(error: &RedisError) -> Fault {
    let text = error.to_string();
    let words = match error.code() {
        Some("WRONGPASS" | "NOAUTH") => {
            "it wants another login, look at `sentinel_password` and `sentinel_username`"
        }
        _ if error.kind() == ErrorKind::AuthenticationFailed => {
            "it wants another login, look at `sentinel_password` and `sentinel_username`"
        }
        Some("NOPERM") => {
            "the user may not ask it, grant `sentinel_username` +sentinel|get-master-addr-by-name"
        }
        _ if text.contains("unknown command") => {
            "this is no Sentinel, which has a port of its own (26379 as a rule)"
        }
        _ => return fault(error),
    };
    Fault::Refused(format!("{words}: {text}").into())
}

/// How long the primary is believed to be one while nothing is wrong.
const LOOK: Duration = Duration::from_secs(1);

impl fmt::Display for Sentinels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the primary of `{}`", self.group)
    }
}
