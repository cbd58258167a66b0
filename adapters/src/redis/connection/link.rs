//! One connection, and whether it is still alive.
//!
//! A connection dies in three ways. With its driver, the task that redis-rs runs on the runtime where
//! it was made: when the driver ends, because the socket or the runtime did, it drops the
//! [`Obituary`], and the next call makes a new connection at once. That matters for commands that
//! must not be sent twice: they cannot find out by trying.
//!
//! By a new primary of its group, or another process at its address, which another connection found:
//! it is left, for the old one may not know yet.
//!
//! And by silence: its peer takes what is sent and answers nothing, as a load balancer does whose
//! backend is gone. No socket reports that. What it owes is written down as its [`Debt`], and a call
//! that finds it silent for too long buries it. That costs a connection that answers nothing.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use jetcache_core::Fault;
use redis::aio::MultiplexedConnection;
use redis::{Pipeline, PushInfo, PushKind, ServerErrorKind, Value};
use tokio::sync::watch;

use crate::redis::connection::debt::{Answer, Debt, Standing};
use crate::redis::connection::dial::Dial;
use crate::redis::connection::dial::reign::Reign;
use crate::redis::connection::fault::fault;

/// A connection. Clones are the same one.
#[derive(Clone)]
pub(super) struct Link(Arc<Wire>);

struct Wire {
    dead: Arc<AtomicBool>,
    /// Becomes true for those who still wait for an answer when it is buried.
    buried: watch::Sender<bool>,
    pulse: Mutex<Pulse>,
    made: Instant,
    /// For how long its server is the right one.
    reign: Reign,
    /// Which of the servers at its address it leads to.
    turn: u64,
    dial: Arc<Dial>,
}

/// What is known of the peer.
struct Pulse {
    /// Taken when it is buried: with the last of its clones its driver ends, and its queue.
    connection: Option<MultiplexedConnection>,
    debt: Debt,
}

impl Link {
    /// Connects.
    pub(super) async fn make(dial: &Arc<Dial>) -> Result<Self, Fault> {
        let dead = Arc::new(AtomicBool::new(false));
        let obituary = Obituary(Arc::clone(&dead));
        let on_push = move |push: PushInfo| {
            if push.kind == PushKind::Disconnection {
                obituary.publish();
            }
        };
        let made = Instant::now();
        let opened = dial.open(on_push).await?;
        Ok(Self(Arc::new(Wire {
            dead,
            buried: watch::channel(false).0,
            pulse: Mutex::new(Pulse {
                connection: Some(opened.connection),
                debt: Debt::none(Arc::clone(&dial.tally)),
            }),
            made,
            reign: opened.reign,
            turn: opened.turn,
            dial: Arc::clone(dial),
        })))
    }

    pub(super) fn is_dead(&self) -> bool {
        let Wire {
            dead, reign, dial, ..
        } = &*self.0;
        dead.load(Ordering::Acquire) || reign.is_over() || dial.primary.turn() != self.0.turn
    }

    /// Whether it answered so recently that checking it would only cost time.
    pub(super) fn is_lively(&self) -> bool {
        self.0.pulse().debt.heard().elapsed() < LIVELY && !self.is_dead()
    }

    /// Looks whether it has answered what was given up.
    pub(super) fn standing(&self, patience: Duration) -> Standing {
        let mut pulse = self.0.pulse();
        let Pulse { connection, debt } = &mut *pulse;
        let Some(connection) = connection else {
            // Another caller has just buried it.
            return Standing::Silent;
        };
        debt.look(|| ask(connection));
        debt.standing(patience)
    }

    /// Ends it, and the waiting of all who still wait for an answer on it.
    pub(super) fn bury(&self) {
        if !self.0.dead.swap(true, Ordering::AcqRel) {
            self.0.dial.tally.buried();
        }
        let mut pulse = self.0.pulse();
        let over = (pulse.connection.take(), pulse.debt.forgive());
        drop(pulse);
        drop(over);
        self.0.buried.send_replace(true);
    }

    /// Sends the commands and waits for their answers.
    pub(super) async fn send(&self, commands: &Pipeline) -> Result<Vec<Value>, Fault> {
        let connection = self.0.pulse().connection.clone();
        let Some(mut connection) = connection else {
            return Err(silent());
        };
        let owed = Owed(&self.0);
        let mut buried = self.0.buried.subscribe();
        let mut burial = pin!(buried.wait_for(|buried| *buried));
        let mut sending = pin!(connection.send_packed_commands(commands, 0, commands.len()));
        let answer = poll_fn(|context| {
            if let Poll::Ready(answer) = sending.as_mut().poll(context) {
                return Poll::Ready(answer.map_err(|error| fault(&error)));
            }
            burial.as_mut().poll(context).map(|_| Err(silent()))
        })
        .await;
        owed.settle();
        let is_over = match &answer {
            Ok(values) => self.0.is_to_be_left(values),
            // A server's errors are among the values, so this is the connection's own. redis-rs
            // tells the caller first and the obituary later: do not wait for that.
            Err(_) => true,
        };
        if is_over {
            self.0.dead.store(true, Ordering::Release);
        }
        self.0.pulse().debt.hear();
        answer
    }
}

impl Wire {
    fn pulse(&self) -> MutexGuard<'_, Pulse> {
        self.pulse.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the server has become a replica. Its name may lead to the new primary by now: connect
    /// again, at once and then after growing pauses; a replica still answers reads.
    fn is_to_be_left(&self, values: &[Value]) -> bool {
        values.iter().any(is_demoted) && self.dial.renewals.renews(self.made)
    }

    /// A call was dropped before its answer came.
    fn give_up(&self) {
        let mut pulse = self.pulse();
        let Pulse { connection, debt } = &mut *pulse;
        if let Some(connection) = connection {
            debt.give_up(|| ask(connection));
        }
    }
}

/// An exchange whose answer is waited for. Dropped before that is settled, it was given up.
struct Owed<'a>(&'a Wire);

impl Owed<'_> {
    fn settle(self) {
        std::mem::forget(self);
    }
}

impl Drop for Owed<'_> {
    fn drop(&mut self) {
        self.0.give_up();
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

/// A question that every peer answers, if only that the user may not ask it.
fn ask(connection: &MultiplexedConnection) -> Answer {
    let mut connection = connection.clone();
    Box::pin(async move {
        // If the connection broke, its driver says so.
        let _ = connection.send_packed_command(&redis::cmd("PING")).await;
    })
}

fn silent() -> Fault {
    Fault::Unreachable("the connection answered nothing for too long and was replaced".into())
}

fn is_demoted(value: &Value) -> bool {
    match value {
        Value::ServerError(error) => error.kind() == Some(ServerErrorKind::ReadOnly),
        // A script for many keys answers each of them.
        Value::Array(values) => values.iter().any(is_demoted),
        _ => false,
    }
}

/// No server restarts faster than this, so a link that answered this recently still leads to it.
const LIVELY: Duration = Duration::from_millis(1);
