//! Loaders that say "unchanged" of the value that stands (PROTOCOL.md, E1 to E4).

use jetcache_tests::sim::Point::Fill;
use jetcache_tests::sim::{Fate, Plan};

use super::{A, B, keeps};

/// A value that ends soon and stands for long, which A loads again from 40 ms on.
fn stood(takes: u64) -> Plan {
    Plan::scripted(2)
        .ttl(20)
        .stale(60_000, 50)
        .load(0, A, 1)
        .load_unchanged(40, A, takes)
}

#[test]
fn e1_an_insert_during_the_load_is_not_overtaken_by_the_old_value() {
    keeps(
        stood(10)
            .insert(46, B)
            .fate(Fill, Fate::delivered(15, 1))
            .get(70, B),
    );
}

#[test]
fn e1_an_invalidation_during_the_load_is_final() {
    keeps(stood(30).invalidate(50, B).get(60, B).get(90, A));
}

#[test]
fn e1_an_extension_that_is_lost_leaves_no_lease() {
    keeps(stood(5).fate(Fill, Fate::lost()).load(100, B, 1));
}

#[test]
fn e1_an_extension_whose_answer_is_lost_is_no_harm() {
    keeps(
        stood(5)
            .fate(Fill, Fate::unanswered(1))
            .invalidate(60, B)
            .load(80, A, 1),
    );
}

/// L1 of A has the first value for longer, and has not heard of the second.
#[test]
fn e2_what_is_extended_is_what_was_shown() {
    keeps(
        Plan::scripted(2)
            .ttl(20)
            .stale(60_000, 50)
            .slow(A, 500)
            .load(0, A, 1)
            .invalidate(10, B)
            .load(15, B, 1)
            .for_a_window(1_000)
            .load_unchanged(50, A, 5)
            .for_a_window(1_000)
            .get(70, B),
    );
}

#[test]
fn e3_an_extension_that_is_late_lengthens_nothing() {
    keeps(stood(5).fate(Fill, Fate::delivered(15, 1)).get(78, B));
}

#[test]
fn e3_no_life_is_longer_than_its_header_says() {
    keeps(
        Plan::scripted(2)
            .ttl(200)
            .stale(60_000, 50)
            .load(0, A, 1)
            .for_millis(20)
            .load_unchanged(40, A, 5)
            .get(60, B),
    );
}
