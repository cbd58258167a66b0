//! Kept cases: what PROTOCOL.md says would happen without a rule, and what the simulation once
//! found, as step lists.
//!
//! In a script a way to L2 or back takes 1 ms, the timeout of L2 is 20 ms, a load may take 100 ms,
//! a lease stands for 180 ms and is waited for for 40 ms; all else happens at once.

#[path = "kept/failover.rs"]
mod failover;
#[path = "kept/fleet.rs"]
mod fleet;
#[path = "kept/generations.rs"]
mod generations;
#[path = "kept/go.rs"]
mod go;
#[path = "kept/luck.rs"]
mod luck;
#[path = "kept/raises.rs"]
mod raises;
#[path = "kept/unchanged.rs"]
mod unchanged;

use jetcache_core::{Condition, Kind};
use jetcache_tests::sim::Point::{Claim, Fill, Join, Lease, Poll, Read, Remove, Step, Write};
use jetcache_tests::sim::{Fate, Plan, Promise, Report, run};

const A: usize = 0;
const B: usize = 1;

/// The promises hold. Returns what happened.
fn keeps(plan: Plan) -> Report {
    let report = run(plan, true);
    if let Some(broken) = &report.broken {
        for line in &report.trace {
            eprintln!("{line}");
        }
        panic!("kept case, step {}: {broken}", report.steps);
    }
    report
}

/// And this promise, too, which shows in what happened.
fn and(report: &Report, holds: bool, promise: Promise, how: &str) {
    if !holds {
        panic!(
            "kept case, step {}: {promise:?} is broken: {how}",
            report.steps
        );
    }
}

#[test]
fn r1_a_flight_that_fails_gives_its_lease_back() {
    keeps(Plan::scripted(1).load_fails(0, A, 5));
}

#[test]
fn r1_a_leader_that_vanishes_gives_its_lease_back() {
    keeps(Plan::scripted(1).load(0, A, 50).dropped(20));
}

#[test]
fn r1_a_lease_whose_reply_timed_out_is_given_back_when_it_comes() {
    let late = Fate::delivered(30, 1);
    keeps(Plan::scripted(1).load(0, A, 5).fate(Lease, late));
}

#[test]
fn r1_a_lease_whose_asker_is_gone_is_given_back_when_the_reply_comes() {
    keeps(Plan::scripted(1).load(0, A, 5).dropped(3));
}

#[test]
fn r2_who_gave_up_waiting_for_the_lease_does_not_fill() {
    keeps(
        Plan::scripted(2)
            .load(0, A, 90)
            .load(5, B, 50)
            .invalidate(60, A)
            .get(130, A),
    );
}

#[test]
fn r3_what_l2_refused_is_not_kept_in_l1() {
    keeps(
        Plan::scripted(2)
            .load(0, A, 50)
            .invalidate(20, B)
            .get(80, A),
    );
}

#[test]
fn r4_a_change_waits_for_a_write_that_was_announced() {
    keeps(
        Plan::scripted(1)
            .load(0, A, 5)
            .pause(Write, 30)
            .invalidate(15, A)
            .get(60, A),
    );
}

#[test]
fn p7_who_joined_late_is_not_given_what_ended_during_the_fill() {
    keeps(
        Plan::scripted(1)
            .ttl(5)
            .load(0, A, 5)
            .fate(Fill, Fate::delivered(15, 1))
            .load(6, A, 5),
    );
}

#[test]
fn s4_a_stale_value_takes_the_place_of_nothing_fresh() {
    keeps(
        Plan::scripted(2)
            .ttl(200)
            .stale(5_000, 50)
            .slow(A, 500)
            .load(0, A, 1)
            .load_fails(300, A, 60)
            .insert(315, B)
            .get(330, A),
    );
}

#[test]
fn r5_a_superseded_flight_takes_nobody_on_board() {
    keeps(
        Plan::scripted(1)
            .load(0, A, 90)
            .invalidate(20, A)
            .load(30, A, 5),
    );
}

#[test]
fn r6_what_a_get_found_does_not_enter_l1_behind_a_change() {
    keeps(
        Plan::scripted(2)
            .load(0, A, 5)
            .get(20, B)
            .fate(Read, Fate::delivered(1, 10))
            .invalidate(22, B)
            .get(40, B),
    );
}

#[test]
fn c1_what_a_reader_kept_during_a_removal_is_gone_when_it_returns() {
    keeps(
        Plan::scripted(2)
            .load(0, A, 5)
            .invalidate(20, B)
            .fate(Remove, Fate::delivered(5, 5))
            .load(21, B, 5)
            .get(40, B),
    );
}

#[test]
fn c1_of_two_inserts_the_one_that_l2_took_first_is_not_kept() {
    keeps(
        Plan::scripted(1)
            .insert(0, A)
            .fate(Claim, Fate::delivered(5, 1))
            .insert(1, A)
            .fate(Fill, Fate::lost())
            .get(40, A),
    );
}

#[test]
fn c3_an_insert_that_was_given_up_does_not_come_back() {
    keeps(
        Plan::scripted(2)
            .insert(0, A)
            .fate(Claim, Fate::delivered(50, 1))
            .fate(Fill, Fate::delivered(40, 1))
            .insert(42, B)
            .get(70, B),
    );
}

#[test]
fn c3_an_insert_that_l2_refused_is_not_kept_in_l1() {
    keeps(
        Plan::scripted(2)
            .insert(0, A)
            .fate(Fill, Fate::delivered(5, 1))
            .insert(2, B)
            .get(20, A),
    );
}

#[test]
fn c5_a_removal_that_was_lost_is_repeated_and_l2_not_believed_meanwhile() {
    keeps(
        Plan::scripted(1)
            .load(0, A, 5)
            .invalidate(20, A)
            .fate(Remove, Fate::lost())
            .get(50, A)
            .get(200, A),
    );
}

#[test]
fn c5_an_older_acknowledgement_does_not_end_the_doubt() {
    keeps(
        Plan::scripted(2)
            .invalidate(0, A)
            .fate(Remove, Fate::delivered(1, 17))
            .load(2, B, 2)
            .invalidate(10, A)
            .fate(Remove, Fate::failed(2))
            .get(20, A),
    );
}

#[test]
fn c3_an_undecided_insert_keeps_nothing() {
    keeps(
        Plan::scripted(1)
            .insert_if(0, A, Condition::Absent)
            .fate(Claim, Fate::lost())
            .get(30, A),
    );
}

#[test]
fn c5_a_change_whose_task_is_gone_leaves_doubt() {
    keeps(
        Plan::scripted(1)
            .load(0, A, 5)
            .invalidate(20, A)
            .fate(Remove, Fate::lost())
            .dropped(25)
            .get(30, A),
    );
}

#[test]
fn c5_a_change_that_does_not_fit_makes_the_node_do_without_l2() {
    keeps(
        Plan::scripted(1)
            .room_for_one()
            .load(0, A, 5)
            .invalidate(20, A)
            .other_key()
            .fate(Remove, Fate::lost())
            .invalidate(20, A)
            .fate(Remove, Fate::lost())
            .get(50, A),
    );
}

#[test]
fn c5_a_change_that_does_not_fit_is_kept_for_as_long_as_an_older_load_may_fill() {
    keeps(
        Plan::scripted(2)
            .room_for_one()
            .ttl(60)
            .load(0, B, 90)
            .invalidate(20, A)
            .other_key()
            .fate(Remove, Fate::lost())
            .invalidate(20, A)
            .fate(Remove, Fate::lost())
            .get(110, A),
    );
}

#[test]
fn c5_a_change_that_does_not_fit_is_kept_for_as_long_as_a_placeholder_lives() {
    keeps(
        Plan::scripted(2)
            .room_for_one()
            .ttl(60)
            .negative_ttl(60_000)
            .load_absent(0, B, 5)
            .invalidate(20, A)
            .other_key()
            .fate(Remove, Fate::lost())
            .invalidate(20, A)
            .fate(Remove, Fate::lost())
            .get(30_000, A),
    );
}

#[test]
fn c5_a_repeated_removal_costs_a_newer_insert_no_more_than_a_miss() {
    keeps(
        Plan::scripted(2)
            .insert(0, A)
            .fate(Claim, Fate::unanswered(15))
            .repair(Fate::delivered(15, 1))
            .insert(30, B)
            .get(80, B)
            .get(120, A),
    );
}

// What the simulation found.

#[test]
fn a_conditional_insert_that_was_overtaken_does_not_return_before_l1_is_clean() {
    keeps(
        Plan::scripted(1)
            .kind(Kind::Local)
            .load(0, A, 5)
            .insert_if(20, A, Condition::Present)
            .pause(Step, 0)
            .pause(Step, 5)
            .insert(22, A)
            .pause(Poll, 10)
            .get(26, A),
    );
}

#[test]
fn a_leader_that_vanishes_in_its_write_to_l1_gives_its_lease_back() {
    // It finds what A filled in its second look, and has the lease all the same.
    keeps(
        Plan::scripted(2)
            .load(0, A, 5)
            .load(4, B, 5)
            .fate(Read, Fate::delivered(1, 4))
            .pause(Write, 10)
            .dropped(16),
    );
}

#[test]
fn a_flight_that_found_what_a_change_then_removed_from_l1_looks_again() {
    keeps(
        Plan::scripted(1)
            .load(0, A, 5)
            // It finds nothing in L1, and joins when the removal is under way.
            .load(0, A, 5)
            .pause(Join, 23)
            .pause(Step, 0)
            .pause(Step, 20)
            .invalidate(20, A)
            .pause(Poll, 5)
            .load(30, A, 5),
    );
}

#[test]
fn of_two_leaders_that_write_l1_at_once_each_write_is_ended() {
    keeps(
        Plan::scripted(2)
            .load(0, A, 5)
            .pause(Write, 60)
            .dropped(60)
            .load(0, A, 5)
            .pause(Write, 40)
            .invalidate(100, A),
    );
}

#[test]
fn a_silent_leader_and_a_silent_longest_waiter_keep_nobody_waiting() {
    keeps(
        Plan::scripted(1)
            .load(0, A, 50)
            .held(10, u64::MAX)
            .load(1, A, 5)
            .held(10, u64::MAX)
            .load(2, A, 5),
    );
}

#[test]
fn a_lease_granted_late_is_not_the_one_that_was_held_when_the_load_began() {
    keeps(
        Plan::scripted(2)
            .load(10, A, 5)
            .fate(Lease, Fate::delivered(57, 1))
            .dropped(14)
            .load(11, A, 60)
            // A's doubt keeps the second leader from asking for a lease of its own.
            .invalidate(12, A)
            .fate(Remove, Fate::failed(1))
            .invalidate(66, B),
    );
}

#[test]
fn a_token_is_not_granted_again_after_a_change_took_it_away() {
    keeps(
        Plan::scripted(2)
            .load(0, A, 5)
            .fate(Lease, Fate::unanswered(30))
            .dropped(4)
            .load(1, A, 60)
            .invalidate(20, B),
    );
}
