//! Reads without a loader: one round trip to L2 for all of them, and nothing in the machine's
//! tables meanwhile.

use core::hash::Hash;
use core::ops::Range;
use core::panic::AssertUnwindSafe;
use std::borrow::ToOwned;
use std::panic::catch_unwind;
use std::sync::Arc;

use crate::driver::cache::Cache;
use crate::driver::counters::hash_of;
use crate::driver::link::Link;
use crate::driver::link::format::Look;
use crate::driver::shared::{Admission, Shared};
use crate::machine::error::Fault;
use crate::machine::event::Event;
use crate::machine::lookup::Seen;
use crate::machine::policy::Call;
use crate::machine::shard::glances::{Glance, Glanced, Kept};
use crate::machine::tier::entry::{Cached, Entry};
use crate::ports::remote::Found;

/// A key that is looked for in L2.
struct Guest<K> {
    at: usize,
    hash: u64,
    shard: usize,
    key: Arc<K>,
    /// Where its text stands among the texts.
    text: Range<usize>,
    /// There if L2 is asked about it.
    glance: Option<Glance>,
}

/// What a read of L2 brought for a key, until the machine has taken it.
type Brought<K, V> = (Guest<K>, Option<Result<Option<Seen<Arc<V>>>, Fault>>);

impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// What L2 knows of the keys, which L1 does not have; and whether it stopped answering.
    pub(crate) async fn glance<Q>(&self, keys: &[&Q], call: Call) -> (Vec<Cached<Arc<V>>>, Deaf)
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        let shared = &self.shared;
        let mut answers = vec![Cached::Miss; keys.len()];
        let Some(_admission) = Admission::ask(&shared.life) else {
            return (answers, Deaf(false));
        };
        shared.ensure_tasks();
        let (mut first, mut call, mut deaf) = (0, call, Deaf(false));
        for part in keys.chunks(shared.batch.chunk) {
            if self.glance_part(part, call, &mut answers[first..]).await == Deaf(true) {
                call = call.skip_remote();
                deaf = Deaf(true);
            }
            first += part.len();
        }
        (answers, deaf)
    }

    async fn glance_part<Q>(&self, keys: &[&Q], call: Call, answers: &mut [Cached<Arc<V>>]) -> Deaf
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        let shared = &self.shared;
        let mut texts = String::new();
        let mut guests = shared.guests(keys, &mut texts);
        shared.ask_each(
            &mut guests,
            |guest| guest.shard,
            |guest, table, context, effects| {
                let is_key = |other: &Arc<K>| *other == guest.key;
                guest.glance = table.glance(guest.hash, is_key, call, context, effects);
            },
        );
        guests.retain(|guest| guest.glance.is_some());
        let (Some(link), false) = (&shared.link, guests.is_empty()) else {
            return Deaf(false);
        };
        let asked: Vec<&str> = guests
            .iter()
            .map(|guest| &texts[guest.text.clone()])
            .collect();
        let read = link.read(&*shared.runtime, &asked).await;
        let deaf = Deaf(read.iter().all(Result::is_err));
        let seen = read
            .into_iter()
            .map(|read| read.map(|found| shared.seen(link, found)));
        let mut brought: Vec<Brought<K, V>> = guests.into_iter().zip(seen.map(Some)).collect();
        let mut announced = Announced {
            shared,
            writes: Vec::new(),
        };
        let writes = &mut announced.writes;
        let glanced = shared.ask_each(
            &mut brought,
            |(guest, _)| guest.shard,
            |(guest, seen), table, context, effects| {
                let (glance, seen) = (guest.glance.as_ref()?, seen.take()?);
                let key = || Arc::clone(&guest.key);
                match table.glanced(glance, key, seen, context, effects) {
                    Glanced::Answer(answer) => Some((answer, None)),
                    Glanced::Keep(answer, write, entry) => {
                        writes.push((guest.shard, write));
                        Some((answer, Some(entry)))
                    }
                }
            },
        );
        for ((guest, _), glanced) in brought.into_iter().zip(glanced) {
            let Some((answer, entry)) = glanced else {
                continue;
            };
            answers[guest.at] = answer;
            if let Some(entry) = entry {
                shared.keep(&guest.key, entry);
            }
        }
        drop(announced);
        deaf
    }
}

/// Whether L2 answered about none of the keys of a part: it is not asked about the next one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deaf(pub(crate) bool);

impl<K, V> Shared<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The keys by shard, and their texts. A key that L2 cannot hold is not among them.
    fn guests<Q>(&self, keys: &[&Q], texts: &mut String) -> Vec<Guest<K>>
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        let mut guests = Vec::with_capacity(keys.len());
        if let Some(link) = &self.link {
            texts.reserve(keys.len() * (link.prefix.len() + USUAL_KEY));
        }
        for (at, key) in keys.iter().enumerate() {
            let key = Arc::new((*key).to_owned());
            let start = texts.len();
            let added = self.link.as_ref().map(|link| link.add_text(texts, &key));
            if let Some(Err(_)) = added {
                continue;
            }
            let hash = hash_of(&self.hasher, &*key);
            guests.push(Guest {
                at,
                hash,
                shard: self.shard_of(hash),
                key,
                text: start..texts.len(),
                glance: None,
            });
        }
        // Those of one shard are asked about under one lock.
        guests.sort_unstable_by_key(|guest| guest.shard);
        guests
    }

    fn seen(&self, link: &Link<K, V>, found: Option<Found>) -> Option<Seen<Arc<V>>> {
        let Look { seen, junk } = link.format.decode(found);
        if junk.is_some() {
            self.tell(&Event::Undecodable);
        }
        seen
    }

    /// Writes to L1. An engine, or a `Clone`, that panics must not leave the announcement behind,
    /// nor the rest of a batch.
    fn keep(&self, key: &K, entry: Entry<Arc<V>>) {
        let writing = AssertUnwindSafe(|| {
            if let Some(local) = &self.local {
                let expires = entry.expires();
                let value = entry.into_value().map(|value| (*value).clone());
                local.insert(key.clone(), Entry::new(value, expires));
            }
        });
        if catch_unwind(writing).is_err() {
            tracing::error!(target: "jetcache", "L1 of {} panicked", self.name);
        }
    }
}

/// Writes to L1 that were announced. Dropped, also by something that panicked, it seals them: who
/// changes one of their keys waits for that.
struct Announced<'a, K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    shared: &'a Shared<K, V>,
    writes: Vec<(usize, Kept)>,
}

impl<K, V> Drop for Announced<'_, K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn drop(&mut self) {
        self.shared.ask_each(
            &mut self.writes,
            |(shard, _)| *shard,
            |(_, write), table, _, effects| table.kept(write, effects),
        );
        for (shard, _) in &self.writes {
            self.shared.shards[*shard].notify_sealed();
        }
    }
}

/// How long a key's text usually is.
const USUAL_KEY: usize = 16;
