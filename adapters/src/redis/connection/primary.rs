//! Which server process answers at an address: another one may lack the last changes.

use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// The server process to which one address led last.
#[derive(Debug)]
pub(crate) struct Primary {
    known: Mutex<Known>,
    /// How many there were before it. With tokio's feature `parking_lot`, which a user's program may turn
    /// on, the channel is not `RefUnwindSafe` by itself; no code of ours that can panic runs under its
    /// lock.
    turn: AssertUnwindSafe<watch::Sender<u64>>,
    all: Arc<All>,
}

#[derive(Debug, Default)]
struct Known {
    /// What tells it from another one, once it has said so.
    id: Option<Box<str>>,
    /// Since when changes are counted, and how many there were.
    changes: Option<(Instant, u32)>,
}

/// What all addresses of a handle have in common.
#[derive(Debug, Default)]
struct All {
    /// How often any server of the handle was followed by another one.
    failovers: AtomicU64,
    /// Somebody has asked for that. Until then nobody asks the servers who they are, which needs a
    /// right.
    asked: AtomicBool,
}

impl Primary {
    /// That of another address of the same handle.
    #[allow(dead_code, reason = "one server alone has no others")]
    pub(crate) fn other(&self) -> Self {
        Self {
            all: Arc::clone(&self.all),
            ..Self::default()
        }
    }

    /// A connection was made to the process with this id; a server that does not say it passes for the
    /// one before. Returns its turn. Several servers behind one address, none of which leads, would
    /// take turns for ever: of changes that come thick and fast only the first ones count.
    pub(crate) fn met(&self, id: Option<&str>) -> u64 {
        let mut known = self.known();
        if let Some(id) = id.filter(|id| known.id.as_deref() != Some(*id)) {
            let is_first = known.id.is_none();
            if is_first || known.changes() <= MOST_CHANGES {
                known.id = Some(id.into());
                if !is_first {
                    self.turn.send_modify(|turn| *turn += 1);
                    self.promoted();
                }
            }
        }
        self.turn()
    }

    /// An address that was none of a primary is one now.
    pub(crate) fn promoted(&self) {
        self.all.failovers.fetch_add(1, Ordering::AcqRel);
    }

    /// The turn of the process that is known now. Those that were met before anybody asked who they
    /// are have another one, for nobody knows.
    pub(crate) fn turn(&self) -> u64 {
        *self.turn.borrow() + u64::from(self.is_asked())
    }

    /// Completes when another process is met than the one of this turn.
    pub(crate) async fn left(&self, turn: u64) {
        let mut turns = self.turn.subscribe();
        let is_left = turns.wait_for(|_| self.turn() != turn).await.is_ok();
        if !is_left {
            pending().await
        }
    }

    /// How often another primary has begun to answer.
    pub(crate) fn failovers(&self) -> u64 {
        if !self.is_asked() {
            self.all.asked.store(true, Ordering::Release);
        }
        self.all.failovers.load(Ordering::Acquire)
    }

    /// Whether anybody wants to know.
    pub(crate) fn is_asked(&self) -> bool {
        self.all.asked.load(Ordering::Acquire)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// How many changes there were lately, with this one.
    fn changes(&mut self) -> u32 {
        let now = Instant::now();
        let (since, count) = match self.changes {
            Some((since, count)) if now.duration_since(since) < LATELY => (since, count + 1),
            Some(_) | None => (now, 1),
        };
        self.changes = Some((since, count));
        count
    }
}

impl Default for Primary {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            turn: AssertUnwindSafe(watch::Sender::new(0)),
            all: Arc::default(),
        }
    }
}

/// How many changes of the process at one address count in such a time.
const MOST_CHANGES: u32 = 5;
const LATELY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_id_is_another_primary_and_none_says_nothing() {
        let primary = Primary::default();
        assert_eq!(primary.failovers(), 0);
        let first = primary.met(None);
        assert_eq!(primary.met(Some("a")), first);
        assert_eq!(primary.met(None), first);
        assert_eq!((primary.met(Some("a")), primary.failovers()), (first, 0));
        let second = primary.met(Some("b"));
        assert!(primary.turn() == second && first != second);
        assert_eq!(primary.failovers(), 1);
    }

    #[test]
    fn who_was_met_before_anybody_asked_is_met_again() {
        let primary = Primary::default();
        let before = primary.met(None);
        assert_eq!(primary.failovers(), 0);
        assert_ne!(primary.turn(), before);
        assert_eq!(primary.met(Some("a")), primary.turn());
        assert_eq!(primary.failovers(), 0);
    }

    #[test]
    fn the_servers_of_a_cluster_are_counted_together() {
        let one = Primary::default();
        let other = one.other();
        assert_eq!(one.failovers(), 0);
        let turn = one.met(Some("a"));
        other.met(Some("b"));
        other.met(Some("c"));
        assert_eq!(one.turn(), turn);
        assert_eq!((one.failovers(), other.failovers()), (1, 1));
    }

    #[test]
    fn servers_that_take_turns_for_ever_are_let_be() {
        let primary = Primary::default();
        for turn in 0..100 {
            primary.met(Some(["a", "b"][turn % 2]));
        }
        assert_eq!(primary.failovers(), u64::from(MOST_CHANGES));
        let turn = primary.turn();
        assert_eq!(
            (primary.met(Some("a")), primary.met(Some("b"))),
            (turn, turn)
        );
    }
}
