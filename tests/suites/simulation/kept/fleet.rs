//! Kept cases of a fleet: write-throughs, the bus and deaths.

use jetcache_tests::sim::Point::{Claim, Fill, Hear, Join, Read, Remove, Settle, Step, Write};
use jetcache_tests::sim::{Bus, Fate, Plan};

use super::{A, B, keeps};

const C: usize = 2;

/// Nodes that L2 tells of every change.
pub(super) fn fleet(nodes: usize) -> Plan {
    Plan::scripted(nodes).bus(Bus::WithChange)
}

// ---- writing through ----

#[test]
fn c4_a_later_row_is_not_replaced_by_an_earlier_one() {
    keeps(
        fleet(2)
            .write_through(0, A, 1, 30)
            .write_through(5, B, 1, 5)
            .get(60, B),
    );
}

#[test]
fn c4_who_is_refused_removes_what_the_other_stored() {
    keeps(
        fleet(2)
            .write_through(0, A, 20, 25)
            .write_through(3, B, 1, 2)
            .get(40, A),
    );
}

#[test]
fn c4_a_claim_that_was_given_up_does_not_settle() {
    keeps(
        fleet(2)
            .write_through(0, A, 1, 30)
            .fate(Claim, Fate::delivered(40, 1))
            .write_through(25, B, 1, 2)
            .get(70, B),
    );
}

#[test]
fn c4_a_writer_that_failed_may_have_changed_the_row() {
    keeps(fleet(2).write_fails(0, A, 70, 90).load(2, B, 5));
}

#[test]
fn c4_a_writer_that_vanished_may_have_changed_the_row() {
    keeps(
        fleet(2)
            .write_through(0, A, 60, 90)
            .dropped(70)
            .load(2, B, 5),
    );
}

#[test]
fn c4_two_writers_of_one_row_in_every_order() {
    // Claim, row and settlement of A and of B, B's shifted over A's.
    for start in 0..30 {
        for row in [1, 9] {
            for takes in [10, 12, 25] {
                keeps(
                    fleet(3)
                        .write_through(10, A, 5, 10)
                        .write_through(start, B, row, takes)
                        .get(80, A)
                        .get(80, B)
                        .get(80, C),
                );
            }
        }
    }
}

#[test]
fn c5_a_settlement_confirms_nothing() {
    keeps(
        fleet(1)
            .write_through(0, A, 20, 22)
            .fate(Settle, Fate::lost())
            .write_through(3, A, 1, 30)
            .get(50, A),
    );
}

#[test]
fn c5_a_settlement_is_later_than_the_claim_of_another_change() {
    keeps(
        fleet(1)
            .write_through(0, A, 40, 45)
            .fate(Settle, Fate::lost())
            .write_through(3, A, 2, 4)
            .get(70, A),
    );
}

// ---- telling ----

#[test]
fn c5_a_removal_that_is_repeated_is_heard_of() {
    keeps(
        fleet(2)
            .load(0, B, 5)
            .invalidate(20, A)
            .fate(Remove, Fate::lost()),
    );
}

#[test]
fn c5_a_removal_that_answers_go_does_not_make_up_for_one_that_was_to_be_told() {
    keeps(
        fleet(2)
            .slow(A, 12)
            .go_deletes(10, 0)
            .load(15, B, 2)
            .invalidate(20, A)
            .fate(Remove, Fate::lost()),
    );
}

#[test]
fn c6_whoever_hears_of_a_removal_finds_it_made() {
    keeps(
        Plan::scripted(2)
            .bus(Bus::Publish)
            .load(0, A, 5)
            .invalidate(20, A)
            .fate(Remove, Fate::delivered(10, 1))
            .get(25, B),
    );
}

#[test]
fn c6_an_insert_whose_fill_is_lost_was_heard_of() {
    keeps(
        fleet(2)
            .load(0, B, 5)
            .insert(20, A)
            .fate(Fill, Fate::lost())
            .get(60, B),
    );
}

#[test]
fn a_node_that_dies_behind_its_removal_has_told_of_it() {
    keeps(
        fleet(2)
            .load(0, B, 5)
            .invalidate(20, A)
            .fate(Remove, Fate::delivered(3, 1))
            .dies(22, A, None),
    );
}

#[test]
fn a_node_may_die_between_any_two_steps_of_a_write_through() {
    for bus in [Bus::WithChange, Bus::Publish, Bus::Watched] {
        for at in 0..20 {
            keeps(
                Plan::scripted(2)
                    .bus(bus)
                    .load(0, B, 1)
                    .write_through(5, A, 3, 6)
                    .dies(at, A, Some(4))
                    .get(30, A)
                    .load(40, B, 5)
                    .invalidate(60, B),
            );
        }
    }
}

#[test]
fn a_lease_that_ended_fills_nothing_over_what_came_after_it() {
    keeps(
        fleet(2)
            .load(0, A, 5)
            .fate(Fill, Fate::delivered(300, 1))
            .load(190, B, 5)
            .get(320, A),
    );
}

// ---- hearing ----

#[test]
fn h1_what_was_read_before_the_event_is_not_kept() {
    keeps(
        fleet(2)
            .load(0, A, 5)
            .load(20, B, 5)
            .fate(Read, Fate::delivered(1, 15))
            .invalidate(22, A),
    );
}

#[test]
fn h1_what_a_get_found_before_the_event_is_not_kept() {
    keeps(
        fleet(2)
            .load(0, A, 5)
            .get(20, B)
            .fate(Read, Fate::delivered(1, 15))
            .invalidate(22, A),
    );
}

#[test]
fn h1_an_insert_that_was_overtaken_is_not_kept() {
    keeps(
        fleet(2)
            .insert(0, A)
            .fate(Fill, Fate::delivered(1, 15))
            .insert(5, B),
    );
}

#[test]
fn h1_who_hears_waits_for_a_write_that_was_announced() {
    keeps(
        fleet(2)
            .load(0, A, 5)
            .load(20, B, 5)
            .pause(Write, 30)
            .invalidate(25, A),
    );
}

#[test]
fn h1_a_flight_that_found_what_the_event_then_removed_looks_again() {
    keeps(
        fleet(2)
            .load(0, B, 5)
            // It finds nothing in L1, and joins when the event has been heard.
            .load(5, B, 5)
            .pause(Join, 18)
            .pause(Step, 0)
            .pause(Step, 20)
            .invalidate(20, A)
            .sweep(5)
            .load(30, B, 5),
    );
}

#[test]
fn h3_a_flight_that_found_what_the_new_subscription_then_removed_looks_again() {
    keeps(
        fleet(2)
            .cut(2, B, 1, 19)
            .load(0, B, 5)
            .load(5, B, 5)
            .pause(Join, 19)
            .pause(Step, 0)
            .pause(Step, 20)
            .invalidate(17, A)
            .sweep(5)
            .load(30, B, 5),
    );
}

#[test]
fn h2_the_event_of_an_earlier_life_is_not_ones_own() {
    keeps(
        fleet(2)
            .load(0, B, 5)
            .invalidate(20, A)
            .fate(Remove, Fate::delivered(30, 1))
            .dies(22, A, Some(2))
            .get(30, A),
    );
}

#[test]
fn h3_what_was_read_while_deaf_is_forgotten() {
    for (noticed, again) in [(5, 20), (20, 5), (0, 30)] {
        keeps(
            fleet(2)
                .cut(10, B, noticed, again)
                .load(0, A, 5)
                .get(20, B)
                .invalidate(25, A),
        );
    }
}

#[test]
fn h3_what_is_being_read_at_the_new_subscription_is_not_kept() {
    keeps(
        fleet(2)
            .cut(10, B, 5, 20)
            .load(0, A, 5)
            .load(30, B, 5)
            .fate(Read, Fate::delivered(1, 15))
            .invalidate(31, A),
    );
}

#[test]
fn h3_what_a_get_reads_at_the_new_subscription_is_not_kept() {
    keeps(
        fleet(2)
            .cut(10, B, 5, 20)
            .load(0, A, 5)
            .get(30, B)
            .fate(Read, Fate::delivered(1, 15))
            .invalidate(31, A),
    );
}

#[test]
fn h3_an_insert_under_way_at_the_new_subscription_is_not_kept() {
    keeps(
        fleet(2)
            .cut(10, B, 5, 20)
            .insert(29, B)
            .fate(Fill, Fate::delivered(1, 15))
            .insert(32, A),
    );
}

#[test]
fn h3_a_new_subscription_waits_for_a_write_that_was_announced() {
    keeps(
        fleet(2)
            .cut(10, B, 5, 20)
            .load(0, A, 5)
            .load(20, B, 5)
            .pause(Write, 30)
            .invalidate(25, A),
    );
}

#[test]
fn a_node_that_knows_that_it_is_deaf_keeps_nothing_for_long() {
    keeps(
        fleet(2)
            .blind(50)
            .cut(10, B, 5, 5_000)
            .load(0, B, 5)
            .load(90, B, 5)
            .get(3_000, B),
    );
}

#[test]
fn an_event_that_is_ten_seconds_late_ends_what_is_old() {
    keeps(
        fleet(3)
            .load(0, B, 5)
            .get(10, C)
            .invalidate(20, A)
            .pause(Hear, 10_000)
            .insert(30, C)
            .get(10_100, B),
    );
}
