//! Kept cases of generations: what PROTOCOL.md says would happen without T1 to T8.

use jetcache_tests::sim::Point::{Hear, News, Raise, Write};
use jetcache_tests::sim::{Bus, Fate, Plan, Promise};

use super::{A, B, and, keeps};

/// Two tags.
pub(super) const T: usize = 0;
pub(super) const U: usize = 1;

/// Nodes whose L2 keeps a log, and nobody who tells of it.
pub(super) fn nodes(nodes: usize) -> Plan {
    Plan::scripted(nodes).log()
}

/// Nodes that L2 tells of every change and every raise.
pub(super) fn fleet(count: usize) -> Plan {
    nodes(count).bus(Bus::WithChange)
}

#[test]
fn t1_what_began_to_load_before_the_namespace_was_cleared_is_dead_in_l2() {
    keeps(nodes(2).load(0, A, 50).clear(20, A).get(100, A).get(100, B));
}

#[test]
fn t6_who_asks_after_a_clear_does_not_wait_for_a_load_that_is_in_vain() {
    for raiser in [A, B] {
        let plan = fleet(2).get(0, B).load(10, A, 90).clear(30, raiser);
        let report = keeps(plan.load(40, A, 5).load(60, B, 5));
        let waits = report.trace.iter().any(|line| line.contains("Ask(Pause"));
        let loads = report
            .trace
            .iter()
            .filter(|line| line.contains("): Ask(Load)"));
        and(
            &report,
            !waits && loads.count() > 1,
            Promise::P1,
            "it waits",
        );
    }
}

#[test]
fn t1_what_was_written_before_a_raise_is_dead_when_it_settles_after_it() {
    keeps(
        fleet(2)
            .write_through(0, A, 5, 60)
            .tagged(&[T])
            .raise(30, B, T)
            .get(100, B)
            .get(100, A),
    );
}

#[test]
fn t1_a_raise_that_was_not_acknowledged_has_no_number() {
    keeps(
        nodes(2)
            .get(0, A)
            .raise(10, A, T)
            .fate(Raise, Fate::lost())
            .load(35, A, 5)
            .tagged(&[T])
            .raise(60, B, T)
            .get(90, B)
            .get(300, A),
    );
}

#[test]
fn t2_news_is_asked_for_before_l2_is_believed() {
    keeps(
        nodes(2)
            .load(0, A, 5)
            .tagged(&[T])
            .get(20, B)
            .other_key()
            .raise(40, A, T)
            .get(60, B),
    );
}

/// By the time its page is read, the tag has been raised again.
#[test]
fn t2_a_page_of_news_does_not_pass_for_all_of_them() {
    for again in 50..60 {
        keeps(
            nodes(2)
                .pages(1)
                .load(0, A, 5)
                .tagged(&[T])
                .get(20, B)
                .other_key()
                .raise(30, A, T)
                .raise(40, A, U)
                .get(50, B)
                .raise(again, A, T),
        );
    }
}

#[test]
fn t2_what_is_dead_is_not_present() {
    use jetcache_core::Condition::{Absent, Present};
    for condition in [Absent, Present] {
        keeps(
            nodes(2)
                .load(0, A, 5)
                .tagged(&[T])
                .raise(40, B, T)
                .insert_if(60, A, condition)
                .get(90, A)
                .get(90, B),
        );
    }
}

#[test]
fn t3_who_hears_of_a_later_raise_does_not_know_the_one_before() {
    keeps(
        fleet(2)
            .load(0, A, 5)
            .tagged(&[T])
            .get(20, B)
            .other_key()
            .raise(40, A, T)
            .pause(Hear, 100)
            .raise(50, A, U)
            .get(70, B),
    );
}

#[test]
fn t4_an_older_raise_does_not_take_the_place_of_a_later_one() {
    keeps(
        fleet(2)
            .get(0, B)
            .other_key()
            .raise(20, A, T)
            .pause(Hear, 60)
            .load(30, A, 5)
            .tagged(&[T])
            .raise(50, A, T)
            .get(100, B),
    );
}

#[test]
fn t4_what_was_learnt_beside_another_key_is_news() {
    keeps(
        fleet(2)
            .load(0, A, 5)
            .tagged(&[T])
            .raise(40, B, T)
            .pause(Hear, 100)
            .get(60, A)
            .other_key()
            .get(80, A)
            .get(200, A),
    );
}

#[test]
fn t5_a_hit_looks_whether_one_of_its_tags_was_raised() {
    keeps(
        nodes(1)
            .load(0, A, 5)
            .tagged(&[T, U])
            .raise(20, A, U)
            .get(40, A),
    );
}

#[test]
fn t5_a_clear_waits_for_a_write_that_was_announced() {
    keeps(
        nodes(2)
            .load(0, A, 5)
            .get(30, B)
            .pause(Write, 40)
            .clear(37, B)
            .get(90, B),
    );
}

#[test]
fn t5_a_tag_waits_for_nobody() {
    keeps(
        nodes(2)
            .load(0, A, 5)
            .tagged(&[T])
            .get(30, B)
            .pause(Write, 40)
            .raise(37, B, T)
            .get(90, B),
    );
}

#[test]
fn t6_a_flight_that_was_cleared_does_not_write_l1() {
    keeps(nodes(1).load(0, A, 50).clear(20, A).get(100, A));
}

#[test]
fn t6_who_joins_after_a_raise_is_not_given_what_began_before() {
    for tags in [&[T][..], &[U]] {
        keeps(
            nodes(1)
                .load(0, A, 50)
                .tagged(tags)
                .raise(20, A, T)
                .load(30, A, 5),
        );
    }
}

#[test]
fn t7_a_log_that_is_missing_is_not_an_empty_one() {
    for (top, list) in [(true, true), (true, false), (false, true)] {
        keeps(
            nodes(2)
                .load(0, A, 5)
                .tagged(&[T])
                .raise(40, A, T)
                .loses_log(50, top, list)
                .get(60, B)
                .get(90, A),
        );
    }
}

#[test]
fn t7_numbers_do_not_begin_again() {
    keeps(
        nodes(2)
            .raise(0, A, T)
            .load(10, B, 5)
            .tagged(&[U])
            .loses_log(40, true, true)
            .dies(41, A, Some(1))
            .raise(50, A, U)
            .get(70, B),
    );
}

#[test]
fn t7_an_ensure_lifts_the_log_above_what_its_sender_knows() {
    keeps(
        nodes(2)
            .failover_window(1_000)
            .get(0, A)
            .raise(30, B, U)
            .get(40, A)
            .fate(News, Fate::lost())
            .dies(62, B, None)
            .fails_over(65, 40)
            .get(70, A)
            .get(100, A)
            .get(130, A),
    );
}

#[test]
fn t8_a_raise_that_was_not_acknowledged_is_news() {
    keeps(
        nodes(1)
            .load(0, A, 5)
            .tagged(&[T])
            .raise(20, A, T)
            .fate(Raise, Fate::lost())
            .get(45, A),
    );
}

#[test]
fn t8_what_was_judged_while_a_raise_was_on_its_way_is_dead_when_it_returns() {
    keeps(
        nodes(2)
            .load(0, B, 5)
            .tagged(&[T])
            .get(20, A)
            .other_key()
            .raise(40, A, T)
            .fate(Raise, Fate::delivered(10, 5))
            .get(42, A)
            .get(60, A),
    );
}

#[test]
fn t8_l2_is_not_believed_about_what_is_pending() {
    keeps(
        nodes(2)
            .load(0, B, 5)
            .tagged(&[T])
            .raise(40, A, T)
            .fate(Raise, Fate::lost())
            .get(65, A)
            .get(500, A),
    );
    keeps(
        nodes(2)
            .load(0, B, 5)
            .clear(40, A)
            .fate(Raise, Fate::lost())
            .get(65, A)
            .get(500, A),
    );
}

#[test]
fn t8_an_older_answer_does_not_end_what_is_pending() {
    // The first raise is repeated at 70 ms, which is answered at 86; the load begins at + 6.
    for at in 60..85 {
        keeps(
            nodes(2)
                .get(0, B)
                .raise(0, A, T)
                .fate(Raise, Fate::lost())
                .again(Fate::delivered(1, 15))
                .load(at, B, 1)
                .tagged(&[T])
                .raise(at + 7, A, T)
                .fate(Raise, Fate::failed(5))
                .get(at + 22, A),
        );
    }
}

// What the simulation found.

#[test]
fn t7_a_log_without_its_highest_number_may_have_lost_raises_as_well() {
    keeps(
        nodes(2)
            .failover_window(1_000)
            .load(0, A, 5)
            .tagged(&[T])
            .get(20, B)
            .other_key()
            .raise(30, A, U)
            .loses_log(34, true, false)
            .raise(50, A, T)
            .get(60, B)
            .other_key()
            .fate(News, Fate::lost())
            .fails_over(90, 50)
            .get(95, B)
            .get(130, B),
    );
}

#[test]
fn p7_what_a_raise_has_outlived_ends_as_any_other_answer() {
    keeps(
        nodes(1)
            .ttl(40)
            .load(0, A, 30)
            .tagged(&[T])
            .load(5, A, 5)
            .held(6, 200)
            .raise(20, A, T),
    );
}
