//! What the judge knows of the breakers: while one is open, its node sends L2 nothing but one probe at
//! a time, after pauses that grow, and its bus on the same server does not dial.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use jetcache_core::machine::policy::backoff::Backoff;
use jetcache_core::{Breaker, Event, Observer, Timestamp};

use crate::world::time::World;

/// The breakers of all lives.
#[derive(Clone)]
pub(crate) struct Circuits {
    world: World,
    /// Those that are open.
    open: Arc<Mutex<BTreeMap<usize, Open>>>,
}

struct Open {
    pauses: Backoff,
    /// When it opened, or when its last probe failed.
    since: Timestamp,
    /// Probes that failed since it opened.
    failed: u32,
    probing: bool,
}

/// Sees the breaker of one life turn.
pub(crate) struct Turns {
    circuits: Circuits,
    life: usize,
    breaker: Breaker,
}

/// A probe on its way. If the breaker does not close then, it has failed.
pub(crate) struct Probing {
    circuits: Circuits,
    life: usize,
}

impl Circuits {
    pub(crate) fn new(world: &World) -> Self {
        Self {
            world: world.clone(),
            open: Arc::default(),
        }
    }

    /// The observer of a life whose breaker is set like this.
    pub(crate) fn of(&self, life: usize, breaker: Breaker) -> Turns {
        Turns {
            circuits: self.clone(),
            life,
            breaker,
        }
    }

    /// A life sends L2 something: to read one key, as probes do, or not.
    ///
    /// # Errors
    /// Why it may not.
    pub(crate) fn sends(&self, life: usize, reads_one: bool) -> Result<Option<Probing>, String> {
        let now = self.world.time();
        let mut all = self.open();
        let Some(open) = all.get_mut(&life) else {
            return Ok(None);
        };
        if !reads_one {
            return Err(format!("{life} sends though its breaker is open"));
        }
        if std::mem::replace(&mut open.probing, true) {
            return Err(format!("{life} sends beside a probe"));
        }
        if now < open.since + open.pauses.pause(open.failed) {
            return Err(format!(
                "{life} probes too soon, after {} in vain",
                open.failed
            ));
        }
        let circuits = self.clone();
        Ok(Some(Probing { circuits, life }))
    }

    pub(crate) fn is_open(&self, life: usize) -> bool {
        self.open().contains_key(&life)
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<usize, Open>> {
        self.open.lock().unwrap()
    }
}

impl Observer for Turns {
    fn on(&self, _: &str, event: &Event) {
        let mut open = self.circuits.open();
        match event {
            Event::BreakerOpened(_) => {
                let opened = Open {
                    pauses: Backoff {
                        first: self.breaker.first_pause,
                        longest: self.breaker.longest_pause,
                    },
                    since: self.circuits.world.time(),
                    failed: 0,
                    probing: false,
                };
                open.insert(self.life, opened);
            }
            Event::BreakerClosed { .. } => {
                open.remove(&self.life);
            }
            _ => {}
        }
    }
}

impl Drop for Probing {
    fn drop(&mut self) {
        let now = self.circuits.world.time();
        if let Some(open) = self.circuits.open().get_mut(&self.life) {
            open.probing = false;
            open.since = now;
            open.failed += 1;
        }
    }
}
