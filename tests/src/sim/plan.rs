//! What is asked of the nodes, and the world in which it is asked.

use core::time::Duration;

use fastrand::Rng;
use jetcache_core::machine::policy::pace::Aim;
use jetcache_core::machine::policy::{Jitter, Policy};
use jetcache_core::ports::remote::Wire;
use jetcache_core::{Call, Condition, Kind};

use super::chance::{Chance, Network, Pauses};
use super::crew::CrewId;
use super::fleet::Fleet;
use super::script::Script;

/// A key. There are few of them, so that what is asked collides.
pub(super) type Key = u8;

/// How many keys there may be.
pub(super) const KEYS: usize = 2;

/// A whole run, before it runs.
#[derive(Debug)]
pub struct Plan {
    pub(super) policy: Policy,
    pub(super) nodes: usize,
    pub(super) asks: Vec<Ask>,
    pub(super) fleet: Fleet,
    /// What decides all that the plan leaves open.
    pub(super) chance: Chance,
    /// How often a change that returns is followed at once by a read, in hundredths.
    pub(super) read_back: u8,
}

/// Something that is asked of a node.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// When, in milliseconds.
    pub(super) at: u64,
    pub(super) node: usize,
    pub(super) key: Key,
    pub(super) what: What,
    /// When its future is dropped, if it is still there: the caller's, or the change's own task.
    pub(super) dropped: Option<u64>,
    /// From when to when its future is not polled.
    pub(super) held: Option<(u64, u64)>,
    /// Whom it is carried out with.
    pub(super) crew: Option<CrewId>,
}

#[derive(Clone, Debug)]
pub(super) enum What {
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
    /// Something else supersedes the key: an event from another node.
    Hear,
    /// L1 evicts the key.
    Evict,
}

/// A call's options, legible: those of [`Call`] are the core's own.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wish {
    pub(super) ttl: Option<u64>,
    pub(super) local_ttl: Option<u64>,
    pub(super) skip_local: bool,
    pub(super) skip_remote: bool,
    pub(super) no_store: bool,
}

impl Wish {
    pub(super) fn call(self) -> Call {
        let mut call = Call::new();
        if let Some(ttl) = self.ttl {
            call = call.ttl(Duration::from_millis(ttl));
        }
        if let Some(ttl) = self.local_ttl {
            call = call.local_ttl(Duration::from_millis(ttl));
        }
        if self.skip_local {
            call = call.skip_local();
        }
        if self.skip_remote {
            call = call.skip_remote();
        }
        if self.no_store {
            call = call.no_store();
        }
        call
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Loader {
    /// How long it runs, in milliseconds.
    pub(super) takes: u64,
    pub(super) brings: Brings,
    /// The life that it gives its value.
    pub(super) ttl: Option<u64>,
}

/// The writer of a write-through.
#[derive(Clone, Copy, Debug)]
pub(super) struct Writes {
    /// How long it runs, in milliseconds.
    pub(super) takes: u64,
    /// When the row changes, in milliseconds from its beginning; `None`: never.
    pub(super) row: Option<u64>,
    pub(super) brings: Brings,
    /// The life that it gives its value.
    pub(super) ttl: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Brings {
    Value,
    Absent,
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
        let span = pick(&mut rng, &[4, 15, 60, 300, 2_000, 12_000]);
        let mix = Mix::new(&mut rng, &policy, nodes, keys, span);
        let mut asks = mix.asks(&mut rng);
        asks.extend(mix.crews(&mut Rng::with_seed(!seed)));
        let network = Network::profile(&mut rng, span);
        let mut fates = Rng::with_seed(seed.rotate_left(32) ^ 0x5eed);
        let mut fleet = Fleet::seeded(&mut fates, nodes, keys, span, &policy);
        if fleet.wire == Wire::JetcacheGo {
            // What a refresh may replace there is not told here.
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
        Self {
            fleet,
            policy,
            nodes,
            asks,
            read_back: pick(&mut rng, &[0, 60, 100]),
            chance: Chance::dice(Pauses::profile(&mut rng), network, rng),
        }
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

pub(super) fn plain(kind: Kind) -> Policy {
    let mut policy = Policy::new(kind);
    policy.remote_timeout = Duration::from_millis(20);
    policy.load_timeout = Duration::from_millis(100);
    policy.lease = Policy::usual_lease(policy.load_timeout, policy.remote_timeout);
    policy.lease_wait = Duration::from_millis(40);
    policy.jitter = Jitter {
        percent: 0,
        at_most: Duration::ZERO,
    };
    policy
}

fn policy(rng: &mut Rng) -> Policy {
    let kind = match rng.u8(..100) {
        0..80 => Kind::Both,
        80..92 => Kind::Local,
        _ => Kind::Remote,
    };
    let mut policy = plain(kind);
    let ttl = pick(rng, &[60, 400, 5_000, 60_000]);
    policy.ttl = Duration::from_millis(ttl);
    policy.local_ttl = Duration::from_millis(pick(rng, &[30, 500, 60_000]).min(ttl));
    policy.negative_ttl = Duration::from_millis(pick(rng, &[40, 2_000]));
    policy.load_timeout = Duration::from_millis(pick(rng, &[30, 100]));
    policy.lease = Policy::usual_lease(policy.load_timeout, policy.remote_timeout);
    policy.lease_wait = Duration::from_millis(pick(rng, &[0, 10, 40, 200]));
    policy.jitter.percent = pick(rng, &[0, 10]);
    policy.jitter.at_most = Duration::from_secs(10);
    policy.unconfirmed = pick(rng, &[1, 1024, 1024]);
    policy
}

/// What a seed's callers are like: each seed has a taste of its own, or all would be alike.
struct Mix {
    nodes: usize,
    keys: usize,
    span: u64,
    moments: Vec<u64>,
    longest_load: u64,
    ttl: u64,
    has_remote: bool,
    weights: [u32; 9],
    options: u8,
    bad_loaders: u8,
    drops: u8,
    holds: u8,
}

impl Mix {
    fn new(rng: &mut Rng, policy: &Policy, nodes: usize, keys: usize, span: u64) -> Self {
        let moments = (0..pick(rng, &[2, 5, 60]))
            .map(|_| rng.u64(0..=span))
            .collect();
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self {
            nodes,
            keys,
            span,
            moments,
            longest_load: pick(rng, &[2, 10, millis(policy.load_timeout) * 6 / 5]),
            ttl: millis(policy.ttl),
            has_remote: policy.kind.has_remote(),
            weights: [
                pick(rng, &[20, 45, 80]),
                pick(rng, &[0, 12]),
                4,
                pick(rng, &[0, 10, 30]),
                pick(rng, &[0, 15, 40]),
                pick(rng, &[0, 0, 2, 8]),
                pick(rng, &[0, 3]),
                pick(rng, &[0, 0, 10, 40]),
                pick(rng, &[0, 0, 0, 15]),
            ],
            options: pick(rng, &[0, 0, 25]),
            bad_loaders: pick(rng, &[0, 20, 70]),
            drops: pick(rng, &[0, 0, 10, 30]),
            holds: pick(rng, &[0, 0, 0, 15]),
        }
    }

    fn asks(&self, rng: &mut Rng) -> Vec<Ask> {
        (0..rng.usize(4..=40)).map(|_| self.ask(rng)).collect()
    }

    fn ask(&self, rng: &mut Rng) -> Ask {
        let at = self.moments[rng.usize(..self.moments.len())] + rng.u64(..6);
        let what = self.what(rng);
        let later = |rng: &mut Rng| at + pick(rng, &[1, 3, 8, 30, 150]) + rng.u64(..4);
        Ask {
            at,
            node: rng.usize(..self.nodes),
            key: u8::try_from(rng.usize(..self.keys)).unwrap_or(0),
            what,
            dropped: (rng.u8(..100) < self.drops).then(|| later(rng)),
            held: (rng.u8(..100) < self.holds).then(|| {
                let from = later(rng);
                (
                    from,
                    pick(rng, &[from + 10, from + 300, from + self.span, u64::MAX]),
                )
            }),
            crew: None,
        }
    }

    /// Batches, in one seed of four. Their dice are their own.
    fn crews(&self, rng: &mut Rng) -> Vec<Ask> {
        let count = if rng.u8(..4) == 0 { rng.u32(1..=4) } else { 0 };
        let crews = (0..count).map(|crew| {
            let ask = self.ask(rng);
            (0..KEYS)
                .map(|key| self.member(rng, &ask, key, crew))
                .collect::<Vec<_>>()
        });
        crews.collect::<Vec<_>>().concat()
    }

    fn member(&self, rng: &mut Rng, ask: &Ask, key: usize, crew: CrewId) -> Ask {
        let mut what = ask.what.clone();
        match &mut what {
            // They are loaded together, and each may have an error of its own.
            What::Load(_, loader) | What::Refresh(_, loader) if rng.u8(..4) == 0 => {
                loader.brings = self.loader(rng).brings
            }
            What::Hear | What::Evict => what = What::Get(Wish::default()),
            _ => {}
        }
        Ask {
            key: u8::try_from(key).unwrap_or(0),
            what,
            crew: Some(crew),
            ..ask.clone()
        }
    }

    fn what(&self, rng: &mut Rng) -> What {
        let mut dice = rng.u32(..self.weights.iter().sum::<u32>());
        let mut which = 0;
        while dice >= self.weights[which] {
            dice -= self.weights[which];
            which += 1;
        }
        match which {
            0 => What::Load(self.wish(rng), self.loader(rng)),
            1 => What::Get(self.wish(rng)),
            2 => What::Peek,
            3 => What::Invalidate,
            4 => self.insert(rng),
            5 => What::Hear,
            6 => What::Evict,
            7 => self.write_through(rng),
            _ => self.refresh(rng),
        }
    }

    fn insert(&self, rng: &mut Rng) -> What {
        let condition = match rng.u8(..10) {
            0..6 => None,
            6..8 => Some(Condition::Absent),
            _ => Some(Condition::Present),
        };
        let mut wish = self.wish(rng);
        wish.no_store = false;
        wish.skip_remote &= condition.is_none() && self.has_remote;
        What::Insert(wish, condition)
    }

    fn refresh(&self, rng: &mut Rng) -> What {
        let limit = Duration::from_millis(rng.u64(..=self.ttl));
        let aim = pick(rng, &[Aim::Younger(limit), Aim::Load, Aim::Copy]);
        What::Refresh(aim, self.loader(rng))
    }

    fn write_through(&self, rng: &mut Rng) -> What {
        let Loader { takes, brings, ttl } = self.loader(rng);
        let failed = matches!(brings, Brings::Error | Brings::Panic);
        let written = !failed || rng.bool();
        let writer = Writes {
            takes,
            row: written.then(|| rng.u64(..=takes)),
            brings,
            ttl,
        };
        let mut wish = self.wish(rng);
        (wish.no_store, wish.skip_remote) = (false, false);
        What::WriteThrough(wish, writer)
    }

    fn wish(&self, rng: &mut Rng) -> Wish {
        if rng.u8(..100) >= self.options {
            return Wish::default();
        }
        let shorter = |rng: &mut Rng| rng.bool().then(|| rng.u64(1..=self.ttl));
        Wish {
            ttl: shorter(rng),
            local_ttl: shorter(rng),
            skip_local: rng.u8(..4) == 0,
            skip_remote: rng.u8(..4) == 0,
            no_store: rng.u8(..4) == 0,
        }
    }

    fn loader(&self, rng: &mut Rng) -> Loader {
        let brings = if rng.u8(..100) < self.bad_loaders {
            [
                Brings::Absent,
                Brings::Error,
                Brings::Panic,
                Brings::Uncached,
                Brings::Unencodable,
            ][rng.usize(..5)]
        } else {
            Brings::Value
        };
        Loader {
            takes: rng.u64(..=self.longest_load),
            brings,
            ttl: (rng.u8(..200) < self.options).then(|| rng.u64(1..=self.ttl)),
        }
    }
}

/// One of these.
pub(super) fn pick<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.usize(..of.len())]
}
