//! A look at one key of L2, for people.

use core::time::Duration;

use crate::driver::link::Link;
use crate::machine::error::Fault;
use crate::machine::tier::inspection::{InL2, L2Entry};
use crate::machine::tier::verb::Verb;
use crate::ports::remote::{Found, Inspected, Life};

impl<K, V: Send + Sync + 'static> Link<K, V> {
    /// What stands under a key and beside it.
    pub(in crate::driver) async fn look(&self, text: &str) -> InL2 {
        match self.inspect(text).await {
            Ok(seen) => InL2::Answered {
                entry: seen.found.map(|found| self.entry(&found, seen.kept)),
                lease: seen.lease,
            },
            Err(fault) => InL2::Away(fault),
        }
    }

    async fn inspect(&self, key: &str) -> Result<Inspected, Fault> {
        let inspect = async { vec![self.remote.inspect(key, self.format.wire).await] };
        self.send_one(Verb::Inspect, key, inspect).await
    }

    /// An entry, and whether it can be read.
    fn entry(&self, found: &Found, kept: Option<Duration>) -> L2Entry {
        let (clock, kept) = match found.life {
            Life::Clock(clock) => (Some(clock), kept),
            Life::Left(left) => (None, kept.or(Some(left))),
        };
        let mut entry = L2Entry::of(&found.bytes, self.format.wire, clock, kept);
        self.format.complete(&mut entry, &found.bytes);
        if entry.unreadable.is_none() {
            entry.unreadable = self.format.decode_found(found).err();
        }
        entry
    }
}
