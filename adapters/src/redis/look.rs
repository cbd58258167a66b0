//! A look at what stands under some keys, and how long each of it has left.

pub(super) mod inspection;
pub(super) mod reads;

use std::time::Duration;

use jetcache_core::Fault;
use jetcache_core::ports::remote::{Found, Life, Wire};
use redis::{Pipeline, Value};

use crate::redis::answer::{outcome, unexpected};
use crate::redis::connection::line::{Batch, Line, Repeat};

/// What stands under these keys; one outcome a key.
pub(super) async fn read(
    line: &dyn Line,
    keys: &[&str],
    wire: Wire,
    connection: Option<usize>,
) -> Vec<Result<Option<Found>, Fault>> {
    if keys.is_empty() {
        return Vec::new();
    }
    let found = ask(line, keys, wire, connection).await;
    found.unwrap_or_else(|fault| keys.iter().map(|_| Err(fault.clone())).collect())
}

/// The same of at least one key.
///
/// # Errors
/// The fault that befell all of them.
async fn ask(
    line: &dyn Line,
    keys: &[&str],
    wire: Wire,
    connection: Option<usize>,
) -> Result<Vec<Result<Option<Found>, Fault>>, Fault> {
    let mut pipeline = Pipeline::with_capacity(look_len(keys.len(), wire));
    look(&mut pipeline, keys, wire);
    let batch = Batch {
        commands: &pipeline,
        ahead: 0,
        alone: 0,
        repeat: Repeat::Once,
        connection,
    };
    let answers: Result<Vec<Value>, Fault> = line.send(batch).await.into_iter().collect();
    found(answers?, keys.len(), wire)
}

/// Adds the commands of a look.
///
/// `MGET` is cheaper than a `GET` a key, and takes a key of another type for an absent one. Native
/// entries carry their end in the server's clock, so one `TIME` does for all of them.
///
/// The jetcache-go format has no end, so each key's `PTTL` is asked for as well. If a writer came
/// in between, a value would be given the life of another, so it is all one transaction.
pub(super) fn look(pipeline: &mut Pipeline, keys: &[&str], wire: Wire) {
    match wire {
        Wire::JetcacheGo => {
            pipeline.cmd("MULTI");
            for key in keys {
                pipeline.cmd("PTTL").arg(key);
            }
            pipeline.cmd("MGET").arg(keys);
            pipeline.cmd("EXEC");
        }
        _ => {
            pipeline.cmd("MGET").arg(keys);
            pipeline.cmd("TIME");
        }
    }
}

/// How many commands a [`look`] is.
pub(super) fn look_len(keys: usize, wire: Wire) -> usize {
    match wire {
        Wire::JetcacheGo => keys + 3,
        _ => 2,
    }
}

/// What a [`look`] found, from its answers.
pub(super) fn found(
    mut answers: Vec<Value>,
    keys: usize,
    wire: Wire,
) -> Result<Vec<Result<Option<Found>, Fault>>, Fault> {
    if wire == Wire::JetcacheGo {
        return found_with_lives(answers, keys);
    }
    let (time, values) = (answers.pop(), answers.pop());
    let values = texts(values.unwrap_or_default(), keys)?;
    let life = Life::Clock(clock(&outcome(time.unwrap_or_default())?)?);
    let found = values
        .into_iter()
        .map(|value| Ok(text(value)?.map(|bytes| Found { bytes, life })));
    Ok(found.collect())
}

/// What a [`look`] in the jetcache-go format found.
fn found_with_lives(
    mut answers: Vec<Value>,
    keys: usize,
) -> Result<Vec<Result<Option<Found>, Fault>>, Fault> {
    let done = answers.pop().unwrap_or_default();
    // What kept a command out of the transaction says more than `EXEC` does.
    for answer in answers {
        outcome(answer)?;
    }
    let mut lives = match outcome(done)? {
        Value::Array(lives) => lives,
        other => return Err(unexpected(&other)),
    };
    let values = texts(lives.pop().unwrap_or_default(), keys)?;
    if lives.len() != keys {
        return Err(unexpected(&Value::Array(lives)));
    }
    let found = values.into_iter().zip(lives).map(|(value, life)| {
        let (value, life) = (text(value)?, left(&outcome(life)?)?);
        Ok(value.zip(life).map(|(bytes, life)| Found {
            bytes,
            life: Life::Left(life),
        }))
    });
    Ok(found.collect())
}

/// The answers of `MGET`.
fn texts(values: Value, keys: usize) -> Result<Vec<Value>, Fault> {
    match outcome(values)? {
        Value::Array(values) if values.len() == keys => Ok(values),
        other => Err(unexpected(&other)),
    }
}

fn text(value: Value) -> Result<Option<Vec<u8>>, Fault> {
    match outcome(value)? {
        Value::Nil => Ok(None),
        Value::BulkString(bytes) => Ok(Some(bytes)),
        other => Err(unexpected(&other)),
    }
}

/// What `PTTL` says is left: -1 for no end, -2 for no key.
pub(super) fn left(life: &Value) -> Result<Option<Duration>, Fault> {
    match life {
        Value::Int(-2) => Ok(None),
        Value::Int(-1) => Ok(Some(Duration::MAX)),
        &Value::Int(millis) => match u64::try_from(millis) {
            Ok(millis) => Ok(Some(Duration::from_millis(millis))),
            Err(_) => Err(unexpected(life)),
        },
        other => Err(unexpected(other)),
    }
}

/// The server's clock in milliseconds: `TIME` answers seconds and microseconds as texts.
fn clock(time: &Value) -> Result<u64, Fault> {
    let number = |value: &Value| match value {
        Value::BulkString(text) => str::from_utf8(text).ok()?.parse::<u64>().ok(),
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    };
    let parts = match time {
        Value::Array(parts) => match &parts[..] {
            [seconds, micros] => number(seconds).zip(number(micros)),
            _ => None,
        },
        _ => None,
    };
    let (seconds, micros) = parts.ok_or_else(|| unexpected(time))?;
    Ok(seconds.saturating_mul(1000).saturating_add(micros / 1000))
}
