//! The Sentinels of one group of servers: they say which of them is the primary.
//!
//! They are asked at each attempt to connect, over a connection that lives as long as the question.
//! So nothing has to be subscribed to, and nothing missed: a connection to a primary that is none
//! any more ends or is left, and the attempt that replaces it asks again.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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
    /// The primary to which this handle connected last.
    primary: watch::Sender<Option<ConnectionAddr>>,
}

impl Sentinels {
    /// `login`: how to connect to the group's servers, at whatever address.
    pub(crate) fn new(group: Arc<str>, sentinels: Vec<Client>, login: ConnectionInfo) -> Self {
        Self {
            group,
            sentinels,
            first: AtomicUsize::new(0),
            login,
            primary: watch::Sender::new(None),
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
        _ if text.contains("unknown command") => {
            "this is no Sentinel, which has a port of its own (26379 as a rule)"
        }
        _ => return fault(error),
    };
    Fault::Refused(format!("{words}: {text}").into())
}

impl fmt::Display for Sentinels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the primary of `{}`", self.group)
    }
}
