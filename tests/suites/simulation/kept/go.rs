//! Kept cases of a fleet with a service in Go, and of what loads tell.

use jetcache_tests::sim::Point::{Fill, Read};
use jetcache_tests::sim::{Bus, Fate, Plan};

use super::fleet::fleet;
use super::{A, B, keeps};

const C: usize = 2;

// ---- with a service in Go ----

#[test]
fn g1_what_go_has_set_during_a_load_stays() {
    keeps(fleet(2).load(0, A, 20).go_sets(10, 2).get(40, A).get(40, B));
}

#[test]
fn g2_what_was_loaded_before_go_deleted_is_removed() {
    keeps(fleet(2).load(0, A, 20).go_deletes(10, 30).get(60, B));
}

#[test]
fn g2_a_node_that_filled_nothing_removes_as_well() {
    keeps(
        fleet(2)
            .load(0, A, 20)
            .go_deletes(10, 30)
            .dies(35, A, None)
            .get(60, B),
    );
}

#[test]
fn g2_what_is_being_read_at_the_event_is_not_kept() {
    keeps(
        fleet(2)
            .load(0, A, 20)
            .go_deletes(10, 30)
            .load(39, B, 5)
            .fate(Read, Fate::delivered(0, 15))
            .get(60, B),
    );
}

#[test]
fn h2_a_removal_that_answers_go_is_not_told() {
    keeps(fleet(3).load(0, A, 5).go_deletes(10, 2).get(30, B));
}

#[test]
fn g2_what_go_sets_after_it_deleted_stays() {
    for told in 0..40 {
        keeps(
            fleet(3)
                .load(0, A, 5)
                .go_deletes(10, told)
                .go_sets(11, told)
                .load(12, B, 5)
                .get(60, A)
                .get(60, C),
        );
    }
}

#[test]
fn g2_what_was_inserted_after_go_deleted_stays() {
    for at in 0..40 {
        keeps(
            fleet(2)
                .load(0, A, 20)
                .go_deletes(10, 20)
                .insert(at, B)
                .get(80, A)
                .get(80, B),
        );
    }
}

#[test]
fn g2_a_row_that_was_written_before_go_deleted_is_removed() {
    for at in 0..30 {
        keeps(
            fleet(2)
                .write_through(0, A, 1, 20)
                .go_deletes(at, 15)
                .get(80, A)
                .get(80, B),
        );
    }
}

#[test]
fn g2_a_removal_that_comes_late_takes_nothing_newer() {
    for late in [5, 300, 3_000] {
        keeps(
            fleet(2)
                .load(0, A, 5)
                .go_deletes(10, 2)
                .repair(Fate::delivered(late, 1))
                .go_sets(15, 2)
                .get(5_000, B),
        );
    }
}

// ---- what loads tell ----

#[test]
fn h1_what_a_refresh_replaced_is_kept_nowhere() {
    for bus in [Bus::WithChange, Bus::Publish, Bus::Watched] {
        keeps(
            Plan::scripted(2)
                .bus(bus)
                .load(0, A, 5)
                .get(20, B)
                .refresh(30, A, 5)
                .get(60, B),
        );
    }
}

#[test]
fn h1_what_was_read_before_a_refresh_is_heard_of_is_not_kept() {
    for back in 0..20 {
        keeps(
            fleet(2)
                .load(0, A, 5)
                .refresh(20, A, 5)
                .load(20, B, 5)
                .fate(Read, Fate::delivered(1, back))
                .get(60, B),
        );
    }
}

#[test]
fn h1_among_strangers_a_load_ends_what_another_kept_of_a_fill_that_was_lost() {
    keeps(
        fleet(2)
            .go_deletes(1, 1)
            .load(10, B, 5)
            .fate(Fill, Fate::lost())
            .load(400, A, 5)
            .get(500, B),
    );
}
