//! The connections to one server: a few for each runtime, used in turn.
//!
//! A connection is driven by the runtime that made it. Used from another, it would stand still
//! whenever its own runtime does, and break when that ends. Tests that share a static cache and
//! have a runtime each would meet both.

pub(crate) mod calm;
mod debt;
pub(crate) mod dial;
pub(crate) mod fault;
pub(crate) mod greeting;
pub(crate) mod host;
pub(crate) mod line;
mod link;
pub(crate) mod primary;
pub(crate) mod runtimes;
mod slot;
pub(crate) mod tally;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jetcache_core::Fault;
use redis::{Pipeline, Value};

use crate::redis::connection::calm::Calm;
use crate::redis::connection::debt::{MOST_GIVEN_UP, Standing};
use crate::redis::connection::dial::Dial;
use crate::redis::connection::host::{Home, Host};
use crate::redis::connection::line::{Batch, Line, Repeat, Sending};
use crate::redis::connection::runtimes::here;
use crate::redis::connection::slot::{Outcome, Slot};
use crate::redis::connection::tally::Connectivity;

/// A few connections, used in turn, so that one big value does not hold up everything behind it.
pub(crate) struct Connections {
    count: usize,
    turn: AtomicUsize,
    dial: Arc<Dial>,
    homes: Mutex<Vec<(Home, Arc<[Slot]>)>>,
}

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(crate) struct Lost {
    pub(crate) fault: Fault,
    /// Whether the commands may have been carried out.
    #[allow(dead_code, reason = "one server alone is asked once in either case")]
    pub(crate) sent: bool,
}

impl Connections {
    /// `count` connections a runtime, none of them made yet.
    pub(crate) fn new(dial: Arc<Dial>, count: usize) -> Self {
        Self {
            count: count.max(1),
            turn: AtomicUsize::new(0),
            dial,
            homes: Mutex::default(),
        }
    }

    /// Sends the commands, on this connection or on the one whose turn it is. One value a command comes
    /// back; a server's error is a value, too.
    pub(crate) async fn exchange(
        &self,
        commands: &Pipeline,
        repeat: Repeat,
        connection: Option<usize>,
    ) -> Result<Vec<Value>, Lost> {
        let (host, home) = here().map_err(Lost::unsent)?;
        let slots = self.slots(home);
        let at = connection.unwrap_or_else(|| self.turn.fetch_add(1, Ordering::Relaxed));
        let slot = &slots[at % slots.len()];
        let mut link = self.link(slot, host, repeat).await.map_err(Lost::unsent)?;
        let mut answer = link.send(commands).await;
        // The connection broke, and nobody can tell whether the commands were carried out.
        if answer.is_err() && repeat == Repeat::Once {
            link = self.link(slot, host, repeat).await.map_err(Lost::sent)?;
            answer = link.send(commands).await;
        }
        answer.map_err(Lost::sent)
    }

    /// The slots of a runtime. A new runtime's first call drops those of the runtimes that ended.
    fn slots(&self, home: Home) -> Arc<[Slot]> {
        let mut homes = self.homes();
        if let Some((_, slots)) = homes.iter().find(|(known, _)| *known == home) {
            return Arc::clone(slots);
        }
        homes.retain(|(_, slots)| slots.iter().any(Slot::is_in_use));
        let slots: Arc<[Slot]> = (0..self.count).map(|_| Slot::new()).collect();
        homes.push((home, Arc::clone(&slots)));
        slots
    }

    fn homes(&self) -> MutexGuard<'_, Vec<(Home, Arc<[Slot]>)>> {
        self.homes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that was alive a moment ago.
    async fn link(&self, slot: &Slot, host: &Host, repeat: Repeat) -> Outcome {
        let link = self.answering(slot, host).await?;
        // What may be sent twice finds out by trying.
        if repeat == Repeat::Once || link.is_lively() {
            return Ok(link);
        }
        // A busy runtime may not have looked at the socket since it was closed.
        (host.breathe)().await;
        if link.is_dead() {
            slot.link(&self.dial, host).await
        } else {
            Ok(link)
        }
    }

    /// A connection that was not silent for too long.
    async fn answering(&self, slot: &Slot, host: &Host) -> Outcome {
        let link = slot.link(&self.dial, host).await?;
        let mut standing = link.standing(self.dial.patience);
        if standing == Standing::Silent {
            // If this runtime stood still, the answers may be there and have not been read.
            (host.breathe)().await;
            standing = link.standing(self.dial.patience);
        }
        match standing {
            Standing::Good => Ok(link),
            Standing::Indebted => Err(indebted()),
            Standing::Silent => {
                link.bury();
                slot.link(&self.dial, host).await
            }
        }
    }
}

fn indebted() -> Fault {
    Fault::Unreachable(
        format!("{MOST_GIVEN_UP} calls were given up on one connection and are not answered yet")
            .into(),
    )
}

impl Line for Connections {
    fn send<'a>(&'a self, batch: Batch<'a>) -> Sending<'a> {
        debug_assert!(batch.behind() <= batch.commands.len());
        Box::pin(async move {
            match self
                .exchange(batch.commands, batch.repeat, batch.connection)
                .await
            {
                Ok(answers) => answers.into_iter().map(Ok).collect(),
                Err(lost) => vec![Err(lost.fault); batch.commands.len()],
            }
        })
    }

    fn joins(&self) -> bool {
        true
    }

    fn scripts(&self) -> &Calm {
        &self.dial.scripts
    }

    fn dials(&self) -> Vec<Arc<Dial>> {
        vec![Arc::clone(&self.dial)]
    }

    fn failovers(&self) -> u64 {
        self.dial.primary.failovers()
    }

    fn connectivity(&self) -> Connectivity {
        self.dial.tally.read()
    }
}

impl Lost {
    pub(crate) fn unsent(fault: Fault) -> Self {
        Self { fault, sent: false }
    }

    fn sent(fault: Fault) -> Self {
        Self { fault, sent: true }
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections")
            .field("address", &self.dial.target.to_string())
            .field("count", &self.count)
            .field("runtimes", &self.homes().len())
            .finish_non_exhaustive()
    }
}
