//! What a load that failed leaves behind: a mark, so that the other nodes do not try as well.

use core::time::Duration;

use jetcache_core::ports::remote::{Filled, Granted, Hold};
use jetcache_core::{Remote, Token};

use crate::contract::remote::suite::{Suite, only, stored};

pub(super) async fn run<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    a_failing_load_leaves_a_mark(suite).await;
    a_mark_is_nobodys(suite).await;
    a_mark_ends_by_itself(suite).await;
    a_release_sent_twice_leaves_one_mark(suite).await;
    who_does_not_hold_the_lease_leaves_no_mark(suite).await;
    a_change_takes_the_mark_with_it(suite).await;
}

async fn fail<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
    key: &str,
    token: Token,
    failing: Duration,
) {
    let hold = Hold {
        failing: Some(failing),
        ..Hold::of(key, token)
    };
    only("release", suite.remote.release(&[hold]).await);
}

/// A key whose load has failed, and the token of who tried.
async fn failed<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) -> (String, Token) {
    let (key, token) = (suite.key(), suite.token());
    suite.lease(&key, token).await;
    fail(suite, &key, token, LONG).await;
    (key, token)
}

async fn is_failing<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>, key: &str) -> bool {
    suite.lease(key, suite.token()).await.granted == Granted::Failing
}

async fn a_failing_load_leaves_a_mark<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let key = suite.key();
    suite.put(&key, stored(&suite.entry(Some(b"v")))).await;
    let token = suite.token();
    suite.lease(&key, token).await;
    fail(suite, &key, token, LONG).await;
    let leased = suite.lease(&key, suite.token()).await;
    assert_eq!(leased.granted, Granted::Failing, "the mark says so");
    assert!(
        leased.found.is_some(),
        "and the value stands where it stood"
    );
}

async fn a_mark_is_nobodys<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let (key, token) = failed(suite).await;
    assert!(
        !suite.lease(&key, token).await.is_granted(),
        "it is granted to nobody, not even to who left it"
    );
    assert_eq!(
        suite.fill(&key, token, b"v").await,
        Filled::Refused,
        "it fills nothing"
    );
    suite.release(&key, token).await;
    assert!(is_failing(suite, &key).await, "nobody can give it back");
}

async fn a_mark_ends_by_itself<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let (key, token) = (suite.key(), suite.token());
    suite.lease(&key, token).await;
    fail(suite, &key, token, SHORT).await;
    suite.pause(SHORT * 2).await;
    assert!(
        suite.lease(&key, suite.token()).await.is_granted(),
        "after its time the next one may try"
    );
}

async fn a_release_sent_twice_leaves_one_mark<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let (key, token) = failed(suite).await;
    suite.remove(&key).await;
    fail(suite, &key, token, LONG).await;
    assert!(
        !is_failing(suite, &key).await,
        "a copy that comes after a change leaves no mark"
    );
}

async fn who_does_not_hold_the_lease_leaves_no_mark<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let (key, holder) = (suite.key(), suite.token());
    suite.lease(&key, holder).await;
    fail(suite, &key, suite.token(), LONG).await;
    assert_eq!(
        suite.fill(&key, holder, b"v").await,
        Filled::Stored,
        "the holder has its lease still"
    );
}

async fn a_change_takes_the_mark_with_it<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let (key, _) = failed(suite).await;
    suite.remove(&key).await;
    assert!(
        suite.lease(&key, suite.token()).await.is_granted(),
        "after a removal"
    );
    let (key, _) = failed(suite).await;
    assert!(suite.claim(&key, suite.token(), None).await);
    let leased = suite.lease(&key, suite.token()).await;
    assert_eq!(leased.granted, Granted::No, "a claim takes its place");
    let (key, _) = failed(suite).await;
    let (token, spared) = (suite.token(), None);
    let claimed = suite.claim_sparing(&key, token, None).await;
    assert_eq!(claimed, Some(spared), "so does an insert's");
    let leased = suite.lease(&key, suite.token()).await;
    assert_eq!(leased.granted, Granted::No, "which is no mark");
}

/// Longer than a rule takes.
const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(60);
