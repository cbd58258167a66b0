//! Looking at a key for people: it shows what a read shows, and changes nothing.

use core::time::Duration;

use jetcache_core::Remote;
use jetcache_core::ports::remote::{Filled, Found, Hold, Holder, Inspected, Placed};

use crate::contract::remote::suite::{LEASE, LIFE, Suite, only, stored};

pub(super) async fn run<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    what_a_read_shows_is_shown(suite).await;
    nothing_is_shown_of_a_key_that_nobody_used(suite).await;
    a_lease_is_shown_and_stands(suite).await;
    a_claim_of_an_insert_is_shown_and_stands(suite).await;
    a_failed_load_is_shown(suite).await;
}

async fn what_a_read_shows_is_shown<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    for payload in [Some(&b"value"[..]), None] {
        let (key, bytes) = (suite.key(), suite.entry(payload));
        suite.put(&key, stored(&bytes)).await;
        let seen = inspect(suite, &key).await;
        let read = suite.read(&key).await;
        let bytes = |found: Option<Found>| found.map(|found| found.bytes);
        assert_eq!(
            bytes(seen.found.clone()),
            bytes(read),
            "it shows what a read shows"
        );
        let left = seen.found.map(|found| suite.left(&found));
        assert!(
            left.is_some_and(|left| !left.is_zero() && left <= LIFE),
            "{left:?}"
        );
        if let Some(kept) = seen.kept {
            assert!(!kept.is_zero() && kept <= LIFE, "it is kept for {kept:?}");
        }
        holds(&seen.lease.holder, Holder::Nobody);
        assert!(suite.is_free(&key).await, "a look takes no lease");
    }
}

async fn nothing_is_shown_of_a_key_that_nobody_used<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let key = suite.key();
    let seen = inspect(suite, &key).await;
    assert_eq!((seen.found, seen.kept), (None, None));
    holds(&seen.lease.holder, Holder::Nobody);
    assert_eq!(suite.read(&key).await, None, "a look leaves nothing");
}

async fn a_lease_is_shown_and_stands<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let (key, token) = (suite.key(), suite.token());
    assert!(suite.lease(&key, token).await.is_granted());
    let seen = inspect(suite, &key).await;
    assert_eq!(seen.found, None);
    holds(&seen.lease.holder, Holder::Load);
    if let Some(left) = seen.lease.left {
        assert!(!left.is_zero() && left <= LEASE, "{left:?} of {LEASE:?}");
    }
    let filled = suite.fill(&key, token, &suite.entry(Some(b"v"))).await;
    assert_eq!(filled, Filled::Stored, "a look leaves the lease as it is");
}

async fn a_claim_of_an_insert_is_shown_and_stands<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let (key, token) = (suite.key(), suite.token());
    let spared = suite.claim_sparing(&key, token, None).await.flatten();
    holds(&inspect(suite, &key).await.lease.holder, Holder::Insert);
    let bytes = suite.entry(Some(b"v"));
    let put = suite.insert(&key, token, &bytes, None, spared).await;
    assert_eq!(put, Placed::Stored, "a look leaves the claim as it is");
}

async fn a_failed_load_is_shown<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let (key, token) = (suite.key(), suite.token());
    assert!(suite.lease(&key, token).await.is_granted());
    let hold = Hold {
        failing: Some(LEASE),
        ..Hold::of(&key, token)
    };
    only("release", suite.remote.release(&[hold]).await);
    holds(&inspect(suite, &key).await.lease.holder, Holder::Failing);
    suite.remove(&key).await;
    holds(&inspect(suite, &key).await.lease.holder, Holder::Nobody);
}

/// A store may say that it cannot tell, and nothing wrong.
fn holds(seen: &Holder, is: Holder) {
    assert!(
        *seen == is || *seen == Holder::Untold,
        "the lease is shown as {seen:?}, and it is {is:?}"
    );
}

async fn inspect<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>, key: &str) -> Inspected {
    match suite.remote.inspect(key, suite.wire).await {
        Ok(seen) => seen,
        Err(fault) => panic!("inspect: {fault}"),
    }
}
