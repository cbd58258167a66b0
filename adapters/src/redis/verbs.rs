//! The verbs, and the locks, as commands to a line.

mod changes;
#[cfg(fuzzing)]
pub mod fuzzed;
pub(super) mod leases;
mod log;

use std::time::Duration;

use jetcache_core::ports::remote::{
    Claim, Claimed, Ensure, Ensured, Extend, Extended, Fill, Filled, Found, Granted, Herald, Hold,
    Inspected, LeaseAsk, Leased, Mark, NewsPage, Placed, Put, Raise, Raised, Settle, Wire,
};
use jetcache_core::{Fault, Remote, Token};
use redis::{Pipeline, Value};

use crate::redis::Redis;
use crate::redis::answer::{claimed, extended, filled, granted, is_one, placed};
use crate::redis::connection::line::{Batch, Repeat};
use crate::redis::lease_key::{lease_key, mark_key};
use crate::redis::look::inspection::{BESIDE, inspected, inspection};
use crate::redis::look::read;
use crate::redis::script::Script;
use crate::redis::script::calls::Calls;
use crate::redis::script::run::run;
use crate::redis::script::span::{aged, px};
use crate::redis::verbs::changes::{Told, condition, dead, placeholder};
use crate::redis::verbs::leases::{Answered, lease};
use crate::redis::verbs::log::{ensured, raised};

impl Remote for Redis {
    async fn read(&self, keys: &[&str], wire: Wire) -> Vec<Result<Option<Found>, Fault>> {
        match &self.lanes {
            Some(lanes) => lanes.reads.carry(keys, wire).await,
            None => read(self.line(), keys, wire, None).await,
        }
    }

    async fn lease(&self, asks: &[LeaseAsk<'_>], wire: Wire) -> Vec<Result<Leased, Fault>> {
        if self.line().scripts().is_troubled()
            && let Err(fault) = Box::pin(self.may_run_scripts(asks)).await
        {
            return asks.iter().map(|_| Err(fault.clone())).collect();
        }
        let answered = match &self.lanes {
            Some(lanes) => lanes.leases.carry(asks, wire).await,
            None => lease(self.line(), asks, wire, None).await,
        };
        if answered.iter().any(is_blind) {
            return Box::pin(self.look_again(asks, answered, wire)).await;
        }
        let seen = answered.into_iter().map(|answered| {
            let Answered { granted, found } = answered?;
            let found = found.flatten();
            Ok(Leased { granted, found })
        });
        seen.collect()
    }

    async fn renew(&self, asks: &[LeaseAsk<'_>]) -> Vec<Result<bool, Fault>> {
        let calls = gathered(asks, |calls, ask| {
            calls
                .script(Script::Renew, 1)
                .shown(lease_key(ask.key))
                .shown(ask.token)
                .shown(px(ask.life).max(1));
        });
        // Never twice: a copy that came later would make the lease pass for younger than it is.
        self.run(calls, Repeat::Never, is_one).await
    }

    async fn fill(&self, fills: &[Fill<'_>], wire: Wire) -> Vec<Result<Filled, Fault>> {
        let size = |fill: &Fill<'_>| fill.value.bytes.len() + 2 * fill.key.len() + BESIDE_A_VALUE;
        let mut calls = Calls::with_capacity(fills.len(), fills.iter().map(size).sum());
        for fill in fills {
            let told = Told::Fill(fill.kind);
            self.store(&mut calls, fill.key, fill.token, &fill.value, told, wire);
        }
        self.run(calls, Repeat::Never, filled).await
    }

    async fn extend(&self, extends: &[Extend<'_>]) -> Vec<Result<Extended, Fault>> {
        let calls = gathered(extends, |calls, extend| {
            calls
                .script(Script::Extend, 2)
                .word(extend.key)
                .shown(lease_key(extend.key))
                .shown(extend.token)
                .word(extend.header.bytes())
                .shown(px(extend.life))
                .shown(px(extend.lease))
                .shown(aged(extend.age));
            self.tell(calls, extend.key, &[extend.kind]);
        });
        self.run(calls, Repeat::Never, extended).await
    }

    async fn release(&self, holds: &[Hold<'_>]) -> Vec<Result<(), Fault>> {
        let calls = gathered(holds, |calls, hold| {
            calls
                .script(Script::Release, 1)
                .shown(lease_key(hold.key))
                .shown(hold.token);
            if let Some(failing) = hold.failing {
                calls.shown(px(failing).max(1));
            }
        });
        self.run(calls, Repeat::Once, |_| Ok(())).await
    }

    async fn claim(&self, claims: &[Claim<'_>], wire: Wire) -> Vec<Result<Claimed, Fault>> {
        let calls = gathered(claims, |calls, claim| {
            calls
                .script(Script::Claim, 2)
                .word(claim.key)
                .shown(lease_key(claim.key))
                .shown(claim.token)
                .shown(px(claim.life).max(1))
                .word(condition(claim.condition))
                .word(placeholder(wire))
                .shown(u8::from(claim.spares))
                .word(dead(claim.dead));
        });
        self.run(calls, Repeat::Never, claimed).await
    }

    async fn put(&self, puts: &[Put<'_>], wire: Wire) -> Vec<Result<Placed, Fault>> {
        let calls = gathered(puts, |calls, put| self.place(calls, put, wire));
        self.run(calls, Repeat::Never, placed).await
    }

    async fn settle(&self, settles: &[Settle<'_>], wire: Wire) -> Vec<Result<Filled, Fault>> {
        let calls = gathered(settles, |calls, settle| match settle.token {
            Some(token) => {
                self.store(calls, settle.key, token, &settle.value, Told::Settle, wire);
            }
            None => self.delete(calls, settle.key),
        });
        let answers = self.run(calls, Repeat::Never, Ok).await;
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
        let calls = gathered(keys, |calls, key| self.delete(calls, key));
        self.run(calls, Repeat::Once, |_| Ok(())).await
    }

    async fn unload(&self, keys: &[&str]) -> Vec<Result<(), Fault>> {
        let parts: Vec<&[&str]> = keys.chunks(UNLOADED_TOGETHER).collect();
        let calls = gathered(&parts, |calls, keys| {
            calls.script(Script::Unload, 3 * keys.len());
            for key in *keys {
                calls.word(key).shown(lease_key(key)).shown(mark_key(key));
            }
        });
        let answers = self.run(calls, Repeat::Once, |_| Ok(())).await;
        let together = parts.iter().zip(answers);
        let each = together.flat_map(|(keys, answer)| keys.iter().map(move |_| answer.clone()));
        each.collect()
    }

    async fn raise(&self, raise: &Raise<'_>) -> Result<Raised, Fault> {
        one(self.run(self.raising(raise), Repeat::Once, raised).await)
    }

    async fn news(&self, namespace: &str, since: Mark) -> Result<NewsPage, Fault> {
        self.marks(namespace, since).await
    }

    async fn ensure(&self, ensure: &Ensure<'_>) -> Result<Ensured, Fault> {
        one(self.run(self.ensuring(ensure), Repeat::Once, ensured).await)
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
        let mut calls = Calls::default();
        calls
            .command("SET")
            .word(name)
            .shown(token)
            .word("NX")
            .word("GET")
            .word("PX")
            .shown(px(life).max(1));
        let parse = |holder| Ok(granted(holder, token)? == Granted::Yes);
        one(self.run(calls, Repeat::Once, parse).await)
    }

    async fn unlock(&self, name: &str, token: Token) -> Result<(), Fault> {
        let mut calls = Calls::default();
        calls.script(Script::Release, 1).word(name).shown(token);
        one(self.run(calls, Repeat::Once, |_| Ok(())).await)
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
        if let Some(fault) = scripts.refusal() {
            return Err(fault);
        }
        let mut nobodys = Calls::default();
        nobodys
            .script(Script::Release, 1)
            .shown(lease_key(ask.key))
            .word("");
        let mut answers = run(self.line(), &nobodys, Repeat::Once, None).await;
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

    /// Sends the calls, and makes an outcome of each answer.
    async fn run<T>(
        &self,
        calls: Calls,
        repeat: Repeat,
        parse: impl Fn(Value) -> Result<T, Fault>,
    ) -> Vec<Result<T, Fault>> {
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
        let asked = asks.iter().zip(&answered);
        let keys = asked.filter(|(_, answered)| is_blind(answered));
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
}

/// A call for each of these.
fn gathered<I>(items: &[I], mut add: impl FnMut(&mut Calls, &I)) -> Calls {
    let mut calls = Calls::with_capacity(items.len(), items.len() * BESIDE_A_VALUE);
    items.iter().for_each(|item| add(&mut calls, item));
    calls
}

/// Whether what stands there was not seen.
fn is_blind(answered: &Result<Answered, Fault>) -> bool {
    matches!(answered, Ok(answered) if answered.found.is_none())
}

/// The outcome of a call for one key.
fn one<T>(mut outcomes: Vec<Result<T, Fault>>) -> Result<T, Fault> {
    outcomes.pop().unwrap_or(Err(Fault::Timeout))
}

/// How many keys one script may take: the server does nothing else meanwhile.
const UNLOADED_TOGETHER: usize = 64;
/// How many bytes a call has beside its keys and its value, about.
const BESIDE_A_VALUE: usize = 192;
