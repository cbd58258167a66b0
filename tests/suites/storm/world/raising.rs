//! Raises as L2 takes them: the judge and the bus hear of each.

use std::collections::BTreeMap;

use jetcache_adapters::memory::Table;
use jetcache_core::machine::generations::scope::{RaiseEvent, top_key};
use jetcache_core::ports::bus::{Kind, Message};
use jetcache_core::ports::remote::{Ensure, Herald, Mark, Raise, Raised, Scope, Wire};

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
        let raised = table.raise(now, raise);
        let mut scopes = raise.scopes.to_vec();
        if raised.anew {
            scopes.insert(0, Scope::All);
        }
        self.tell(raise.namespace, (raised.before, raised.number), scopes);
        raised
    }

    pub(crate) fn ensure(&self, table: &mut Table, now: u64, ensure: &Ensure<'_>) -> Mark {
        let list = |table: &Table| -> BTreeMap<Scope, Mark> {
            let marks = table.news(ensure.namespace, Mark::NONE);
            marks.into_iter().collect()
        };
        let top = table.read(now, &top_key(ensure.namespace), Wire::Native);
        let top = top.and_then(|found| String::from_utf8(found.bytes).ok());
        let top = top.and_then(|top| Mark::parse(&top)).unwrap_or_default();
        let before = list(table);
        let ensured = table.ensure(now, ensure);
        let raised = list(table).into_iter();
        let raised = raised.filter(|(scope, mark)| before.get(scope) != Some(mark));
        let raised: Vec<Scope> = raised.map(|(scope, _)| scope).collect();
        if !raised.is_empty() {
            let last = before.into_values().max().unwrap_or_default();
            self.tell(ensure.namespace, (top.max(last), ensured), raised);
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
