//! Takes a key, or everything, out of L1 once whatever was under way on it is nobody's any more.

use std::sync::Arc;

use crate::driver::flight::lease::release;
use crate::driver::shared::Shared;
use crate::driver::shared::tables::{Aftermath as Effects, Table};
use crate::driver::world::bounds::{CacheKey, CacheValue};
use crate::machine::generations::heard::Aftermath;
use crate::machine::shard::Sweep;

/// Does what is left to do for one key: see [`Sweep`].
pub(crate) fn sweep<K: CacheKey, V: CacheValue>(
    shared: &Shared<K, V>,
    shard: usize,
    key: &Arc<K>,
    left: Sweep,
) {
    shared.tables.wait_written(shard, left.pending());
    let end = Ending(Some(left), |left| {
        shared.ask(shard, |table, _, _| table.swept(key, left));
    });
    shared.level1.remove(key);
    drop(end);
}

/// Takes one key out of L1.
pub(crate) fn forget<K: CacheKey, V: CacheValue>(shared: &Shared<K, V>, key: &Arc<K>) {
    let shard = shared.tables.shard_of(shared.tables.hash(&**key));
    let left = shared.ask(shard, |table, _, effects| table.supersede(key, effects));
    sweep(shared, shard, key, left);
}

/// Takes everything out of L1.
pub(crate) fn forget_all<K: CacheKey, V: CacheValue>(shared: &Shared<K, V>) {
    empty(shared, |table, effects| table.supersede_all(effects));
}

/// Takes everything out of L1 if this news asks for it: the namespace was cleared, or keys were raised.
/// Loads of those keys give their leases back.
pub(crate) fn forget_raised<K: CacheKey, V: CacheValue>(
    shared: &Arc<Shared<K, V>>,
    news: &Aftermath,
) {
    if !news.clears() {
        return;
    }
    let mut leases = Vec::new();
    empty(shared, |table, effects| {
        let (left, loading) = table.supersede_raised(news, effects);
        leases.extend(loading);
        left
    });
    let Some(link) = &shared.link else {
        return;
    };
    for (key, lease) in leases {
        // Its flight had a text for it. Without one the lease ends by itself.
        if let Ok(Some(text)) = link.texts.of(&key) {
            release(shared, text, lease);
        }
    }
}

fn empty<K: CacheKey, V: CacheValue>(
    shared: &Shared<K, V>,
    mut supersede: impl FnMut(&mut Table<K, V>, &mut Effects<K, V>) -> Sweep,
) {
    let shards = 0..shared.tables.len();
    let left: Vec<Sweep> = shards
        .map(|shard| shared.ask(shard, |table, _, effects| supersede(table, effects)))
        .collect();
    for (shard, left) in left.iter().enumerate() {
        shared.tables.wait_written(shard, left.pending());
    }
    let end = Ending(Some(left), |left| {
        for (shard, left) in left.into_iter().enumerate() {
            shared.ask(shard, |table, _, _| table.swept_all(left));
        }
    });
    shared.level1.clear();
    drop(end);
}

/// Tells the machine that a sweep is over, also if the `Drop` of a value panicked in it.
struct Ending<T, F: FnMut(T)>(Option<T>, F);

impl<T, F: FnMut(T)> Drop for Ending<T, F> {
    fn drop(&mut self) {
        if let Some(left) = self.0.take() {
            (self.1)(left);
        }
    }
}
