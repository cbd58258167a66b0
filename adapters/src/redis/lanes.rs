//! What many callers ask of one server at once, sent together.
//!
//! What finds a place goes out at once, in its caller's own task if it is a read or may be repeated as one,
//! else in one of the runtime's. There is a place for each
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
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    lanes: Mutex<Vec<Arc<Lane<C>>>>,
}

impl<C: Cargo> Lanes<C> {
    /// Lanes with so many places each.
    pub(super) fn new(line: &Arc<dyn Line>, width: usize) -> Self {
        Self {
            line: Arc::clone(line),
            width,
            lanes: Mutex::default(),
        }
    }

    /// Sends what is asked for, with what others ask for if it must wait anyway.
    pub(super) async fn carry<'a>(&'a self, ask: C::Ask<'a>, sort: C::Sort) -> Outcomes<C> {
        if C::is_much(ask) {
            return C::send(&*self.line, ask, sort, None).await;
        }
        let lane = match self.lane(sort) {
            Ok(lane) => lane,
            Err(fault) => return (0..C::count(ask)).map(|_| Err(fault.clone())).collect(),
        };
        let shared = match lane.enter(ask) {
            Entered::Alone(place) => {
                let sending = C::send(&*self.line, ask, sort, Some(place.number));
                return until_woken(place, sending).await;
            }
            Entered::Gathered(waiting) => waiting.answer().await,
        };
        match shared {
            Shared::Answered(outcomes) => outcomes,
            Shared::Lost if !C::may_repeat(sort) => {
                let lost = Fault::Unreachable("the task that carried this has ended".into());
                (0..C::count(ask)).map(|_| Err(lost.clone())).collect()
            }
            Shared::Left | Shared::Lost => C::send(&*self.line, ask, sort, None).await,
        }
    }

    /// The lane of the runtime that the caller stands in. A new one takes the place of those that
    /// nobody uses.
    fn lane(&self, sort: C::Sort) -> Result<Arc<Lane<C>>, Fault> {
        let own = home().map(|(_, home)| home);
        let is_own = |lane: &&Arc<Lane<C>>| Some(lane.home) == own && lane.sort == sort;
        if let Some(lane) = self.lanes().iter().find(is_own) {
            return Ok(Arc::clone(lane));
        }
        // Asked once a lane: whether connections can be had here does not change.
        let lane = Arc::new(Lane::here(Arc::clone(&self.line), sort, self.width)?);
        let mut lanes = self.lanes();
        if let Some(lane) = lanes.iter().find(is_own) {
            return Ok(Arc::clone(lane));
        }
        lanes.retain(|lane| Arc::strong_count(lane) > 1);
        lanes.push(Arc::clone(&lane));
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
            .field("lanes", &self.lanes().len())
            .finish_non_exhaustive()
    }
}
