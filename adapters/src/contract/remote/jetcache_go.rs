//! What the jetcache-go format asks for: bytes without a header, and writers who know nothing of
//! leases.

pub(super) mod locks;
pub(super) mod unload;

use core::time::Duration;

use jetcache_core::Remote;
use jetcache_core::machine::tier::wire::PLACEHOLDER;
use jetcache_core::ports::bus::Kind;
use jetcache_core::ports::remote::{
    Condition, Fill, Filled, LeaseAsk, Placed, Settle, Stamp, Stored,
};

use crate::contract::remote::suite::{LEASE, Suite, only, sealed, stored};

pub(super) async fn run<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    what_looks_like_an_envelope_stays_as_it_is(suite).await;
    there_is_no_stale_window(suite).await;
    a_short_life_is_kept_to_the_millisecond(suite).await;
    a_fill_replaces_what_it_says_and_nothing_else(suite).await;
    a_settlement_that_finds_something_else_removes_it(suite).await;
    what_a_stranger_sets_after_the_claim_stays(suite).await;
    whatever_is_not_the_placeholder_is_present(suite).await;
    many_fills_are_judged_each_by_its_own(suite).await;
}

async fn what_looks_like_an_envelope_stays_as_it_is<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let bytes = sealed(Some(b"v"));
    let (filled, settled) = (suite.key(), suite.key());
    suite.put(&filled, stored(&bytes)).await;
    let token = suite.token();
    suite.claim(&settled, token, None).await;
    suite.settle(&settled, Some(token), &bytes).await;
    for key in [filled, settled] {
        let found = suite.read(&key).await.map(|found| found.bytes);
        assert!(found.as_ref() == Some(&bytes), "nothing is stamped");
    }
}

async fn there_is_no_stale_window<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let key = suite.key();
    let value = Stored {
        life: Duration::from_millis(30),
        stale: Duration::from_secs(60),
        ..stored(b"v")
    };
    suite.put(&key, value).await;
    suite
        .wait_until("a value goes when its life is over", async || {
            suite.read(&key).await.is_none()
        })
        .await;
}

async fn a_short_life_is_kept_to_the_millisecond<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let key = suite.key();
    let life = Duration::from_millis(59_001);
    suite
        .put(
            &key,
            Stored {
                life,
                ..stored(b"v")
            },
        )
        .await;
    let token = suite.token();
    let looks = [suite.read(&key).await, suite.lease(&key, token).await.found];
    for found in looks {
        let left = found.map(|found| suite.left(&found)).unwrap_or_default();
        assert!(
            left > Duration::from_secs(40) && left <= life,
            "a life of {life:?} has {left:?} left"
        );
    }
}

async fn a_fill_replaces_what_it_says_and_nothing_else<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    for (stands, replaces) in pairs() {
        let (key, token) = (suite.key(), suite.token());
        if let Some(stands) = stands {
            suite.put(&key, stored(stands)).await;
        }
        assert!(suite.lease(&key, token).await.is_granted());
        let value = Stored {
            replaces,
            ..stored(b"new")
        };
        let filled = suite.fill_with(&key, token, value).await;
        let fits = stands == replaces;
        assert_eq!(
            filled == Filled::Stored,
            fits,
            "a fill in the place of {replaces:?} where {stands:?} stands"
        );
        let found = suite.read(&key).await.map(|found| found.bytes);
        let wanted = if fits { Some(&b"new"[..]) } else { stands };
        assert_eq!(found.as_deref(), wanted, "a refused fill changes nothing");
        assert!(suite.is_free(&key).await, "either gives the lease back");
    }
}

async fn a_settlement_that_finds_something_else_removes_it<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    for (stands, replaces) in pairs() {
        let (key, token) = (suite.key(), suite.token());
        if let Some(stands) = stands {
            suite.put(&key, stored(stands)).await;
        }
        assert!(suite.lease(&key, token).await.is_granted());
        let value = Stored {
            replaces,
            ..stored(b"new")
        };
        let settle = Settle {
            key: &key,
            token: Some(token),
            value,
        };
        let settled = suite.remote.settle(&[settle], suite.wire).await;
        let fits = stands == replaces;
        assert_eq!(
            only("settle", settled) == Filled::Stored,
            fits,
            "a settlement in the place of {replaces:?} where {stands:?} stands"
        );
        let found = suite.read(&key).await.map(|found| found.bytes);
        let wanted = fits.then_some(&b"new"[..]);
        assert_eq!(found.as_deref(), wanted, "what is not stored is removed");
        assert!(suite.is_free(&key).await, "either gives the lease back");
    }
}

async fn what_a_stranger_sets_after_the_claim_stays<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    for condition in [None, Some(Condition::Present)] {
        let (key, token) = (suite.key(), suite.token());
        suite.put(&key, stored(b"old")).await;
        // What stands there is not what the claim says it has spared.
        suite.claim_sparing(&key, token, condition).await;
        let other = Stamp::new(1);
        let put = suite
            .insert(&key, token, b"new", condition, Some(other))
            .await;
        assert_eq!(put, Placed::Overtaken);
        let found = suite.read(&key).await.map(|found| found.bytes);
        assert_eq!(found.as_deref(), Some(&b"old"[..]));
        assert!(suite.is_free(&key).await);
    }
}

/// What stands, and what is to be replaced.
fn pairs() -> impl Iterator<Item = (Option<&'static [u8]>, Option<&'static [u8]>)> {
    let all: [Option<&[u8]>; 6] = [
        None,
        Some(b""),
        Some(b"-"),
        Some(b"junk"),
        Some(b"junk\0"),
        Some(PLACEHOLDER),
    ];
    all.into_iter()
        .flat_map(move |stands| all.into_iter().map(move |replaces| (stands, replaces)))
}

async fn whatever_is_not_the_placeholder_is_present<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let envelope = sealed(None);
    let cases: [(&str, Option<&[u8]>, bool); 7] = [
        ("nothing", None, false),
        ("the placeholder", Some(PLACEHOLDER), false),
        ("no bytes", Some(b""), true),
        ("text", Some(b"v"), true),
        ("text that begins like the placeholder", Some(b"**"), true),
        ("a zero", Some(b"\0"), true),
        ("a placeholder of the native format", Some(&envelope), true),
    ];
    for (name, bytes, is_present) in cases {
        for condition in [Condition::Present, Condition::Absent] {
            let key = suite.key();
            if let Some(bytes) = bytes {
                suite.put(&key, stored(bytes)).await;
            }
            let granted = suite.claim(&key, suite.token(), Some(condition)).await;
            let wanted = is_present == (condition == Condition::Present);
            assert_eq!(granted, wanted, "{name}, claimed if {condition:?}");
            let found = suite.read(&key).await.map(|found| found.bytes);
            let left = if granted { None } else { bytes };
            assert_eq!(
                found.as_deref(),
                left,
                "{name}: only a granted claim removes it"
            );
        }
    }
}

async fn many_fills_are_judged_each_by_its_own<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let keys: Vec<String> = (0..30).map(|_| suite.key()).collect();
    for key in keys.iter().step_by(2) {
        suite.put(key, stored(b"junk")).await;
    }
    let asks: Vec<_> = keys
        .iter()
        .map(|key| LeaseAsk {
            key,
            token: suite.token(),
            life: LEASE,
        })
        .collect();
    let leased = suite.remote.lease(&asks, suite.wire).await;
    assert_eq!(leased.len(), 30, "lease: one outcome a key");
    for (at, leased) in leased.into_iter().enumerate() {
        let leased = only("lease", vec![leased]);
        assert!(leased.is_granted(), "key {at}");
        let found = leased.found.map(|found| found.bytes);
        assert_eq!(found.is_some(), at % 2 == 0, "key {at}");
    }
    let fills: Vec<_> = asks
        .iter()
        .enumerate()
        .map(|(at, ask)| Fill {
            key: ask.key,
            token: ask.token,
            value: Stored {
                replaces: (at % 3 == 0).then_some(&b"junk"[..]),
                ..stored(b"new")
            },
            kind: Kind::SetByOnce,
        })
        .collect();
    let filled = suite.remote.fill(&fills, suite.wire).await;
    assert_eq!(filled.len(), 30, "fill: one outcome a key");
    for (at, filled) in filled.into_iter().enumerate() {
        let stored = only("fill", vec![filled]) == Filled::Stored;
        assert_eq!(stored, (at % 2 == 0) == (at % 3 == 0), "key {at}");
    }
}
