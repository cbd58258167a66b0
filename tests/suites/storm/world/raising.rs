//! Raises as L2 takes them: the judge and the bus hear of each.

use jetcache_adapters::memory::Table;
use jetcache_core::machine::generations::scope::{RaiseEvent, top_key};
use jetcache_core::ports::bus::{Kind, Message};
use jetcache_core::ports::remote::{Ensure, Ensured, Herald, Mark, Raise, Raised, Scope};

use crate::fate::judge::Judge;
use crate::fate::tags::keys_of;
use crate::world::bus::{Air, Bus};
use crate::world::time::World;

/// By whom, and who is told.
pub(crate) struct Raising {
    pub(crate) world: World,
    pub(crate) judge: Judge,
    pub(crate) air: Option<Air>,
    pub(crate) life: usize,
    pub(crate) herald: Option<Herald>,
}

impl Raising {
    pub(crate) fn raise(&self, table: &mut Table, now: u64, raise: &Raise<'_>) -> Raised {
        let raised = table.raise(now, raise).expect("there are numbers left");
        let mut scopes = raise.scopes.to_vec();
        if raised.anew {
            scopes.insert(0, Scope::All);
        }
        self.tell(raise.namespace, (raised.before, raised.number), scopes);
        raised
    }

    pub(crate) fn ensure(&self, table: &mut Table, now: u64, ensure: &Ensure<'_>) -> Ensured {
        let ensured = table.ensure(now, ensure).expect("there are numbers left");
        if let Some(RaiseEvent { numbers, scopes }) = ensured.raised.clone() {
            self.tell(ensure.namespace, numbers.unwrap_or_default(), scopes);
        }
        ensured
    }

    fn tell(&self, namespace: &str, (before, number): (Mark, Mark), scopes: Vec<Scope>) {
        let keys = keys_of(&scopes, namespace);
        let (life, told) = (self.life, self.herald.is_some());
        let tick = self.world.ticks();
        self.judge.raised(life, number.number(), &keys, tick, told);
        let Some(air) = &self.air else {
            return;
        };
        if let Some(Herald { cache, source, .. }) = &self.herald {
            let event = RaiseEvent {
                numbers: Some((before, number)),
                scopes,
            };
            let message = Message {
                cache: (**cache).to_owned(),
                source: (**source).to_owned(),
                kind: Kind::Raise,
                keys: event.texts(namespace),
                fenced: false,
            };
            air.say(life, message);
        }
        if air.bus() == Bus::Watched {
            air.show(&[top_key(namespace)]);
        }
    }
}
