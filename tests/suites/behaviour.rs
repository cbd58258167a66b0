//! What a cache does, on every runtime, over an L2 in the process and over a real Redis.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod behaviour {
    pub(crate) mod airwaves;
    pub(crate) mod batches;
    pub(crate) mod bytes;
    pub(crate) mod changes;
    pub(crate) mod clock;
    pub(crate) mod fleet;
    pub(crate) mod flights;
    pub(crate) mod hostile;
    pub(crate) mod levels;
    pub(crate) mod moody;
    pub(crate) mod nodes;
    pub(crate) mod outages;
    pub(crate) mod refresh;
    pub(crate) mod runtimes;
    pub(crate) mod stage;
    pub(crate) mod writes;
}

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

use self::behaviour::stage::{Case, Host, L2, Stage};
use self::behaviour::{
    batches, bytes, changes, clock, fleet, flights, hostile, levels, nodes, outages, refresh,
    runtimes, writes,
};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for host in Host::ALL {
        for l2 in [L2::Memory, L2::Redis] {
            let cases = [
                flights::CASES,
                levels::CASES,
                changes::CASES,
                batches::CASES,
                bytes::CASES,
                nodes::CASES,
                writes::CASES,
                fleet::CASES,
                refresh::CASES,
            ];
            trials.extend(
                cases
                    .concat()
                    .into_iter()
                    .map(|case| on_stage(host, l2, case)),
            );
        }
        let cases = [
            outages::CASES,
            nodes::OWN_REDIS,
            writes::OWN_REDIS,
            refresh::OWN_REDIS,
        ];
        let cases = cases.concat().into_iter();
        trials.extend(cases.map(|case| on_stage(host, L2::OwnRedis, case)));
        let cases = clock::CASES.iter();
        trials.extend(
            cases.map(|&(name, case)| trial(&format!("{host:?}::clock"), name, move || case(host))),
        );
    }
    let cases = hostile::CASES.iter();
    trials.extend(cases.map(|&(name, case)| trial("hostile", name, case)));
    let cases = runtimes::CASES.iter();
    trials.extend(cases.map(|&(name, case)| trial("runtimes", name, case)));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A case that is played by any runtime, over any L2.
fn on_stage(host: Host, l2: L2, (name, case): (&'static str, Case)) -> Trial {
    trial(&format!("{host:?}::{l2:?}"), name, move || {
        let stage = Stage::new(host, l2, name);
        host.block_on(case(&stage));
    })
}

fn trial(place: &str, name: &str, case: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(format!("{place}::{name}").to_lowercase(), move || {
        case();
        Ok(())
    })
}
