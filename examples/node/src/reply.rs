//! What the node says, as main.rs has it.

use std::collections::HashSet;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Instant;

use jetcache_tokio::{Batch, Cached, Error, Reach};
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
        reach: &'static str,
    },
    /// What became of each key; `asked` are those that the line's own loader was called with.
    Many {
        results: Vec<Answered>,
        #[serde(skip_serializing_if = "Option::is_none")]
        asked: Option<Vec<String>>,
    },
    ChangedMany {
        everywhere: bool,
        reach: &'static str,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        refused: Vec<Refused>,
    },
    Judged {
        applied: bool,
    },
    Exists {
        exists: bool,
    },
    Confirmed {
        confirmed: bool,
    },
    Events {
        events: u64,
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

/// What a read or a load found.
#[derive(Debug, Serialize)]
pub(crate) struct Found {
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Arc<Object>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

/// How a load ended; `loaded` says whether the asker's own loader ran.
#[derive(Debug, Serialize)]
pub(crate) struct Loaded {
    #[serde(flatten)]
    found: Found,
    loaded: bool,
}

/// One key of many, and what was found.
#[derive(Debug, Serialize)]
pub(crate) struct Answered {
    key: String,
    #[serde(flatten)]
    found: Found,
}

/// One key of many that could not be changed.
#[derive(Debug, Serialize)]
pub(crate) struct Refused {
    key: String,
    error: String,
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

    /// What was found of many keys, and those that their loader was asked for, if there was one.
    pub(crate) fn many<F: Into<Found>>(
        batch: Batch<&String, F>,
        asked: Option<Vec<String>>,
    ) -> Self {
        let stale: HashSet<&String> = batch.stale().copied().collect();
        let answered = |(key, found): (&String, F)| {
            let mut found: Found = found.into();
            found.stale = stale.contains(key);
            let key = key.clone();
            Answered { key, found }
        };
        Self::Many {
            results: batch.into_iter().map(answered).collect(),
            asked,
        }
    }

    /// How far the change of many keys has reached, and those that could not be changed.
    pub(crate) fn changed<K: AsRef<str>>(
        reached: impl IntoIterator<Item = (K, Result<Reach, Error>)>,
    ) -> Self {
        let (mut least, mut refused) = (Reach::Everywhere, Vec::new());
        for (key, reach) in reached {
            match reach {
                Ok(Reach::Pending) => least = Reach::Pending,
                Ok(reach) if least == Reach::Everywhere => least = reach,
                Ok(_) => {}
                Err(error) => refused.push(Refused {
                    key: key.as_ref().to_owned(),
                    error: error.to_string(),
                }),
            }
        }
        Self::ChangedMany {
            everywhere: least == Reach::Everywhere && refused.is_empty(),
            reach: name(least),
            refused,
        }
    }

    pub(crate) fn failed(error: impl ToString) -> Self {
        Self::Failed {
            error: error.to_string(),
        }
    }
}

impl Loaded {
    pub(crate) fn new(answer: Result<impl Into<Found>, Error>, loaded: bool) -> Self {
        let found = answer.map_or_else(|error| Err(error).into(), Into::into);
        Self { found, loaded }
    }
}

impl From<Result<Option<Arc<Object>>, Error>> for Found {
    fn from(answer: Result<Option<Arc<Object>>, Error>) -> Self {
        let (outcome, value, error) = match answer {
            Ok(Some(value)) => (Outcome::Hit, Some(value), None),
            Ok(None) => (Outcome::Absent, None, None),
            Err(error) => (Outcome::Error, None, Some(error.to_string())),
        };
        Self {
            outcome,
            value,
            error,
            stale: false,
        }
    }
}

impl From<Option<Arc<Object>>> for Found {
    fn from(value: Option<Arc<Object>>) -> Self {
        Ok(value).into()
    }
}

impl From<Cached<Arc<Object>>> for Found {
    fn from(cached: Cached<Arc<Object>>) -> Self {
        let stale = cached.is_stale();
        let (outcome, value) = match cached {
            Cached::Hit(value) | Cached::Stale(value) => (Outcome::Hit, Some(value)),
            Cached::Absent => (Outcome::Absent, None),
            Cached::Miss => (Outcome::Miss, None),
        };
        Self {
            outcome,
            value,
            error: None,
            stale,
        }
    }
}

impl From<Cached<Arc<Object>>> for Reply {
    fn from(cached: Cached<Arc<Object>>) -> Self {
        Self::Found(cached.into())
    }
}

impl From<Reach> for Reply {
    fn from(reach: Reach) -> Self {
        Self::Changed {
            everywhere: reach == Reach::Everywhere,
            reach: name(reach),
        }
    }
}

fn name(reach: Reach) -> &'static str {
    match reach {
        Reach::Everywhere => "everywhere",
        Reach::NotStored => "not_stored",
        Reach::Pending => "pending",
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
