//! Draws a plan from a seed: each seed has a taste of its own for keys, calls and timing.

use core::time::Duration;

use fastrand::Rng;
use jetcache_core::machine::policy::pace::Aim;
use jetcache_core::machine::policy::{LeaseFirst, Policy};
use jetcache_core::{Condition, Kind};

use crate::sim::fate::plan::{Ask, Brings, KEYS, Loader, What, Wish, Writes, plain};
use crate::sim::generations::scopes::Scopes;
use crate::sim::world::batch::BatchId;
use crate::sim::world::time::whole_millis;

/// What the callers of a seed are like. Each seed has a taste of its own, or all would be alike.
pub(crate) struct Mix {
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
    pub(crate) fn new(
        rng: &mut Rng,
        policy: &Policy,
        nodes: usize,
        keys: usize,
        span: u64,
    ) -> Self {
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

    pub(crate) fn asks(&self, rng: &mut Rng) -> Vec<Ask> {
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
            batch: None,
        }
    }

    /// Batches, in one seed of four, drawn with dice of their own.
    pub(crate) fn batches(&self, rng: &mut Rng) -> Vec<Ask> {
        let count = if rng.u8(..4) == 0 { rng.u32(1..=4) } else { 0 };
        let batches = (0..count).map(|batch| {
            let ask = self.ask(rng);
            (0..KEYS)
                .map(|key| self.member(rng, &ask, key, batch))
                .collect::<Vec<_>>()
        });
        batches.collect::<Vec<_>>().concat()
    }

    fn member(&self, rng: &mut Rng, ask: &Ask, key: usize, batch: BatchId) -> Ask {
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
            batch: Some(batch),
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
        let Loader {
            takes, brings, ttl, ..
        } = self.loader(rng);
        let failed = matches!(brings, Brings::Error | Brings::Panic);
        let written = !failed || rng.bool();
        let writer = Writes {
            takes,
            row: written.then(|| rng.u64(..=takes)),
            brings,
            tags: Scopes::NONE,
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
            ..Wish::default()
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
            tags: Scopes::NONE,
            ttl: (rng.u8(..200) < self.options).then(|| rng.u64(1..=self.ttl)),
        }
    }
}

pub(crate) fn policy(rng: &mut Rng) -> Policy {
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
    policy.lease = policy.load_timeout + policy.remote_timeout * 4;
    policy.lease_wait = Duration::from_millis(pick(rng, &[0, 10, 40, 200]));
    policy.jitter.percent = pick(rng, &[0, 10]);
    policy.jitter.at_most = Duration::from_secs(10);
    policy.unconfirmed = pick(rng, &[1, 1024, 1024]);
    policy
}

/// In half of the seeds values may be served stale, and some callers do not wait for long; in half of
/// them leases are short. Drawn with dice of their own.
pub(crate) fn stale_windows(rng: &mut Rng, policy: &mut Policy) -> bool {
    if rng.bool() {
        policy.lease = policy.remote_timeout * 4;
    }
    if rng.bool() {
        return false;
    }
    policy.eager = rng.bool();
    policy.stale_for = Duration::from_millis(pick(rng, &[0, 80, 1_000, 60_000]));
    policy.stale_retry = Duration::from_millis(pick(rng, &[15, 60, 400]));
    policy.soft_timeout = pick(rng, &[None, Some(0), Some(8), Some(60)]).map(Duration::from_millis);
    if rng.bool() {
        // Or nothing would ever end.
        policy.ttl = Duration::from_millis(pick(rng, &[20, 60, 200]));
        policy.local_ttl = policy.local_ttl.min(policy.ttl);
    }
    true
}

/// What some calls wish of stale values. No window is longer than the usual one, which other nodes
/// know of.
pub(crate) fn stale_wishes(rng: &mut Rng, policy: &Policy, ask: &mut Ask) {
    let longest = whole_millis(policy.stale_for);
    let wish = match &mut ask.what {
        What::Load(wish, _) | What::Insert(wish, _) | What::WriteThrough(wish, _) => wish,
        What::Refresh(aim, _) if policy.eager => {
            *aim = pick(rng, &[*aim, Aim::Eager, Aim::Eager]);
            return;
        }
        _ => return,
    };
    if rng.u8(..6) == 0 {
        wish.stale_for = Some(pick(rng, &[0, 10, 100, 5_000]).min(longest));
    }
    if rng.u8(..6) == 0 {
        wish.soft_timeout = Some(pick(rng, &[0, 5, 40]));
    }
}

/// In half of the seeds loaders say that what stands there is unchanged. In some of those values end soon and
/// stand for long after that, and fewer changes take them away, or hardly anything would stand there.
pub(crate) fn conditional_loads(rng: &mut Rng, policy: &mut Policy) -> Option<u8> {
    let changed = pick(rng, &[None, None, None, Some(0), Some(30), Some(70)])?;
    if changed > 0 {
        policy.ttl = Duration::from_millis(pick(rng, &[15, 40, 100]));
        policy.local_ttl = policy.local_ttl.min(policy.ttl);
        policy.stale_for = Duration::from_millis(pick(rng, &[300, 60_000]));
    }
    Some(changed)
}

/// Some loaders are asked whether what stands there has changed, and say that it has not. Of a hundred
/// other asks so many become such loads.
pub(crate) fn unchanged(rng: &mut Rng, ask: &mut Ask, others: u8) {
    let (unchanged, value) = (Brings::Unchanged, Brings::Value);
    let brings = pick(
        rng,
        &[unchanged, unchanged, unchanged, Brings::Remarked, value],
    );
    let becomes = rng.u8(..100) < others;
    match &mut ask.what {
        What::Load(_, loader) | What::Refresh(_, loader) => {
            let loads = loader.brings == Brings::Value;
            loader.brings = if loads { brings } else { loader.brings };
        }
        what if becomes && ask.batch.is_none() => {
            let takes = rng.u64(..=10);
            let loader = Loader {
                takes,
                brings,
                tags: Scopes::NONE,
                ttl: None,
            };
            *what = What::Load(Wish::default(), loader);
        }
        _ => {}
    }
}

/// In two seeds of three loads ask for the lease first, some of them whatever they find, some until they find
/// something.
pub(crate) fn lease_first(rng: &mut Rng) -> Option<LeaseFirst> {
    let hasty = [(0, 1), (0, 2), (0, 16), (2, 16)];
    let all = hasty.map(|(after, one_in)| Some(LeaseFirst { after, one_in }));
    pick(rng, &[all[0], all[1], all[2], all[3], None, None])
}

/// Picks one of these.
pub(crate) fn pick<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.usize(..of.len())]
}
