//! Takes up another primary of L2, which may lack the last changes (PROTOCOL.md, F1).

use std::sync::Arc;

use crate::driver::shared::Shared;
use crate::driver::world::bounds::{CacheKey, CacheValue};
use crate::machine::event::Event;

/// If another primary answers than before, has what changed lately removed there again. Until then
/// nothing is sent to it, and no answer of it counts. What is to be removed is left to
/// those who [repeat removals](crate::driver::change::repair).
pub(crate) fn take_up_primary<K: CacheKey, V: CacheValue>(shared: &Arc<Shared<K, V>>) {
    let primary = shared.link.as_ref().and_then(|link| link.primary.as_ref());
    let Some(primary) = primary.filter(|primary| primary.is_new()) else {
        return;
    };
    // Whoever is about to does it.
    let Some(change) = primary.begin() else {
        return;
    };
    shared.journal.note(&Event::FailedOver);
    for shard in 0..shared.tables.len() {
        shared.ask(shard, |table, context, effects| {
            table.failed_over(context, effects);
        });
    }
    change.done();
}
