//! Why the program did not do what it was asked to.

use std::io;
use std::process::ExitCode;

use jetcache_core::Fault;

/// A failure, which decides the exit code.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line makes no sense.
    Usage(String),
    /// It could not be done.
    Failed(String),
    /// Nothing stands under the key.
    Nothing,
    /// Nobody reads the output any more, as when `head` has enough.
    Unread,
}

impl Failure {
    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }

    /// What to say on stderr.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Usage(text) => Some(format!("{text}\nTry `jetcache --help`.")),
            Self::Failed(text) => Some(text.clone()),
            Self::Nothing | Self::Unread => None,
        }
    }

    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Nothing => 3,
            Self::Unread => 0,
        })
    }
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Self {
        Self::Usage(error.to_string())
    }
}

/// Of writing to stdout, which is all the I/O of our own.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Unread,
            _ => Self::Failed(format!("cannot write: {error}")),
        }
    }
}

impl From<redis::RedisError> for Failure {
    fn from(error: redis::RedisError) -> Self {
        Self::Failed(format!(
            "Redis: {error}; is --redis right, and may this user do it?"
        ))
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let advice = advice(&fault);
        Self::Failed(format!("Redis: {fault}; {advice}"))
    }
}

/// What to do about it.
pub(crate) fn advice(fault: &Fault) -> &'static str {
    match fault {
        // The library names what serves a cluster; here it is an option.
        Fault::Refused(why) if why.contains("node of a cluster") => "give --cluster",
        Fault::Refused(_) => "may this user do it?",
        _ => "is --redis right?",
    }
}
