//! The keys of a batch: what L1 had of them, what was found out about the others, and what of all
//! that ended while the rest was waited for.

use core::borrow::Borrow;
use core::hash::Hash;
use core::iter::zip;

use crate::driver::cache::Cache;
use crate::driver::cache::batch::Batch;
use crate::driver::flight::glance::Known;
use crate::driver::flight::seat::SharedAnswer;
use crate::driver::shared::level1::taken;
use crate::machine::policy::call::Call;
use crate::machine::tier::entry::{Cached, Entry};
use crate::machine::time::Timestamp;

/// The keys of a request, and what is known of each.
pub(super) struct Probe<'k, Q: ?Sized, V, A> {
    asked: Vec<(&'k Q, Place<V>)>,
    /// What L1 does not have, each key once, and the last answer about it.
    misses: Vec<(&'k Q, Option<A>)>,
    places: hashbrown::HashMap<&'k Q, usize>,
    /// When the keys were first asked for.
    came: Timestamp,
    call: Call,
}

enum Place<V> {
    /// L1 has it.
    Hit(Entry<V>),
    /// Its index among the misses.
    Miss(usize),
}

/// Keys to be looked up together.
pub(super) struct Round<'k, Q: ?Sized> {
    pub(super) keys: Vec<&'k Q>,
    /// Their indices among the misses.
    misses: Vec<usize>,
}

/// An answer that may be too old to be handed out.
pub(super) trait Dated {
    /// Whether a caller that came then may have it now.
    fn is_good(&self, call: &Call, came: Timestamp, now: Timestamp) -> bool;

    /// Whether its value is stale.
    fn is_stale(&self) -> bool;
}

impl<V> Dated for SharedAnswer<V> {
    fn is_good(&self, call: &Call, came: Timestamp, now: Timestamp) -> bool {
        (**self).is_good(call, came, now)
    }

    fn is_stale(&self) -> bool {
        self.outcome.as_ref().is_ok_and(Cached::is_stale)
    }
}

impl<V> Dated for Known<V> {
    fn is_good(&self, _: &Call, _: Timestamp, now: Timestamp) -> bool {
        now < self.1
    }

    fn is_stale(&self) -> bool {
        self.0.is_stale()
    }
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Cache<K, V> {
    /// What L1 has of the keys, and which of them it lacks. Each hit is shown to `early`.
    pub(super) fn probe<'k, Q, I, A>(
        &self,
        keys: I,
        call: &Call,
        early: impl Fn(&'k Q, &Entry<V>),
    ) -> Probe<'k, Q, V, A>
    where
        I: IntoIterator<Item = &'k Q>,
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let keys = keys.into_iter();
        let expected = keys.size_hint().0;
        let mut probe = Probe {
            asked: Vec::with_capacity(expected),
            misses: Vec::new(),
            places: hashbrown::HashMap::new(),
            came: Timestamp::MAX,
            call: call.clone(),
        };
        for key in keys {
            let hit = self.hit_with(key, call, taken);
            let place = match hit {
                Some(hit) => {
                    early(key, &hit);
                    Place::Hit(hit)
                }
                None => {
                    if probe.misses.is_empty() {
                        // The rest is likely to miss as well.
                        probe.places.reserve(expected);
                        probe.misses.reserve(expected);
                    }
                    Place::Miss(probe.miss(key))
                }
            };
            probe.asked.push((key, place));
        }
        probe
    }
}

impl<'k, Q: Hash + Eq + ?Sized, V, A> Probe<'k, Q, V, A> {
    fn miss(&mut self, key: &'k Q) -> usize {
        *self.places.entry(key).or_insert_with(|| {
            self.misses.push((key, None));
            self.misses.len() - 1
        })
    }

    /// What is to be looked up next: first what L1 lacks, then what ended before all could be
    /// handed out, until nothing has. Nobody loads a key twice for that: what a call loads itself
    /// it may have (see [`Answer::is_good`](crate::machine::lookup::step::Answer::is_good)).
    pub(super) fn round(&mut self, now: impl FnOnce() -> Timestamp) -> Option<Round<'k, Q>>
    where
        A: Dated,
    {
        if self.misses.is_empty() {
            // All of it comes from L1, at once.
            return None;
        }
        let now = now();
        if self.came == Timestamp::MAX {
            self.came = now;
        } else {
            for at in 0..self.asked.len() {
                let (key, place) = &self.asked[at];
                if matches!(place, Place::Hit(hit) if !hit.answers(&self.call, now)) {
                    self.asked[at].1 = Place::Miss(self.miss(key));
                }
            }
        }
        let mut round = Round {
            keys: Vec::with_capacity(self.misses.len()),
            misses: Vec::with_capacity(self.misses.len()),
        };
        for (at, (key, answer)) in self.misses.iter().enumerate() {
            let good = answer.as_ref();
            if !good.is_some_and(|answer| answer.is_good(&self.call, self.came, now)) {
                round.keys.push(*key);
                round.misses.push(at);
            }
        }
        (!round.keys.is_empty()).then_some(round)
    }

    /// The answers about a round's keys.
    pub(super) fn answered(&mut self, round: Round<'k, Q>, answers: Vec<A>) {
        for (at, answer) in zip(round.misses, answers) {
            self.misses[at].1 = Some(answer);
        }
    }

    /// What is known of each key, in the order of the request.
    pub(super) fn outcomes<R>(
        self,
        hit: impl Fn(Cached<V>) -> R,
        miss: impl Fn(Option<&A>) -> R,
    ) -> Batch<&'k Q, R>
    where
        A: Dated,
    {
        let Self { asked, misses, .. } = self;
        let outcome = |(key, place)| match place {
            Place::Hit(entry) => {
                let stale = entry.is_stale();
                (key, hit(entry.into_cached()), stale)
            }
            Place::Miss(at) => {
                let answer = misses[at].1.as_ref();
                (key, miss(answer), answer.is_some_and(Dated::is_stale))
            }
        };
        Batch::with_stale(asked.into_iter().map(outcome))
    }
}
