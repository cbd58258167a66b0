//! The seven verbs as commands, and what the server's answers mean.

use std::time::Duration;

use redis::{Cmd, Pipeline, Value};

use jetcache_core::machine::time::millis;
use jetcache_core::ports::remote::{
    Claim, Condition, Fill, Filled, Found, Hold, LeaseAsk, Leased, Life, Settle, Stored, Wire,
};
use jetcache_core::{Fault, Remote, Token};

use super::Redis;
use super::connection::Repeat;
use super::lease_key::lease_key;
use super::line::Batch;
use super::script::{Script, outcome, run};

impl Remote for Redis {
    async fn read(&self, keys: &[&str], _wire: Wire) -> Vec<Result<Option<Found>, Fault>> {
        let mut pipeline = Pipeline::with_capacity(2);
        look(&mut pipeline, keys.iter().copied());
        self.ask(&pipeline, 0, keys.len(), Repeat::Once, |_, mut look| {
            found(&mut look, keys.len())
        })
        .await
    }

    async fn lease(&self, asks: &[LeaseAsk<'_>], _wire: Wire) -> Vec<Result<Leased, Fault>> {
        let mut pipeline = Pipeline::with_capacity(asks.len() + 2);
        for ask in asks {
            pipeline
                .cmd("SET")
                .arg(lease_key(ask.key))
                .arg(ask.token.to_string())
                .arg("NX")
                .arg("GET")
                .arg("PX")
                .arg(px(ask.life).max(1));
        }
        // After all of them: the second look must not be older than the lease.
        look(&mut pipeline, asks.iter().map(|ask| ask.key));
        // Never twice: a first one that lands after the second and after a change of the key would
        // give the token back to a load that is older than the change.
        let count = asks.len();
        self.ask(
            &pipeline,
            count,
            count,
            Repeat::Never,
            |holders, mut look| {
                let found = found(&mut look, count)?;
                Ok(asks
                    .iter()
                    .zip(holders)
                    .zip(found)
                    .map(|((ask, holder), found)| {
                        let granted = is_granted(outcome(holder?)?, ask.token)?;
                        Ok(Leased {
                            granted,
                            found: found?,
                        })
                    })
                    .collect())
            },
        )
        .await
    }

    async fn fill(&self, fills: &[Fill<'_>], _wire: Wire) -> Vec<Result<Filled, Fault>> {
        let commands = fills
            .iter()
            .map(|fill| store(fill.key, fill.token, &fill.value, 0));
        self.run(commands, Repeat::Never, filled).await
    }

    async fn release(&self, holds: &[Hold<'_>]) -> Vec<Result<(), Fault>> {
        let commands = holds.iter().map(|hold| {
            let mut command = Script::Release.call(&[&lease_key(hold.key)]);
            command.arg(hold.token.to_string());
            command
        });
        self.run(commands, Repeat::Once, |_| Ok(())).await
    }

    async fn claim(&self, claims: &[Claim<'_>], _wire: Wire) -> Vec<Result<bool, Fault>> {
        let commands = claims.iter().map(|claim| {
            let mut command = Script::Claim.call(&[claim.key, &lease_key(claim.key)]);
            command
                .arg(claim.token.to_string())
                .arg(px(claim.life).max(1))
                .arg(match claim.condition {
                    None => "any",
                    Some(Condition::Absent) => "absent",
                    Some(Condition::Present) => "present",
                });
            command
        });
        self.run(commands, Repeat::Never, is_one).await
    }

    async fn settle(&self, settles: &[Settle<'_>], _wire: Wire) -> Vec<Result<Filled, Fault>> {
        let commands = settles.iter().map(|settle| match settle.token {
            Some(token) => store(settle.key, token, &settle.value, 1),
            None => delete(settle.key),
        });
        let answers = self.run(commands, Repeat::Never, Ok).await;
        answers
            .into_iter()
            .zip(settles)
            .map(|(answer, settle)| match settle.token {
                Some(_) => filled(answer?),
                None => answer.map(|_| Filled::Refused),
            })
            .collect()
    }

    async fn remove(&self, keys: &[&str]) -> Vec<Result<(), Fault>> {
        self.run(keys.iter().map(|key| delete(key)), Repeat::Once, |_| Ok(()))
            .await
    }
}

impl Redis {
    /// Sends commands of which all but the first `alone` belong together, and takes the answers
    /// apart: those of the first, and those of the others.
    async fn ask<T>(
        &self,
        pipeline: &Pipeline,
        alone: usize,
        keys: usize,
        repeat: Repeat,
        parse: impl FnOnce(
            Vec<Result<Value, Fault>>,
            Vec<Value>,
        ) -> Result<Vec<Result<T, Fault>>, Fault>,
    ) -> Vec<Result<T, Fault>> {
        if keys == 0 {
            return Vec::new();
        }
        let batch = Batch {
            commands: pipeline,
            ahead: 0,
            alone,
            repeat,
        };
        let mut answers = self.line().send(batch).await;
        let together = answers.split_off(alone.min(answers.len()));
        let together: Result<Vec<Value>, Fault> = together.into_iter().collect();
        together
            .and_then(|together| parse(answers, together))
            .unwrap_or_else(|fault| (0..keys).map(|_| Err(fault.clone())).collect())
    }

    /// Sends one command a key.
    async fn run<T>(
        &self,
        commands: impl Iterator<Item = Cmd>,
        repeat: Repeat,
        parse: impl Fn(Value) -> Result<T, Fault>,
    ) -> Vec<Result<T, Fault>> {
        let commands: Vec<Cmd> = commands.collect();
        if commands.is_empty() {
            return Vec::new();
        }
        let answers = run(self.line(), commands, repeat).await;
        answers
            .into_iter()
            .map(|answer| answer.and_then(&parse))
            .collect()
    }
}

/// `MGET` is cheaper than a `GET` a key, and takes a key of another type for an absent one.
fn look<'a>(pipeline: &mut Pipeline, keys: impl Iterator<Item = &'a str>) {
    pipeline.cmd("MGET");
    for key in keys {
        pipeline.arg(key);
    }
    pipeline.cmd("TIME");
}

/// What [`look`] found; it takes its two answers off the end.
fn found(
    answers: &mut Vec<Value>,
    keys: usize,
) -> Result<Vec<Result<Option<Found>, Fault>>, Fault> {
    let (time, values) = (answers.pop(), answers.pop());
    let values = outcome(values.unwrap_or_default())?;
    let life = Life::Clock(clock(&outcome(time.unwrap_or_default())?)?);
    match values {
        Value::Array(values) if values.len() == keys => Ok(values
            .into_iter()
            .map(|value| match outcome(value)? {
                Value::Nil => Ok(None),
                Value::BulkString(bytes) => Ok(Some(Found { bytes, life })),
                other => Err(unexpected(&other)),
            })
            .collect()),
        other => Err(unexpected(&other)),
    }
}

fn store(key: &str, token: Token, value: &Stored<'_>, clear: u8) -> Cmd {
    let mut command = Script::Store.call(&[key, &lease_key(key)]);
    command
        .arg(token.to_string())
        .arg(value.bytes)
        .arg(px(value.life))
        .arg(px(value.stale))
        .arg(px(value.lease))
        // Rounded down: an age taken for older than it is would lengthen the value's life.
        .arg(
            u64::try_from(value.age.as_millis())
                .unwrap_or(MOST)
                .min(MOST),
        )
        .arg(clear);
    command
}

fn delete(key: &str) -> Cmd {
    let mut command = redis::cmd("DEL");
    command.arg(key).arg(lease_key(key));
    command
}

fn is_granted(holder: Value, token: Token) -> Result<bool, Fault> {
    match holder {
        Value::Nil => Ok(true),
        Value::BulkString(holder) => Ok(holder == token.to_string().as_bytes()),
        other => Err(unexpected(&other)),
    }
}

fn is_one(answer: Value) -> Result<bool, Fault> {
    match answer {
        Value::Int(number) => Ok(number == 1),
        other => Err(unexpected(&other)),
    }
}

fn filled(answer: Value) -> Result<Filled, Fault> {
    Ok(if is_one(answer)? {
        Filled::Stored
    } else {
        Filled::Refused
    })
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

fn unexpected(value: &Value) -> Fault {
    let mut text = format!("an answer that was not expected: {value:?}");
    if let Some((end, _)) = text.char_indices().nth(200) {
        text.truncate(end);
    }
    Fault::Refused(text.into())
}

/// A span as the server takes it.
fn px(span: Duration) -> u64 {
    millis(span).min(MOST)
}

/// Seventy thousand years, in milliseconds: sums of these stay exact in Lua's numbers.
const MOST: u64 = 1 << 51;
