//! The bus on a channel of Redis' pub/sub.

use std::sync::Arc;

use jetcache_core::ports::bus::{Message, News, Telling};
use jetcache_core::{Bus, Fault};
use redis::{Pipeline, PushInfo, PushKind, Value};

use crate::redis::answer::outcome;
use crate::redis::connection::line::{Batch, Line, Repeat};
use crate::redis::subscription::RedisSubscription;
use crate::redis::subscription::ear::Meaning;
use crate::redis::{Redis, event};

/// A bus on a channel of Redis' pub/sub, made by [`Redis::pubsub`](super::Redis::pubsub) or
/// `RedisCluster::pubsub`. It speaks jetcache-go's JSON.
///
/// A cache whose L2 is this server's (this value, or a clone of it) tells with each change, in the
/// same atomic step; any other publishes after L2 has acknowledged the change.
///
/// ```
/// # mod jetcache_tokio { pub use jetcache_adapters::*; pub use jetcache_core::*; }
/// use jetcache_tokio::Redis;
///
/// let redis = Redis::open("redis://localhost")?;
/// let bus = redis.pubsub("jetcache");
/// # let _ = bus;
/// # Ok::<(), jetcache_tokio::redis::OpenError>(())
/// ```
///
/// # A subscription
/// It has a connection of its own, beside those of the calls. Up to 4096 messages wait to be heard;
/// one more, and they are all replaced by one
/// [`News::Everything`](jetcache_core::ports::bus::News::Everything). A break is noticed at once,
/// and one without a word within twice the [`heartbeat`](crate::redis::RedisBuilder::heartbeat),
/// 10 s unless said otherwise. It does not connect again by itself; the driver subscribes anew.
///
/// Dropping the future of `subscribe` closes the connection. Dropping that of `publish` stops the
/// waiting; its messages may still be sent.
///
/// # In a cluster
/// It listens at one node, and at another if that one fails: the nodes pass on to each other what
/// is published at any of them. What gets lost between them goes unnoticed, because the link
/// between two of them broke, or because a node was taken out of the cluster and runs on alone.
/// What should have left L1 then stays until its `local_ttl` ends.
///
/// # Rights
/// An ACL user needs `+subscribe +ping` and `&channel` to listen, and `+publish` and `&channel` for
/// its changes to be told. A node that may not publish does not listen either: its bus is down,
/// which is counted and logged. To find out, each subscription begins with a short-lived connection
/// that listens in RESP2, where a server refuses to publish but looks at the rights first: nothing
/// is published. (A right that is taken away later is not noticed: changes stand, and nobody is told.)
#[derive(Clone, Debug)]
pub struct RedisPubSub {
    line: Arc<dyn Line>,
    server: u64,
    channel: Arc<str>,
}

impl Redis {
    /// A bus on a channel of this server's pub/sub. Caches whose L2 this is tell there of each
    /// change in the same atomic step.
    #[must_use]
    pub fn pubsub(&self, channel: impl Into<Arc<str>>) -> RedisPubSub {
        RedisPubSub::on(Arc::clone(&self.line), self.server, channel.into())
    }
}

impl RedisPubSub {
    pub(crate) fn on(line: Arc<dyn Line>, server: u64, channel: Arc<str>) -> Self {
        Self {
            line,
            server,
            channel,
        }
    }
}

impl Bus for RedisPubSub {
    type Subscription = RedisSubscription;

    fn telling(&self) -> Telling {
        Telling::WithChange {
            server: self.server,
            channel: Arc::clone(&self.channel),
        }
    }

    /// Hears the channel, whatever the keys begin with.
    async fn subscribe(&self, _prefixes: &[String]) -> Result<RedisSubscription, Fault> {
        let mut begin = redis::cmd("SUBSCRIBE");
        begin.arg(&*self.channel);
        let channel = Arc::clone(&self.channel);
        let meaning: Meaning = Arc::new(move |push| meaning(push, &channel));
        // A user who may not publish must find out now: a change's script overlooks that error, and
        // nobody would hear of this node's changes.
        let publishes = Some(&*self.channel);
        RedisSubscription::begin(&*self.line, &begin, &meaning, publishes).await
    }

    async fn publish(&self, messages: &[Message]) -> Result<(), Fault> {
        if messages.is_empty() {
            return Ok(());
        }
        let mut commands = Pipeline::with_capacity(messages.len());
        for message in messages {
            let Message {
                cache,
                source,
                kind,
                keys,
                fenced,
            } = message;
            commands
                .cmd("PUBLISH")
                .arg(&*self.channel)
                .arg(event::encode(cache, source, *kind, keys, *fenced));
        }
        let batch = Batch {
            commands: &commands,
            ahead: 0,
            alone: messages.len(),
            // What is heard twice does no harm.
            repeat: Repeat::Once,
            connection: None,
        };
        let answers = self.line.send(batch).await;
        answers
            .into_iter()
            .try_for_each(|answer| outcome(answer?).map(drop))
    }
}

/// A try at publishing by a node of an early version: a real event has a source or keys.
fn is_a_try(news: &News) -> bool {
    matches!(news, News::Message(message) if message.source.is_empty() && message.keys.is_empty())
}

fn meaning(push: PushInfo, channel: &str) -> Option<News> {
    if push.kind != PushKind::Message {
        return None;
    }
    match &push.data[..] {
        [Value::BulkString(of), Value::BulkString(event)] if of == channel.as_bytes() => {
            let news = event::decode(event);
            (!is_a_try(&news)).then_some(news)
        }
        _ => None,
    }
}
