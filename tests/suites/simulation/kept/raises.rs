//! Kept cases of generations: what PROTOCOL.md says would happen without T9 to T12.

use jetcache_tests::sim::Point::{Hear, Raise, Remove, Top};
use jetcache_tests::sim::{Bus, Fate, Plan, Promise};

use super::generations::{T, U, fleet, nodes};
use super::{A, B, and, keeps};

const C: usize = 2;

/// The bus is not L2's own server.
#[test]
fn t7_what_an_ensure_has_raised_is_told() {
    let plan = nodes(2).bus(Bus::Publish).load(0, A, 5).get(20, B);
    let report = keeps(plan.loses_log(30, true, true).get(40, A).other_key());
    let mut heard = report
        .trace
        .iter()
        .skip_while(|line| !line.contains("L2 loses its log"));
    let hears = |line: &String| line.contains("node 1 hears") && line.contains("raise: Some");
    let hears = heard.any(hears);
    and(&report, hears, Promise::P2, "nobody is told of the new log");
}

#[test]
fn t9_who_was_cut_off_looks_at_the_log_before_it_believes_l2() {
    keeps(
        fleet(2)
            .cluster()
            .load(0, A, 5)
            .tagged(&[T])
            .get(30, B)
            .other_key()
            .cut(40, B, 20, 5)
            .raise(50, A, T)
            .get(100, B),
    );
}

#[test]
fn t9_a_look_from_before_the_cut_is_none() {
    for looked in 20..90 {
        keeps(
            fleet(2)
                .cluster()
                .load(0, A, 5)
                .tagged(&[T])
                .cut(30, B, 20, 5)
                .raise(50, A, T)
                .get(looked, B)
                .other_key()
                .fate(Top, Fate::delivered(1, 15))
                .get(100, B),
        );
    }
}

#[test]
fn t9_who_has_just_begun_looks_at_the_log() {
    keeps(
        nodes(2)
            .cluster()
            .load(0, A, 5)
            .tagged(&[T])
            .raise(40, A, T)
            .dies(50, B, Some(1))
            .get(60, B),
    );
}

#[test]
fn t10_a_repeated_raise_tells_of_another_one_between() {
    // Or its own event would come before the answer, and be news.
    keeps(
        nodes(2)
            .bus(Bus::Publish)
            .raise(0, A, T)
            .fate(Raise, Fate::lost())
            .load(30, A, 5)
            .tagged(&[T])
            .raise(60, B, T)
            .pause(Hear, 1_000)
            .get(1_200, A),
    );
}

#[test]
fn t10_a_node_hears_of_its_own_raise_that_lands_late() {
    keeps(
        fleet(2)
            .cluster()
            .get(0, A)
            .get(0, B)
            .raise(10, B, T)
            .fate(Raise, Fate::delivered(500, 1))
            .load(700, B, 5)
            .tagged(&[T])
            .get(750, A),
    );
}

#[test]
fn t11_a_change_that_does_not_fit_has_its_bucket_raised() {
    keeps(overflows(nodes(1)).get(50, A).get(400, A));
}

#[test]
fn t11_who_hears_of_a_bucket_empties_l1() {
    keeps(overflows(fleet(2).get(12, B)).get(600, B));
}

/// Two changes are lost, and there is room for one: that of the first key does not fit.
fn overflows(plan: Plan) -> Plan {
    plan.room_for_one()
        .load(0, A, 2)
        .invalidate(30, A)
        .other_key()
        .fate(Remove, Fate::lost())
        .invalidate(30, A)
        .fate(Remove, Fate::lost())
}

#[test]
fn t12_what_another_primary_lacks_is_raised_anew() {
    keeps(
        nodes(2)
            .failover_window(1_000)
            .load(0, A, 5)
            .tagged(&[T])
            .raise(30, A, T)
            .fails_over(40, 15)
            // Or the number alone would show that something is lost.
            .raise(50, B, U)
            .get(60, A)
            .other_key()
            .get(100, B),
    );
}

#[test]
fn t12_what_is_raised_anew_gets_a_new_number() {
    keeps(
        nodes(2)
            .bus(Bus::Publish)
            .failover_window(1_000)
            .load(0, A, 5)
            .tagged(&[T])
            .cut(25, B, 5, 5)
            .raise(30, A, T)
            .fails_over(34, 10)
            .raise(40, B, U)
            .get(50, B)
            .other_key()
            .get(60, A)
            .other_key(),
    );
}

#[test]
fn t12_a_late_answer_of_the_old_primary_does_not_count() {
    keeps(
        nodes(2)
            .failover_window(1_000)
            .load(0, A, 5)
            .tagged(&[T])
            .raise(30, A, T)
            .fate(Raise, Fate::delivered(1, 18))
            .fails_over(35, 10)
            .get(36, A)
            .other_key()
            .raise(60, B, U)
            .get(100, B),
    );
}

#[test]
fn t12_what_is_heard_within_the_window_is_raised_anew() {
    keeps(
        nodes(3)
            .bus(Bus::Publish)
            .failover_window(1_000)
            .slow(B, 40)
            .slow(C, 60)
            .load(0, A, 5)
            .tagged(&[T])
            .raise(30, A, T)
            .fails_over(34, 10)
            .dies(36, A, None)
            .raise(36, C, U)
            .get(40, B)
            .other_key(),
    );
}

#[test]
fn t12_what_is_heard_late_is_raised_anew_though_the_log_has_gone_on() {
    keeps(
        nodes(3)
            .bus(Bus::Publish)
            .failover_window(1_000)
            .slow(B, 40)
            .slow(C, 60)
            .load(0, A, 5)
            .tagged(&[T])
            .raise(30, A, T)
            .fails_over(34, 10)
            .dies(36, A, None)
            .get(40, B)
            .other_key()
            .get(45, C)
            .other_key()
            .raise(60, C, U)
            .get(90, B)
            .other_key(),
    );
}
