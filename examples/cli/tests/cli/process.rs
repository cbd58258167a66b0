//! Runs the program.

use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jetcache_tokio::{Builder, Codec, Redis};

pub(crate) type Value = Arc<String>;

/// What came of it.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn jetcache(arguments: &[&str]) -> Ended {
    let output = command(arguments).output().unwrap();
    Ended::of(output)
}

pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jetcache"));
    command.args(arguments).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Ended {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Checks its exit code and that it printed these.
    pub(crate) fn is(&self, code: i32, parts: &[&str]) -> &Self {
        let (out, err) = (&self.out, &self.err);
        assert_eq!(self.code, code, "{out}\n{err}");
        for part in parts {
            assert!(
                out.contains(part) || err.contains(part),
                "no {part:?} in {out}\n{err}"
            );
        }
        self
    }
}

/// A node with a cache `users`.
pub(crate) fn users(url: &str, codec: impl Codec<Value>) -> Builder<String, Value> {
    jetcache_tokio::builder("users").remote(Redis::open(url).unwrap(), codec)
}

pub(crate) fn value(text: &str) -> Value {
    Arc::new(text.to_owned())
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
