//! Which server process answers at an address: another one may lack the last changes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The server process to which one address led last.
#[derive(Debug, Default)]
pub(crate) struct Primary {
    /// Its run id, once it has said one.
    known: Mutex<Option<Box<str>>>,
    /// How many there were before it.
    turn: AtomicU64,
    all: Arc<All>,
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
    pub(crate) fn other(&self) -> Self {
        Self {
            all: Arc::clone(&self.all),
            ..Self::default()
        }
    }

    /// A connection was made to the process with this run id; a server that does not say it passes for
    /// the one before. Returns its turn.
    pub(crate) fn met(&self, run: Option<&str>) -> u64 {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(run) = run.filter(|run| known.as_deref() != Some(*run))
            && known.replace(run.into()).is_some()
        {
            self.turn.fetch_add(1, Ordering::AcqRel);
            self.all.failovers.fetch_add(1, Ordering::AcqRel);
        }
        self.turn.load(Ordering::Acquire)
    }

    /// Whether the process that was met then is the one that is known now.
    pub(crate) fn is(&self, turn: u64) -> bool {
        self.turn.load(Ordering::Acquire) == turn
    }

    /// An address that was none of a primary is one now.
    pub(crate) fn promoted(&self) {
        self.all.failovers.fetch_add(1, Ordering::AcqRel);
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_run_id_is_another_primary_and_none_says_nothing() {
        let primary = Primary::default();
        let first = primary.met(None);
        assert_eq!(primary.met(Some("a")), first);
        assert_eq!(primary.met(None), first);
        assert_eq!((primary.met(Some("a")), primary.failovers()), (first, 0));
        let second = primary.met(Some("b"));
        assert!(primary.is(second) && !primary.is(first));
        assert_eq!(primary.failovers(), 1);
    }

    #[test]
    fn the_servers_of_a_cluster_are_counted_together() {
        let one = Primary::default();
        let other = one.other();
        let turn = one.met(Some("a"));
        other.met(Some("b"));
        other.met(Some("c"));
        assert!(one.is(turn));
        assert_eq!((one.failovers(), other.failovers()), (1, 1));
    }
}
