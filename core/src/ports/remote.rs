//! L2: the verbs through which a shared store is read and written.

mod asks;

use alloc::vec::Vec;
use core::future::Future;
use core::time::Duration;

use crate::machine::counted::Arc;
use crate::machine::error::Fault;
pub use crate::machine::generations::known::NewsPage;
pub use crate::machine::generations::scope::{Mark, RaiseEvent, Scope};
pub use crate::machine::generations::ticket::{Ensured, Raised};
pub use crate::machine::tier::envelope::{Head, Header};
pub use crate::machine::tier::inspection::{Holder, LeaseSeen};
pub use crate::machine::tier::verb::{
    Claimed, Condition, Extended, Filled, Granted, Placed, Stamp,
};
pub use crate::machine::tier::wire::Wire;
use crate::machine::token::Token;
pub use crate::ports::remote::asks::{
    Claim, Ensure, Extend, Fill, Hold, LeaseAsk, Put, Raise, Settle, Stored,
};

/// A store that all nodes share, such as Redis.
///
/// Each verb takes any number of keys in one round trip and answers in the same order, one outcome
/// a key, exactly as many as were asked for. What a verb must do to one key is said at each; it
/// happens there as one atomic step. The keys' order of execution does not matter.
///
/// A [`Wire`] says in which format the entries are: what shows their life, and what counts as a
/// present one. A store that cannot serve the one it is asked for answers [`Fault::Refused`].
///
/// The driver bounds every call by `remote_timeout` and then drops the future. A command whose
/// future was dropped may still be carried out, late: the protocol is made for that. Nothing but
/// `read`, `inspect`, `release`, `remove`, `unload` and the verbs of the log (`raise`, `news`, `ensure`) may be
/// sent a second time by the implementation if it does not know whether the first was carried out: a lease, claim, put, fill or extension whose first copy
/// lands after the second, and after a newer change, would bring back what that change removed; and
/// a renewal that lands twice would make a lease pass for younger than its holder knows.
///
/// `jetcache_adapters::contract::remote` is a test suite that every implementation should pass.
pub trait Remote: Send + Sync + 'static {
    /// What stands under each key.
    fn read(
        &self,
        keys: &[&str],
        wire: Wire,
    ) -> impl Future<Output = Vec<Result<Option<Found>, Fault>>> + Send;

    /// Takes the lease of each key if nobody has it, and looks at the key again.
    ///
    /// Granted if no lease stood there, or this very token; [`Granted::Failing`] if a holder gave it
    /// back as [failing](Hold::failing) and that time is not over.
    fn lease(
        &self,
        asks: &[LeaseAsk<'_>],
        wire: Wire,
    ) -> impl Future<Output = Vec<Result<Leased, Fault>>> + Send;

    /// Lets each lease stand for its `life` from now on, if it is the token's. Whether it is.
    ///
    /// A holder renews its lease while it loads. What is renewed counts as granted now, also for the
    /// life of what is filled.
    fn renew(&self, asks: &[LeaseAsk<'_>])
    -> impl Future<Output = Vec<Result<bool, Fault>>> + Send;

    /// Stores each value if the lease is the token's, and gives the lease back.
    ///
    /// The time for which the lease has stood beyond `age` is taken off the value's life; nothing
    /// left means released and [`Filled::Refused`]. In the jetcache-go format, so does a key under
    /// which something else stands than what the value [`replaces`](Stored::replaces).
    fn fill(
        &self,
        fills: &[Fill<'_>],
        wire: Wire,
    ) -> impl Future<Output = Vec<Result<Filled, Fault>>> + Send;

    /// Lets the value that stands under each key be fresh for another `life`, if the lease is the token's
    /// and the value still is the one of this [`header`](Extend::header); and gives the lease back.
    ///
    /// As by a fill the end is stamped, and the time for which the lease has stood beyond `age` is taken
    /// off the life; nothing left means released and [`Extended::Refused`]. The life is at most the one
    /// that the header says, and the value is kept for the header's own stale window after that.
    /// Something else under the key, or nothing, is [`Extended::Unlike`], and the lease stands.
    ///
    /// Only the native format has it. A store that cannot do it answers `Unlike`, and the value is filled.
    fn extend(
        &self,
        extends: &[Extend<'_>],
    ) -> impl Future<Output = Vec<Result<Extended, Fault>>> + Send {
        let unlike = extends.iter().map(|_| Ok(Extended::Unlike)).collect();
        async { unlike }
    }

    /// Gives each lease back if it is the token's. One that is given back as
    /// [failing](Hold::failing) leaves a mark in its place for so long, which is nobody's: it is
    /// granted to nobody, fills nothing, and goes when the key is changed or removed.
    fn release(&self, holds: &[Hold<'_>]) -> impl Future<Output = Vec<Result<(), Fault>>> + Send;

    /// Puts the token's claim in the place of whatever lease or claim stood there, and removes the
    /// value, or [spares](Claim::spares) it.
    ///
    /// With a [`Condition`]: only if the claim is this token's already, or if the key is present or
    /// absent as asked. Refused, it changes nothing. In the native format the answer shows the
    /// [head](Head) of the entry by which a condition was judged: the cache may know that it is dead.
    ///
    /// A claim that spares, put in the place of another such claim, remembers it, and those that
    /// one remembers, up to a thousand in all. A lease is granted over none of them.
    fn claim(
        &self,
        claims: &[Claim<'_>],
        wire: Wire,
    ) -> impl Future<Output = Vec<Result<Claimed, Fault>>> + Send;

    /// Puts each value in the place of what stands there, if the claim is the token's, and gives it
    /// back; a [`Condition`] must still hold.
    ///
    /// If the claim remembers the token's, the value is stored as well; the claim then stands on, and
    /// forgets the token's and those before it.
    ///
    /// Otherwise it is overtaken if something else stands there than its claim
    /// [has spared](Put::spared); that stays. If it is the very same, or nothing if that was nothing,
    /// it is refused, and refused without a condition it removes the key as `remove` does, but
    /// leaves leases and claims.
    ///
    /// In the jetcache-go format a stranger may have written since the claim: if something else
    /// stands there than was spared, and not by a put that the claim remembers, the value is
    /// overtaken as well.
    ///
    /// The time for which the token's claim has stood beyond `age` is taken off the value's life;
    /// with nothing left it is refused.
    fn put(
        &self,
        puts: &[Put<'_>],
        wire: Wire,
    ) -> impl Future<Output = Vec<Result<Placed, Fault>>> + Send;

    /// As `fill` if there is a token and the lease is its; removes value and lease otherwise.
    fn settle(
        &self,
        settles: &[Settle<'_>],
        wire: Wire,
    ) -> impl Future<Output = Vec<Result<Filled, Fault>>> + Send;

    /// Removes value and lease of each key. A store that shows its changes to whoever watches shows
    /// this one even if nothing stood there (PROTOCOL.md, H4).
    fn remove(&self, keys: &[&str]) -> impl Future<Output = Vec<Result<(), Fault>>> + Send;

    /// Removes what a load may have put under each key, and nothing else: the lease unless it is a
    /// claim that [spares](Claim::spares), and the value if it still is what a fill or a settlement
    /// has stored there within [`MARKED`]. It is never told.
    ///
    /// Only the jetcache-go format needs it, in which others delete keys without regard to leases
    /// (PROTOCOL.md, G2). A store that does not know what was loaded [removes](Self::remove): that
    /// is safe, and takes with it what others have stored since.
    fn unload(&self, keys: &[&str]) -> impl Future<Output = Vec<Result<(), Fault>>> + Send {
        self.remove(keys)
    }

    /// Takes the lock of this name, a key of its own, for `life` if nobody has it. Whether this
    /// token has it now.
    ///
    /// Refreshing takes it in the jetcache-go format, where the services take turns by a key
    /// `<key>_#RL#`. A store without it answers [`Fault::Refused`], and then nothing is refreshed
    /// in that format.
    fn lock(
        &self,
        name: &str,
        token: Token,
        life: Duration,
    ) -> impl Future<Output = Result<bool, Fault>> + Send {
        let _ = (name, token, life);
        async { Err(no_locks()) }
    }

    /// Gives a [`lock`](Self::lock) back if it is the token's.
    fn unlock(&self, name: &str, token: Token) -> impl Future<Output = Result<(), Fault>> + Send {
        let _ = (name, token);
        async { Err(no_locks()) }
    }

    /// Raises these scopes of a namespace: gives them the next number, so that every value whose
    /// loading began under a lower one is dead (PROTOCOL.md, T7).
    ///
    /// The log of a namespace are two keys that live for ever: the highest number, in decimal, under
    /// [`top_key`](crate::machine::generations::scope::top_key), which [`read`](Self::read) shows as it
    /// shows any other key; and a list of scopes with the number of the last raise of each, under
    /// [`list_key`](crate::machine::generations::scope::list_key).
    ///
    /// In one atomic step: the new number is the server's clock in microseconds, or one above the sender's
    /// [clock](Raise::clock), the highest number and the highest mark of the list, whichever is the
    /// highest. It becomes the highest number and the mark of each scope. If there is no list, the new
    /// one begins with [`Scope::All`] under that number, too. An [announcing](Self::announcing) store
    /// says a [`Kind::Raise`](super::bus::Kind::Raise). It may be sent twice, and may land late: that costs misses.
    ///
    /// From [`Mark::END`] on nothing is a number: in either part of the log, or as the sender's clock, it
    /// counts as missing. If the new number were none, nothing is raised, and the answer is [`Fault::Refused`].
    ///
    /// Only a store that [keeps a log](Self::keeps_log) is asked.
    fn raise(&self, raise: &Raise<'_>) -> impl Future<Output = Result<Raised, Fault>> + Send {
        let _ = raise;
        async { Err(no_log()) }
    }

    /// The marks of a namespace that are `since` or higher, none if there is no list: a
    /// [page](NewsPage) of them, the lowest first, which is as much as fits well into one answer. A list has
    /// 131,073 at most; whoever has read a page asks for the [next](NewsPage::next). Each page but the last
    /// ends above `since`, though many scopes may have the same mark: one raise has 500, and one more
    /// with a new list.
    ///
    /// Each page is read in one atomic step. A scope that is raised between two of them moves up, so it
    /// is on one that is yet to come.
    fn news(
        &self,
        namespace: &str,
        since: Mark,
    ) -> impl Future<Output = Result<NewsPage, Fault>> + Send {
        let _ = (namespace, since);
        async { Err(no_log()) }
    }

    /// Sees to it that the log of a namespace has what this node knows of it. Returns the highest number,
    /// and what was raised.
    ///
    /// In one atomic step: each scope whose mark in the list is below the given one, or missing, is raised.
    /// If there is no list, or if there is no such scope and the highest number is there and below the
    /// sender's [clock](Ensure::clock), [`Scope::All`] is raised. A highest number that is missing becomes
    /// the highest mark of the list. Whatever is raised gets one new number, as by [`raise`](Self::raise), and is announced.
    /// It may be sent twice, and may land late.
    fn ensure(&self, ensure: &Ensure<'_>) -> impl Future<Output = Result<Ensured, Fault>> + Send {
        let _ = ensure;
        async { Err(no_log()) }
    }

    /// What stands under a key, and what a read does not show: how long the store keeps it, and who has
    /// the lease. It changes nothing. For people who look into a store, so one key at a time.
    ///
    /// The default reads, and says of the rest that this store cannot tell.
    fn inspect(
        &self,
        key: &str,
        wire: Wire,
    ) -> impl Future<Output = Result<Inspected, Fault>> + Send {
        async move {
            let read = self.read(&[key], wire).await.pop();
            let none = || Fault::Unreachable("the remote did not answer".into());
            Ok(Inspected::of(read.ok_or_else(none)??))
        }
    }

    /// Whether it keeps a log of raises: the verbs [`raise`](Self::raise), [`news`](Self::news) and
    /// [`ensure`](Self::ensure). Without it a cache has no tags and no `clear`.
    fn keeps_log(&self) -> bool {
        false
    }

    /// Which store this is, if a [`Bus`](super::bus::Bus) may ride on it: two handles of one store
    /// have the same number, which no other store of this process has.
    fn server(&self) -> Option<u64> {
        None
    }

    /// On which of the store's servers a key is now, for a store of several that can be away one by
    /// one: each then has a [circuit breaker](crate::Breaker) of its own. The number is the store's own, or one
    /// that no [`server`](Self::server) of this process has. It is asked for at every operation and must
    /// cost nothing. `None` for all keys if the store is one server.
    fn server_of(&self, key: &str) -> Option<u64> {
        let _ = key;
        None
    }

    /// How often another primary has begun to answer, one that may lack the last changes: a replica
    /// that was promoted, or a server that was restarted from an older snapshot. It is counted before
    /// the first answer of that primary is handed out. The cache makes its last changes again then
    /// ([`failover_window`](crate::Builder::failover_window)). It is asked for at every operation and
    /// must cost nothing. `None`, now and later, if the store cannot tell, or cannot lose a change.
    fn failovers(&self) -> Option<u64> {
        None
    }

    /// Another handle of the same store, one that tells of each change, if the store can.
    ///
    /// In the same atomic step as the change of a key, and as its last part: a fill that was stored
    /// says its [`kind`](Fill::kind), and so does an extension, and a put or settlement that was stored [`Kind::Set`](super::bus::Kind::Set); any
    /// other settlement, a removal, and any other put without a condition say [`Kind::Delete`](super::bus::Kind::Delete). A
    /// claim says nothing, since what follows it does. If telling fails, the change stands.
    fn announcing(&self, herald: Herald) -> Option<Self>
    where
        Self: Sized,
    {
        let _ = herald;
        None
    }
}

/// For how long a store remembers, in the jetcache-go format, that a load put a value there: the
/// news of a deletion by jetcache-go may be so late.
pub const MARKED: Duration = Duration::from_secs(60);

fn no_log() -> Fault {
    Fault::Refused("this store has no log of generations".into())
}

fn no_locks() -> Fault {
    Fault::Refused("this store has no locks".into())
}

/// Where a change is told, and in whose name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Herald {
    /// The channel.
    pub channel: Arc<str>,
    /// The cache's name.
    pub cache: Arc<str>,
    /// The node's source id.
    pub source: Arc<str>,
}

/// What stood under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The bytes as they were stored, the end stamped.
    pub bytes: Vec<u8>,
    /// What shows how much is left of their life.
    pub life: Life,
}

/// What shows how much is left of an entry's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Life {
    /// The entry carries its end; the server's clock showed this many milliseconds at the read.
    Clock(u64),
    /// The server says what is left.
    Left(Duration),
}

/// The answer to [`Remote::inspect`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspected {
    /// What stands under the key, as a read shows it.
    pub found: Option<Found>,
    /// How long the store keeps it; [`Duration::MAX`] for ever, `None` if it cannot tell.
    pub kept: Option<Duration>,
    /// The lease of the key.
    pub lease: LeaseSeen,
}

impl Inspected {
    /// By a store that can tell no more than what a read shows.
    #[must_use]
    pub const fn of(found: Option<Found>) -> Self {
        Self {
            found,
            kept: None,
            lease: LeaseSeen::UNTOLD,
        }
    }
}

/// The answer to a lease asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leased {
    /// Whether the token holds the lease now, or who else does.
    pub granted: Granted,
    /// What stood under the key at that moment.
    pub found: Option<Found>,
}

impl Leased {
    /// Whether the token holds the lease now.
    #[must_use]
    pub fn is_granted(&self) -> bool {
        self.granted == Granted::Yes
    }
}
