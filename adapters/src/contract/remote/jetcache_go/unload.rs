//! What answers a deletion by a writer who knows nothing of leases: it takes what a load may have
//! put there, and nothing else.

use core::time::Duration;

use jetcache_core::Remote;
use jetcache_core::ports::remote::{Filled, Placed, Settle};

use crate::contract::remote::suite::{Suite, only, stored};

/// What every store does: nothing that a load left, or will bring, stays.
pub(in crate::contract::remote) async fn run<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    what_a_load_stored_goes(suite).await;
    a_load_under_way_does_not_fill(suite).await;
    a_write_through_is_taken_for_a_load(suite).await;
    many_are_unloaded_at_once(suite).await;
}

/// What a store does that knows what was loaded.
pub(in crate::contract::remote) async fn run_alone<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    what_an_insert_stored_stays(suite).await;
    an_insert_under_way_still_fills(suite).await;
    what_an_insert_stored_over_a_load_stays(suite).await;
}

async fn what_a_load_stored_goes<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let big = vec![b'x'; 100_000];
    for bytes in [&b"v"[..], b"", b"*", b"\0\xff+:", &big] {
        let key = suite.key();
        suite.put(&key, stored(bytes)).await;
        unload(suite, &key).await;
        assert!(suite.read(&key).await.is_none(), "{} bytes", bytes.len());
        assert!(suite.is_free(&key).await);
        // Once more it does no harm, and what is loaded then stays.
        unload(suite, &key).await;
        suite.put(&key, stored(b"new")).await;
        assert!(suite.read(&key).await.is_some());
    }
}

async fn a_load_under_way_does_not_fill<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let (key, token) = (suite.key(), suite.token());
    assert!(suite.lease(&key, token).await.is_granted());
    unload(suite, &key).await;
    assert_eq!(suite.fill(&key, token, b"old").await, Filled::Refused);
    assert!(suite.read(&key).await.is_none());
    assert!(suite.is_free(&key).await);
}

async fn a_write_through_is_taken_for_a_load<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let (key, token) = (suite.key(), suite.token());
    assert!(suite.claim(&key, token, None).await);
    unload(suite, &key).await;
    let settled = suite.settle(&key, Some(token), b"row").await;
    assert_eq!(settled, Filled::Refused, "its claim is gone");
    let token = suite.token();
    assert!(suite.claim(&key, token, None).await);
    let settled = suite.settle(&key, Some(token), b"row").await;
    assert_eq!(settled, Filled::Stored);
    unload(suite, &key).await;
    assert!(
        suite.read(&key).await.is_none(),
        "another's row may be newer"
    );
}

async fn many_are_unloaded_at_once<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let keys: Vec<String> = (0..200).map(|_| suite.key()).collect();
    for key in &keys {
        suite.put(key, stored(b"v")).await;
    }
    let all: Vec<&str> = keys.iter().map(String::as_str).collect();
    let unloaded = suite.remote.unload(&all).await;
    assert_eq!(unloaded.len(), 200, "unload: one outcome a key");
    for (key, unloaded) in keys.iter().zip(unloaded) {
        only("unload", vec![unloaded]);
        assert!(suite.read(key).await.is_none(), "{key}");
    }
}

async fn what_an_insert_stored_stays<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let key = suite.key();
    insert(suite, &key, b"v").await;
    unload(suite, &key).await;
    assert_eq!(bytes(suite, &key).await.as_deref(), Some(&b"v"[..]));
}

async fn an_insert_under_way_still_fills<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    for is_loaded in [false, true] {
        let (key, token) = (suite.key(), suite.token());
        if is_loaded {
            suite.put(&key, stored(b"loaded")).await;
        }
        let spared = suite.claim_sparing(&key, token, None).await.flatten();
        assert_eq!(spared.is_some(), is_loaded);
        unload(suite, &key).await;
        assert_eq!(suite.read(&key).await, None);
        let put = suite.insert(&key, token, b"v", None, spared).await;
        assert_eq!(put, Placed::Stored);
        assert_eq!(bytes(suite, &key).await.as_deref(), Some(&b"v"[..]));
    }
}

async fn what_an_insert_stored_over_a_load_stays<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    for value in [&b"loaded"[..], b"inserted"] {
        let key = suite.key();
        suite.put(&key, stored(b"loaded")).await;
        insert(suite, &key, value).await;
        unload(suite, &key).await;
        assert_eq!(bytes(suite, &key).await.as_deref(), Some(value));
        let token = suite.token();
        assert!(suite.claim(&key, token, None).await);
        let value = stored(b"row");
        let (key, token) = (&*key, Some(token));
        let settle = Settle { key, token, value };
        only("settle", suite.remote.settle(&[settle], suite.wire).await);
        unload(suite, key).await;
        assert!(suite.read(key).await.is_none());
    }
}

async fn insert<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>, key: &str, value: &[u8]) {
    let token = suite.token();
    let spared = suite.claim_sparing(key, token, None).await.flatten();
    let put = suite.insert(key, token, value, None, spared).await;
    assert_eq!(put, Placed::Stored);
}

async fn unload<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>, key: &str) {
    only("unload", suite.remote.unload(&[key]).await);
}

async fn bytes<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
    key: &str,
) -> Option<Vec<u8>> {
    suite.read(key).await.map(|found| found.bytes)
}
