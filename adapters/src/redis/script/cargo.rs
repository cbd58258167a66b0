//! Calls as what lanes carry.

use jetcache_core::Fault;
use redis::Value;

use crate::redis::connection::line::{Line, Repeat};
use crate::redis::lanes::cargo::{Cargo, Outcomes};
use crate::redis::script::calls::Calls;
use crate::redis::script::parts::{MOST_BYTES, MOST_JOINED};
use crate::redis::script::run::run;

impl Cargo for Calls {
    type Sort = Repeat;
    type Ask<'a> = &'a Calls;
    type Outcome = Value;

    fn count(calls: &Calls) -> usize {
        calls.len()
    }

    fn is_much(calls: &Calls) -> bool {
        !(1..=MOST_GATHERED).contains(&calls.len()) || calls.bytes() > BIG
    }

    fn add(&mut self, calls: &Calls) {
        self.append(calls);
    }

    fn is_full(&self, bound: usize) -> bool {
        self.len() >= bound || self.bytes() >= MOST_BYTES
    }

    fn may_repeat(repeat: Repeat) -> bool {
        repeat == Repeat::Once
    }

    async fn send<'a>(
        line: &'a dyn Line,
        calls: &'a Calls,
        repeat: Repeat,
        connection: Option<usize>,
    ) -> Outcomes<Self> {
        run(line, calls, repeat, connection).await
    }

    async fn send_all(
        &self,
        line: &dyn Line,
        repeat: Repeat,
        connection: Option<usize>,
    ) -> Result<Outcomes<Self>, Fault> {
        Ok(run(line, self, repeat, connection).await)
    }

    /// As many as one script takes.
    const BOUND: usize = MOST_JOINED;
}

/// More calls at once are many already, and wait for nobody.
const MOST_GATHERED: usize = 64;
/// So big a call goes by itself.
const BIG: usize = 16 * 1024;
