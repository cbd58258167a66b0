//! The verbs, and the locks, as commands to a line.

#[cfg(fuzzing)]
pub mod fuzzed;
pub(super) mod leases;
mod log;

use std::time::Duration;

use jetcache_core::machine::tier::wire::PLACEHOLDER;
use jetcache_core::ports::bus::Kind;
use jetcache_core::ports::remote::{
    Claim, Claimed, Condition, Ensure, Ensured, Extend, Extended, Fill, Filled, Found, Granted,
    Herald, Hold, Inspected, LeaseAsk, Leased, Mark, NewsPage, Placed, Put, Raise, Raised, Settle,
    Stored, Wire,
};
use jetcache_core::{Fault, Remote, Token};
use redis::{Cmd, Pipeline, Value};

use crate::redis::answer::{claimed, extended, filled, granted, is_one, placed};
use crate::redis::connection::line::{Batch, Repeat};
use crate::redis::lease_key::{lease_key, mark_key};
use crate::redis::look::inspection::{BESIDE, inspected, inspection};
use crate::redis::look::read;
use crate::redis::script::Script;
use crate::redis::script::call::Call;
use crate::redis::script::run::run;
use crate::redis::script::span::{aged, px};
use crate::redis::script::store::Rest;
use crate::redis::verbs::leases::{Answered, lease};
use crate::redis::verbs::log::{ensured, raised};
use crate::redis::{Redis, event};

impl Remote for Redis {
    async fn read(&self, keys: &[&str], wire: Wire) -> Vec<Result<Option<Found>, Fault>> {
        match &self.lanes {
            Some(lanes) => lanes.reads.carry(keys, wire).await,
            None => read(self.line(), keys, wire, None).await,
        }
    }

    async fn lease(&self, asks: &[LeaseAsk<'_>], wire: Wire) -> Vec<Result<Leased, Fault>> {
        if let Err(fault) = self.may_run_scripts(asks).await {
            return asks.iter().map(|_| Err(fault.clone())).collect();
        }
        let answered = match &self.lanes {
            Some(lanes) => lanes.leases.carry(asks, wire).await,
            None => lease(self.line(), asks, wire, None).await,
        };
        self.look_again(asks, answered, wire).await
    }

    async fn renew(&self, asks: &[LeaseAsk<'_>]) -> Vec<Result<bool, Fault>> {
        let commands = asks.iter().map(|ask| {
            let mut command = Script::Renew.call(&[&lease_key(ask.key)]);
            command.arg(ask.token.to_string()).arg(px(ask.life).max(1));
            command
        });
        // Never twice: a copy that came later would make the lease pass for younger than it is.
        self.run(commands, Repeat::Never, is_one).await
    }

    async fn fill(&self, fills: &[Fill<'_>], wire: Wire) -> Vec<Result<Filled, Fault>> {
        let calls = fills.iter().map(|fill| {
            let told = Told::Fill(fill.kind);
            self.store(fill.key, fill.token, &fill.value, told, wire)
        });
        self.run(calls, Repeat::Never, filled).await
    }

    async fn extend(&self, extends: &[Extend<'_>]) -> Vec<Result<Extended, Fault>> {
        let commands = extends.iter().map(|extend| {
            let mut command = Script::Extend.call(&[extend.key, &lease_key(extend.key)]);
            command
                .arg(extend.token.to_string())
                .arg(extend.header.bytes())
                .arg(px(extend.life))
                .arg(px(extend.lease))
                .arg(aged(extend.age));
            self.tell(&mut command, extend.key, &[extend.kind]);
            command
        });
        self.run(commands, Repeat::Never, extended).await
    }

    async fn release(&self, holds: &[Hold<'_>]) -> Vec<Result<(), Fault>> {
        let commands = holds.iter().map(|hold| {
            let mut command = Script::Release.call(&[&lease_key(hold.key)]);
            command.arg(hold.token.to_string());
            if let Some(failing) = hold.failing {
                command.arg(px(failing).max(1));
            }
            command
        });
        self.run(commands, Repeat::Once, |_| Ok(())).await
    }

    async fn claim(&self, claims: &[Claim<'_>], wire: Wire) -> Vec<Result<Claimed, Fault>> {
        let commands = claims.iter().map(|claim| {
            let mut command = Script::Claim.call(&[claim.key, &lease_key(claim.key)]);
            command
                .arg(claim.token.to_string())
                .arg(px(claim.life).max(1))
                .arg(condition(claim.condition))
                .arg(placeholder(wire))
                .arg(u8::from(claim.spares))
                .arg(dead(claim.dead));
            command
        });
        self.run(commands, Repeat::Never, claimed).await
    }

    async fn put(&self, puts: &[Put<'_>], wire: Wire) -> Vec<Result<Placed, Fault>> {
        let commands = puts.iter().map(|put| {
            let mut command = storing(Script::Put, put.key, wire);
            add(&mut command, put.token, &put.value);
            command
                .arg(condition(put.condition))
                .arg(placeholder(wire))
                .arg(match put.spared {
                    Some(stamp) => format!("{:016x}", stamp.digest()),
                    None => String::new(),
                })
                .arg(dead(put.dead));
            self.tell(&mut command, put.key, &[Kind::Set, Kind::Delete]);
            command
        });
        self.run(commands, Repeat::Never, placed).await
    }

    async fn settle(&self, settles: &[Settle<'_>], wire: Wire) -> Vec<Result<Filled, Fault>> {
        let commands = settles.iter().map(|settle| match settle.token {
            Some(token) => self.store(settle.key, token, &settle.value, Told::Settle, wire),
            None => self.delete(settle.key).into(),
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

    async fn unload(&self, keys: &[&str]) -> Vec<Result<(), Fault>> {
        let commands = keys.chunks(UNLOADED_TOGETHER).map(|keys| {
            let siblings = |key: &&str| [(*key).to_owned(), lease_key(key), mark_key(key)];
            let keys: Vec<String> = keys.iter().flat_map(siblings).collect();
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            Script::Unload.call(&keys)
        });
        let answers = self.run(commands, Repeat::Once, |_| Ok(())).await;
        let together = keys.chunks(UNLOADED_TOGETHER).zip(answers);
        let each = together.flat_map(|(keys, answer)| keys.iter().map(move |_| answer.clone()));
        each.collect()
    }

    async fn raise(&self, raise: &Raise<'_>) -> Result<Raised, Fault> {
        let commands = core::iter::once(self.raising(raise));
        one(self.run(commands, Repeat::Once, raised).await)
    }

    async fn news(&self, namespace: &str, since: Mark) -> Result<NewsPage, Fault> {
        self.marks(namespace, since).await
    }

    async fn ensure(&self, ensure: &Ensure<'_>) -> Result<Ensured, Fault> {
        let commands = core::iter::once(self.ensuring(ensure));
        one(self.run(commands, Repeat::Once, ensured).await)
    }

    async fn inspect(&self, key: &str, wire: Wire) -> Result<Inspected, Fault> {
        let pipeline = inspection(key, wire);
        let parse = |beside, look| inspected(beside, look, wire).map(|seen| vec![Ok(seen)]);
        one(self.ask(&pipeline, BESIDE, 1, Repeat::Once, parse).await)
    }

    fn keeps_log(&self) -> bool {
        true
    }

    fn failovers(&self) -> Option<u64> {
        Some(self.line.failovers())
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
        let parse = |holder| Ok(granted(holder, token)? == Granted::Yes);
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
    /// Without scripts nothing can be stored: a lease would keep others waiting in vain. Once a
    /// script was refused, one that does nothing finds out whether that has been mended.
    ///
    /// # Errors
    /// The refusal.
    async fn may_run_scripts(&self, asks: &[LeaseAsk<'_>]) -> Result<(), Fault> {
        let (scripts, Some(ask)) = (self.line().scripts(), asks.first()) else {
            return Ok(());
        };
        if !scripts.is_troubled() {
            return Ok(());
        }
        if let Some(fault) = scripts.refusal() {
            return Err(fault);
        }
        let mut nobodys = Script::Release.call(&[&lease_key(ask.key)]);
        nobodys.arg("");
        let mut answers = run(self.line(), &[nobodys.into()], Repeat::Once, None).await;
        answers.pop().unwrap_or(Ok(Value::Nil)).map(drop)
    }

    /// Sends commands of which the first `alone` stand alone and the others belong together.
    /// `parse` is given the answers of the first and those of the others, and makes one outcome a
    /// key.
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
            connection: None,
        };
        let mut answers = self.line().send(batch).await;
        let together = answers.split_off(alone.min(answers.len()));
        let together: Result<Vec<Value>, Fault> = together.into_iter().collect();
        together
            .and_then(|together| parse(answers, together))
            .unwrap_or_else(|fault| (0..keys).map(|_| Err(fault.clone())).collect())
    }

    /// Sends one command a key, and makes an outcome of each answer.
    async fn run<T>(
        &self,
        commands: impl Iterator<Item = impl Into<Call>>,
        repeat: Repeat,
        parse: impl Fn(Value) -> Result<T, Fault>,
    ) -> Vec<Result<T, Fault>> {
        let calls: Vec<Call> = commands.map(Into::into).collect();
        if calls.is_empty() {
            return Vec::new();
        }
        let answers = match &self.lanes {
            Some(lanes) => lanes.calls.carry(&calls, repeat).await,
            None => run(self.line(), &calls, repeat, None).await,
        };
        answers
            .into_iter()
            .map(|answer| answer.and_then(&parse))
            .collect()
    }

    /// The look was refused, maybe for the sake of another caller's key: each looks by itself.
    async fn look_again(
        &self,
        asks: &[LeaseAsk<'_>],
        answered: Vec<Result<Answered, Fault>>,
        wire: Wire,
    ) -> Vec<Result<Leased, Fault>> {
        let blind = |answered: &Result<Answered, Fault>| matches!(answered, Ok(answered) if answered.found.is_none());
        let asked = asks.iter().zip(&answered);
        let keys = asked.filter(|(_, answered)| blind(answered));
        let keys: Vec<&str> = keys.map(|(ask, _)| ask.key).collect();
        let mut looks = Vec::new();
        if !keys.is_empty() {
            looks = Box::pin(self.read(&keys, wire)).await;
        }
        let mut looks = looks.into_iter();
        let whole = answered.into_iter().map(|answered| {
            let Answered { granted, found } = answered?;
            let found = match found {
                Some(found) => found,
                None => looks.next().unwrap_or(Err(Fault::Timeout))?,
            };
            Ok(Leased { granted, found })
        });
        whole.collect()
    }

    fn store(&self, key: &str, token: Token, value: &Stored<'_>, told: Told, wire: Wire) -> Call {
        let event = |kind| match &self.herald {
            Some(herald) => encode(herald, key, kind),
            None => Vec::new(),
        };
        let (stored, removed) = match told {
            Told::Fill(kind) => (event(kind), Vec::new()),
            Told::Settle => (event(Kind::Set), event(Kind::Delete)),
        };
        let rest = Rest {
            value,
            wire,
            removes: told == Told::Settle,
            channel: match &self.herald {
                Some(herald) => &herald.channel,
                None => "",
            },
            stored: &stored,
            removed: &removed,
        };
        let lease = lease_key(key);
        let (token, rest) = (token.to_string(), rest.packed());
        let arguments = [token.as_bytes(), value.bytes, &rest];
        match wire {
            Wire::JetcacheGo => {
                Call::joining(Script::Store, &[key, &lease, &mark_key(key)], &arguments)
            }
            _ => Call::joining(Script::Store, &[key, &lease], &arguments),
        }
    }

    fn delete(&self, key: &str) -> Cmd {
        let mut command = Script::Remove.call(&[key, &lease_key(key)]);
        self.tell(&mut command, key, &[Kind::Delete]);
        command
    }

    /// Adds a script's last arguments: the channel, and the events that it may publish there.
    /// Without a herald there are none, and the script publishes nothing.
    fn tell(&self, command: &mut Cmd, key: &str, kinds: &[Kind]) {
        let Some(herald) = &self.herald else {
            return;
        };
        command.arg(&*herald.channel);
        for &kind in kinds {
            command.arg(encode(herald, key, kind));
        }
    }
}

/// A call of a script that puts.
fn storing(script: Script, key: &str, wire: Wire) -> Cmd {
    let lease = lease_key(key);
    match wire {
        Wire::JetcacheGo => script.call(&[key, &lease, &mark_key(key)]),
        _ => script.call(&[key, &lease]),
    }
}

/// Adds the first six arguments of a script that puts: the token, the value, its times.
fn add(command: &mut Cmd, token: Token, value: &Stored<'_>) {
    command
        .arg(token.to_string())
        .arg(value.bytes)
        .arg(px(value.life))
        .arg(px(value.stale))
        .arg(px(value.lease))
        .arg(aged(value.age));
}

fn condition(condition: Option<Condition>) -> &'static str {
    match condition {
        None => "any",
        Some(Condition::Absent) => "absent",
        Some(Condition::Present) => "present",
    }
}

/// The sum as it stands in an entry, or nothing.
fn dead(sum: Option<u32>) -> Vec<u8> {
    sum.map_or_else(Vec::new, |sum| sum.to_be_bytes().to_vec())
}

fn placeholder(wire: Wire) -> &'static [u8] {
    match wire {
        Wire::JetcacheGo => PLACEHOLDER,
        _ => b"",
    }
}

/// Whose value it is, and what others are told of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    /// A load's, told as this. Not stored, the lease is given back if it is the token's.
    Fill(Kind),
    /// A write-through's. Not stored, value and lease are removed, whoever holds that.
    Settle,
}

fn encode(herald: &Herald, key: &str, kind: Kind) -> Vec<u8> {
    let fenced = kind == Kind::Delete;
    event::encode(&herald.cache, &herald.source, kind, &[key], fenced).into()
}

/// The outcome of a call for one key.
fn one<T>(mut outcomes: Vec<Result<T, Fault>>) -> Result<T, Fault> {
    outcomes.pop().unwrap_or(Err(Fault::Timeout))
}

/// How many keys one script may take: the server does nothing else meanwhile.
const UNLOADED_TOGETHER: usize = 64;
