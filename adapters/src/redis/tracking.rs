//! The bus that needs no publishing: Redis itself says which keys were changed.

use std::sync::Arc;

use jetcache_core::machine::generations::scope::top_key;
use jetcache_core::ports::bus::{Message, News, Telling};
use jetcache_core::{Bus, Fault};
use redis::{Cmd, PushInfo, PushKind, Value};

use crate::redis::Redis;
use crate::redis::connection::line::Line;
use crate::redis::lease_key::is_aside;
use crate::redis::subscription::RedisSubscription;
use crate::redis::subscription::ear::Meaning;

/// A bus on what Redis calls client-side caching (`CLIENT TRACKING` in broadcasting mode), made by
/// [`Redis::tracking`](super::Redis::tracking). The server itself says which keys were changed,
/// whoever changed them, be it a program that knows nothing of jetcache.
///
/// It is for caches whose L2 is this server (this value, or a clone of it), one alone or with
/// Sentinel; a cluster has no such bus.
///
/// ```
/// # mod jetcache_tokio { pub use jetcache_adapters::*; pub use jetcache_core::*; }
/// use jetcache_tokio::Redis;
///
/// let redis = Redis::open("redis://localhost")?;
/// let bus = redis.tracking();
/// # let _ = bus;
/// # Ok::<(), jetcache_tokio::redis::OpenError>(())
/// ```
///
/// # What it costs
/// A node hears of its own changes too: the server cannot tell a node's connections from others'.
/// So a value that a node loaded and filled leaves its L1 again at once, and the next read takes it
/// from L2. The end of a key's life, and its eviction, are changes as well. The server keeps one
/// list of changed keys for all who watch the same prefixes, and sends it to each.
///
/// # A subscription
/// It has a connection of its own, beside those of the calls. Up to 4096 pieces of news, each a
/// list of keys, wait to be heard; one more, and they are all replaced by one
/// [`News::Everything`](jetcache_core::ports::bus::News::Everything), which is also what emptying
/// the server (`FLUSHALL`, `FLUSHDB`) says. A break is noticed at once, and one without a word
/// within twice the [`heartbeat`](crate::redis::RedisBuilder::heartbeat), 10 s unless said
/// otherwise. It does not connect again by itself; the driver subscribes anew.
///
/// A cache that comes to the node is watched on the same connection, and the L1 of the others stays
/// as it is. The server cannot forget a prefix: those of caches that are gone stay until the node
/// has more than 256 of them and they outnumber its caches; then it subscribes anew, and the L1 of
/// all of them is emptied once.
///
/// Beside each prefix the server watches the key of the namespace's last raise (`{ns:}#gen`), which is heard
/// of as changed by every raise; so a node has two prefixes a cache.
///
/// Keys with the same prefix in other databases of the server are heard of, too.
///
/// Dropping the future of `subscribe` closes the connection.
///
/// # Rights
/// An ACL user needs `+client|tracking +ping`, and no channel.
#[derive(Clone, Debug)]
pub struct RedisTracking {
    line: Arc<dyn Line>,
    server: u64,
}

impl Redis {
    /// A bus on this server's own word of which keys were changed. It needs no channel, and costs a
    /// node one more read of L2 for each value that it loads.
    #[must_use]
    pub fn tracking(&self) -> RedisTracking {
        RedisTracking::on(Arc::clone(&self.line), self.server)
    }
}

impl RedisTracking {
    fn on(line: Arc<dyn Line>, server: u64) -> Self {
        Self { line, server }
    }
}

impl Bus for RedisTracking {
    type Subscription = RedisSubscription;

    fn telling(&self) -> Telling {
        Telling::Watched {
            server: self.server,
        }
    }

    /// Watches the keys with these prefixes, or all keys if there are none, or an empty one.
    async fn subscribe(&self, prefixes: &[String]) -> Result<RedisSubscription, Fault> {
        let all = prefixes.iter().any(String::is_empty);
        let begin = watch(if all { &[] } else { prefixes });
        let meaning: Meaning = Arc::new(meaning);
        let watching = RedisSubscription::begin(&*self.line, &begin, &meaning, None).await?;
        Ok(watching.extended_by(watch))
    }

    /// The server tells by itself.
    async fn publish(&self, _messages: &[Message]) -> Result<(), Fault> {
        Ok(())
    }
}

/// The command that watches the keys with these prefixes and the highest number of each of these
/// namespaces, beside what is watched already; or all keys if there are none.
fn watch(prefixes: &[String]) -> Cmd {
    let mut command = redis::cmd("CLIENT");
    // Without NOLOOP: it would also hide what another did shortly before a change of our own.
    command.arg("TRACKING").arg("ON").arg("BCAST");
    for prefix in apart(prefixes) {
        command.arg("PREFIX").arg(prefix);
    }
    command
}

/// The prefixes and the keys of their highest numbers, but where one of these begins one of those, or
/// the other way round: the server refuses that, and the shorter one covers both.
fn apart(prefixes: &[String]) -> Vec<String> {
    let begun = |text: &str, by: &[String]| by.iter().any(|start| text.starts_with(&**start));
    let mut tops: Vec<String> = prefixes.iter().map(|prefix| top_key(prefix)).collect();
    tops.retain(|top| !begun(top, prefixes));
    let others = prefixes.iter().filter(|prefix| !begun(prefix, &tops));
    others.chain(&tops).cloned().collect()
}

pub(super) fn meaning(push: PushInfo) -> Option<News> {
    if push.kind != PushKind::Invalidate {
        return None;
    }
    match push.data.into_iter().next() {
        Some(Value::Array(keys)) => {
            let keys: Vec<String> = keys.into_iter().filter_map(key).collect();
            (!keys.is_empty()).then_some(News::Changed(keys))
        }
        // Nil: the server was emptied. Anything else is unknown, so it had better count as that,
        // too.
        _ => Some(News::Everything),
    }
}

/// A value's key, or that of a namespace's highest number. Leases and lists of raised scopes concern
/// nobody's L1, and keys that are not UTF-8 are not ours.
fn key(value: Value) -> Option<String> {
    let Value::BulkString(key) = value else {
        return None;
    };
    String::from_utf8(key).ok().filter(|key| !is_aside(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(data: Vec<Value>) -> Option<News> {
        let kind = PushKind::Invalidate;
        meaning(PushInfo { kind, data })
    }

    fn keys(keys: &[&[u8]]) -> Vec<Value> {
        let keys = keys.iter().map(|key| Value::BulkString(key.to_vec()));
        vec![Value::Array(keys.collect())]
    }

    #[test]
    fn leases_and_keys_that_are_no_texts_are_left_out() {
        let some = heard(keys(&[b"ns:1", b"ns:{1}#lease", b"ns:\xff", b"ns:2"]));
        assert_eq!(
            some,
            Some(News::Changed(vec!["ns:1".into(), "ns:2".into()]))
        );
        assert_eq!(heard(keys(&[b"{ns:1}#lease"])), None);
    }

    #[test]
    fn a_raise_is_heard_by_the_highest_number_alone() {
        let pushed = heard(keys(&[b"{ns:}#raised", b"{ns:}#gen"]));
        assert_eq!(pushed, Some(News::Changed(vec!["{ns:}#gen".into()])));
        assert_eq!(heard(keys(&[b"{ns:}#raised"])), None);
    }

    #[test]
    fn no_prefix_begins_another() {
        for (prefixes, watched) in [
            (&["ns:"][..], &["ns:", "{ns:}#gen"][..]),
            (&["b", "a"], &["b", "a", "{b}#gen", "{a}#gen"]),
            (&["a{b}:"], &["a{b}:"]),
            (&["ns:", "{ns:}"], &["ns:", "{ns:}"]),
            (&["ns:", "{ns:}#gen:"], &["ns:", "{ns:}#gen"]),
        ] {
            let prefixes: Vec<String> = prefixes.iter().map(|&it| it.into()).collect();
            assert_eq!(apart(&prefixes), watched);
        }
    }

    #[test]
    fn an_emptied_server_is_everything() {
        assert_eq!(heard(vec![Value::Nil]), Some(News::Everything));
    }
}
