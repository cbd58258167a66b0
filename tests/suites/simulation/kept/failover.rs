//! Kept cases of failovers: a replica takes over that lacks the last changes.

use jetcache_core::Kind;
use jetcache_tests::sim::Point::{Publish, Read};
use jetcache_tests::sim::{Bus, Fate, Plan};

use super::fleet::fleet;
use super::{A, B, keeps};

#[test]
fn f1_what_a_node_changed_is_removed_from_the_new_primary() {
    keeps(
        Plan::scripted(1)
            .load(0, A, 5)
            .invalidate(40, A)
            .fails_over(50, 20)
            .get(60, A)
            .get(70, A),
    );
}

#[test]
fn f1_so_is_what_it_inserted() {
    keeps(
        fleet(2)
            .load(0, A, 5)
            .insert(40, A)
            .fails_over(50, 20)
            .get(60, A)
            .get(70, A)
            .get(200, B),
    );
}

#[test]
fn f1_so_is_what_it_wrote_through() {
    keeps(
        Plan::scripted(1)
            .kind(Kind::Remote)
            .load(0, A, 5)
            .write_through(40, A, 1, 2)
            .fails_over(60, 30)
            .get(65, A)
            .get(70, A),
    );
}

#[test]
fn f1_what_a_node_heard_of_is_not_read_from_the_new_primary() {
    keeps(
        fleet(2)
            .load(0, A, 5)
            .invalidate(40, A)
            .dies(48, A, None)
            .fails_over(50, 20)
            .get(60, B)
            .get(70, B),
    );
}

/// B has missed the word, and copies the old value from the new primary before A has removed it there.
#[test]
fn f1_the_others_are_told_of_what_a_node_changes_again() {
    keeps(
        fleet(2)
            .load(0, A, 5)
            .invalidate(40, A)
            .slow(B, 30)
            .fails_over(50, 20)
            .repair(Fate::delivered(20, 1))
            .get(60, B),
    );
}

#[test]
fn f1_while_l2_does_not_answer_nothing_is_forgotten() {
    let lost = Fate::lost();
    keeps(
        Plan::scripted(1)
            .failover_window(30)
            .load(0, A, 5)
            .invalidate(40, A)
            .get(100, A)
            .fate(Read, lost)
            .get(200, A)
            .fate(Read, lost)
            .fails_over(250, 215)
            .get(260, A)
            .get(270, A),
    );
}

#[test]
fn f1_what_did_not_fit_is_not_read_from_l2() {
    keeps(
        Plan::scripted(1)
            .kind(Kind::Remote)
            .room_for_one()
            .load(0, A, 5)
            .load(0, A, 5)
            .other_key()
            .invalidate(40, A)
            .invalidate(41, A)
            .other_key()
            .fails_over(50, 20)
            .get(60, A)
            .get(70, A)
            .get(70, A)
            .other_key(),
    );
}

#[test]
fn f1_what_was_removed_again_is_lost_again() {
    keeps(
        Plan::scripted(1)
            .load(0, A, 5)
            .invalidate(40, A)
            .fails_over(50, 20)
            .get(60, A)
            .get(65, A)
            .fails_over(90, 60)
            .get(100, A)
            .get(110, A),
    );
}

#[test]
fn f2_what_others_changed_where_the_new_primary_does_not_see_it_is_removed_there() {
    keeps(
        fleet(2)
            .bus(Bus::Publish)
            .load(0, A, 5)
            .invalidate(40, A)
            .pause(Publish, 60)
            .fails_over(50, 20)
            .get(60, B)
            .get(70, B)
            .get(110, B),
    );
}
