//! What only the native format has: a header that tells what is present and how long it is fresh.

use core::time::Duration;

use jetcache_core::Remote;
use jetcache_core::machine::tier::envelope::{mark, open, seal};
use jetcache_core::machine::tier::mark::Mark;
use jetcache_core::ports::remote::{Condition, Life, Stored};

use crate::contract::remote::suite::{LIFE, Suite, present, sealed, stored};

pub(super) async fn run<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    a_stale_value_is_kept_for_its_window(suite).await;
    a_value_with_a_mark_is_present(suite).await;
    all_else_is_absent(suite).await;
}

async fn a_stale_value_is_kept_for_its_window<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let key = suite.key();
    let (life, stale) = (Duration::from_millis(1), Duration::from_secs(60));
    suite
        .put(
            &key,
            Stored {
                life,
                stale,
                ..stored(&sealed(Some(b"v")))
            },
        )
        .await;
    suite.pause(Duration::from_millis(20)).await;
    let found = present(suite.read(&key).await);
    // A store that tells what is left may count the window in.
    if let Life::Clock(_) = found.life {
        assert_eq!(suite.left(&found), Duration::ZERO, "its life is over");
    }
}

async fn a_value_with_a_mark_is_present<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let key = suite.key();
    let mut bytes = Vec::new();
    open(&mut bytes, Some(200));
    if let Some(version) = Mark::new(b"v1") {
        mark(&mut bytes, &version);
    }
    seal(&mut bytes, LIFE, Duration::ZERO);
    suite.put(&key, stored(&bytes)).await;
    let absent = suite
        .claim(&key, suite.token(), Some(Condition::Absent))
        .await;
    assert!(!absent, "it is not absent");
    let present = suite
        .claim(&key, suite.token(), Some(Condition::Present))
        .await;
    assert!(present, "it is present");
}

async fn all_else_is_absent<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let value = sealed(Some(b"v"));
    let mut version = value.clone();
    version[2] = 9;
    let placeholder = sealed(None);
    let short = &value[..35];
    let (life, stale) = (Duration::from_millis(1), Duration::from_secs(60));
    let cases = [
        ("nothing", None),
        ("a placeholder", Some(stored(&placeholder))),
        (
            "a stale value",
            Some(Stored {
                life,
                stale,
                ..stored(&value)
            }),
        ),
        ("junk", Some(stored(b"junk"))),
        ("long junk", Some(stored(&[7; 100]))),
        ("another version", Some(stored(&version))),
        ("a short header", Some(stored(short))),
        ("no bytes", Some(stored(b""))),
    ];
    for (name, value) in cases {
        let key = suite.key();
        if let Some(value) = value {
            suite.put(&key, value).await;
            suite.pause(Duration::from_millis(20)).await;
        }
        let present = suite
            .claim(&key, suite.token(), Some(Condition::Present))
            .await;
        assert!(!present, "{name} is not present");
        let absent = suite
            .claim(&key, suite.token(), Some(Condition::Absent))
            .await;
        assert!(absent, "{name} is absent");
    }
}
