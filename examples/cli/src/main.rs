//! `jetcache`: for people who run services with jetcache and want to know what is going on.
//!
//! ```text
//! jetcache inspect users:7                  what stands under a key, and who loads it
//! jetcache scan users:                      what a cache has in Redis, counted
//! jetcache watch jetcache                   what nodes tell each other
//! jetcache invalidate users:7 --channel jetcache
//! jetcache top http://10.0.0.1:9000/metrics http://10.0.0.2:9000/metrics
//! ```
//!
//! `--help` says the rest. The exit code is 0 if it did what it was asked to, 1 if it could not, 2 for a
//! command line that it does not understand, and 3 if nothing stands under an inspected key.

mod args;
mod entry;
mod failure;
mod inspect;
mod invalidate;
mod scan;
mod server;
mod top;
mod watch;

use std::io::{Write, stderr, stdout};
use std::process::ExitCode;

use crate::args::{Command, Parsed, USAGE};
use crate::failure::Failure;

fn main() -> ExitCode {
    let outcome = match args::parse() {
        Ok(Parsed::Help) => print(USAGE),
        Ok(Parsed::Version) => print(&format!("jetcache {}\n", env!("CARGO_PKG_VERSION"))),
        Ok(Parsed::Command(command)) => run(&command),
        Err(failure) => Err(failure),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(text) = failure.text() {
                // Nothing can be done about a stderr that is gone.
                let _ = writeln!(stderr(), "jetcache: {text}");
            }
            failure.code()
        }
    }
}

fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Inspect(options) => inspect::run(options),
        Command::Scan(options) => scan::run(options),
        Command::Watch(options) => watch::run(options),
        Command::Invalidate(options) => invalidate::run(options),
        Command::Top(options) => top::run(options),
    }
}

fn print(text: &str) -> Result<(), Failure> {
    Ok(stdout().write_all(text.as_bytes())?)
}
