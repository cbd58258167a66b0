//! Many callers at once: each is answered as if it were alone.

use core::future::poll_fn;
use core::pin::Pin;
use core::task::Poll;
use core::time::Duration;

use jetcache_core::ports::remote::{Filled, Granted, Settle};
use jetcache_core::{Remote, Token};

use crate::contract::remote::suite::{Suite, only, present, stored};

pub(super) async fn run<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    each_of_many_loads_stores_its_own(suite).await;
    each_of_many_changes_removes_its_own(suite).await;
    a_big_value_goes_beside_small_ones(suite).await;
    changes_of_one_key_come_one_after_the_other(suite).await;
}

async fn each_of_many_loads_stores_its_own<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let keys = keys(suite);
    let loads = keys.iter().map(async |(key, token)| {
        assert!(suite.lease(key, *token).await.is_granted());
        let other = suite.lease(key, suite.token()).await;
        assert_eq!(other.granted, Granted::No, "a lease is one caller's");
        let entry = suite.entry(Some(key.as_bytes()));
        assert_eq!(suite.fill(key, *token, &entry).await, Filled::Stored);
        assert_eq!(
            suite.fill(key, *token, &entry).await,
            Filled::Refused,
            "who has filled has no lease any more"
        );
        let found = present(suite.read(key).await);
        assert_eq!(suite.payload(&found), key.as_bytes());
    });
    all(loads).await;
}

async fn each_of_many_changes_removes_its_own<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let keys = keys(suite);
    let changes = keys.iter().enumerate().map(async |(at, (key, token))| {
        suite.put(key, stored(&suite.entry(Some(b"v")))).await;
        if at % 2 == 0 {
            suite.remove(key).await;
            assert_eq!(suite.read(key).await, None);
            assert!(suite.claim(key, *token, None).await);
            suite.release(key, *token).await;
            assert!(suite.is_free(key).await);
        } else {
            present(suite.read(key).await);
        }
    });
    all(changes).await;
}

async fn a_big_value_goes_beside_small_ones<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let keys = keys(suite);
    let loads = keys.iter().enumerate().map(async |(at, (key, _))| {
        let size = if at % 50 == 7 { 300_000 } else { at };
        let value = vec![b'v'; size];
        suite.put(key, stored(&suite.entry(Some(&value)))).await;
        let found = present(suite.read(key).await);
        assert_eq!(suite.payload(&found), value);
    });
    all(loads).await;
}

/// Two write-throughs end at once: whichever comes first, they leave the key empty.
async fn changes_of_one_key_come_one_after_the_other<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    for is_later_first in [false, true] {
        let (key, holder, other) = (suite.key(), suite.token(), suite.token());
        assert!(suite.claim(&key, holder, None).await);
        let (one, two) = (suite.entry(Some(b"v")), suite.entry(Some(b"w")));
        let mut settles = [(holder, &one), (other, &two)].map(|(token, entry)| Settle {
            key: &key,
            token: Some(token),
            value: stored(entry),
        });
        if is_later_first {
            settles.reverse();
        }
        let settled = suite.remote.settle(&settles, suite.wire).await;
        assert_eq!(settled.len(), 2, "settle: one outcome each");
        assert_eq!(
            suite.read(&key).await,
            None,
            "{key}: a settlement without the claim removes the value"
        );
        let last = settled.into_iter().next_back();
        let last = only("settle", last.into_iter().collect());
        assert_eq!(last, Filled::Refused, "what comes second has no claim");
        assert!(suite.is_free(&key).await);
    }
}

/// More keys than go together anywhere.
fn keys<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) -> Vec<(String, Token)> {
    (0..300).map(|_| (suite.key(), suite.token())).collect()
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

fn boxed<'a, F: Future + 'a>(calls: impl Iterator<Item = F>) -> Vec<Boxed<'a, F::Output>> {
    calls.map(|call| Box::pin(call) as Boxed<'a, _>).collect()
}

/// Waits for all of them, side by side.
async fn all<'a, F: Future<Output = ()> + 'a>(calls: impl Iterator<Item = F>) {
    let mut calls = boxed(calls);
    poll_fn(|context| {
        calls.retain_mut(|call| call.as_mut().poll(context).is_pending());
        if calls.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}
