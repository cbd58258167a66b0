//! What a load does: read, lease, fill, release.

use core::time::Duration;

use jetcache_core::ports::bus::Kind;
use jetcache_core::ports::remote::{Fill, Filled, Hold, LeaseAsk, Stored};
use jetcache_core::{Remote, Token};

use crate::contract::remote::suite::{LEASE, LIFE, Suite, only, present, stored};

pub(super) async fn run<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    nothing_asked_is_nothing_answered(suite).await;
    an_absent_key_is_not_found(suite).await;
    what_is_filled_is_found(suite).await;
    bytes_are_kept_whatever_they_are(suite).await;
    odd_keys_are_keys(suite).await;
    a_lease_has_one_holder(suite).await;
    a_lease_asked_for_twice_is_granted_twice(suite).await;
    the_second_look_finds_the_value(suite).await;
    a_fill_without_the_lease_is_refused(suite).await;
    a_fill_gives_the_lease_back(suite).await;
    only_the_holder_releases(suite).await;
    a_lease_ends_by_itself(suite).await;
    a_renewed_lease_stands_on(suite).await;
    only_the_holder_renews(suite).await;
    a_renewal_makes_the_lease_young(suite).await;
    a_value_ends_by_itself(suite).await;
    the_time_on_the_way_is_taken_off_the_life(suite).await;
    a_value_with_no_life_left_is_released_and_not_stored(suite).await;
    a_hundred_keys_are_answered_in_order(suite).await;
}

async fn nothing_asked_is_nothing_answered<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let remote = suite.remote;
    assert!(remote.read(&[], suite.wire).await.is_empty());
    assert!(remote.lease(&[], suite.wire).await.is_empty());
    assert!(remote.fill(&[], suite.wire).await.is_empty());
    assert!(remote.release(&[]).await.is_empty());
    assert!(remote.claim(&[], suite.wire).await.is_empty());
    assert!(remote.settle(&[], suite.wire).await.is_empty());
    assert!(remote.remove(&[]).await.is_empty());
}

async fn an_absent_key_is_not_found<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    assert_eq!(
        suite.read(&suite.key()).await,
        None,
        "an absent key is not found"
    );
}

async fn what_is_filled_is_found<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let key = suite.key();
    suite.put(&key, stored(&suite.entry(Some(b"value")))).await;
    let found = present(suite.read(&key).await);
    assert_eq!(suite.payload(&found), b"value");
    let left = suite.left(&found);
    assert!(
        left > Duration::ZERO && left <= LIFE,
        "a life of {LIFE:?} has {left:?} left"
    );
}

async fn bytes_are_kept_whatever_they_are<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let all: Vec<u8> = (0..=255).collect();
    let big = vec![b'x'; 1 << 20];
    for bytes in [&b""[..], b"short", b"\0", &all, &big] {
        let key = suite.key();
        suite.put(&key, stored(bytes)).await;
        let found = present(suite.read(&key).await);
        assert!(
            found.bytes == bytes,
            "{} bytes that are not ours stay as they are",
            bytes.len()
        );
    }
}

async fn odd_keys_are_keys<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let base = suite.key();
    for odd in ["{tag}", "{", "}", "{}", "}{", "a b", "ü", "\0\r\n", "*?[a]"] {
        let key = format!("{base}:{odd}");
        suite.put(&key, stored(odd.as_bytes())).await;
        assert_eq!(
            present(suite.read(&key).await).bytes,
            odd.as_bytes(),
            "{key:?}"
        );
        suite.remove(&key).await;
        assert_eq!(suite.read(&key).await, None, "{key:?}");
    }
}

async fn a_lease_has_one_holder<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let key = suite.key();
    let first = suite.lease(&key, suite.token()).await;
    assert!(
        first.is_granted() && first.found.is_none(),
        "a free lease is granted"
    );
    assert!(
        !suite.lease(&key, suite.token()).await.is_granted(),
        "a taken lease is not granted"
    );
}

async fn a_lease_asked_for_twice_is_granted_twice<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let (key, token) = (suite.key(), suite.token());
    assert!(suite.lease(&key, token).await.is_granted());
    assert!(
        suite.lease(&key, token).await.is_granted(),
        "the same token is granted its lease again"
    );
}

async fn the_second_look_finds_the_value<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let key = suite.key();
    suite.put(&key, stored(&suite.entry(Some(b"v")))).await;
    let leased = suite.lease(&key, suite.token()).await;
    assert!(leased.is_granted());
    assert_eq!(suite.payload(&present(leased.found)), b"v");
    let leased = suite.lease(&key, suite.token()).await;
    assert!(
        !leased.is_granted() && leased.found.is_some(),
        "who is not granted looks as well"
    );
}

async fn a_fill_without_the_lease_is_refused<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let key = suite.key();
    let filled = suite.fill(&key, suite.token(), b"v").await;
    assert_eq!(filled, Filled::Refused, "nobody has the lease");
    let holder = suite.token();
    suite.lease(&key, holder).await;
    let filled = suite.fill(&key, suite.token(), b"v").await;
    assert_eq!(filled, Filled::Refused, "another has the lease");
    assert_eq!(
        suite.read(&key).await,
        None,
        "a refused fill stores nothing"
    );
    let filled = suite.fill(&key, holder, b"v").await;
    assert_eq!(
        filled,
        Filled::Stored,
        "a refused fill leaves the lease to its holder"
    );
}

async fn a_fill_gives_the_lease_back<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let (key, token) = (suite.key(), suite.token());
    suite.lease(&key, token).await;
    assert_eq!(suite.fill(&key, token, b"v").await, Filled::Stored);
    assert_eq!(
        suite.fill(&key, token, b"w").await,
        Filled::Refused,
        "a token fills once"
    );
    assert!(suite.is_free(&key).await, "a fill gives the lease back");
    assert_eq!(present(suite.read(&key).await).bytes, b"v");
}

async fn only_the_holder_releases<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let (key, token) = (suite.key(), suite.token());
    suite.lease(&key, token).await;
    suite.release(&key, suite.token()).await;
    assert!(!suite.is_free(&key).await, "another's release does nothing");
    suite.release(&key, token).await;
    assert!(
        suite.is_free(&key).await,
        "the holder's release frees the lease"
    );
    suite.release(&key, token).await;
}

async fn a_lease_ends_by_itself<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let (key, token) = (suite.key(), suite.token());
    suite
        .lease_for(&key, token, Duration::from_millis(30))
        .await;
    suite
        .wait_until("a lease ends by itself", async || suite.is_free(&key).await)
        .await;
    assert_eq!(
        suite.fill(&key, token, b"v").await,
        Filled::Refused,
        "an ended lease fills nothing"
    );
}

async fn renew<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
    key: &str,
    token: Token,
    life: Duration,
) -> bool {
    let ask = LeaseAsk { key, token, life };
    only("renew", suite.remote.renew(&[ask]).await)
}

async fn a_renewed_lease_stands_on<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let (key, token, life) = (suite.key(), suite.token(), Duration::from_millis(400));
    suite.lease_for(&key, token, life).await;
    suite.pause(life / 2).await;
    assert!(
        renew(suite, &key, token, life * 10).await,
        "it is the token's"
    );
    suite.pause(life).await;
    assert!(
        !suite.lease(&key, suite.token()).await.is_granted(),
        "a renewed lease stands for its new life"
    );
    assert_eq!(suite.fill(&key, token, b"v").await, Filled::Stored);
}

async fn only_the_holder_renews<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let (key, token) = (suite.key(), suite.token());
    assert!(!renew(suite, &key, token, LEASE).await, "there is none");
    assert!(
        suite.lease(&key, suite.token()).await.is_granted(),
        "a renewal makes no lease"
    );
    assert!(!renew(suite, &key, token, LEASE).await, "it is another's");
    suite.remove(&key).await;
    suite.lease(&key, token).await;
    suite.remove(&key).await;
    assert!(!renew(suite, &key, token, LEASE).await, "a change took it");
    assert_eq!(suite.fill(&key, token, b"v").await, Filled::Refused);
}

/// Its age, which is taken off the life of what is filled, counts from the renewal.
async fn a_renewal_makes_the_lease_young<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let (key, token) = (suite.key(), suite.token());
    suite.lease(&key, token).await;
    suite.pause(Duration::from_millis(700)).await;
    assert!(renew(suite, &key, token, LEASE).await);
    let entry = suite.entry(Some(b"v"));
    let value = Stored {
        life: Duration::from_millis(600),
        age: Duration::ZERO,
        ..stored(&entry)
    };
    assert_eq!(suite.fill_with(&key, token, value).await, Filled::Stored);
    assert!(suite.read(&key).await.is_some());
}

async fn a_value_ends_by_itself<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let key = suite.key();
    let life = Duration::from_millis(30);
    suite
        .put(
            &key,
            Stored {
                replaces: None,
                life,
                ..stored(b"v")
            },
        )
        .await;
    suite
        .wait_until("a value ends by itself", async || {
            suite.read(&key).await.is_none()
        })
        .await;
}

async fn the_time_on_the_way_is_taken_off_the_life<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let (key, token) = (suite.key(), suite.token());
    suite.lease(&key, token).await;
    suite.pause(Duration::from_millis(60)).await;
    // Sent when the lease was new, as the sender says.
    let bytes = suite.entry(Some(b"v"));
    let value = Stored {
        replaces: None,
        age: Duration::ZERO,
        ..stored(&bytes)
    };
    assert_eq!(suite.fill_with(&key, token, value).await, Filled::Stored);
    let left = suite.left(&present(suite.read(&key).await));
    assert!(
        left <= LIFE - Duration::from_millis(50),
        "60 ms on the way, and {left:?} left"
    );
}

async fn a_value_with_no_life_left_is_released_and_not_stored<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let (key, token) = (suite.key(), suite.token());
    suite.lease(&key, token).await;
    suite.pause(Duration::from_millis(60)).await;
    let value = Stored {
        replaces: None,
        life: Duration::from_millis(20),
        stale: Duration::from_secs(60),
        age: Duration::ZERO,
        ..stored(b"v")
    };
    assert_eq!(
        suite.fill_with(&key, token, value).await,
        Filled::Refused,
        "its life was over"
    );
    assert_eq!(suite.read(&key).await, None);
    assert!(suite.is_free(&key).await, "the lease is given back");
}

async fn a_hundred_keys_are_answered_in_order<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let keys: Vec<String> = (0..100).map(|_| suite.key()).collect();
    let keys: Vec<&str> = keys.iter().map(|key| &**key).collect();
    let tokens: Vec<_> = keys.iter().map(|_| suite.token()).collect();
    // Every third lease is somebody else's.
    for key in keys.iter().step_by(3) {
        suite.lease(key, suite.token()).await;
    }
    let asks: Vec<_> = keys
        .iter()
        .zip(&tokens)
        .map(|(key, &token)| LeaseAsk {
            key,
            token,
            life: LEASE,
        })
        .collect();
    let leased = suite.remote.lease(&asks, suite.wire).await;
    assert_eq!(leased.len(), 100, "lease: one outcome a key");
    for (at, leased) in leased.into_iter().enumerate() {
        assert_eq!(
            only("lease", vec![leased]).is_granted(),
            at % 3 != 0,
            "key {at}"
        );
    }
    let texts: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    let fills: Vec<_> = asks
        .iter()
        .zip(&texts)
        .map(|(ask, text)| Fill {
            key: ask.key,
            token: ask.token,
            value: stored(text.as_bytes()),
            kind: Kind::SetByOnce,
        })
        .collect();
    let filled = suite.remote.fill(&fills, suite.wire).await;
    assert_eq!(filled.len(), 100, "fill: one outcome a key");
    for (at, filled) in filled.into_iter().enumerate() {
        let stored = only("fill", vec![filled]) == Filled::Stored;
        assert_eq!(stored, at % 3 != 0, "key {at}");
    }
    let found = suite.remote.read(&keys, suite.wire).await;
    assert_eq!(found.len(), 100, "read: one outcome a key");
    for (at, found) in found.into_iter().enumerate() {
        let bytes = only("read", vec![found]).map(|found| found.bytes);
        assert_eq!(
            bytes,
            (at % 3 != 0).then(|| texts[at].clone().into_bytes()),
            "key {at}"
        );
    }
    let holds: Vec<_> = asks
        .iter()
        .map(|ask| Hold::of(ask.key, ask.token))
        .collect();
    assert_eq!(
        suite.remote.release(&holds).await.len(),
        100,
        "release: one outcome a key"
    );
    let removed = suite.remote.remove(&keys).await;
    assert_eq!(removed.len(), 100, "remove: one outcome a key");
    for found in suite.remote.read(&keys, suite.wire).await {
        assert_eq!(only("read", vec![found]), None, "what is removed is gone");
    }
}
