//! The events of a cache: what its observers see.

use core::time::Duration;

use crate::machine::counted::Arc;
use crate::machine::error::Fault;
use crate::machine::tier::inspection::EntryKind;
use crate::machine::tier::unreadable::Unreadable;
use crate::machine::tier::verb::Verb;

/// Something that happened in a cache.
///
/// There is one at every hit, and it must cost nothing: only the rare ones name a key. Spans are
/// measured by the runtime's exact clock.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// L1 answered, with a value or the not-found placeholder. The lookup was a hit.
    LocalHit,
    /// L1 was asked and had nothing.
    LocalMiss,
    /// L2 answered a lookup that L1 could not. The lookup was a hit.
    RemoteHit {
        /// From sending the read, or the lease that was asked for in its place, to its answer.
        took: Duration,
    },
    /// L2 was asked and had nothing.
    RemoteMiss {
        /// From sending the read, or the lease that was asked for in its place, to its answer.
        took: Duration,
    },
    /// No tier could answer: the lookup was a miss.
    Miss,
    /// A loader brought a value.
    Loaded {
        /// From its start to its end, its wait for a turn included.
        took: Duration,
    },
    /// A loader said that the key does not exist.
    NotFound {
        /// From its start to its end, its wait for a turn included.
        took: Duration,
    },
    /// A loader said that the value which stood there is unchanged: the load is an event of its own.
    Unchanged,
    /// A loader failed, panicked or ran out of time.
    LoadFailed {
        /// From its start to its end, its wait for a turn included.
        took: Duration,
    },
    /// A load was given up before it ended: its caller left, as when its own caller hung up.
    LoadGivenUp {
        /// From its start, its wait for a turn included.
        took: Duration,
    },
    /// A loader did not run, because as many as `max_loads` did already.
    Overloaded {
        /// How long it waited for room.
        waited: Duration,
    },
    /// A caller was given a value whose life is over, because it could not be loaded anew, or not in
    /// time.
    Stale,
    /// A caller joined a flight that was under way.
    Coalesced,
    /// A caller was answered that had to wait for what another caller of this process loads, or a
    /// leader for what another node loads.
    Waited {
        /// For how long.
        took: Duration,
    },
    /// A change made a flight nobody's any more.
    Superseded,
    /// A leader was silent past its flight's deadline, and a waiting caller took over.
    Deposed,
    /// A change was not acknowledged: this node does not believe L2 about the key for now.
    Unconfirmed,
    /// A change was not acknowledged and there was no room to remember its key: for the longest
    /// life that was written, part of this node's cache does without L2.
    Bypassed,
    /// L2 was asked, by one round trip.
    RemoteAsked {
        /// For what.
        verb: Verb,
        /// About how many keys.
        keys: usize,
        /// From sending to the answer, or until nobody waited any more.
        took: Duration,
        /// For how many of the keys it failed.
        faults: usize,
        /// Whether the caller left before there was an answer, as when its own caller hung up.
        given_up: bool,
    },
    /// L2 failed, did not answer in time, or was not asked because its breaker is open.
    RemoteFault(Fault),
    /// The circuit breaker of L2, or of one of its servers, opened because of this: nothing but
    /// probes is sent until one is answered.
    BreakerOpened(Fault),
    /// The circuit breaker closed: L2 is asked again.
    BreakerClosed {
        /// How long it was open.
        after: Duration,
    },
    /// Another primary of L2 answers than before, and may lack the last changes: the keys that changed
    /// within [`failover_window`](crate::Builder::failover_window) are removed again. On a cluster with a
    /// bus, L1 is emptied too.
    FailedOver,
    /// L2 did not take a loaded value: a change has taken its lease away, or L2 has evicted the
    /// lease. L1 may keep the value.
    FillRefused,
    /// L2 held something under a key that cannot be read, and counts as a miss. The log has it too, at
    /// most once in ten seconds.
    Undecodable {
        /// The key, as it is in L2.
        key: Arc<str>,
        /// Why.
        why: Unreadable,
    },
    /// An L1 hit was compared with L2, as [`check_one_in`](crate::Builder::check_one_in) wants it.
    Checked,
    /// L1 and L2 have had different things of a key for seconds, though nothing was under way and the
    /// bus was up: see [`check_one_in`](crate::Builder::check_one_in).
    Differs {
        /// The key as it is in L2.
        key: Arc<str>,
        /// What L1 has.
        l1: EntryKind,
        /// What L2 has.
        l2: EntryKind,
    },
    /// A value could not be encoded. A loaded one stays in L1 only; one that was written through is
    /// kept nowhere.
    Unencodable,
    /// A value is longer than `max_value_size`. A loaded one stays in L1 only; one that was written
    /// through is kept nowhere.
    TooLarge,
    /// The bus brought a message about keys that others have changed.
    Heard {
        /// How many keys.
        keys: usize,
    },
    /// The bus brought something that cannot be understood.
    Garbled,
    /// The bus failed: its subscription broke or could not be made, or it did not take a message.
    BusFault(Fault),
    /// L1 was emptied because changes may have been missed: a subscription to the bus stands, the
    /// first or a new one, or the bus says that more was changed than it could name.
    EpochAdvanced,
    /// Tags were raised by this node, its namespace was cleared, or keys of a bucket that did not fit
    /// among the unconfirmed ones.
    Raised {
        /// How many scopes.
        scopes: usize,
        /// Whether L2 has acknowledged it; else it is repeated.
        acknowledged: bool,
    },
    /// This node learnt of raises by others.
    RaiseHeard {
        /// How many scopes.
        scopes: usize,
    },
    /// L1 had a value one of whose tags was raised. It counts as a miss of L1.
    DeadInL1,
    /// L2 had a value of a scope that was raised. It counts as a miss of L2.
    DeadInL2,
    /// A change was not acknowledged and there was no room to remember its key: all keys that share its
    /// bucket, one in 65,536, do without L2 until the bucket is raised.
    Overflowed,
    /// All raises are acknowledged, after some were not.
    RaisesConfirmed,
    /// L2 has lost the log of raises, or a part of it: nothing that stands there is believed, and the log
    /// is begun anew.
    LogLost,
    /// L2 was asked for the raises that the bus had not told.
    NewsAsked,
    /// A refresh loaded its key anew; the load is an event of its own.
    Refreshed,
    /// A refresh found in L2 what another node had loaded, and copied it.
    Copied,
    /// A key was to be kept fresh, and there was no room to remember it.
    NotRefreshed,
}
