//! The seven verbs as commands, and what the server's answers mean.

use std::time::Duration;

use redis::{Cmd, Pipeline, Value};

use jetcache_core::machine::tier::wire::PLACEHOLDER;
use jetcache_core::machine::time::millis;
use jetcache_core::ports::bus::Kind;
use jetcache_core::ports::remote::{
    Claim, Condition, Fill, Filled, Found, Herald, Hold, LeaseAsk, Leased, Life, Settle, Stored,
    Wire,
};
use jetcache_core::{Fault, Remote, Token};

use super::Redis;
use super::connection::line::Batch;
use super::connection::line::Repeat;
use super::event;
use super::lease_key::lease_key;
use super::script::{Script, outcome, run};

impl Remote for Redis {
    async fn read(&self, keys: &[&str], wire: Wire) -> Vec<Result<Option<Found>, Fault>> {
        let mut pipeline = Pipeline::with_capacity(look_len(keys.len(), wire));
        look(&mut pipeline, keys, wire);
        self.ask(&pipeline, 0, keys.len(), Repeat::Once, |_, look| {
            found(look, keys.len(), wire)
        })
        .await
    }

    async fn lease(&self, asks: &[LeaseAsk<'_>], wire: Wire) -> Vec<Result<Leased, Fault>> {
        let keys: Vec<&str> = asks.iter().map(|ask| ask.key).collect();
        let mut pipeline = Pipeline::with_capacity(asks.len() + look_len(asks.len(), wire));
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
        look(&mut pipeline, &keys, wire);
        // Never twice: a first one that lands after the second and after a change of the key would
        // give the token back to a load that is older than the change.
        let count = asks.len();
        self.ask(&pipeline, count, count, Repeat::Never, |holders, look| {
            let found = found(look, count, wire)?;
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
        })
        .await
    }

    async fn fill(&self, fills: &[Fill<'_>], wire: Wire) -> Vec<Result<Filled, Fault>> {
        let commands = fills
            .iter()
            .map(|fill| self.store(fill.key, fill.token, &fill.value, Else::Release, wire));
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

    async fn claim(&self, claims: &[Claim<'_>], wire: Wire) -> Vec<Result<bool, Fault>> {
        let commands = claims.iter().map(|claim| {
            let mut command = Script::Claim.call(&[claim.key, &lease_key(claim.key)]);
            command
                .arg(claim.token.to_string())
                .arg(px(claim.life).max(1))
                .arg(match claim.condition {
                    None => "any",
                    Some(Condition::Absent) => "absent",
                    Some(Condition::Present) => "present",
                })
                .arg(match wire {
                    Wire::JetcacheGo => PLACEHOLDER,
                    _ => b"",
                });
            self.tell(&mut command, claim.key, &[Kind::Set]);
            command
        });
        self.run(commands, Repeat::Never, is_one).await
    }

    async fn settle(&self, settles: &[Settle<'_>], wire: Wire) -> Vec<Result<Filled, Fault>> {
        let commands = settles.iter().map(|settle| match settle.token {
            Some(token) => self.store(settle.key, token, &settle.value, Else::Remove, wire),
            None => self.delete(settle.key),
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
        let commands = keys.iter().map(|key| self.delete(key));
        self.run(commands, Repeat::Once, |_| Ok(())).await
    }

    fn server(&self) -> Option<u64> {
        Some(self.server)
    }

    fn announcing(&self, herald: Herald) -> Option<Self> {
        Some(Self {
            herald: Some(herald),
            ..self.clone()
        })
    }

    async fn lock(&self, name: &str, token: Token, life: Duration) -> Result<bool, Fault> {
        let mut command = redis::cmd("SET");
        command
            .arg(name)
            .arg(token.to_string())
            .arg("NX")
            .arg("GET")
            .arg("PX")
            .arg(px(life).max(1));
        let parse = |holder| is_granted(holder, token);
        let commands = core::iter::once(command);
        one(self.run(commands, Repeat::Once, parse).await)
    }

    async fn unlock(&self, name: &str, token: Token) -> Result<(), Fault> {
        let mut command = Script::Release.call(&[name]);
        command.arg(token.to_string());
        let commands = core::iter::once(command);
        one(self.run(commands, Repeat::Once, |_| Ok(())).await)
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

    fn store(&self, key: &str, token: Token, value: &Stored<'_>, or_else: Else, wire: Wire) -> Cmd {
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
            .arg(match or_else {
                Else::Release => 0,
                Else::Remove => 1,
            })
            .arg(match (wire, value.replaces) {
                (Wire::JetcacheGo, None) => b"-".to_vec(),
                (Wire::JetcacheGo, Some(bytes)) => [b"=", bytes].concat(),
                _ => Vec::new(),
            });
        self.tell(
            &mut command,
            key,
            match or_else {
                Else::Release => &[Kind::Set],
                Else::Remove => &[Kind::Set, Kind::Delete],
            },
        );
        command
    }

    fn delete(&self, key: &str) -> Cmd {
        let mut command = Script::Remove.call(&[key, &lease_key(key)]);
        self.tell(&mut command, key, &[Kind::Delete]);
        command
    }

    /// The last arguments of a script that changes the key: what it says of it, if it is to.
    fn tell(&self, command: &mut Cmd, key: &str, kinds: &[Kind]) {
        let Some(herald) = &self.herald else {
            return;
        };
        command.arg(&*herald.channel);
        for &kind in kinds {
            command.arg(event::encode(&herald.cache, &herald.source, kind, &[key]));
        }
    }
}

/// What becomes of a value that cannot be stored.
#[derive(Clone, Copy)]
enum Else {
    /// The lease goes, if it is the token's.
    Release,
    /// What stands under the key goes, and the lease, whosever it is.
    Remove,
}

/// `MGET` is cheaper than a `GET` a key, and takes a key of another type for an absent one.
///
/// In the jetcache-go format it goes with each key's `PTTL`. A writer between the two could make a
/// value live longer than it does, so they are one transaction.
fn look(pipeline: &mut Pipeline, keys: &[&str], wire: Wire) {
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
fn look_len(keys: usize, wire: Wire) -> usize {
    match wire {
        Wire::JetcacheGo => keys + 3,
        _ => 2,
    }
}

/// What [`look`] found, a command an answer.
fn found(
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
fn left(life: &Value) -> Result<Option<Duration>, Fault> {
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

/// The only outcome.
fn one<T>(mut outcomes: Vec<Result<T, Fault>>) -> Result<T, Fault> {
    outcomes.pop().unwrap_or(Err(Fault::Timeout))
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
