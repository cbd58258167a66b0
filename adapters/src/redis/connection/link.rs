//! One connection, and whether it is still alive.
//!
//! A connection dies with its driver, the task that redis-rs runs on the runtime where it was made.
//! When the driver ends, because the socket or the runtime did, it drops the [`Obituary`], and the
//! next call makes a new connection at once. That matters for commands that must not be sent twice:
//! they cannot find out by trying.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jetcache_core::Fault;
use redis::aio::MultiplexedConnection;
use redis::{Pipeline, PushInfo, PushKind, RedisError, ServerErrorKind, Value};

use crate::redis::connection::dial::Dial;

/// A connection, whether it is dead, and when it last answered.
#[derive(Clone)]
pub(super) struct Link {
    connection: MultiplexedConnection,
    dead: Arc<AtomicBool>,
    heard: Arc<Mutex<Instant>>,
}

impl Link {
    /// Connects.
    pub(super) async fn make(dial: &Dial) -> Result<Self, Fault> {
        let dead = Arc::new(AtomicBool::new(false));
        let obituary = Obituary(Arc::clone(&dead));
        let on_push = move |push: PushInfo| {
            if push.kind == PushKind::Disconnection {
                obituary.publish();
            }
        };
        Ok(Self {
            connection: dial.open(on_push).await?,
            dead,
            heard: Arc::new(Mutex::new(Instant::now())),
        })
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }

    /// Whether it answered so recently that checking it would only cost time.
    pub(super) fn is_lively(&self) -> bool {
        self.heard().elapsed() < LIVELY && !self.is_dead()
    }

    fn heard(&self) -> MutexGuard<'_, Instant> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bury(&self) {
        self.dead.store(true, Ordering::Release);
    }

    pub(super) async fn send(&mut self, commands: &Pipeline) -> Result<Vec<Value>, RedisError> {
        let answer = self
            .connection
            .send_packed_commands(commands, 0, commands.len())
            .await;
        let is_over = match &answer {
            Ok(values) => values.iter().any(is_demoted),
            // A server's errors are among the values, so this is the connection's own. redis-rs
            // tells the caller first and the obituary later: do not wait for that.
            Err(_) => true,
        };
        if is_over {
            self.bury();
        }
        *self.heard() = Instant::now();
        answer
    }
}

/// Sits in a connection's driver. When the driver ends it is dropped, and marks the link dead.
struct Obituary(Arc<AtomicBool>);

impl Obituary {
    fn publish(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Drop for Obituary {
    fn drop(&mut self) {
        self.publish();
    }
}

/// The server has become a replica. Its name may lead to the new primary by now: connect again.
fn is_demoted(value: &Value) -> bool {
    matches!(value, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::ReadOnly))
}

/// No server restarts faster than this, so a link that answered this recently still leads to it.
const LIVELY: Duration = Duration::from_millis(1);
