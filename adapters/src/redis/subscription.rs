//! A connection of its own, on which the server says unasked what it has to say.
//!
//! What it says is taken in as it comes, whether or not anybody asks for it, into a queue. When that
//! is full, all of it is forgotten but for the fact: whatever was in it may concern any key, and so
//! one piece of news that says so stands for all.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, PushInfo, PushKind};

use jetcache_core::ports::bus::News;
use jetcache_core::{Fault, Subscription};

use super::connection::dial::{Dial, fault};
use super::connection::host::Host;
use super::connection::line::Line;
use super::script::outcome;
use crate::redis::connection::runtimes::here;

/// What [`RedisPubSub`](super::RedisPubSub) and [`RedisTracking`](super::RedisTracking) hear.
///
/// It has a connection of its own, which ends with it, on the runtime in which it was made and in
/// which it is to be asked.
///
/// # What may be lost
/// Nothing without a word. 4096 pieces of news are kept for whoever asks; when one more comes, they
/// are all replaced by one [`News::Everything`]. When the connection breaks,
/// [`next`](Subscription::next) first answers what was heard until then, and fails from there on.
///
/// A break without a word, such as a peer that is gone or hangs, is noticed while `next` is waited
/// for: after 5 s the server is asked for a sign of life, and after 5 more without one it fails, so
/// within 10 s. [`heartbeat`](super::RedisBuilder::heartbeat) sets another span.
///
/// # Cancellation
/// Dropping the future of `next` loses nothing.
pub struct RedisSubscription {
    ear: Arc<Ear>,
    /// Completes when the server gives no sign of life. It holds the connection.
    pulse: Pin<Box<dyn Future<Output = Fault> + Send>>,
}

/// What a piece of what the server says means, if it is news.
pub(super) type Meaning = Arc<dyn Fn(PushInfo) -> Option<News> + Send + Sync>;

impl RedisSubscription {
    /// Connects and sends `begin`; what comes after its acknowledgement is heard.
    pub(super) async fn begin(
        line: &dyn Line,
        begin: &Cmd,
        meaning: &Meaning,
    ) -> Result<Self, Fault> {
        let (host, _) = here()?;
        let mut why = Fault::Unreachable("no node of the cluster is known".into());
        for dial in line.dials() {
            match Self::at(&dial, host, begin, Arc::clone(meaning)).await {
                Ok(subscription) => return Ok(subscription),
                Err(fault) => why = fault,
            }
        }
        Err(why)
    }

    async fn at(
        dial: &Dial,
        host: &'static Host,
        begin: &Cmd,
        meaning: Meaning,
    ) -> Result<Self, Fault> {
        let ear = Arc::new(Ear::default());
        let mouth = Mouth(Arc::clone(&ear));
        let mut connection = dial.open(move |push| mouth.say(push, &meaning)).await?;
        let answer = connection.send_packed_command(begin).await;
        outcome(answer.map_err(|error| fault(&error))?)?;
        Ok(Self {
            ear,
            pulse: Box::pin(pulse(connection, host, dial.heartbeat)),
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
}

impl fmt::Debug for RedisSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSubscription").finish_non_exhaustive()
    }
}

/// Any answer is a sign of life, be it that the user may not ask.
async fn pulse(mut connection: MultiplexedConnection, host: &Host, span: Duration) -> Fault {
    connection.set_response_timeout(span);
    let question = redis::cmd("PING");
    loop {
        (host.sleep)(span).await;
        if let Err(error) = connection.send_packed_command(&question).await {
            return fault(&error);
        }
    }
}

/// What was heard and not asked for yet.
#[derive(Default)]
struct Ear(Mutex<Heard>);

#[derive(Default)]
struct Heard {
    news: VecDeque<News>,
    /// Stands for all news that came before it is told.
    everything: bool,
    over: Option<Fault>,
    waker: Option<Waker>,
}

impl Ear {
    fn hear(&self, news: News) {
        let mut heard = self.heard();
        if heard.everything {
            return;
        }
        if news == News::Everything || heard.news.len() >= QUEUE {
            heard.news = VecDeque::new();
            heard.everything = true;
        } else {
            heard.news.push_back(news);
        }
        wake(heard);
    }

    fn end(&self, why: Fault) {
        let mut heard = self.heard();
        heard.over.get_or_insert(why);
        wake(heard);
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Result<News, Fault>> {
        let mut heard = self.heard();
        if mem::take(&mut heard.everything) {
            Poll::Ready(Ok(News::Everything))
        } else if let Some(news) = heard.news.pop_front() {
            Poll::Ready(Ok(news))
        } else if let Some(fault) = &heard.over {
            Poll::Ready(Err(fault.clone()))
        } else {
            heard.waker = Some(context.waker().clone());
            Poll::Pending
        }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(mut heard: MutexGuard<'_, Heard>) {
    let waker = heard.waker.take();
    drop(heard);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Lives in a connection's driver, speaks into the ear, and says so when the driver ends.
struct Mouth(Arc<Ear>);

impl Mouth {
    fn say(&self, push: PushInfo, meaning: &Meaning) {
        if push.kind == PushKind::Disconnection {
            self.hang_up();
        } else if let Some(news) = meaning(push) {
            self.0.hear(news);
        }
    }

    fn hang_up(&self) {
        let why = "the connection that listens has ended";
        self.0.end(Fault::Unreachable(why.into()));
    }
}

impl Drop for Mouth {
    fn drop(&mut self) {
        self.hang_up();
    }
}

/// How many pieces of news wait to be asked for.
const QUEUE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(ear: &Ear) -> Option<Result<News, String>> {
        match ear.poll(&Context::from_waker(Waker::noop())) {
            Poll::Ready(heard) => Some(heard.map_err(|fault| fault.to_string())),
            Poll::Pending => None,
        }
    }

    fn change(n: usize) -> News {
        News::Changed(vec![n.to_string()])
    }

    #[test]
    fn a_full_queue_is_kept_and_one_more_stands_for_all() {
        let ear = Ear::default();
        for n in 0..QUEUE {
            ear.hear(change(n));
        }
        for n in 0..QUEUE {
            assert_eq!(ask(&ear), Some(Ok(change(n))));
        }
        assert_eq!(ask(&ear), None);
        for n in 0..=QUEUE {
            ear.hear(change(n));
        }
        ear.hear(change(0));
        assert_eq!(ask(&ear), Some(Ok(News::Everything)));
        assert_eq!(ask(&ear), None);
        ear.hear(change(1));
        assert_eq!(ask(&ear), Some(Ok(change(1))));
    }

    #[test]
    fn everything_stands_for_what_was_not_asked_for() {
        let ear = Ear::default();
        ear.hear(change(0));
        ear.hear(News::Everything);
        ear.hear(News::Everything);
        ear.hear(change(1));
        assert_eq!(ask(&ear), Some(Ok(News::Everything)));
        assert_eq!(ask(&ear), None);
    }

    #[test]
    fn an_end_comes_after_what_was_heard_and_stays() {
        let ear = Arc::new(Ear::default());
        let mouth = Mouth(Arc::clone(&ear));
        ear.hear(change(0));
        drop(mouth);
        assert_eq!(ask(&ear), Some(Ok(change(0))));
        assert!(matches!(ask(&ear), Some(Err(_))));
        assert!(matches!(ask(&ear), Some(Err(_))));
    }
}
