//! Compares sampled L1 hits with L2, in the background.

use core::iter::zip;
use core::pin::pin;
use std::sync::{Arc, Weak};

use futures_util::future::select;

use crate::driver::generations::believe::believed;
use crate::driver::link::Link;
use crate::driver::shared::Shared;
use crate::driver::shared::checks::{Checked, Checks};
use crate::driver::task::chore::Shift;
use crate::driver::world::bounds::{CacheKey, CacheValue};
use crate::machine::event::Event;
use crate::machine::generations::scope::bucket;
use crate::machine::policy::check::{Check, Compared, Look, Verdict};
use crate::machine::tier::entry::Entry;
use crate::machine::tier::inspection::EntryKind;
use crate::ports::bus::BusState;
use crate::ports::remote::Found;

/// A hit on this entry was drawn: it is looked at later.
pub(super) fn check<K: CacheKey, V: CacheValue>(
    shared: &Arc<Shared<K, V>>,
    checks: &Checks<K>,
    key: K,
    hit: &Entry<V>,
) {
    if shared.life.is_closed() || hit.is_stale() {
        return;
    }
    let Ok(address) = shared.address(Arc::new(key)) else {
        return;
    };
    let Some(text) = address.text else {
        return;
    };
    let now = shared.runtime.now();
    checks.add(Checked {
        key: address.key,
        text,
        check: Check::new(now, hit.expires(), shared.epoch()),
    });
    checks.chore.ensure(now, |shift| {
        let looking = look(Arc::downgrade(shared), shift);
        let _ = shared.spawn(looking);
    });
}

/// Looks until there is nothing to look at.
async fn look<K: CacheKey, V: CacheValue>(cache: Weak<Shared<K, V>>, mut shift: Shift) {
    while let Some(shared) = cache.upgrade() {
        let Some((checks, link)) = shared.checks.as_ref().zip(shared.link.as_ref()) else {
            return;
        };
        let life = Arc::clone(&shared.life);
        let stopped = life.stopped();
        let Some(due) = checks.due().filter(|_| !life.is_closed()) else {
            return;
        };
        let now = shared.runtime.now();
        if !shift.goes_on(now, due.since(now)) {
            return;
        }
        if due > now {
            let sleep = shared.runtime.sleep(due.since(now));
            drop(shared);
            select(sleep, pin!(stopped)).await;
            continue;
        }
        let taken = checks.take(now, shared.loaders.chunk);
        let texts: Vec<&str> = taken.iter().map(|checked| &*checked.text).collect();
        let found = believed(&shared, link.read(&texts).await).await;
        for (checked, found) in zip(taken, found) {
            judge(&shared, checks, link, checked, found.ok().flatten());
        }
    }
}

fn judge<K: CacheKey, V: CacheValue>(
    shared: &Shared<K, V>,
    checks: &Checks<K>,
    link: &Link<K, V>,
    mut checked: Checked<K>,
    found: Option<Found>,
) {
    let now = shared.runtime.now();
    let key = &*checked.key;
    let local = shared.level1.local.as_ref();
    let entry = local.and_then(|local| local.peek(&key));
    let entry = entry.filter(|entry| entry.is_fresh(now) && !entry.is_stale());
    let entry = entry.filter(|entry| shared.generations.is_alive(entry));
    let hash = shared.tables.hash(key);
    let is_key = |other: &Arc<K>| **other == *key;
    let table = shared.tables.look(shared.tables.shard_of(hash));
    let under_way = table.under_way(hash, is_key, bucket(&checked.text), now);
    drop(table);
    let compared = (entry.as_ref().zip(found))
        .and_then(|(entry, found)| link.format.compare(entry.value(), &found));
    let look = Look {
        end: entry.as_ref().map(Entry::expires),
        under_way,
        hears: shared.bus() == BusState::Up,
        epoch: shared.epoch(),
        l2: compared.map_or(Compared::Unknown, |(compared, _)| compared),
    };
    match checked.check.look(now, &look) {
        Verdict::Void => {}
        Verdict::Alike => shared.journal.note(&Event::Checked),
        Verdict::Again => checks.put_back(checked),
        Verdict::Differs => {
            shared.journal.note(&Event::Checked);
            let kind = |value: Option<&V>| value.map_or(EntryKind::NotFound, |_| EntryKind::Value);
            shared.journal.note(&Event::Differs {
                key: checked.text,
                l1: entry.map_or(EntryKind::NotFound, |entry| kind(entry.value())),
                l2: compared.map_or(EntryKind::NotFound, |(_, kind)| kind),
            });
        }
    }
}
