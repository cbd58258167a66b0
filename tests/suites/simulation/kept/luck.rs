//! Loads that ask for the lease at once, since L2 rarely has what they look for (PROTOCOL.md, R7).

use jetcache_tests::sim::Point::Lease;
use jetcache_tests::sim::{Fate, Plan, Promise, Report};

use super::generations::T;
use super::{A, B, and, keeps};

/// Two nodes whose loads ask for the lease at once, whatever they find.
fn hasty() -> Plan {
    Plan::scripted(2).lease_first(0, 1)
}

/// How often this was said.
fn count(report: &Report, said: &str) -> usize {
    let lines = report.trace.iter();
    lines.filter(|line| line.contains(said)).count()
}

/// So many loaders ran.
fn and_loads(report: &Report, loads: usize) {
    let ran = count(report, "its loader sees");
    let how = format!("{ran} loaders ran");
    and(report, ran == loads, Promise::P1, &how);
}

/// L2 was read so often by loads, and asked for so many leases.
fn and_looks(report: &Report, reads: usize, leases: usize) {
    let (read, leased) = (count(report, "Ask(Read)"), count(report, "Ask(Lease"));
    let how = format!("{read} reads, {leased} leases");
    and(report, (read, leased) == (reads, leases), Promise::P1, &how);
}

#[test]
fn r7_where_nothing_is_found_the_lease_is_asked_for_at_once() {
    let report = keeps(hasty().load(0, A, 5).load(10, A, 5).other_key());
    and_loads(&report, 2);
    and_looks(&report, 0, 2);
}

#[test]
fn r7_only_after_some_looks() {
    let plan = Plan::scripted(2).lease_first(1, 16);
    let report = keeps(plan.load(0, A, 5).load(20, A, 5).other_key());
    and_loads(&report, 2);
    and_looks(&report, 1, 2);
}

#[test]
fn r7_what_stands_there_is_answered_and_the_lease_given_back() {
    let report = keeps(hasty().load(0, B, 1).load(20, A, 5).get(40, A));
    and_loads(&report, 1);
    and_looks(&report, 0, 2);
}

#[test]
fn r7_what_is_absent_there_is_answered_and_the_lease_given_back() {
    let report = keeps(hasty().load_absent(0, B, 1).load_absent(20, A, 5));
    and_loads(&report, 1);
}

#[test]
fn r7_who_leaves_beside_a_lease_that_found_something_gives_it_back() {
    keeps(hasty().load(0, B, 1).load(20, A, 5).dropped(21));
}

#[test]
fn r7_what_is_loaded_elsewhere_is_waited_for() {
    let report = keeps(hasty().load(0, B, 20).load(5, A, 5));
    and_loads(&report, 1);
}

#[test]
fn r7_who_finds_something_reads_first_again() {
    let plan = Plan::scripted(2).lease_first(0, 16).ttl(100);
    let report = keeps(plan.load(0, B, 1).load(20, A, 5).load(300, A, 5));
    and_loads(&report, 2);
    // B's one lease, A's that found something, and A's for what has ended by then.
    and_looks(&report, 1, 3);
}

#[test]
fn r7_an_l2_that_is_full_still_answers_reads() {
    let plan = hasty().load(0, B, 1).load(20, A, 5);
    let report = keeps(plan.fate(Lease, Fate::refused(1)));
    and_loads(&report, 1);
    and_looks(&report, 1, 2);
}

#[test]
fn r7_after_a_lease_that_failed_loads_read_first() {
    let plan = Plan::scripted(2).lease_first(1, 1);
    let plan = plan.load(0, A, 1).load(20, A, 1).other_key();
    let plan = plan.fate(Lease, Fate::failed(1)).invalidate(30, A);
    let report = keeps(plan.load(50, A, 1));
    and_loads(&report, 3);
    and_looks(&report, 2, 3);
}

#[test]
fn r7_who_asks_for_a_lease_beside_a_value_takes_nothing_from_a_change() {
    for at in 18..26 {
        let plan = hasty().load(0, B, 1).load(20, A, 5);
        keeps(plan.insert(at, B).get(60, A).get(60, B));
        let plan = hasty().load(0, B, 1).load(20, A, 5);
        keeps(plan.invalidate(at, B).get(60, A).get(60, B));
        let plan = hasty().load(0, B, 1).load(20, A, 5);
        keeps(plan.write_through(at, B, 2, 4).get(60, A).get(60, B));
    }
}

/// Nobody tells of the raise, and B, whose looks find nothing, would never hear of it.
#[test]
fn r7_once_a_second_the_log_is_read() {
    let plan = hasty().log().load(0, B, 1).raise(100, A, T);
    let plan = plan.load(1_500, B, 1).other_key().tagged(&[T]);
    let report = keeps(plan.load(1_600, A, 1).other_key());
    let hit = count(&report, "actor 4 has its answer: Ok(Hit(Id(1)))") == 1;
    and(&report, hit, Promise::P1, "A loads what B has loaded");
}
