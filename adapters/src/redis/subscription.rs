//! A subscription: a connection of its own, on which the server speaks unasked.

pub(super) mod ear;
mod trial;

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use jetcache_core::ports::bus::News;
use jetcache_core::{Fault, Subscription};
use redis::Cmd;
use redis::aio::MultiplexedConnection;

use crate::redis::answer::outcome;
use crate::redis::connection::dial::Dial;
use crate::redis::connection::dial::reign::Reign;
use crate::redis::connection::fault::fault;
use crate::redis::connection::host::Host;
use crate::redis::connection::line::Line;
use crate::redis::connection::runtimes::here;
use crate::redis::subscription::ear::{Ear, Meaning, Mouth};
use crate::redis::subscription::trial::may_publish;

/// What [`RedisPubSub`](crate::RedisPubSub) and [`RedisTracking`](crate::RedisTracking) hear.
///
/// It has a connection of its own, which ends with it. It must be polled on the runtime in which it
/// was made.
///
/// # What may be lost
/// Nothing goes unsaid. 4096 pieces of news are kept for whoever asks; when one more comes, they
/// are all replaced by one [`News::Everything`]. When the connection breaks,
/// [`next`](Subscription::next) first answers what was heard until then, and fails from there on.
///
/// A break without a word, such as a peer that is gone or hangs, is noticed while `next` is waited
/// for: after 5 s the server is asked for a sign of life, and after 5 more without one it fails, so
/// within 10 s. [`heartbeat`](crate::redis::RedisBuilder::heartbeat) sets another span.
///
/// # Cancellation
/// Dropping the future of `next` loses nothing.
pub struct RedisSubscription {
    ear: Arc<Ear>,
    /// Where it is extended.
    connection: MultiplexedConnection,
    /// The command that extends it by prefixes; none if it hears of all keys anyway.
    more: Option<fn(&[String]) -> Cmd>,
    /// Completes when the server gives no sign of life. It owns the connection.
    pulse: Pin<Box<dyn Future<Output = Fault> + Send>>,
}

impl RedisSubscription {
    /// Connects and sends `begin`; what comes after its acknowledgement is heard. `publishes`: a
    /// channel on which this user must be able to publish, too.
    pub(super) async fn begin(
        line: &dyn Line,
        begin: &Cmd,
        meaning: &Meaning,
        publishes: Option<&str>,
    ) -> Result<Self, Fault> {
        let (host, _) = here()?;
        let mut why = Fault::Unreachable("no node of the cluster is known".into());
        for dial in line.dials() {
            match Self::at(&dial, host, begin, Arc::clone(meaning), publishes).await {
                Ok(subscription) => return Ok(subscription),
                Err(fault) => why = fault,
            }
        }
        Err(why)
    }

    /// The same, which takes more prefixes by this command.
    pub(super) fn extended_by(mut self, more: fn(&[String]) -> Cmd) -> Self {
        self.more = Some(more);
        self
    }

    async fn at(
        dial: &Arc<Dial>,
        host: &'static Host,
        begin: &Cmd,
        meaning: Meaning,
        publishes: Option<&str>,
    ) -> Result<Self, Fault> {
        let ear = Arc::new(Ear::default());
        let mouth = Mouth(Arc::clone(&ear));
        let opened = dial.open(move |push| mouth.say(push, &meaning)).await?;
        let mut connection = opened.connection;
        // A node that takes this and says nothing must not hold up the next.
        connection.set_response_timeout(dial.timeout);
        let answer = connection.send_packed_command(begin).await;
        outcome(answer.map_err(|error| fault(&error))?)?;
        if let Some(channel) = publishes {
            may_publish(dial, &opened.client, channel).await?;
        }
        Ok(Self {
            ear,
            connection: connection.clone(),
            more: None,
            pulse: Box::pin(pulse(
                connection,
                host,
                Arc::clone(dial),
                (opened.reign, opened.turn),
            )),
        })
    }
}

impl Subscription for RedisSubscription {
    async fn next(&mut self) -> Result<News, Fault> {
        poll_fn(|context| {
            let heard = self.ear.poll(context);
            if heard.is_ready() {
                return heard;
            }
            self.pulse.as_mut().poll(context).map(|fault| {
                self.ear.end(fault.clone());
                Err(fault)
            })
        })
        .await
    }

    /// On a bus that watches keys, the same connection watches more of them. One that hears a
    /// channel hears of all keys.
    async fn extend(&mut self, prefixes: &[String]) -> Result<bool, Fault> {
        let Some(more) = self.more.filter(|_| !prefixes.is_empty()) else {
            return Ok(true);
        };
        let answer = self.connection.send_packed_command(&more(prefixes)).await;
        // A server that does not extend it leaves it as it is.
        Ok(outcome(answer.map_err(|error| fault(&error))?).is_ok())
    }
}

impl fmt::Debug for RedisSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSubscription").finish_non_exhaustive()
    }
}

/// Completes when nothing more is to be heard: there is no sign of life, or another server to listen
/// to.
async fn pulse(
    connection: MultiplexedConnection,
    host: &Host,
    dial: Arc<Dial>,
    (reign, turn): (Reign, u64),
) -> Fault {
    let mut signs = pin!(signs_of_life(connection, host, &dial));
    let (mut over, mut left) = (pin!(reign.end()), pin!(dial.primary.left(turn)));
    poll_fn(|context| {
        if over.as_mut().poll(context).is_ready() || left.as_mut().poll(context).is_ready() {
            let why = "another server is the primary now, subscribe there";
            return Poll::Ready(Fault::Unreachable(why.into()));
        }
        signs.as_mut().poll(context)
    })
    .await
}

/// Asks for a sign of life every heartbeat, and completes when none came for as long. Any answer is
/// one, even that the user may not ask. One that is no primary any more may give signs, too.
async fn signs_of_life(mut connection: MultiplexedConnection, host: &Host, dial: &Dial) -> Fault {
    let span = dial.heartbeat;
    connection.set_response_timeout(span);
    let question = redis::cmd("PING");
    loop {
        (host.sleep)(span).await;
        if let Err(error) = connection.send_packed_command(&question).await {
            return fault(&error);
        }
        if dial.is_due() {
            dial.look().await;
        }
    }
}
