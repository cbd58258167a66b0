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
use self::behaviour::lookup::{cap, clock, flights, levels, stale, unchanged};
use self::behaviour::node::{caches, handle};
use self::behaviour::seen::{check, export, logs, names};
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
