//! The connections: made when they are needed, by one attempt at a time, noticed when they die.
//!
//! A slot holds the outcome of its last attempt. Who finds no living connection there starts an
//! attempt, or joins the one under way; there is no back-off, so the first call after the server
//! is back succeeds. An attempt is a task of its own: callers that give up do not stop it, and the
//! next one finds its connection.
//!
//! Each runtime has connections of its own. One that another runtime drives would stand still
//! whenever that runtime does, and break when it ends; a program of tests, each with a runtime,
//! around one static cache would meet both.
//!
//! A connection dies with its driver, the task that redis-rs runs on the runtime where it was made.
//! When the driver ends, because the socket did or because the runtime did, it drops the
//! [`Obituary`], and the next call does not even try. That matters for the commands that must not
//! be sent twice: they cannot find out by trying.

pub(crate) mod host;
pub(crate) mod line;

use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ErrorKind, Pipeline, PushInfo, PushKind, RedisError,
    ServerErrorKind, Value,
};
use tokio::sync::watch;

use jetcache_core::Fault;

use host::{Home, Host};
use line::{Batch, Line, Sending};

/// Whether a command may be sent a second time when its connection died before the answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Doing it twice, and late, is as good as once.
    Once,
    /// Never: the first may land after the second.
    Never,
}

/// A few connections, used in turn, so that one big value does not hold up everything behind it.
pub(crate) struct Connections {
    count: usize,
    turn: AtomicUsize,
    dial: Arc<Dial>,
    homes: Mutex<Vec<(Home, Arc<[Slot]>)>>,
}

/// What an attempt needs to know.
#[derive(Debug)]
pub(crate) struct Dial {
    pub(crate) client: Client,
    pub(crate) name: Option<String>,
    pub(crate) timeout: Duration,
    pub(crate) heartbeat: Duration,
}

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(crate) struct Lost {
    pub(crate) fault: Fault,
    /// Whether the commands may have been carried out.
    #[allow(dead_code, reason = "one server alone is asked once in either case")]
    pub(crate) sent: bool,
}

/// The outcome of the last attempt: none while it is under way, or if its runtime died.
struct Slot(Mutex<watch::Receiver<Option<Outcome>>>);

type Outcome = Result<Link, Fault>;

/// A connection, whether it is dead, and when it was last heard of.
#[derive(Clone)]
struct Link {
    connection: MultiplexedConnection,
    dead: Arc<AtomicBool>,
    heard: Arc<Mutex<Instant>>,
}

/// Lives in a connection's driver and says so when the driver ends.
struct Obituary(Arc<AtomicBool>);

impl Connections {
    /// `count` connections a runtime, none of them made yet.
    pub(crate) fn new(dial: Arc<Dial>, count: usize) -> Self {
        Self {
            count: count.max(1),
            turn: AtomicUsize::new(0),
            dial,
            homes: Mutex::default(),
        }
    }

    /// Sends the commands and answers one value a command; a server's error is such a value.
    pub(crate) async fn exchange(
        &self,
        commands: &Pipeline,
        repeat: Repeat,
    ) -> Result<Vec<Value>, Lost> {
        let (host, home) = Host::here().map_err(Lost::unsent)?;
        let slots = self.slots(home);
        let slot = &slots[self.turn.fetch_add(1, Ordering::Relaxed) % slots.len()];
        let mut link = self.link(slot, host, repeat).await.map_err(Lost::unsent)?;
        let mut answer = link.send(commands).await;
        if answer.is_err() && repeat == Repeat::Once {
            link = self.link(slot, host, repeat).await.map_err(Lost::sent)?;
            answer = link.send(commands).await;
        }
        answer.map_err(|error| Lost::sent(fault(&error)))
    }

    /// The slots of a runtime. When one is new, those of the runtimes that ended are dropped.
    fn slots(&self, home: Home) -> Arc<[Slot]> {
        let mut homes = self.homes();
        if let Some((_, slots)) = homes.iter().find(|(known, _)| *known == home) {
            return Arc::clone(slots);
        }
        homes.retain(|(_, slots)| slots.iter().any(Slot::is_in_use));
        let slots: Arc<[Slot]> = (0..self.count).map(|_| Slot::new()).collect();
        homes.push((home, Arc::clone(&slots)));
        slots
    }

    fn homes(&self) -> MutexGuard<'_, Vec<(Home, Arc<[Slot]>)>> {
        self.homes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that was alive a moment ago.
    async fn link(&self, slot: &Slot, host: &Host, repeat: Repeat) -> Outcome {
        let link = slot.link(&self.dial, host).await?;
        if repeat == Repeat::Once || link.is_lively() {
            return Ok(link);
        }
        // A busy runtime may not have looked at the socket since it was closed.
        (host.breathe)().await;
        if link.is_dead() {
            slot.link(&self.dial, host).await
        } else {
            Ok(link)
        }
    }
}

impl Line for Connections {
    fn send<'a>(&'a self, batch: Batch<'a>) -> Sending<'a> {
        debug_assert!(batch.ahead + batch.alone <= batch.commands.len());
        Box::pin(async move {
            match self.exchange(batch.commands, batch.repeat).await {
                Ok(answers) => answers.into_iter().map(Ok).collect(),
                Err(lost) => vec![Err(lost.fault); batch.commands.len()],
            }
        })
    }

    fn dials(&self) -> Vec<Arc<Dial>> {
        vec![Arc::clone(&self.dial)]
    }
}

impl Lost {
    pub(crate) fn unsent(fault: Fault) -> Self {
        Self { fault, sent: false }
    }

    fn sent(fault: Fault) -> Self {
        Self { fault, sent: true }
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections")
            .field(
                "address",
                &self.dial.client.get_connection_info().addr().to_string(),
            )
            .field("count", &self.count)
            .field("runtimes", &self.homes().len())
            .finish_non_exhaustive()
    }
}

impl Slot {
    fn new() -> Self {
        Self(Mutex::new(watch::channel(None).1))
    }

    fn is_in_use(&self) -> bool {
        is_usable(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn link(&self, dial: &Arc<Dial>, host: &Host) -> Outcome {
        let (attempt, joined) = self.attempt(dial, host);
        match (settled(attempt).await, joined) {
            // It began before this call did, so its failure may be old news.
            (Err(_), true) => settled(self.attempt(dial, host).0).await,
            (outcome, _) => outcome,
        }
    }

    /// The attempt under way or the living connection, or a new attempt; and which it was.
    fn attempt(&self, dial: &Arc<Dial>, host: &Host) -> (watch::Receiver<Option<Outcome>>, bool) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let usable = is_usable(&last);
        if !usable {
            let (sender, receiver) = watch::channel(None);
            let dial = Arc::clone(dial);
            (host.spawn)(Box::pin(async move {
                sender.send_replace(Some(dial.connect().await));
            }));
            *last = receiver;
        }
        (last.clone(), usable)
    }
}

/// A living connection, or an attempt under way.
fn is_usable(last: &watch::Receiver<Option<Outcome>>) -> bool {
    match &*last.borrow() {
        Some(Ok(link)) => !link.is_dead(),
        Some(Err(_)) => false,
        // Closed without an outcome: nobody is at work.
        None => last.has_changed().is_ok(),
    }
}

async fn settled(mut attempt: watch::Receiver<Option<Outcome>>) -> Outcome {
    match attempt.wait_for(Option::is_some).await.as_deref() {
        Ok(Some(outcome)) => outcome.clone(),
        _ => Err(Fault::Unreachable(
            "the runtime ended while it connected".into(),
        )),
    }
}

impl Dial {
    async fn connect(&self) -> Outcome {
        let dead = Arc::new(AtomicBool::new(false));
        let obituary = Obituary(Arc::clone(&dead));
        let on_push = move |push: PushInfo| {
            if push.kind == PushKind::Disconnection {
                obituary.publish();
            }
        };
        Ok(Link {
            connection: self.open(on_push).await?,
            dead,
            heard: Arc::new(Mutex::new(Instant::now())),
        })
    }

    /// A connection. What the server says on it unasked goes to `on_push`, which is dropped when
    /// the connection ends.
    pub(super) async fn open(
        &self,
        on_push: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<MultiplexedConnection, Fault> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            // The cache's own timeout drops the future.
            .set_response_timeout(None)
            .set_pipeline_buffer_size(QUEUE)
            .set_push_sender(move |push: PushInfo| {
                on_push(push);
                Ok::<(), Infallible>(())
            });
        let mut connection = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(|error| fault(&error))?;
        if let Some(name) = &self.name {
            // Unanswered: a user without the right to do this can do without it.
            let mut command = redis::cmd("CLIENT");
            command.arg("SETNAME").arg(name).set_no_response(true);
            let _ = connection.send_packed_command(&command).await;
        }
        Ok(connection)
    }
}

impl Link {
    fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }

    /// Whether it was heard of so lately that looking again would only cost time.
    fn is_lively(&self) -> bool {
        self.heard().elapsed() < LIVELY && !self.is_dead()
    }

    fn heard(&self) -> MutexGuard<'_, Instant> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bury(&self) {
        self.dead.store(true, Ordering::Release);
    }

    async fn send(&mut self, commands: &Pipeline) -> Result<Vec<Value>, RedisError> {
        let answer = self
            .connection
            .send_packed_commands(commands, 0, commands.len())
            .await;
        let is_over = match &answer {
            Ok(values) => values.iter().any(is_demoted),
            // A server's errors are among the values, so this is the connection's. redis-rs tells
            // the caller before it tells the obituary.
            Err(_) => true,
        };
        if is_over {
            self.bury();
        }
        *self.heard() = Instant::now();
        answer
    }
}

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

/// The server is no primary any more. Its name may lead to the new one by now: connect again.
fn is_demoted(value: &Value) -> bool {
    matches!(value, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::ReadOnly))
}

/// A server that answered refused; whatever else went wrong, it was not reached.
pub(crate) fn fault(error: &RedisError) -> Fault {
    let text = error.to_string().into();
    match error.kind() {
        ErrorKind::Server(_)
        | ErrorKind::Extension
        | ErrorKind::AuthenticationFailed
        | ErrorKind::RESP3NotSupported
        | ErrorKind::InvalidClientConfig => Fault::Refused(text),
        _ => Fault::Unreachable(text),
    }
}

/// Batches that wait to be written, a connection; who comes then waits for room. What callers that
/// gave up leave there while the server hangs stays until it goes on, so this bounds memory too.
const QUEUE: usize = 128;

/// A server that was restarted was silent for longer than this.
const LIVELY: Duration = Duration::from_millis(1);
