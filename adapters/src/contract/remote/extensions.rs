//! Renewing the life of what stands there, without its bytes.

use core::time::Duration;

use jetcache_core::machine::tier::envelope::{open, seal};
use jetcache_core::ports::bus::Kind;
use jetcache_core::ports::remote::{Condition, Extend, Extended, Header, Stored};
use jetcache_core::{Fault, Remote, Token};

use crate::contract::remote::suite::{LEASE, LIFE, Suite, only, present, stored};

/// For stores that can extend at all: the default of the verb answers that it cannot, which is as good.
pub(super) async fn run<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    if !can_extend(suite).await {
        return;
    }
    what_is_extended_is_fresh_again(suite).await;
    only_who_holds_the_lease_extends(suite).await;
    something_else_is_not_extended(suite).await;
    nothing_is_not_extended(suite).await;
    an_extension_gives_no_more_than_the_header_says(suite).await;
    the_time_on_the_way_is_taken_off(suite).await;
    an_extension_sent_twice_is_refused(suite).await;
    an_extended_value_is_kept_for_its_own_window(suite).await;
    many_are_extended_each_for_itself(suite).await;
}

const SHORT: Duration = Duration::from_millis(400);

/// A value that stands there, and its header.
async fn stood<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
    life: Duration,
) -> (String, Header) {
    let key = suite.key();
    let bytes = windowed(b"v");
    suite
        .put(
            &key,
            Stored {
                life,
                ..kept(&bytes)
            },
        )
        .await;
    let header = header(suite, &key).await;
    (key, header)
}

/// An entry whose header says a window after its life.
fn windowed(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    open(&mut bytes, Some(200));
    bytes.extend_from_slice(payload);
    seal(&mut bytes, LIFE, LIFE);
    bytes
}

/// With a window after its life.
fn kept(bytes: &[u8]) -> Stored<'_> {
    Stored {
        stale: LIFE,
        ..stored(bytes)
    }
}

async fn header<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>, key: &str) -> Header {
    let found = present(suite.read(key).await);
    match Header::of(&found.bytes) {
        Some(header) => header,
        None => panic!("{key}: what was stored has no header"),
    }
}

fn asked<'a>(key: &'a str, token: Token, header: &'a Header) -> Extend<'a> {
    Extend {
        key,
        token,
        header,
        life: LIFE,
        lease: LEASE,
        // Far more than a test takes: nothing is taken off the life.
        age: LEASE,
        kind: Kind::SetByOnce,
    }
}

async fn extend<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
    extend: Extend<'_>,
) -> Extended {
    only("extend", suite.remote.extend(&[extend]).await)
}

async fn can_extend<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) -> bool {
    let (key, header) = stood(suite, LIFE).await;
    let token = suite.token();
    suite.lease(&key, token).await;
    let extended = extend(suite, asked(&key, token, &header)).await;
    if extended == Extended::Unlike {
        suite.put_again(&key, token).await;
    }
    extended != Extended::Unlike
}

async fn what_is_extended_is_fresh_again<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let (key, header) = stood(suite, Duration::from_millis(1)).await;
    suite.pause(Duration::from_millis(20)).await;
    let found = present(suite.read(&key).await);
    assert_eq!(suite.left(&found), Duration::ZERO, "its life is over");
    let token = suite.token();
    suite.lease(&key, token).await;
    let extended = extend(suite, asked(&key, token, &header)).await;
    assert_eq!(extended, Extended::Stored);
    let found = present(suite.read(&key).await);
    assert_eq!(suite.payload(&found), b"v", "the same value");
    let left = suite.left(&found);
    assert!(left > LIFE / 2 && left <= LIFE, "{left:?} is its life");
    assert!(suite.is_free(&key).await, "the lease was given back");
}

async fn only_who_holds_the_lease_extends<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let (key, header) = stood(suite, SHORT).await;
    let extended = extend(suite, asked(&key, suite.token(), &header)).await;
    assert_eq!(extended, Extended::Refused, "nobody holds it");
    let holder = suite.token();
    suite.lease(&key, holder).await;
    let extended = extend(suite, asked(&key, suite.token(), &header)).await;
    assert_eq!(extended, Extended::Refused, "another one holds it");
    let left = suite.left(&present(suite.read(&key).await));
    assert!(left <= SHORT, "{left:?}: nothing was extended");
    let (token, any) = (suite.token(), None);
    assert!(suite.claim_sparing(&key, token, any).await.is_some());
    let extended = extend(suite, asked(&key, holder, &header)).await;
    assert_eq!(extended, Extended::Refused, "an insert has claimed it");
    assert!(!suite.is_free(&key).await, "whose claim stands");
}

async fn something_else_is_not_extended<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let (key, old) = stood(suite, SHORT).await;
    suite.put(&key, kept(&windowed(b"other"))).await;
    let token = suite.token();
    suite.lease(&key, token).await;
    let extended = extend(suite, asked(&key, token, &old)).await;
    assert_eq!(extended, Extended::Unlike, "another value");
    suite.release(&key, token).await;
    // The same bytes again, with another end.
    let (key, old) = stood(suite, SHORT).await;
    suite.pause(Duration::from_millis(20)).await;
    let again = windowed(b"v");
    suite
        .put(
            &key,
            Stored {
                life: SHORT,
                ..kept(&again)
            },
        )
        .await;
    let token = suite.token();
    suite.lease(&key, token).await;
    let extended = extend(suite, asked(&key, token, &old)).await;
    assert_eq!(extended, Extended::Unlike, "the same bytes, stored later");
    suite.put_again(&key, token).await;
}

async fn nothing_is_not_extended<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let (_, header) = stood(suite, LIFE).await;
    let (key, token) = (suite.key(), suite.token());
    suite.lease(&key, token).await;
    let extended = extend(suite, asked(&key, token, &header)).await;
    assert_eq!(extended, Extended::Unlike);
    assert!(suite.read(&key).await.is_none(), "and nothing came of it");
    suite.put_again(&key, token).await;
}

async fn an_extension_gives_no_more_than_the_header_says<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let (key, header) = stood(suite, LIFE).await;
    let token = suite.token();
    suite.lease(&key, token).await;
    let longer = Extend {
        life: LIFE * 3,
        ..asked(&key, token, &header)
    };
    assert_eq!(extend(suite, longer).await, Extended::Stored);
    let left = suite.left(&present(suite.read(&key).await));
    assert!(left > LIFE / 2 && left <= LIFE, "{left:?} is its life");
}

async fn the_time_on_the_way_is_taken_off<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let (key, header) = stood(suite, LIFE).await;
    let token = suite.token();
    suite.lease(&key, token).await;
    suite.pause(Duration::from_millis(200)).await;
    // The holder knew of no time at all: all of it was spent on the way.
    let late = |life| Extend {
        life,
        age: Duration::ZERO,
        ..asked(&key, token, &header)
    };
    let extended = extend(suite, late(Duration::from_secs(30))).await;
    assert_eq!(extended, Extended::Stored);
    let left = suite.left(&present(suite.read(&key).await));
    let most = Duration::from_millis(29_900);
    assert!(left <= most, "{left:?}: the way is taken off");
    let (key, header) = stood(suite, LIFE).await;
    let token = suite.token();
    suite.lease(&key, token).await;
    suite.pause(Duration::from_millis(200)).await;
    let over = Extend {
        life: Duration::from_millis(50),
        age: Duration::ZERO,
        ..asked(&key, token, &header)
    };
    assert_eq!(extend(suite, over).await, Extended::Refused, "all of it");
    assert!(suite.is_free(&key).await, "and the lease is given back");
}

async fn an_extension_sent_twice_is_refused<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let (key, header) = stood(suite, LIFE).await;
    let token = suite.token();
    suite.lease(&key, token).await;
    let ask = asked(&key, token, &header);
    assert_eq!(extend(suite, ask).await, Extended::Stored);
    assert_eq!(extend(suite, ask).await, Extended::Refused);
}

async fn an_extended_value_is_kept_for_its_own_window<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let (key, header) = stood(suite, LIFE).await;
    let token = suite.token();
    suite.lease(&key, token).await;
    let brief = Extend {
        life: Duration::from_millis(1),
        ..asked(&key, token, &header)
    };
    assert_eq!(extend(suite, brief).await, Extended::Stored);
    suite.pause(Duration::from_millis(50)).await;
    let found = present(suite.read(&key).await);
    assert_eq!(suite.left(&found), Duration::ZERO, "its life is over");
    let absent = suite
        .claim(&key, suite.token(), Some(Condition::Absent))
        .await;
    assert!(absent, "a stale value is absent");
}

async fn many_are_extended_each_for_itself<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let (one, header) = stood(suite, LIFE).await;
    let (two, other) = stood(suite, LIFE).await;
    let token = suite.token();
    suite.lease(&one, token).await;
    let asks = [asked(&two, token, &other), asked(&one, token, &header)];
    let outcomes = suite.remote.extend(&asks).await;
    let outcomes: Result<Vec<Extended>, Fault> = outcomes.into_iter().collect();
    match outcomes {
        Ok(outcomes) => assert_eq!(outcomes, [Extended::Refused, Extended::Stored]),
        Err(fault) => panic!("extend: {fault}"),
    }
    assert!(suite.remote.extend(&[]).await.is_empty(), "of none, none");
}
