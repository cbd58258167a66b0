//! Draws what is raised in a plan, which tags its values have, and what befalls the log. With dice of its
//! own, so that what a seed asks else stays as it was.

use fastrand::Rng;
use jetcache_core::ports::remote::Wire;

use crate::sim::fate::fleet::Fleet;
use crate::sim::fate::mix::pick;
use crate::sim::fate::plan::{Ask, Brings, Plan, What};
use crate::sim::generations::log::Loss;
use crate::sim::generations::scopes::{Scopes, TAGS};

impl Plan {
    /// Almost all plans in the native format have a log, and many of them raises.
    pub(crate) fn with_raises(mut self, seed: u64, span: u64) -> Self {
        let rng = &mut Rng::with_seed(seed.rotate_left(11) ^ 0x7a95);
        let (fleet, policy) = (&mut self.fleet, &mut self.policy);
        if fleet.wire == Wire::JetcacheGo || rng.u8(..100) < 6 {
            return self;
        }
        let remote = policy.kind.has_remote();
        policy.log = remote;
        if let Some(blind) = &mut fleet.blind {
            blind.log = remote;
        }
        let few = pick(rng, &[false, true]);
        for ask in &mut self.asks {
            ask.tag(rng, few);
        }
        if remote {
            fleet.mix_log(rng, span);
            let pages = &mut Rng::with_seed(seed.rotate_left(29) ^ 0x9a6e);
            fleet.page = pick(pages, &[1, 1, 2, 1_000]);
        }
        let raises = pick(rng, &[0, 1, 2, 4, 8]);
        for _ in 0..raises {
            // Beside what is asked there already.
            let alike = rng.usize(..self.asks.len());
            let at = self.asks[alike].at + pick(rng, &[0, 1, 3, 8, 30, 150]);
            let scopes = match rng.u8(..10) {
                0..5 => tag(rng, few),
                5..7 => tag(rng, false).and(tag(rng, false)),
                7 => tag(rng, few).and(Scopes::ALL),
                _ => Scopes::ALL,
            };
            self.asks.push(Ask {
                at,
                node: rng.usize(..self.nodes),
                key: 0,
                what: What::Raise(scopes),
                dropped: (rng.u8(..12) == 0).then(|| at + rng.u64(..30)),
                held: None,
                batch: None,
            });
        }
        self
    }
}

impl Ask {
    /// Different loads of one key may have different tags.
    fn tag(&mut self, rng: &mut Rng, few: bool) {
        let tags = match rng.u8(..4) {
            0 => Scopes::NONE,
            1..3 => tag(rng, few),
            _ => tag(rng, false).and(tag(rng, false)),
        };
        match &mut self.what {
            // What is unchanged keeps its tags, if its loader does not say others.
            What::Load(_, loader) | What::Refresh(_, loader)
                if loader.brings == Brings::Unchanged && rng.u8(..8) > 0 => {}
            What::Load(_, loader) | What::Refresh(_, loader) => loader.tags = tags,
            What::Insert(wish, _) => wish.tags = tags,
            What::WriteThrough(wish, writer) => match rng.bool() {
                true => wish.tags = tags,
                false => writer.tags = tags,
            },
            _ => {}
        }
    }
}

impl Fleet {
    fn mix_log(&mut self, rng: &mut Rng, span: u64) {
        // Who watches hears of a log on another server as of one on the same.
        self.cluster = self.failovers.is_empty() && rng.u8(..4) == 0;
        if rng.u8(..5) == 0 {
            let losses = rng.usize(1..=2);
            self.losses = (0..losses)
                .map(|_| {
                    let (top, list) = pick(rng, &[(true, true), (true, false), (false, true)]);
                    let at = rng.u64(..=span);
                    Loss { at, top, list }
                })
                .collect();
        }
    }
}

fn tag(rng: &mut Rng, few: bool) -> Scopes {
    let of = if few { 1 } else { TAGS };
    Scopes::tag(rng.usize(..of))
}
