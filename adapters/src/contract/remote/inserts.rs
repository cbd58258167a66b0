//! What an insert does: a claim that spares what stands there, and a put in its place.

use core::time::Duration;

use jetcache_core::Remote;
use jetcache_core::ports::remote::{Claim, Claimed, Condition, Filled, Placed, Put, Stored};

use crate::contract::remote::suite::{Suite, claim, only, stored};

pub(super) async fn run<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    the_old_value_stands_until_the_new_one_takes_its_place(suite).await;
    a_claim_that_spares_keeps_loads_out(suite).await;
    a_claim_that_spares_is_given_back(suite).await;
    a_put_needs_a_claim(suite).await;
    a_change_since_the_claim_refuses_the_put(suite).await;
    a_refused_put_removes_what_its_claim_spared(suite).await;
    a_refused_put_leaves_what_came_since(suite).await;
    a_claim_that_came_second_stores_last(suite).await;
    many_claims_are_remembered(suite).await;
    of_two_who_found_nothing_one_stores(suite).await;
    a_condition_is_judged_again(suite).await;
    what_a_read_takes_for_ended_is_absent(suite).await;
    a_value_that_was_too_long_on_its_way_is_refused(suite).await;
    a_value_that_replaces_is_of_any_kind(suite).await;
    many_puts_are_answered_in_order(suite).await;
}

async fn the_old_value_stands_until_the_new_one_takes_its_place<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    for condition in [None, Some(Condition::Present)] {
        let (key, token) = (suite.key(), suite.token());
        let (old, new) = (suite.entry(Some(b"old")), suite.entry(Some(b"new")));
        suite.put(&key, stored(&old)).await;
        let spared = suite.claim_sparing(&key, token, condition).await;
        assert!(matches!(spared, Some(Some(_))), "it says what it spared");
        assert_eq!(value(suite, &key).await.as_deref(), Some(&b"old"[..]));
        let put = suite
            .insert(&key, token, &new, condition, spared.flatten())
            .await;
        assert_eq!(put, Placed::Stored, "who claimed puts");
        assert_eq!(value(suite, &key).await.as_deref(), Some(&b"new"[..]));
        assert!(suite.is_free(&key).await, "a put gives the claim back");
    }
}

async fn a_claim_that_spares_keeps_loads_out<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let (key, load, token) = (suite.key(), suite.token(), suite.token());
    suite.lease(&key, load).await;
    assert_eq!(
        suite.claim_sparing(&key, token, None).await,
        Some(None),
        "nothing stood there"
    );
    let filled = suite.fill(&key, load, b"old").await;
    assert_eq!(filled, Filled::Refused, "a load that began before");
    let leased = suite.lease(&key, suite.token()).await;
    assert!(!leased.is_granted(), "a claim is a lease");
    suite.release(&key, suite.token()).await;
    let new = suite.entry(Some(b"new"));
    let put = suite.insert(&key, token, &new, None, None).await;
    assert_eq!(put, Placed::Stored);
}

async fn a_claim_that_spares_is_given_back<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    for others in [0, 2] {
        let (key, token) = (suite.key(), suite.token());
        for _ in 0..others {
            suite.claim_sparing(&key, suite.token(), None).await;
        }
        suite.claim_sparing(&key, token, None).await;
        suite.release(&key, suite.token()).await;
        assert!(!suite.is_free(&key).await, "another's release does nothing");
        suite.release(&key, token).await;
        assert!(suite.is_free(&key).await, "the claim is gone");
    }
}

async fn a_put_needs_a_claim<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let (key, load) = (suite.key(), suite.token());
    let new = suite.entry(Some(b"new"));
    let put = suite.insert(&key, suite.token(), &new, None, None).await;
    assert_eq!(put, Placed::Refused, "nobody claimed");
    suite.lease(&key, load).await;
    let put = suite.insert(&key, suite.token(), &new, None, None).await;
    assert_eq!(put, Placed::Refused, "another has the lease");
    let filled = suite.fill(&key, load, b"v").await;
    assert_eq!(filled, Filled::Stored, "a refused put leaves the lease");
}

async fn a_change_since_the_claim_refuses_the_put<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let (old, new) = (suite.entry(Some(b"old")), suite.entry(Some(b"new")));
    for change in 0..3 {
        let (key, token, other) = (suite.key(), suite.token(), suite.token());
        suite.put(&key, stored(&old)).await;
        let spared = suite.claim_sparing(&key, token, None).await.flatten();
        match change {
            0 => suite.remove(&key).await,
            1 => assert!(suite.claim(&key, other, None).await),
            _ => {
                // A later insert comes after the removal.
                suite.remove(&key).await;
                suite.claim_sparing(&key, other, None).await;
            }
        }
        let put = suite.insert(&key, token, &new, None, spared).await;
        assert_eq!(
            put,
            Placed::Overtaken,
            "change {change} came after the claim"
        );
        assert_eq!(suite.read(&key).await, None);
        assert_eq!(suite.is_free(&key).await, change == 0);
    }
}

async fn a_refused_put_removes_what_its_claim_spared<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let (old, new) = (suite.entry(Some(b"old")), suite.entry(Some(b"new")));
    for condition in [None, Some(Condition::Present)] {
        let (key, token) = (suite.key(), suite.token());
        suite.put(&key, stored(&old)).await;
        let spared = suite.claim_sparing(&key, token, condition).await.flatten();
        lose(suite, &key).await;
        let put = suite.insert(&key, token, &new, condition, spared).await;
        assert_eq!(put, Placed::Refused);
        let stands = suite.read(&key).await.is_some();
        assert_eq!(
            stands,
            condition.is_some(),
            "a refused condition changes nothing"
        );
    }
}

async fn a_refused_put_leaves_what_came_since<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let (key, token, other) = (suite.key(), suite.token(), suite.token());
    let (old, newer) = (suite.entry(Some(b"old")), suite.entry(Some(b"the newest")));
    suite.put(&key, stored(&old)).await;
    let spared = suite.claim_sparing(&key, token, None).await.flatten();
    suite.claim_sparing(&key, other, None).await;
    let put = suite.insert(&key, other, &newer, None, spared).await;
    assert_eq!(put, Placed::Stored);
    let put = suite.insert(&key, token, &old, None, spared).await;
    assert_eq!(
        put,
        Placed::Overtaken,
        "a claim that came second has stored"
    );
    let found = value(suite, &key).await;
    assert_eq!(found.as_deref(), Some(&b"the newest"[..]));
}

async fn a_claim_that_came_second_stores_last<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    for condition in [None, Some(Condition::Present)] {
        let (key, first, second) = (suite.key(), suite.token(), suite.token());
        let [old, one, two] = [b"old", b"one", b"two"].map(|text| suite.entry(Some(text)));
        suite.put(&key, stored(&old)).await;
        let spared = suite.claim_sparing(&key, first, condition).await.flatten();
        let again = suite.claim_sparing(&key, second, condition).await.flatten();
        assert!(spared.is_some() && spared == again);
        let put = suite.insert(&key, first, &one, condition, spared).await;
        assert_eq!(put, Placed::Stored, "until the second one stores");
        assert_eq!(value(suite, &key).await.as_deref(), Some(&b"one"[..]));
        assert!(!suite.is_free(&key).await, "the second claim stands");
        let put = suite.insert(&key, second, &two, condition, spared).await;
        assert_eq!(put, Placed::Stored);
        assert_eq!(value(suite, &key).await.as_deref(), Some(&b"two"[..]));
        assert!(suite.is_free(&key).await);
        let put = suite.insert(&key, first, &one, condition, spared).await;
        assert_eq!(put, Placed::Overtaken, "a claim is good for one put");
    }
}

async fn many_claims_are_remembered<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let key = suite.key();
    let tokens: Vec<_> = (0..40).map(|_| suite.token()).collect();
    for &token in &tokens {
        assert!(suite.claim_sparing(&key, token, None).await.is_some());
    }
    for (at, &token) in tokens.iter().enumerate() {
        let bytes = suite.entry(Some(at.to_string().as_bytes()));
        let put = suite.insert(&key, token, &bytes, None, None).await;
        assert_eq!(put, Placed::Stored, "claim {at}");
    }
    assert!(suite.is_free(&key).await);
    let put = suite.insert(&key, tokens[0], b"first", None, None).await;
    assert_eq!(put, Placed::Overtaken);
}

async fn of_two_who_found_nothing_one_stores<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    for in_order in [true, false] {
        let (key, mut first, mut second) = (suite.key(), suite.token(), suite.token());
        let absent = Some(Condition::Absent);
        let (one, two) = (suite.entry(Some(b"one")), suite.entry(Some(b"two")));
        assert_eq!(suite.claim_sparing(&key, first, absent).await, Some(None));
        assert_eq!(suite.claim_sparing(&key, second, absent).await, Some(None));
        if !in_order {
            (first, second) = (second, first);
        }
        let put = suite.insert(&key, first, &one, absent, None).await;
        assert_eq!(put, Placed::Stored);
        let put = suite.insert(&key, second, &two, absent, None).await;
        assert_eq!(put, Placed::Overtaken, "or both would be applied");
        assert_eq!(value(suite, &key).await.as_deref(), Some(&b"one"[..]));
        assert!(suite.is_free(&key).await);
    }
}

async fn a_condition_is_judged_again<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    // Somebody else inserts between claim and put.
    let (key, first, second) = (suite.key(), suite.token(), suite.token());
    let absent = Some(Condition::Absent);
    let (one, two) = (suite.entry(Some(b"one")), suite.entry(Some(b"two")));
    suite.claim_sparing(&key, first, None).await;
    assert_eq!(suite.claim_sparing(&key, second, absent).await, Some(None));
    let put = suite.insert(&key, first, &one, None, None).await;
    assert_eq!(put, Placed::Stored);
    let put = suite.insert(&key, second, &two, absent, None).await;
    assert_eq!(put, Placed::Overtaken, "something stands there by now");
    assert_eq!(value(suite, &key).await.as_deref(), Some(&b"one"[..]));
    assert!(
        suite.is_free(&key).await,
        "a refused put gives its claim back"
    );

    // The value ends between claim and put.
    let (key, token) = (suite.key(), suite.token());
    let present = Some(Condition::Present);
    let short = Stored {
        life: Duration::from_millis(300),
        ..stored(&one)
    };
    suite.put(&key, short).await;
    let spared = suite.claim_sparing(&key, token, present).await.flatten();
    assert!(spared.is_some());
    let ended = async || value(suite, &key).await.is_none();
    suite.wait_until("a value ends", ended).await;
    let put = suite.insert(&key, token, &two, present, spared).await;
    assert_ne!(put, Placed::Stored, "nothing stands there any more");
}

/// Also in its last moment, when some stores have the value still and say that nothing is left of
/// its life.
async fn what_a_read_takes_for_ended_is_absent<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let one = suite.entry(Some(b"one"));
    for _ in 0..30 {
        let key = suite.key();
        let short = Stored {
            life: Duration::from_millis(5),
            ..stored(&one)
        };
        suite.put(&key, short).await;
        while value(suite, &key).await.is_some() {
            suite.pause(Duration::from_micros(100)).await;
        }
        let present = Some(Condition::Present);
        let claimed = suite.claim_sparing(&key, suite.token(), present).await;
        assert_eq!(claimed, None, "a read took it for ended");
    }
}

async fn a_value_that_was_too_long_on_its_way_is_refused<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    for is_second in [false, true] {
        let (key, token) = (suite.key(), suite.token());
        suite.put(&key, stored(&suite.entry(Some(b"old")))).await;
        let spared = suite.claim_sparing(&key, token, None).await.flatten();
        suite.pause(Duration::from_millis(30)).await;
        if is_second {
            suite.claim_sparing(&key, suite.token(), None).await;
        }
        let put = Put {
            key: &key,
            token,
            value: Stored {
                life: Duration::from_millis(20),
                age: Duration::ZERO,
                ..stored(b"new")
            },
            condition: None,
            dead: None,
            spared,
        };
        let put = only("put", suite.remote.put(&[put], suite.wire).await);
        assert_eq!(put, Placed::Refused, "its life is over");
        assert_eq!(suite.read(&key).await, None, "and so is the older one's");
        assert_eq!(suite.is_free(&key).await, !is_second);
    }
}

async fn a_value_that_replaces_is_of_any_kind<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let placeholder = suite.entry(None);
    for bytes in [&placeholder[..], b"junk", b""] {
        let (key, token) = (suite.key(), suite.token());
        suite.put(&key, stored(bytes)).await;
        let spared = suite.claim_sparing(&key, token, None).await.flatten();
        let put = suite
            .insert(&key, token, &suite.entry(Some(b"new")), None, spared)
            .await;
        assert_eq!(put, Placed::Stored, "in the place of {bytes:?}");
        assert_eq!(value(suite, &key).await.as_deref(), Some(&b"new"[..]));
    }
}

async fn many_puts_are_answered_in_order<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let keys: Vec<String> = (0..60).map(|_| suite.key()).collect();
    let value = suite.entry(Some(b"v"));
    for key in keys.iter().step_by(3) {
        suite.put(key, stored(&value)).await;
    }
    let condition = |at: usize| at.is_multiple_of(2).then_some(Condition::Absent);
    let claims: Vec<_> = keys
        .iter()
        .enumerate()
        .map(|(at, key)| claim(key, suite.token(), condition(at), true))
        .collect();
    let claimed = suite.remote.claim(&claims, suite.wire).await;
    assert_eq!(claimed.len(), keys.len(), "claim: one outcome a key");
    let puts: Vec<_> = claims
        .iter()
        .zip(claimed)
        .enumerate()
        .map(|(at, (claim, claimed))| Put {
            key: claim.key,
            token: claim.token,
            value: stored(&value),
            condition: condition(at),
            dead: None,
            spared: match only("claim", vec![claimed]) {
                Claimed::Granted(spared, _) => spared,
                Claimed::Refused(_) => None,
            },
        })
        .collect();
    let put = suite.remote.put(&puts, suite.wire).await;
    assert_eq!(put.len(), keys.len(), "put: one outcome a key");
    for (at, put) in put.into_iter().enumerate() {
        let stored = only("put", vec![put]) == Placed::Stored;
        assert_eq!(stored, at % 3 != 0 || at % 2 != 0, "key {at}");
    }
}

/// The value that can be read, if its life is not over.
async fn value<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
    key: &str,
) -> Option<Vec<u8>> {
    let found = suite.read(key).await?;
    (!suite.left(&found).is_zero()).then(|| suite.payload(&found))
}

/// Takes the claim away from whoever has it, and leaves the value. No verb does that, so the claim
/// ends by itself.
async fn lose<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>, key: &str) {
    let short = Claim {
        life: Duration::from_millis(20),
        ..claim(key, suite.token(), None, true)
    };
    only("claim", suite.remote.claim(&[short], suite.wire).await);
    let is_free = async || suite.is_free(key).await;
    suite.wait_until("a claim ends by itself", is_free).await;
}
