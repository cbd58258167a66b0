//! How the other nodes are told of a change, where the machine says so (PROTOCOL.md, C6).

use std::sync::Arc;

use crate::driver::bus::hub::Hub;
use crate::driver::bus::publisher::{tell, tell_raise};
use crate::driver::link::outcomes::Outcomes;
use crate::driver::world::erased::AnyRemote;
use crate::machine::error::Error;
use crate::machine::generations::scope::RaiseEvent;
use crate::machine::tier::verb::Announce;
use crate::ports::bus::{Kind, Telling};
use crate::ports::remote::Herald;

/// Who tells the others.
pub(crate) enum Announcer {
    /// Nobody here: there is no bus, or it watches L2.
    Nobody,
    /// L2, in the same step as the change, through this handle of it.
    L2(Arc<dyn AnyRemote>),
    /// The bus, once L2 has acknowledged the change of the cache of this name.
    Bus(Arc<Hub>, Arc<str>),
}

impl Announcer {
    /// # Errors
    /// [`Error::Config`] for a bus that watches another store than this one.
    pub(crate) fn new(
        remote: &Arc<dyn AnyRemote>,
        hub: Option<&Arc<Hub>>,
        cache: &Arc<str>,
    ) -> Result<Self, Error> {
        let Some(hub) = hub else {
            return Ok(Self::Nobody);
        };
        let bus = || Self::Bus(Arc::clone(hub), Arc::clone(cache));
        Ok(match hub.bus.telling() {
            Telling::Watched { server } if remote.server() == Some(server) => Self::Nobody,
            Telling::Watched { .. } => {
                return Err(Error::config(
                    "the bus watches another store than this cache's L2: make it of this very \
                     `Redis`, or of a clone of it; a cluster cannot be watched, use its pub/sub",
                ));
            }
            Telling::WithChange { server, channel } if remote.server() == Some(server) => {
                let herald = Herald {
                    channel,
                    cache: Arc::clone(cache),
                    source: Arc::clone(&hub.source),
                };
                remote.announcing(herald).map_or_else(bus, Self::L2)
            }
            Telling::WithChange { .. } | Telling::Publish => bus(),
        })
    }

    /// Whether L2 itself tells.
    pub(crate) fn is_l2(&self) -> bool {
        matches!(self, Self::L2(_))
    }

    /// The handle of L2 to send a change to.
    pub(crate) fn remote<'a>(
        &'a self,
        plain: &'a dyn AnyRemote,
        announce: Announce,
    ) -> &'a dyn AnyRemote {
        match (self, announce) {
            (Self::L2(telling), Announce::Yes) => &**telling,
            (_, _) => plain,
        }
    }

    /// Tells the others what was raised in this namespace, if that is left to the bus.
    pub(crate) fn tell_raise(&self, namespace: &str, event: &RaiseEvent) {
        if let Self::Bus(hub, cache) = self {
            tell_raise(hub, cache, event.texts(namespace));
        }
    }

    /// Tells the others what L2 has acknowledged, if that is left to the bus.
    pub(crate) fn tell<'a>(
        &self,
        announce: Announce,
        acknowledged: impl Iterator<Item = (Kind, &'a str)>,
    ) {
        let (Self::Bus(hub, cache), Announce::Yes) = (self, announce) else {
            return;
        };
        for (kind, key) in acknowledged {
            tell(hub, cache, kind, key);
        }
    }
}

/// What is announced, and what is not.
pub(crate) fn split<I: Copy>(items: &[(Announce, I)]) -> (Vec<I>, Vec<I>) {
    let of = |announce| {
        let items = items.iter().filter(move |(of, _)| *of == announce);
        items.map(|(_, item)| *item).collect()
    };
    (of(Announce::Yes), of(Announce::No))
}

/// The outcomes of what was [`split`], in the order of the items.
pub(crate) fn merge<I, T>(
    items: &[(Announce, I)],
    (told, kept): (Outcomes<T>, Outcomes<T>),
) -> Outcomes<T> {
    let (mut told, mut kept) = (told.into_iter(), kept.into_iter());
    let outcome = |(announce, _): &(Announce, I)| match announce {
        Announce::Yes => told.next(),
        Announce::No => kept.next(),
    };
    items.iter().filter_map(outcome).collect()
}
