//! One round trip to L2: how long it took, and its span for whoever traces.

use tracing::{Span, debug_span};

use crate::driver::link::outcomes::Outcomes;
use crate::driver::shared::journal::Journal;
use crate::machine::error::Fault;
use crate::machine::event::Event;
use crate::machine::tier::verb::Verb;
use crate::machine::time::Timestamp;

/// One that is under way. Dropped before it is over, it was given up.
pub(crate) struct Trip<'a> {
    over: bool,
    journal: &'a Journal,
    verb: Verb,
    keys: usize,
    begun: Timestamp,
}

impl<'a> Trip<'a> {
    pub(crate) fn begin(journal: &'a Journal, verb: Verb, keys: usize) -> Self {
        Self {
            over: false,
            journal,
            verb,
            keys,
            begun: journal.now(),
        }
    }

    /// Its span: it costs next to nothing if nobody listens.
    pub(crate) fn span(&self) -> Span {
        debug_span!(
            target: "jetcache",
            "jetcache.l2",
            cache = &*self.journal.name,
            verb = self.verb.name(),
            keys = self.keys,
        )
    }

    /// It is over. What the breaker kept back was none.
    pub(crate) fn note<T>(mut self, outcomes: &Outcomes<T>) {
        self.over = true;
        let kept = |outcome: &&Result<T, Fault>| matches!(outcome, Err(Fault::NotAsked(_)));
        let kept = outcomes.iter().filter(kept).count();
        if kept < outcomes.len() {
            let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
            self.journal.note(&Event::RemoteAsked {
                verb: self.verb,
                keys: outcomes.len() - kept,
                took: self.journal.now().since(self.begun),
                faults: failed - kept,
                given_up: false,
            });
        }
    }
}

impl Drop for Trip<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.journal.note(&Event::RemoteAsked {
                verb: self.verb,
                keys: self.keys,
                took: self.journal.now().since(self.begun),
                faults: 0,
                given_up: true,
            });
        }
    }
}
