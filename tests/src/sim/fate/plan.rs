//! A plan: what is asked of the nodes, when, and in what kind of world.

use core::time::Duration;

use fastrand::Rng;
use jetcache_core::machine::policy::pace::Aim;
use jetcache_core::machine::policy::{Jitter, Policy};
use jetcache_core::ports::remote::Wire;
use jetcache_core::{Call, Condition, Kind};

use crate::sim::fate::chance::{Chance, Pauses};
use crate::sim::fate::fleet::Fleet;
use crate::sim::fate::mix::{
    Mix, conditional_loads, lease_first, pick, policy, stale_windows, stale_wishes, unchanged,
};
use crate::sim::fate::script::Script;
use crate::sim::generations::scopes::Scopes;
use crate::sim::world::batch::BatchId;
use crate::sim::world::weather::Weather;

/// A key. There are few, so that asks collide.
pub(crate) type Key = u8;

/// How many keys there may be.
pub(crate) const KEYS: usize = 2;

/// A whole run, before it runs.
#[derive(Debug)]
pub struct Plan {
    pub(crate) policy: Policy,
    pub(crate) nodes: usize,
    pub(crate) asks: Vec<Ask>,
    pub(crate) fleet: Fleet,
    /// Decides all that the plan leaves open.
    pub(crate) chance: Chance,
    /// How often a change that returns is followed at once by a read, in hundredths.
    pub(crate) read_back: u8,
}

/// Something that is asked of a node.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// When, in milliseconds.
    pub(crate) at: u64,
    pub(crate) node: usize,
    pub(crate) key: Key,
    pub(crate) what: What,
    /// When its future is dropped, if it is still there: the caller's, or the change's own task.
    pub(crate) dropped: Option<u64>,
    /// From when to when its future is not polled.
    pub(crate) held: Option<(u64, u64)>,
    /// The batch that it is part of.
    pub(crate) batch: Option<BatchId>,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    /// `get_or_load`.
    Load(Wish, Loader),
    /// `get`.
    Get(Wish),
    /// `peek`.
    Peek,
    Invalidate,
    Insert(Wish, Option<Condition>),
    WriteThrough(Wish, Writes),
    /// A refresh, whose turn has come.
    Refresh(Aim, Loader),
    /// Tags, or the whole namespace, are raised.
    Raise(Scopes),
    /// Something else supersedes the key: an event from another node.
    Hear,
    /// L1 evicts the key.
    Evict,
}

/// The options of a call. Those of [`Call`] cannot be read from outside core.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wish {
    pub(crate) ttl: Option<u64>,
    pub(crate) local_ttl: Option<u64>,
    pub(crate) stale_for: Option<u64>,
    pub(crate) soft_timeout: Option<u64>,
    pub(crate) skip_local: bool,
    pub(crate) skip_remote: bool,
    pub(crate) no_store: bool,
    /// The tags of what is inserted.
    pub(crate) tags: Scopes,
}

impl Wish {
    pub(crate) fn call(self) -> Call {
        let mut call = Call::new();
        if let Some(ttl) = self.ttl {
            call = call.ttl(Duration::from_millis(ttl));
        }
        if let Some(ttl) = self.local_ttl {
            call = call.local_ttl(Duration::from_millis(ttl));
        }
        if let Some(window) = self.stale_for {
            call = call.stale_for(Duration::from_millis(window));
        }
        if let Some(span) = self.soft_timeout {
            call = call.soft_timeout(Duration::from_millis(span));
        }
        if self.skip_local {
            call = call.skip_local();
        }
        if self.skip_remote {
            call = call.skip_remote();
        }
        if !self.tags.is_empty() {
            call = call.tags(self.tags.texts());
        }
        if self.no_store {
            call = call.no_store();
        }
        call
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Loader {
    /// How long it runs, in milliseconds.
    pub(crate) takes: u64,
    pub(crate) brings: Brings,
    /// The tags that it gives its value.
    pub(crate) tags: Scopes,
    /// The life that it gives its value.
    pub(crate) ttl: Option<u64>,
}

/// The writer of a write-through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writes {
    /// How long it runs, in milliseconds.
    pub(crate) takes: u64,
    /// When the row changes, in milliseconds from its beginning; `None`: never.
    pub(crate) row: Option<u64>,
    pub(crate) brings: Brings,
    /// The tags that it gives its value.
    pub(crate) tags: Scopes,
    /// The life that it gives its value.
    pub(crate) ttl: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Brings {
    Value,
    Absent,
    /// That what stands there is unchanged, or a value where nothing does.
    Unchanged,
    /// The same, with another mark.
    Remarked,
    /// A value that is to be kept nowhere.
    Uncached,
    /// A value that the codec cannot encode.
    Unencodable,
    Error,
    Panic,
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let nodes = match rng.u8(..100) {
            0..40 => 1,
            40..75 => 2,
            75..90 => 3,
            _ => 4,
        };
        let keys = 1 + usize::from(rng.u8(..100) < 25);
        let mut policy = policy(&mut rng);
        let mut stale = Rng::with_seed(seed.rotate_left(17) ^ 0x57a1e);
        let has_windows = stale_windows(&mut stale, &mut policy);
        let mut conditional = Rng::with_seed(seed.rotate_left(48) ^ 0xe7a6);
        let conditional_loads = conditional_loads(&mut conditional, &mut policy);
        policy.lease_first = lease_first(&mut Rng::with_seed(seed.rotate_left(23) ^ 0x1ea5e));
        let span = pick(&mut rng, &[4, 15, 60, 300, 2_000, 12_000]);
        let mix = Mix::new(&mut rng, &policy, nodes, keys, span);
        let mut asks = mix.asks(&mut rng);
        asks.extend(mix.batches(&mut Rng::with_seed(!seed)));
        let weather = Weather::profile(&mut rng, span);
        if has_windows {
            let each = |ask| stale_wishes(&mut stale, &policy, ask);
            asks.iter_mut().for_each(each);
        }
        if let Some(others) = conditional_loads {
            let each = |ask| unchanged(&mut conditional, ask, others);
            asks.iter_mut().for_each(each);
        }
        let mut fates = Rng::with_seed(seed.rotate_left(32) ^ 0x5eed);
        let mut fleet = Fleet::seeded(&mut fates, nodes, keys, span, &policy);
        if fleet.wire == Wire::JetcacheGo {
            // The plan does not know what a refresh may replace there.
            for ask in &mut asks {
                if let What::Refresh(_, loader) = ask.what {
                    ask.what = What::Load(Wish::default(), loader);
                }
            }
            // A node that does without L2 for a while does not know how long Go's values live.
            policy.unconfirmed = 1024;
            if let Some(blind) = &mut fleet.blind {
                blind.unconfirmed = 1024;
            }
        }
        let mut falls = Rng::with_seed(seed.rotate_left(48) ^ 0xfa11);
        fleet.fall_over(&mut falls, span, &mut policy);
        Self {
            fleet,
            policy,
            nodes,
            asks,
            read_back: pick(&mut rng, &[0, 60, 100]),
            chance: Chance::dice(Pauses::profile(&mut rng), weather, rng),
        }
        .with_raises(seed, span)
    }

    /// An empty plan that leaves nothing to chance: every local step takes no time, every way to
    /// L2 and back 1 ms, unless the plan says otherwise. Timeouts as in `policy`: 20 ms for L2,
    /// 100 ms for a load.
    #[must_use]
    pub fn scripted(nodes: usize) -> Self {
        Self {
            policy: plain(Kind::Both),
            nodes,
            asks: Vec::new(),
            fleet: Fleet::calm(nodes),
            chance: Chance::script(Script::default()),
            read_back: 0,
        }
    }
}

pub(crate) fn plain(kind: Kind) -> Policy {
    let mut policy = Policy::new(kind);
    policy.remote_timeout = Duration::from_millis(20);
    policy.load_timeout = Duration::from_millis(100);
    policy.lease = policy.load_timeout + policy.remote_timeout * 4;
    policy.lease_wait = Duration::from_millis(40);
    // As with a bus that is up.
    policy.hears = true;
    policy.jitter = Jitter {
        percent: 0,
        at_most: Duration::ZERO,
    };
    policy
}
