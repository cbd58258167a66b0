//! The bus: how nodes hear of each other's changes.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::future::{Future, ready};

use crate::machine::counted::Arc;
use crate::machine::error::Fault;

/// Carries messages about changes from node to node, such as Redis' pub/sub.
///
/// It may lose, double, reorder and delay what it carries. But it must notice when it may have
/// **lost** something, and say so: then the driver drops what L1 holds as soon as a new
/// subscription stands.
///
/// A node has one subscription at a time. When it fails, the driver asks for a new one: at once,
/// then after pauses that grow from 50 ms to 5 s, for ever; sooner when L2 answers again. While the
/// [circuit breaker](crate::Breaker) of an L2 is open that the bus [rides on](Self::telling), it
/// neither subscribes nor publishes, and subscribes as soon as that closes.
///
/// One for the nodes of a single process, over a channel of tokio's:
///
/// ```text
/// struct Airwaves(tokio::sync::broadcast::Sender<Message>);
/// struct Ear(tokio::sync::broadcast::Receiver<Message>);
///
/// impl Bus for Airwaves {
///     type Subscription = Ear;
///
///     async fn subscribe(&self, _prefixes: &[String]) -> Result<Ear, Fault> {
///         Ok(Ear(self.0.subscribe()))
///     }
///
///     async fn publish(&self, messages: &[Message]) -> Result<(), Fault> {
///         for message in messages {
///             let _nobody_listens = self.0.send(message.clone());
///         }
///         Ok(())
///     }
/// }
///
/// impl Subscription for Ear {
///     async fn next(&mut self) -> Result<News, Fault> {
///         match self.0.recv().await {
///             Ok(message) => Ok(News::Message(message)),
///             Err(RecvError::Lagged(_)) => Ok(News::Everything),
///             Err(RecvError::Closed) => Err(Fault::Unreachable("it is gone".into())),
///         }
///     }
/// }
/// ```
///
/// An `Arc` of a bus is one too.
pub trait Bus: Send + Sync + 'static {
    /// The type of its subscriptions.
    type Subscription: Subscription;

    /// Who tells the others of this node's changes.
    fn telling(&self) -> Telling {
        Telling::Publish
    }

    /// Subscribes. Completes once the bus has confirmed it: whatever others tell from then on is
    /// heard, or is said to be lost.
    ///
    /// `prefixes` are what the keys of the node's caches begin with; none of them begins another.
    /// Messages about other keys may be left out.
    ///
    /// # Cancellation
    /// Dropping the future gives the attempt up. The driver does so after 5 s.
    fn subscribe(
        &self,
        prefixes: &[String],
    ) -> impl Future<Output = Result<Self::Subscription, Fault>> + Send;

    /// Tells the other nodes, in this order. Called only if [`telling`](Self::telling) is
    /// [`Telling::Publish`], after L2 has acknowledged the changes, for one call at a time. If it
    /// fails, or takes longer than 5 s, the driver tells a [`Kind::Everything`] as soon as it can.
    fn publish(&self, messages: &[Message]) -> impl Future<Output = Result<(), Fault>> + Send;
}

impl<B: Bus> Bus for Arc<B> {
    type Subscription = B::Subscription;

    fn telling(&self) -> Telling {
        (**self).telling()
    }

    fn subscribe(
        &self,
        prefixes: &[String],
    ) -> impl Future<Output = Result<Self::Subscription, Fault>> + Send {
        (**self).subscribe(prefixes)
    }

    fn publish(&self, messages: &[Message]) -> impl Future<Output = Result<(), Fault>> + Send {
        (**self).publish(messages)
    }
}

/// A standing subscription. Dropping it ends it.
pub trait Subscription: Send + 'static {
    /// What is heard next.
    ///
    /// A silent break must be noticed by the subscription itself, within a time that its
    /// documentation names.
    ///
    /// # Errors
    /// The subscription is over: something may be lost from here on.
    ///
    /// # Cancellation
    /// Nothing is lost by dropping the future.
    fn next(&mut self) -> impl Future<Output = Result<News, Fault>> + Send;

    /// Also hears of keys with these prefixes, and says so once the bus has confirmed it: what
    /// others do to them from then on is heard, or is said to be lost. What it heard of before goes
    /// on without a gap.
    ///
    /// None of `prefixes` begins another, nor one that it has, nor is begun by one. It is called
    /// when a cache comes to a node, unless [`telling`](Bus::telling) is [`Telling::WithChange`].
    ///
    /// The default answers `false`: it cannot be extended. The driver subscribes anew then, which
    /// empties the L1 of all caches of the node.
    ///
    /// # Errors
    /// The subscription is over.
    ///
    /// # Cancellation
    /// Dropping the future gives the subscription up; the driver does so after 5 s.
    fn extend(&mut self, prefixes: &[String]) -> impl Future<Output = Result<bool, Fault>> + Send {
        let _ = prefixes;
        ready(Ok(false))
    }
}

/// Who tells the others of a node's changes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Telling {
    /// The driver, through [`Bus::publish`], after L2 has acknowledged the change. A node that dies
    /// in between leaves the others' L1 as they are, for at most `local_ttl`.
    Publish,
    /// The L2 of this number ([`Remote::server`](super::remote::Remote::server)), in the same
    /// atomic step as the change: a cache on another L2 publishes.
    WithChange {
        /// The L2's number.
        server: u64,
        /// The channel.
        channel: Arc<str>,
    },
    /// Nobody: the L2 of this number shows every change of its keys to the subscription by itself.
    /// A cache on another L2 is refused.
    Watched {
        /// The L2's number.
        server: u64,
    },
}

/// What a subscription hears.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum News {
    /// A message of a node, maybe of this one.
    Message(Message),
    /// These keys were changed, whoever did it.
    Changed(Vec<String>),
    /// Anything may have changed: more came than could be taken in, or the store was emptied.
    Everything,
    /// Something that cannot be understood. It is counted.
    Unreadable,
    /// Something that cannot be understood, but for the keys that it names: they count as changed,
    /// and it is counted as unreadable.
    Unclear(Vec<String>),
}

/// A message that keys were changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The name of the cache.
    pub cache: String,
    /// Which node sent it. A node ignores its own.
    pub source: String,
    /// What happened.
    pub kind: Kind,
    /// The keys, as they are in L2.
    pub keys: Vec<String>,
    /// Whether a [`Kind::Delete`] took the leases with the values, as every removal by a node of
    /// this library does. After any other, jetcache-go's, a load that began before may still fill
    /// L2, so each node that hears of it removes what a load may have put there (PROTOCOL.md, G2).
    ///
    /// A bus that does not carry it says `false`, which is safe.
    pub fenced: bool,
}

/// What happened to the keys of a message; `MessageKind` at the crate's root. The numbers are
/// jetcache-go's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// They were inserted, or written through.
    Set = 1,
    /// One was loaded. Told in the jetcache-go format only.
    SetByOnce = 2,
    /// They were refreshed.
    SetByRefresh = 3,
    /// A batch was loaded. Told in the jetcache-go format only.
    SetByMGet = 4,
    /// They were removed.
    Delete = 5,
    /// Any key of any cache may have changed: there was too much to tell, or it could not be told
    /// in time. jetcache-go does not know this one.
    Everything = 6,
    /// Tags were raised, a namespace was cleared, or keys of a bucket: the keys of the message are the
    /// texts of a [`RaiseEvent`](crate::machine::generations::scope::RaiseEvent), each behind the
    /// namespace. Told in the native format only; jetcache-go does not know it.
    Raise = 7,
}

impl Kind {
    /// The kind of this number.
    #[must_use]
    pub const fn from_number(number: i64) -> Option<Self> {
        Some(match number {
            1 => Self::Set,
            2 => Self::SetByOnce,
            3 => Self::SetByRefresh,
            4 => Self::SetByMGet,
            5 => Self::Delete,
            6 => Self::Everything,
            7 => Self::Raise,
            _ => return None,
        })
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> i64 {
        self as i64
    }
}

/// How the bus is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[repr(u8)]
#[non_exhaustive]
pub enum BusState {
    /// There is none.
    #[default]
    None = 0,
    /// Nobody has subscribed yet: the first call that goes further than L1 does.
    Idle = 1,
    /// The subscription stands.
    Up = 2,
    /// The subscription broke, or could not be made; it is tried again and again, but while the
    /// circuit breaker of L2 is open and the bus is on the same server: then as soon as that closes.
    Down = 3,
}

/// `none`, `idle`, `up` or `down`.
impl fmt::Display for BusState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "none",
            Self::Idle => "idle",
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}
