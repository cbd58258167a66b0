//! What the node says, as main.rs has it.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Instant;

use jetcache_tokio::{Cached, Error, Reach};
use serde::Serialize;

use crate::object::Object;
use crate::statistics::Statistics;

/// The answer to one line.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Reply {
    Found(Found),
    Loaded(Loaded),
    Changed {
        everywhere: bool,
    },
    Judged {
        applied: bool,
    },
    Exists {
        exists: bool,
    },
    Parallel {
        loads: usize,
        ok: usize,
        errors: usize,
    },
    Cancelled {
        cancelled: bool,
        #[serde(flatten)]
        outcome: Option<Loaded>,
    },
    Stats(Box<Statistics>),
    Done {
        ok: bool,
    },
    Failed {
        error: String,
    },
}

/// What a read found.
#[derive(Debug, Serialize)]
pub(crate) struct Found {
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Arc<Object>>,
}

/// How a load ended.
#[derive(Debug, Serialize)]
pub(crate) struct Loaded {
    #[serde(flatten)]
    found: Found,
    loaded: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Hit,
    Absent,
    Miss,
    Error,
}

impl Reply {
    pub(crate) const DONE: Self = Self::Done { ok: true };

    pub(crate) fn failed(error: impl ToString) -> Self {
        Self::Failed {
            error: error.to_string(),
        }
    }
}

impl Loaded {
    /// `loaded` says whether the asker's own loader ran.
    pub(crate) fn new(answer: Result<Option<Arc<Object>>, Error>, loaded: bool) -> Self {
        let (outcome, value, error) = match answer {
            Ok(Some(value)) => (Outcome::Hit, Some(value), None),
            Ok(None) => (Outcome::Absent, None, None),
            Err(error) => (Outcome::Error, None, Some(error.to_string())),
        };
        Self {
            found: Found { outcome, value },
            loaded,
            error,
        }
    }
}

impl From<Cached<Arc<Object>>> for Reply {
    fn from(cached: Cached<Arc<Object>>) -> Self {
        let (outcome, value) = match cached {
            Cached::Hit(value) => (Outcome::Hit, Some(value)),
            Cached::Absent => (Outcome::Absent, None),
            Cached::Miss => (Outcome::Miss, None),
        };
        Self::Found(Found { outcome, value })
    }
}

impl From<Reach> for Reply {
    fn from(reach: Reach) -> Self {
        Self::Changed {
            everywhere: reach == Reach::Everywhere,
        }
    }
}

/// Says that the node takes lines.
pub(crate) fn say_ready() -> io::Result<()> {
    write(&Ready { ready: true })
}

/// Answers the line `id`, which was begun at `start`.
pub(crate) fn say(id: u64, reply: &Reply, start: Instant) -> io::Result<()> {
    let us = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
    write(&Said { id, reply, us })
}

#[derive(Serialize)]
struct Ready {
    ready: bool,
}

#[derive(Serialize)]
struct Said<'a> {
    id: u64,
    #[serde(flatten)]
    reply: &'a Reply,
    us: u64,
}

/// A line in one piece: others may want to write too.
fn write(line: &impl Serialize) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&bytes)?;
    out.flush()
}
