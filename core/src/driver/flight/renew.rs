//! Renews the leases of flights while their loader runs, so that they can be short: a node that dies
//! costs the others no more than one of them (PROTOCOL.md, R1).

use core::future::{Future, poll_fn};
use core::iter::zip;
use core::pin::pin;
use core::task::Poll;
use std::sync::Arc;

use futures_util::FutureExt;
use portable_atomic::{AtomicBool, Ordering};

use crate::driver::flight::seat::Seat;
use crate::driver::link::Ask;
use crate::driver::shared::Shared;
use crate::driver::world::bounds::{CacheKey, CacheValue};
use crate::driver::world::erased::Boxed;
use crate::driver::world::timeout::TICK;
use crate::machine::time::Timestamp;

/// Runs the loader of these seats, and renews their leases meanwhile. A renewal that is on its way
/// when the loader ends is waited for: only then is it known how old the lease is.
pub(crate) async fn renewing<K: CacheKey, V: CacheValue, T>(
    shared: &Shared<K, V>,
    seats: &[&Seat<K, V>],
    loading: impl Future<Output = T>,
) -> T {
    let mut loading = pin!(loading);
    let on_its_way = AtomicBool::new(false);
    let (mut begun, mut renewals) = (false, None);
    let brought = poll_fn(|cx| {
        if let Poll::Ready(brought) = loading.as_mut().poll(cx) {
            return Poll::Ready(brought);
        }
        // A loader that does not wait pays nothing for it.
        if !begun {
            begun = true;
            let has_lease = seats.iter().any(|seat| seat.renewal().is_some());
            renewals = has_lease.then(|| renew(shared, seats, &on_its_way));
        }
        // Over: there is nothing left to renew.
        if (renewals.as_mut()).is_some_and(|renewals| renewals.poll_unpin(cx).is_ready()) {
            renewals = None;
        }
        Poll::Pending
    })
    .await;
    poll_fn(|cx| {
        let waits = |renewals: &mut Boxed<'_, ()>| {
            on_its_way.load(Ordering::Relaxed)
                && renewals.poll_unpin(cx).is_pending()
                && on_its_way.load(Ordering::Relaxed)
        };
        if renewals.as_mut().is_some_and(waits) {
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
    brought
}

/// Renews the leases whenever the first of them is due, until there are none. Boxed: it is compiled
/// once a cache, and not once a loader.
fn renew<'a, K: CacheKey, V: CacheValue>(
    shared: &'a Shared<K, V>,
    seats: &'a [&'a Seat<K, V>],
    on_its_way: &'a AtomicBool,
) -> Boxed<'a, ()> {
    Box::pin(async move {
        loop {
            let renewals = seats.iter().map(|seat| seat.renewal());
            let (mut held, mut asks, mut due) = (Vec::new(), Vec::new(), Timestamp::MAX);
            for (seat, renewal) in zip(seats, renewals) {
                if let (Some(renewal), Some(key)) = (renewal, &seat.address().text) {
                    due = due.min(renewal.at);
                    asks.push(Ask {
                        key: Arc::clone(key),
                        shard: seat.address().shard,
                        token: renewal.token,
                        life: renewal.life,
                    });
                    held.push((seat, renewal.token));
                }
            }
            let Some(link) = shared.link.as_ref().filter(|_| !asks.is_empty()) else {
                return;
            };
            let nap = due.since(shared.runtime.now());
            shared.runtime.sleep(nap.max(TICK)).await;
            on_its_way.store(true, Ordering::Relaxed);
            for (seat, token) in &held {
                seat.renews(*token);
            }
            let renewed = link.renew(&asks).await;
            for ((seat, token), renewed) in zip(held, renewed) {
                seat.renewed(token, renewed);
            }
            on_its_way.store(false, Ordering::Relaxed);
        }
    })
}
