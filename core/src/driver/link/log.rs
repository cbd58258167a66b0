//! The log of raises that L2 keeps for the namespace of one cache: its name there, and when its highest
//! number is looked at (PROTOCOL.md, T2, T9).

use core::time::Duration;
use std::sync::Arc;

use portable_atomic::{AtomicU64, Ordering};

use crate::driver::generations::attempts::Attempts;
use crate::driver::shared::generated::Generated;
use crate::machine::generations::known::Known;
use crate::machine::generations::scope::{Mark, list_key, top_key};
use crate::machine::time::Timestamp;
use crate::ports::remote::Found;

/// The log of one namespace.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) generations: Arc<Generated>,
    /// What the keys of the namespace begin with.
    pub(crate) namespace: Box<str>,
    /// The key of its highest number.
    pub(crate) top: Box<str>,
    /// The attempts to catch up with it.
    pub(crate) attempts: Attempts,
    /// The key of its list.
    list: Box<str>,
    /// When the highest number was asked for last, in nanoseconds.
    looked: AtomicU64,
    /// When the list was touched last.
    touched: AtomicU64,
}

/// The highest number, as an answer of L2 showed it.
#[derive(Debug)]
pub(crate) struct Look {
    /// What this node knew when it asked.
    pub(crate) asked: Known,
    /// What L2 has.
    pub(crate) top: Option<Mark>,
}

/// A question about the highest number that is on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    known: Known,
    sent: Timestamp,
}

impl Log {
    pub(crate) fn new(prefix: &str, generations: Arc<Generated>) -> Self {
        Self {
            generations,
            namespace: prefix.into(),
            top: top_key(prefix).into(),
            list: list_key(prefix).into(),
            attempts: Attempts::default(),
            looked: AtomicU64::new(0),
            touched: AtomicU64::new(0),
        }
    }

    /// It is asked for now.
    pub(crate) fn ask(&self, sent: Timestamp) -> Asked {
        let known = self.generations.look().known();
        Asked { known, sent }
    }

    /// The key of the list, if it is to be read as well, in vain: a server that evicts what was not used
    /// for long would take it first, and with it all that the namespace has in L2.
    pub(crate) fn touches(&self, now: Timestamp) -> Option<&str> {
        let (now, order) = (now.as_nanos(), Ordering::Relaxed);
        let before = self.touched.load(order);
        let due = now.saturating_sub(before) >= u64::try_from(TOUCH.as_nanos()).unwrap_or(u64::MAX);
        let first = || {
            self.touched
                .compare_exchange(before, now, order, order)
                .is_ok()
        };
        (due && first()).then_some(&self.list)
    }

    /// What a read of its key brought.
    pub(crate) fn seen(&self, asked: Asked, found: Option<Found>) -> Look {
        let sent = asked.sent.as_nanos();
        if self.looked.load(Ordering::Relaxed) < sent {
            self.looked.fetch_max(sent, Ordering::Relaxed);
        }
        let text = found.and_then(|found| String::from_utf8(found.bytes).ok());
        Look {
            asked: asked.known,
            top: text.as_deref().and_then(Mark::parse),
        }
    }

    /// Whether it is to be asked for beside the next question, where it lies on a server of its own.
    /// `told`: a bus stands that tells of raises.
    pub(crate) fn is_due(&self, told: bool, now: Timestamp) -> bool {
        let looked = Timestamp::from_nanos(self.looked.load(Ordering::Relaxed));
        self.generations.look().is_to_look() || (!told && now.since(looked) >= EVERY)
    }
}

/// How often the highest number is looked at where no bus tells of raises and each look costs another
/// command.
const EVERY: Duration = Duration::from_secs(1);
/// How often a node touches the list.
const TOUCH: Duration = Duration::from_secs(10);
