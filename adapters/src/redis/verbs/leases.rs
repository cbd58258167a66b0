//! Leases that are asked for together: a `SET` each, and one look at all keys behind them.

use std::fmt::Display;
use std::mem;
use std::time::Duration;

use jetcache_core::ports::remote::{Found, Granted, LeaseAsk, Wire};
use jetcache_core::{Fault, Token};
use redis::{Cmd, Pipeline, RedisWrite, ToRedisArgs, Value};

use crate::redis::answer::{granted, outcome};
use crate::redis::connection::line::{Batch, Line, Repeat};
use crate::redis::lanes::cargo::{Cargo, Outcomes};
use crate::redis::lease_key::lease_key;
use crate::redis::look::{found, look, look_len};
use crate::redis::script::span::px;

/// The leases that several callers ask for.
#[derive(Debug, Default)]
pub(in crate::redis) struct Leases {
    /// The keys, one behind the other.
    text: String,
    asks: Vec<Ask>,
}

#[derive(Debug)]
struct Ask {
    /// Where its key ends.
    end: usize,
    token: Token,
    life: Duration,
}

/// Whether a lease was granted, and what the second look has shown.
#[derive(Debug)]
pub(in crate::redis) struct Answered {
    pub(in crate::redis) granted: Granted,
    /// `None` if the look was refused, maybe for the sake of another's key.
    pub(in crate::redis) found: Option<Option<Found>>,
}

/// Asks for these leases.
pub(in crate::redis) async fn lease(
    line: &dyn Line,
    asks: &[LeaseAsk<'_>],
    wire: Wire,
    connection: Option<usize>,
) -> Outcomes<Leases> {
    let keys: Vec<&str> = asks.iter().map(|ask| ask.key).collect();
    let mut pipeline = Pipeline::with_capacity(asks.len() + look_len(asks.len(), wire));
    for ask in asks {
        let mut set = Cmd::with_capacity(WORDS, ask.key.len() + BESIDE_A_KEY);
        set.arg("SET")
            .arg(Shown(lease_key(ask.key)))
            .arg(Shown(ask.token))
            .arg("NX")
            .arg("GET")
            .arg("PX")
            .arg(px(ask.life).max(1));
        pipeline.add_command(set);
    }
    // After all of them: the second look must not be older than the lease.
    look(&mut pipeline, &keys, wire);
    let batch = Batch {
        commands: &pipeline,
        ahead: 0,
        alone: asks.len(),
        // If the first one arrived after the second and after a change of the key, it would give
        // the lease back to a load that is older than the change.
        repeat: Repeat::Never,
        connection,
    };
    let mut holders = line.send(batch).await;
    let look: Result<Vec<Value>, Fault> = holders.split_off(asks.len()).into_iter().collect();
    let look = look.and_then(|look| found(look, asks.len(), wire));
    let founds: Vec<Result<Option<_>, Fault>> = match look {
        Ok(founds) => founds.into_iter().map(|found| found.map(Some)).collect(),
        Err(Fault::Refused(_)) if asks.len() > 1 => asks.iter().map(|_| Ok(None)).collect(),
        Err(fault) => asks.iter().map(|_| Err(fault.clone())).collect(),
    };
    let each = asks.iter().zip(holders).zip(founds);
    each.map(|((ask, holder), found)| {
        Ok(Answered {
            granted: granted(outcome(holder?)?, ask.token)?,
            found: found?,
        })
    })
    .collect()
}

impl Leases {
    fn asks(&self) -> Vec<LeaseAsk<'_>> {
        let mut start = 0;
        let ask = |ask: &Ask| {
            let Ask { end, token, life } = *ask;
            let key = self.text.get(mem::replace(&mut start, end)..end)?;
            Some(LeaseAsk { key, token, life })
        };
        // The ends are those of the keys that were put there.
        self.asks.iter().filter_map(ask).collect()
    }
}

/// A word that is written as it is shown.
struct Shown<T>(T);

impl<T: Display> ToRedisArgs for Shown<T> {
    fn write_redis_args<W: RedisWrite + ?Sized>(&self, out: &mut W) {
        out.write_arg_fmt(&self.0);
    }
}

impl Cargo for Leases {
    type Sort = Wire;
    type Ask<'a> = &'a [LeaseAsk<'a>];
    type Outcome = Answered;

    fn count(asks: &[LeaseAsk<'_>]) -> usize {
        asks.len()
    }

    fn is_much(asks: &[LeaseAsk<'_>]) -> bool {
        !(1..=MOST_GATHERED).contains(&asks.len())
    }

    fn add(&mut self, asks: &[LeaseAsk<'_>]) {
        for ask in asks {
            self.text.push_str(ask.key);
            self.asks.push(Ask {
                end: self.text.len(),
                token: ask.token,
                life: ask.life,
            });
        }
    }

    fn is_full(&self, bound: usize) -> bool {
        self.asks.len() >= bound
    }

    fn may_repeat(_: Wire) -> bool {
        false
    }

    async fn send<'a>(
        line: &'a dyn Line,
        asks: &'a [LeaseAsk<'a>],
        wire: Wire,
        connection: Option<usize>,
    ) -> Outcomes<Self> {
        lease(line, asks, wire, connection).await
    }

    async fn send_all(
        &self,
        line: &dyn Line,
        wire: Wire,
        connection: Option<usize>,
    ) -> Result<Outcomes<Self>, Fault> {
        Ok(lease(line, &self.asks(), wire, connection).await)
    }

    const BOUND: usize = 128;
}

/// More leases are many already, and wait for nobody.
const MOST_GATHERED: usize = 64;
/// How many words the `SET` of a lease has, and how many bytes beside the key.
const WORDS: usize = 7;
const BESIDE_A_KEY: usize = 80;
