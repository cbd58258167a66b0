//! What a cache does, on every runtime, over an L2 in the process and over a real Redis.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "behaviour/airwaves.rs"]
mod airwaves;
#[path = "behaviour/batches.rs"]
mod batches;
#[path = "behaviour/bytes.rs"]
mod bytes;
#[path = "behaviour/changes.rs"]
mod changes;
#[path = "behaviour/fleet.rs"]
mod fleet;
#[path = "behaviour/flights.rs"]
mod flights;
#[path = "behaviour/levels.rs"]
mod levels;
#[path = "behaviour/nodes.rs"]
mod nodes;
#[path = "behaviour/outages.rs"]
mod outages;
#[path = "behaviour/refresh.rs"]
mod refresh;
#[path = "behaviour/stage.rs"]
mod stage;
#[path = "behaviour/writes.rs"]
mod writes;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

use self::stage::{Case, Host, L2, Stage};

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
            ]
            .concat();
            trials.extend(cases.into_iter().map(|case| trial(host, l2, case)));
        }
        trials.extend(
            [
                outages::CASES,
                nodes::OWN_REDIS,
                writes::OWN_REDIS,
                refresh::OWN_REDIS,
            ]
            .concat()
            .into_iter()
            .map(|case| trial(host, L2::OwnRedis, case)),
        );
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(host: Host, l2: L2, (name, case): (&'static str, Case)) -> Trial {
    Trial::test(
        format!("{host:?}::{l2:?}::{name}").to_lowercase(),
        move || {
            let stage = Stage::new(host, l2, name);
            host.block_on(case(&stage));
            Ok(())
        },
    )
}
