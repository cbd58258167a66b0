//! What the command line says.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use lexopt::{Arg, Parser, ValueExt};

/// Where the shop listens, and what it stands on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    /// Without it there is L1 alone, and no bus.
    pub(crate) redis: Option<String>,
    pub(crate) db: PathBuf,
}

/// Why there is nothing to run.
#[derive(Debug)]
pub(crate) enum Reply {
    Help,
    Wrong(lexopt::Error),
}

impl Config {
    /// What this process was started with.
    ///
    /// # Errors
    /// If help was asked for, or an argument is wrong: to be printed.
    pub(crate) fn from_env() -> Result<Self, Reply> {
        Self::from_args(std::env::args_os().skip(1))
    }

    fn from_args(args: impl IntoIterator<Item = OsString>) -> Result<Self, Reply> {
        let mut config = Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            redis: None,
            // Nodes that are started without an option share it.
            db: std::env::temp_dir().join("jetcache-shop.db"),
        };
        let mut parser = Parser::from_args(args);
        while let Some(arg) = parser.next()? {
            match arg {
                Arg::Long("help") | Arg::Short('h') => return Err(Reply::Help),
                Arg::Long("listen") => config.listen = parser.value()?.parse()?,
                Arg::Long("redis") => config.redis = Some(parser.value()?.string()?),
                Arg::Long("db") => config.db = parser.value()?.into(),
                _ => return Err(arg.unexpected().into()),
            }
        }
        Ok(config)
    }
}

impl Reply {
    /// Prints it, and says what the process ends with.
    #[expect(
        clippy::print_stdout,
        clippy::print_stderr,
        reason = "there is no log yet, and whoever started it looks at the terminal"
    )]
    pub(crate) fn print(self) -> ExitCode {
        match self {
            Self::Help => {
                println!("{USAGE}");
                ExitCode::SUCCESS
            }
            Self::Wrong(error) => {
                eprintln!("shop: {error}\n{USAGE}");
                ExitCode::from(2)
            }
        }
    }
}

impl From<lexopt::Error> for Reply {
    fn from(error: lexopt::Error) -> Self {
        Self::Wrong(error)
    }
}

const USAGE: &str = "usage: shop [--listen ADDRESS:PORT] [--redis URL] [--db FILE]";

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Config, Reply> {
        Config::from_args(args.iter().map(OsString::from))
    }

    #[test]
    fn without_arguments_it_runs_without_redis() {
        let config = parsed(&[]).unwrap();
        assert_eq!(config.redis, None);
        assert!(config.listen.ip().is_loopback());
    }

    #[test]
    fn each_option_is_heard() {
        let config = parsed(&["--listen", "[::1]:7", "--redis=redis://r", "--db", "x"]).unwrap();
        let wanted = Config {
            listen: "[::1]:7".parse().unwrap(),
            redis: Some("redis://r".into()),
            db: "x".into(),
        };
        assert_eq!(config, wanted);
    }

    #[test]
    fn what_it_does_not_know_is_refused() {
        for args in [&["--port"][..], &["x"], &["--listen", "here"], &["--db"]] {
            assert!(matches!(parsed(args), Err(Reply::Wrong(_))), "{args:?}");
        }
        assert!(matches!(parsed(&["-h"]), Err(Reply::Help)));
    }
}
