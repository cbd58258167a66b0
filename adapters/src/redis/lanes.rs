//! What many callers ask of one server at once, sent together.
//!
//! What finds a place goes out at once, in its caller's own task if it is a read or may be repeated as one
//! (and that task has not used up its turn), else in one of the runtime's. There is a place for each
//! connection, so something big, or a connection that answers nothing, holds up what shares its place and
//! nothing else. What comes while all places are taken gathers, and goes out as one pipeline when a place is
//! free, or when it is so much that it need not wait. Then a task of the runtime carries it, so that no
//! caller that gives up, or is not polled any more, takes the others' answers along; only when all of them
//! have given up it is given up.
//!
//! What may not be carried out twice is sent once: whoever loses the task that carried it is told that
//! nobody knows what became of it. A read asks again by itself.

pub(super) mod cargo;
mod gathering;
mod lane;
mod stay;

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use jetcache_core::Fault;

use crate::redis::connection::line::Line;
use crate::redis::connection::runtimes::home;
use crate::redis::lanes::cargo::{Cargo, Outcomes};
use crate::redis::lanes::gathering::Shared;
use crate::redis::lanes::lane::{Entered, Lane};
use crate::redis::lanes::stay::until_woken;

/// The lanes of one handle for one kind of cargo: one for each runtime and sort.
pub(super) struct Lanes<C: Cargo> {
    line: Arc<dyn Line>,
    /// How many places each lane has: as many as there are connections.
    width: usize,
    /// The first ones, which stay, so that they are found without a lock.
    first: [OnceLock<Arc<Lane<C>>>; FIRST],
    /// Those of further runtimes.
    lanes: Mutex<Vec<Arc<Lane<C>>>>,
}

impl<C: Cargo> Lanes<C> {
    /// Lanes with so many places each.
    pub(super) fn new(line: &Arc<dyn Line>, width: usize) -> Self {
        Self {
            line: Arc::clone(line),
            width,
            first: Default::default(),
            lanes: Mutex::default(),
        }
    }

    /// Sends what is asked for, with what others ask for if it must wait anyway.
    ///
    /// Most wait, so what only those need that send by themselves is boxed: the future of the others stays
    /// small.
    pub(super) async fn carry<'a>(&'a self, ask: C::Ask<'a>, sort: C::Sort) -> Outcomes<C> {
        if C::is_much(ask) {
            return Box::pin(C::send(&*self.line, ask, sort, None)).await;
        }
        let shared = match self.enter(ask, sort) {
            Ok(Entered::Alone(place)) => {
                let alone = async {
                    let sending = C::send(&*self.line, ask, sort, Some(place.number));
                    // Here, since `until_woken` would make room for it twice.
                    let sending = pin!(sending);
                    until_woken(place, sending).await
                };
                return Box::pin(alone).await;
            }
            Ok(Entered::Gathered(waiting)) => waiting.answer().await,
            Err(fault) => return (0..C::count(ask)).map(|_| Err(fault.clone())).collect(),
        };
        match shared {
            Shared::Answered(outcomes) => outcomes,
            Shared::Lost if !C::may_repeat(sort) => {
                let lost = Fault::Unreachable("the task that carried this has ended".into());
                (0..C::count(ask)).map(|_| Err(lost.clone())).collect()
            }
            Shared::Left | Shared::Lost => Box::pin(C::send(&*self.line, ask, sort, None)).await,
        }
    }

    /// Enters the lane of the runtime that the caller stands in.
    fn enter(&self, ask: C::Ask<'_>, sort: C::Sort) -> Result<Entered<C>, Fault> {
        let own = home().map(|(_, home)| home);
        let is_own = |lane: &&Arc<Lane<C>>| Some(lane.home) == own && lane.sort == sort;
        if let Some(lane) = self.first.iter().map_while(OnceLock::get).find(is_own) {
            return Ok(lane.enter(ask));
        }
        Ok(self.lane(sort, is_own)?.enter(ask))
    }

    /// A lane that is not yet among the first. A new one becomes one of them, or takes the place of those
    /// that nobody uses.
    fn lane(
        &self,
        sort: C::Sort,
        is_own: impl Fn(&&Arc<Lane<C>>) -> bool,
    ) -> Result<Arc<Lane<C>>, Fault> {
        if let Some(lane) = self.lanes().iter().find(&is_own) {
            return Ok(Arc::clone(lane));
        }
        // Asked once a lane: whether connections can be had here does not change.
        let lane = Arc::new(Lane::here(Arc::clone(&self.line), sort, self.width)?);
        let mut lanes = self.lanes();
        // Under the lock: another may have made it.
        let known = self.first.iter().map_while(OnceLock::get);
        if let Some(lane) = known.chain(lanes.iter()).find(is_own) {
            return Ok(Arc::clone(lane));
        }
        let is_kept = |place: &OnceLock<_>| place.set(Arc::clone(&lane)).is_ok();
        if !self.first.iter().any(is_kept) {
            lanes.retain(|lane| Arc::strong_count(lane) > 1);
            lanes.push(Arc::clone(&lane));
        }
        Ok(lane)
    }

    fn lanes(&self) -> MutexGuard<'_, Vec<Arc<Lane<C>>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Cargo> fmt::Debug for Lanes<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes")
            .field("width", &self.width)
            .field("first", &self.first.iter().map_while(OnceLock::get).count())
            .field("lanes", &self.lanes().len())
            .finish_non_exhaustive()
    }
}

/// How many lanes stay: two sorts in two runtimes. Most programs have one runtime.
const FIRST: usize = 4;
