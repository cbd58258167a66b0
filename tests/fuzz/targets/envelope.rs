//! The header of an entry, and what a script of Redis judges by it.

#![no_main]

use std::time::Duration;

use jetcache_core::machine::tier::envelope::{Head, Header, is_present, parse};
use jetcache_fuzz::mended;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    judge(bytes);
    judge(&mended(bytes));
});

fn judge(bytes: &[u8]) {
    let head = Head::of(bytes).map(|head| (head.born(), head.tags(), head.sum()));
    let header = Header::of(bytes).map(|header| (header.life(), header.stale()));
    let Ok(entry) = parse(bytes) else {
        return;
    };
    assert_eq!(header, Some((entry.life, entry.stale)));
    assert_eq!(
        head.map(|(born, tags, _)| (born, tags)),
        Some((entry.born, entry.tags()))
    );
    for clock in [0, 1, entry.end / 2, entry.end, u64::MAX] {
        let left = entry.left(clock);
        assert!(left <= entry.life);
        let (over, _) = entry.over(clock);
        assert!(left.is_zero() || over.is_zero());
        // Who judges by the header alone agrees about the life.
        assert!(!is_present(bytes, clock) || !left.is_zero());
    }
    for kept in [Duration::ZERO, entry.life, Duration::MAX] {
        assert!(entry.by_kept(kept).0 <= entry.life);
    }
}
