//! What a change does: claim, settle, remove.

use core::time::Duration;

use jetcache_core::Remote;
use jetcache_core::ports::remote::{Claim, Claimed, Condition, Filled, Settle, Stored};

use crate::contract::remote::suite::{Suite, claim, only, stored};

pub(super) async fn run<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    a_removal_takes_value_and_lease(suite).await;
    a_claim_takes_the_value_and_replaces_the_lease(suite).await;
    a_claim_ends_by_itself(suite).await;
    a_value_is_present(suite).await;
    a_refused_claim_changes_nothing(suite).await;
    a_claim_sent_twice_is_granted_twice(suite).await;
    a_settlement_with_the_claim_stores(suite).await;
    a_settlement_without_the_claim_removes(suite).await;
    many_changes_are_answered_in_order(suite).await;
}

async fn a_removal_takes_value_and_lease<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let (key, token) = (suite.key(), suite.token());
    suite.remove(&key).await;
    suite.put(&key, stored(b"v")).await;
    suite.lease(&key, token).await;
    suite.remove(&key).await;
    assert_eq!(suite.read(&key).await, None, "a removal removes the value");
    let filled = suite.fill(&key, token, b"old").await;
    assert_eq!(
        filled,
        Filled::Refused,
        "a load that began before a removal does not fill"
    );
}

async fn a_claim_takes_the_value_and_replaces_the_lease<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let (key, load, change) = (suite.key(), suite.token(), suite.token());
    suite.put(&key, stored(b"v")).await;
    suite.lease(&key, load).await;
    assert!(
        suite.claim(&key, change, None).await,
        "an unconditional claim is granted"
    );
    assert_eq!(suite.read(&key).await, None, "a claim removes the value");
    let filled = suite.fill(&key, load, b"old").await;
    assert_eq!(
        filled,
        Filled::Refused,
        "a load that began before a claim does not fill"
    );
    assert!(
        !suite.lease(&key, suite.token()).await.is_granted(),
        "a claim is a lease"
    );
    assert_eq!(
        suite.fill(&key, change, b"new").await,
        Filled::Stored,
        "who claimed fills"
    );
}

async fn a_claim_ends_by_itself<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let key = suite.key();
    let claim = Claim {
        key: &key,
        token: suite.token(),
        life: Duration::from_millis(30),
        condition: None,
        dead: None,
        spares: false,
    };
    let claimed = only("claim", suite.remote.claim(&[claim], suite.wire).await);
    assert_eq!(claimed, Claimed::Granted(None, None));
    suite
        .wait_until("a claim ends by itself", async || suite.is_free(&key).await)
        .await;
}

async fn a_value_is_present<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let key = suite.key();
    suite.put(&key, stored(&suite.entry(Some(b"v")))).await;
    let absent = suite
        .claim(&key, suite.token(), Some(Condition::Absent))
        .await;
    assert!(!absent, "a value is not absent");
    let present = suite
        .claim(&key, suite.token(), Some(Condition::Present))
        .await;
    assert!(present, "a value is present");
    assert_eq!(
        suite.read(&key).await,
        None,
        "a granted claim removes the value"
    );
}

async fn a_refused_claim_changes_nothing<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let (key, token) = (suite.key(), suite.token());
    suite.put(&key, stored(&suite.entry(Some(b"v")))).await;
    let before = suite.read(&key).await.map(|found| found.bytes);
    assert!(
        !suite
            .claim(&key, suite.token(), Some(Condition::Absent))
            .await
    );
    let after = suite.read(&key).await.map(|found| found.bytes);
    assert_eq!(before, after, "a refused claim leaves the value");
    assert!(suite.is_free(&key).await, "a refused claim takes no lease");
    suite.lease(&key, token).await;
    assert!(
        !suite
            .claim(&key, suite.token(), Some(Condition::Absent))
            .await
    );
    let value = Stored {
        replaces: before.as_deref(),
        ..stored(b"w")
    };
    let filled = suite.fill_with(&key, token, value).await;
    assert_eq!(
        filled,
        Filled::Stored,
        "a refused claim leaves another's lease"
    );
}

async fn a_claim_sent_twice_is_granted_twice<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let (key, token) = (suite.key(), suite.token());
    suite.put(&key, stored(&suite.entry(Some(b"v")))).await;
    assert!(suite.claim(&key, token, Some(Condition::Present)).await);
    let again = suite.claim(&key, token, Some(Condition::Present)).await;
    assert!(again, "its own lease tells a claim that it was granted");
}

async fn a_settlement_with_the_claim_stores<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let (key, token) = (suite.key(), suite.token());
    suite.claim(&key, token, None).await;
    assert_eq!(
        suite.settle(&key, Some(token), b"new").await,
        Filled::Stored
    );
    assert_eq!(
        suite.read(&key).await.map(|found| found.bytes),
        Some(b"new".to_vec())
    );
    assert!(
        suite.is_free(&key).await,
        "a settlement gives the lease back"
    );
}

async fn a_settlement_without_the_claim_removes<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    for knows in [true, false] {
        let (key, load) = (suite.key(), suite.token());
        suite.put(&key, stored(b"old")).await;
        suite.lease(&key, load).await;
        let token = knows.then(|| suite.token());
        assert_eq!(suite.settle(&key, token, b"new").await, Filled::Refused);
        assert_eq!(
            suite.read(&key).await,
            None,
            "a refused settlement removes the value"
        );
        let filled = suite.fill(&key, load, b"old").await;
        assert_eq!(
            filled,
            Filled::Refused,
            "a refused settlement removes the lease"
        );
    }
}

async fn many_changes_are_answered_in_order<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let keys: Vec<String> = (0..100).map(|_| suite.key()).collect();
    let value = suite.entry(Some(b"v"));
    for key in keys.iter().step_by(3) {
        suite.put(key, stored(&value)).await;
    }
    let claims: Vec<_> = keys
        .iter()
        .map(|key| claim(key, suite.token(), Some(Condition::Absent), false))
        .collect();
    let claimed = suite.remote.claim(&claims, suite.wire).await;
    assert_eq!(claimed.len(), 100, "claim: one outcome a key");
    for (at, claimed) in claimed.into_iter().enumerate() {
        let granted = matches!(only("claim", vec![claimed]), Claimed::Granted(..));
        assert_eq!(granted, at % 3 != 0, "key {at}");
    }
    // With a token, with one that has no claim, and without one.
    let settles: Vec<_> = claims
        .iter()
        .enumerate()
        .map(|(at, claim)| Settle {
            key: claim.key,
            token: (at % 2 == 0).then_some(claim.token),
            value: stored(b"new"),
        })
        .collect();
    let settled = suite.remote.settle(&settles, suite.wire).await;
    assert_eq!(settled.len(), 100, "settle: one outcome a key");
    for (at, settled) in settled.into_iter().enumerate() {
        let stored = only("settle", vec![settled]) == Filled::Stored;
        assert_eq!(stored, at % 3 != 0 && at % 2 == 0, "key {at}");
        let found = suite.read(&keys[at]).await.is_some();
        assert_eq!(found, stored, "key {at}: what is not stored is removed");
    }
}
