//! What a conditional insert shows of an entry that may be dead, and an entry that it takes for absent.

use core::time::Duration;

use jetcache_core::machine::generations::tags::Tags;
use jetcache_core::machine::tier::envelope::{Head, born, open, seal, tagged};
use jetcache_core::ports::remote::{Claim, Claimed, Condition, Mark, Placed, Put};
use jetcache_core::{Remote, Token};

use crate::contract::remote::suite::{LIFE, Suite, claim, only, stored};

pub(in crate::contract::remote) async fn run<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    heads_are_shown(suite).await;
    what_is_dead_is_absent(suite).await;
}

async fn heads_are_shown<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let (absent, present) = (Some(Condition::Absent), Some(Condition::Present));
    for spares in [true, false] {
        for tags in [0, 1, 64] {
            let (bytes, key) = (entry(tags, Some(b"v")), suite.key());
            suite.put(&key, stored(&bytes)).await;
            let shown = match ask(suite, &key, absent, None, spares).await.1 {
                Claimed::Refused(head) => head,
                granted @ Claimed::Granted(..) => panic!("a value is not absent: {granted:?}"),
            };
            is_head_of(&bytes, shown);
            match ask(suite, &key, present, None, spares).await.1 {
                Claimed::Granted(spared, shown) => {
                    is_head_of(&bytes, shown);
                    assert_eq!(spared.is_some(), spares);
                }
                refused @ Claimed::Refused(_) => panic!("a value is present: {refused:?}"),
            }
        }
        let key = suite.key();
        suite.put(&key, stored(&entry(1, Some(b"v")))).await;
        let any = ask(suite, &key, None, None, spares).await.1;
        let is_bare = matches!(any, Claimed::Granted(_, None));
        assert!(is_bare, "who asks for nothing is shown nothing: {any:?}");
        // What is no value is absent, and has a head all the same if it is ours.
        let placeholder = entry(1, None);
        for (bytes, has_head) in [(&placeholder[..], true), (b"junk", false), (b"", false)] {
            let key = suite.key();
            suite.put(&key, stored(bytes)).await;
            match ask(suite, &key, absent, None, spares).await.1 {
                Claimed::Granted(_, shown) => assert_eq!(shown.is_some(), has_head),
                refused @ Claimed::Refused(_) => panic!("no value is there: {refused:?}"),
            }
        }
        let nothing = ask(suite, &suite.key(), absent, None, spares).await.1;
        assert_eq!(nothing, Claimed::Granted(None, None));
    }
}

fn is_head_of(bytes: &[u8], shown: Option<Head>) {
    let (Some(shown), Some(stored)) = (shown, Head::of(bytes)) else {
        panic!("the head of an entry is shown");
    };
    assert_eq!(shown.sum(), stored.sum());
    assert_eq!(shown.born(), Mark::new(42));
    assert_eq!(shown.tags(), stored.tags());
}

async fn what_is_dead_is_absent<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let bytes = entry(2, Some(b"dead"));
    let dead = Head::of(&bytes).map(|head| head.sum());
    let other = dead.map(|sum| sum ^ 1);
    let (absent, present) = (Some(Condition::Absent), Some(Condition::Present));
    for (condition, sum, granted) in [
        (absent, dead, true),
        (present, dead, false),
        (absent, other, false),
        (present, other, true),
        (absent, None, false),
        (present, None, true),
    ] {
        for (sum_then, stored_then) in [(sum, true), (other, sum != dead)] {
            let key = suite.key();
            suite.put(&key, stored(&bytes)).await;
            let (token, claimed) = ask(suite, &key, condition, sum, true).await;
            let case = format!("{condition:?} {sum:?} {sum_then:?}");
            let Claimed::Granted(spared, shown) = claimed else {
                assert!(!granted, "{case}");
                continue;
            };
            assert!(granted, "{case}");
            is_head_of(&bytes, shown);
            let value = entry(0, Some(b"new"));
            let put = Put {
                key: &key,
                token,
                value: stored(&value),
                condition,
                dead: sum_then,
                spared,
            };
            let placed = only("put", suite.remote.put(&[put], suite.wire).await);
            let wanted = if stored_then {
                Placed::Stored
            } else {
                Placed::Refused
            };
            assert_eq!(placed, wanted, "the put judges for itself: {case}");
            let found = suite.read(&key).await.map(|found| suite.payload(&found));
            let stands: &[u8] = if stored_then { b"new" } else { b"dead" };
            assert_eq!(found.as_deref(), Some(stands), "{case}");
        }
    }
}

/// A claim with a token of its own.
async fn ask<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
    key: &str,
    condition: Option<Condition>,
    dead: Option<u32>,
    spares: bool,
) -> (Token, Claimed) {
    let token = suite.token();
    let claim = Claim {
        dead,
        ..claim(key, token, condition, spares)
    };
    let claimed = only("claim", suite.remote.claim(&[claim], suite.wire).await);
    (token, claimed)
}

/// An entry with so many tags, born under 42.
fn entry(tags: u16, payload: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    open(&mut bytes, payload.map(|_| 200));
    tagged(&mut bytes, &Tags::of_buckets((0..tags).collect()));
    born(&mut bytes, Mark::new(42));
    bytes.extend_from_slice(payload.unwrap_or_default());
    seal(&mut bytes, LIFE, Duration::ZERO);
    bytes
}
