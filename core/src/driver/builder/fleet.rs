//! What makes a cache one of a fleet: its bus, and keeping keys fresh.

use core::time::Duration;
use std::sync::Arc;

use crate::driver::builder::times::{Times, refuse_zero};
use crate::driver::bus::hub::Hub;
use crate::driver::shared::loaders::Loaders;
use crate::driver::world::erased::{AnyBus, AnyRuntime};
use crate::machine::error::Error;
use crate::machine::policy::Kind;

#[derive(Default)]
pub(super) struct Fleet {
    pub(super) bus: Option<Connection>,
    pub(super) source_id: Option<String>,
    pub(super) blind_local_ttl: Option<Duration>,
    pub(super) refresh_all: bool,
    pub(super) check_one_in: Option<u32>,
}

/// A bus of the cache's own, or its node's.
pub(super) enum Connection {
    Own(Arc<dyn AnyBus>),
    Node(Arc<Hub>),
}

impl Fleet {
    /// # Errors
    /// [`Error::Config`] for settings that need others.
    pub(super) fn check<K, V>(&self, times: &Times, loaders: &Loaders<K, V>) -> Result<(), Error> {
        if self.refresh_all && (times.refresh_every.is_none() || loaders.one.is_none()) {
            return Err(Error::config(
                "refresh_all without a period or a loader: give the builder refresh_every and a \
                 loader",
            ));
        }
        if times.refresh_every.is_none() && times.stop_refresh_after.is_some() {
            return Err(Error::config(
                "stop_refresh_after without a period: give the builder refresh_every",
            ));
        }
        if self.check_one_in == Some(0) {
            return Err(Error::config(
                "check_one_in is zero: give it at least 1, or leave it out",
            ));
        }
        refuse_zero("blind_local_ttl", self.blind_local_ttl)
    }

    /// The hub of the cache's bus, if it has a bus.
    ///
    /// # Errors
    /// [`Error::Config`] for a bus without an L2, and for bus settings without a bus.
    pub(super) fn hub(
        &self,
        runtime: &Arc<dyn AnyRuntime>,
        kind: Kind,
    ) -> Result<Option<Arc<Hub>>, Error> {
        if self.check_one_in.is_some() && (self.bus.is_none() || kind != Kind::Both) {
            return Err(Error::config(
                "check_one_in compares L1 with L2 where a bus tells of changes: give the builder \
                 both levels and a bus, or leave it out",
            ));
        }
        match &self.bus {
            None if self.source_id.is_some() || self.blind_local_ttl.is_some() => {
                Err(Error::config(
                    "source_id and blind_local_ttl are about a bus: give the builder one, or leave \
                     them out",
                ))
            }
            None => Ok(None),
            Some(_) if !kind.has_remote() => Err(Error::config(
                "a bus without an L2: give the builder a remote, or leave the bus out; a node's \
                 local_cache has neither",
            )),
            Some(Connection::Node(_)) if self.source_id.is_some() => Err(Error::config(
                "source_id: a cache on its node's bus has the node's, set it there",
            )),
            Some(Connection::Node(hub)) => Ok(Some(Arc::clone(hub))),
            Some(Connection::Own(bus)) => {
                let (bus, runtime) = (Arc::clone(bus), Arc::clone(runtime));
                Ok(Some(Hub::new(bus, runtime, self.source_id.as_deref())))
            }
        }
    }
}
