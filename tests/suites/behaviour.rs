//! What a cache does, on every runtime, over an L2 in the process and over a real Redis.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod behaviour {
    pub(crate) mod batch;
    pub(crate) mod blocking;
    pub(crate) mod breaker;
    pub(crate) mod change {
        pub(crate) mod changes;
        pub(crate) mod many;
        pub(crate) mod writes;
    }
    pub(crate) mod failover;
    pub(crate) mod fleet;
    pub(crate) mod hostile;
    pub(crate) mod inspect;
    pub(crate) mod lookup {
        pub(crate) mod cap;
        pub(crate) mod clock;
        pub(crate) mod flights;
        pub(crate) mod levels;
        pub(crate) mod luck;
        pub(crate) mod stale;
        pub(crate) mod unchanged;
    }
    pub(crate) mod node {
        pub(crate) mod caches;
        pub(crate) mod handle;
    }
    pub(crate) mod outages;
    pub(crate) mod refresh;
    pub(crate) mod runtimes;
    pub(crate) mod seen {
        pub(crate) mod check;
        pub(crate) mod export;
        pub(crate) mod logs;
        pub(crate) mod names;
    }
    pub(crate) mod settings;
    pub(crate) mod stage;
    pub(crate) mod tags;
    pub(crate) mod value {
        pub(crate) mod bytes;
        pub(crate) mod strangers;
        pub(crate) mod unreadable;
    }
}

use std::process::ExitCode;

use libtest_mimic::{Arguments, FormatSetting, Trial};

use self::behaviour::change::{changes, many, writes};
use self::behaviour::lookup::{cap, clock, flights, levels, luck, stale, unchanged};
use self::behaviour::node::{caches, handle};
use self::behaviour::seen::{check, export, logs, names};
use self::behaviour::stage::face;
use self::behaviour::stage::{Case, Cases, Host, L2, Stage};
use self::behaviour::value::{bytes, strangers, unreadable};
use self::behaviour::{
    batch, blocking, breaker, failover, fleet, hostile, inspect, outages, refresh, runtimes,
    settings, tags,
};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // A character a case, unless somebody looks for one.
    if arguments.filter.is_none() {
        arguments.format.get_or_insert(FormatSetting::Terse);
    }
    let mut trials = Vec::new();
    for host in Host::ALL {
        for l2 in [L2::Memory, L2::Redis] {
            let cases = ANY_L2.concat().into_iter();
            trials.extend(cases.map(|case| on_stage(host, l2, case)));
        }
        let cases = OWN_REDIS.concat().into_iter();
        trials.extend(cases.map(|case| on_stage(host, L2::OwnRedis, case)));
    }
    let cases = ANY_L2.concat().into_iter();
    for name in FOR_TASKS.iter().flat_map(|(_, names)| *names) {
        let known = cases.clone().any(|(case, _)| case == *name);
        assert!(known, "there is no case {name} any more");
    }
    trials.extend(cases.filter(|(name, _)| !is_for_tasks(name)).map(on_face));
    for host in Host::ALL.into_iter().chain([Host::Threads]) {
        let place = format!("{host:?}::clock");
        let cases = clock::CASES.iter();
        trials.extend(cases.map(|&(name, case)| trial(&place, name, move || case(host))));
        for l2 in [L2::Memory, L2::Redis] {
            let cases = blocking::CASES.iter();
            trials.extend(cases.map(|&case| on_threads(host, l2, case)));
        }
    }
    let cases = blocking::places::CASES.iter();
    trials.extend(cases.map(|&(name, case)| trial("blocking", name, case)));
    let cases = HOSTILE.concat().into_iter();
    trials.extend(cases.map(|(name, case)| trial("hostile", name, case)));
    let cases = runtimes::CASES.iter();
    trials.extend(cases.map(|&(name, case)| trial("runtimes", name, case)));
    let cases = tags::masses::CASES.iter();
    trials.extend(cases.map(|&(name, case)| trial("masses", name, case)));
    let cases = tags::weather::CASES.iter();
    trials.extend(cases.map(|&(name, case)| trial("weather", name, case)));
    let cases = (names::CASES.iter())
        .chain(check::ALONE)
        .chain(export::ALONE)
        .chain(logs::ALONE);
    trials.extend(cases.map(|&(name, case)| trial("seen", name, case)));
    let cases = settings::ALONE.iter();
    trials.extend(cases.map(|&(name, case)| trial("settings", name, case)));
    trials.push(trial(
        "breaker",
        "settings_that_cannot_work_are_named",
        breaker::settings,
    ));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A case that any runtime can play, over any L2.
fn on_stage(host: Host, l2: L2, (name, case): (&'static str, Case)) -> Trial {
    trial(&format!("{host:?}::{l2:?}"), name, move || {
        let stage = Stage::new(host, l2, name);
        host.block_on(case(&stage));
    })
}

/// A case that any L2 can play, on a thread, through the blocking face.
fn on_face((name, case): (&'static str, Case)) -> Trial {
    trial("blocking::face", name, move || {
        face::blocking(|| {
            let stage = Stage::new(Host::Threads, L2::Memory, name);
            Host::Threads.block_on(case(&stage));
        });
    })
}

/// A case that threads play, outside any runtime.
fn on_threads(host: Host, l2: L2, (name, case): (&'static str, fn(&Stage))) -> Trial {
    trial(&format!("blocking::{host:?}::{l2:?}"), name, move || {
        // Both ways play over one server.
        case(&Stage::new(host, l2, &format!("blocking-{name}")));
    })
}

fn trial(place: &str, name: &str, case: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(format!("{place}::{name}").to_lowercase(), move || {
        case();
        Ok(())
    })
}

/// Played over an L2 in the process and over a real Redis.
const ANY_L2: &[Cases<Case>] = &[
    flights::CASES,
    cap::CASES,
    levels::CASES,
    stale::CASES,
    unchanged::CASES,
    strangers::CASES,
    handle::CASES,
    check::CASES,
    export::CASES,
    logs::CASES,
    changes::CASES,
    many::CASES,
    batch::answers::CASES,
    batch::flights::CASES,
    batch::loaders::CASES,
    bytes::CASES,
    unreadable::CASES,
    inspect::CASES,
    settings::CASES,
    caches::CASES,
    tags::CASES,
    tags::fleet::CASES,
    writes::CASES,
    fleet::words::CASES,
    fleet::outages::CASES,
    refresh::turns::CASES,
    refresh::faults::CASES,
    refresh::lock::CASES,
];

/// Played over a real Redis of each case's own, which it may kill.
const OWN_REDIS: &[Cases<Case>] = &[
    outages::CASES,
    failover::CASES,
    levels::OWN_REDIS,
    luck::OWN_REDIS,
    logs::OWN_REDIS,
    breaker::CASES,
    breaker::bus::CASES,
    caches::OWN_REDIS,
    writes::OWN_REDIS,
    refresh::faults::OWN_REDIS,
    inspect::OWN_REDIS,
    tags::outages::CASES,
];

/// Played on tokio, each over an L2 of its own making.
const HOSTILE: &[Cases<fn()>] = &[
    hostile::panics::CASES,
    hostile::moods::CASES,
    hostile::endings::CASES,
    hostile::edges::CASES,
    fleet::newcomers::CASES,
];

/// Cases of any L2 that threads cannot play, and why.
const FOR_TASKS: &[(&str, &[&str])] = &[
    (
        "it polls a call by hand, or drops it in the middle: a thread makes it to its end",
        &[
            "a_leader_that_is_never_polled_is_deposed",
            "a_cancelled_leader_hands_over",
            "a_cancelled_only_caller_gives_its_lease_back",
            "a_lease_holder_that_was_paused_beyond_its_lease_is_refused",
            "a_loader_that_is_dropped_or_panics_makes_room",
            "a_registered_load_survives_its_callers",
            "a_registered_batch_loader_survives_its_callers",
            "a_cancelled_batch_hands_its_ids_over",
            "a_batch_is_deposed_id_by_id",
            "what_is_given_up_is_counted",
            "a_writer_that_is_dropped_leaves_the_key_empty",
            "without_l2_a_write_stands_in_l1",
        ],
    ),
    (
        "calls of one task are under way at once: on a thread one runs after the other",
        &[
            "a_thousand_callers_share_one_load",
            "a_panicking_loader_fails_its_flight_and_no_more",
            "a_failing_loader_fails_those_who_waited_and_is_asked_again",
            "loaders_that_ask_for_each_others_keys_are_told",
            "no_more_loaders_run_than_may",
            "who_finds_no_room_in_time_is_told",
            "who_has_a_stale_value_waits_no_longer_than_he_would",
            "a_hit_late_in_a_life_loads_anew",
            "an_eager_load_is_shown_what_is_fresh",
            "a_scrape_has_every_figure",
            "opentelemetry_has_every_figure",
            "only_waits_for_others_count_and_all_of_them",
            "a_load_that_an_invalidation_overtook_is_kept_nowhere",
            "a_load_that_an_insert_overtook_is_kept_nowhere",
            "a_load_that_another_nodes_change_overtook_is_kept_nowhere",
            "a_load_that_clear_local_overtook_is_not_kept_in_l1",
            "what_a_batch_loads_during_a_change_is_not_kept",
            "an_inspection_shows_flights_and_leases",
            "a_load_that_began_before_a_raise_is_kept_nowhere",
            "who_asks_after_a_clear_waits_for_no_load_before_it",
            "who_joins_after_a_raise_is_not_given_what_is_older",
            "what_is_loaded_during_a_write_is_kept_nowhere",
            "overlapping_writers_leave_the_key_empty",
            "an_invalidation_during_a_write_wins",
        ],
    ),
    (
        "its loader or writer never ends: nobody stops one that blocks a thread",
        &[
            "a_reload_bounds_loads_and_values",
            "a_slow_loader_times_out",
            "a_writer_that_takes_too_long_leaves_the_key_empty",
        ],
    ),
    (
        "it looks at the spans of one thread: while a loader blocks another goes on with the call",
        &["loads_and_round_trips_have_spans"],
    ),
];

fn is_for_tasks(name: &str) -> bool {
    FOR_TASKS.iter().any(|(_, names)| names.contains(&name))
}
